//! What a queue counts.

/// Counts of one queue since it was bound. All are of packets unless they say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Handed out by [`super::Queue::receive`].
    pub received: u64,
    /// Put into the transmit ring.
    pub transmitted: u64,
    /// Frames that came back after being sent; a driver that dropped the packet gives its frame back too.
    pub completed: u64,
    /// System calls that told the kernel to send.
    pub kicks: u64,
    /// Kicks answered that a packet was lost or must be tried again, the device being busy (`EBUSY`).
    pub busy: u64,
    /// Kicks answered that there is more to send than one call may (`EAGAIN`).
    pub again: u64,
    /// Kicks answered that memory for packets ran out (`ENOBUFS`).
    pub no_buffers: u64,
    /// Kicks that failed otherwise, the interface being down or gone.
    pub kick_errors: u64,
    /// Descriptors from the kernel that cannot be true: outside the memory, or of a frame the kernel did not
    /// have. Their frames are left alone.
    pub bad_descriptors: u64,
    /// Parts of packets longer than a frame, dropped.
    pub oversized: u64,
    /// Frames of another packet memory that were to be sent here, dropped.
    pub foreign: u64,
    /// Frames that are waiting in the kernel to be filled, at this moment.
    pub filling: u64,
    /// Frames that are waiting in the kernel to be sent, at this moment.
    pub sending: u64,
    /// The kernel's own counts (`XDP_STATISTICS`).
    pub kernel: KernelStatistics,
}

/// What the kernel counts of a socket (`struct xdp_statistics` of `linux/if_xdp.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelStatistics {
    /// Dropped for reasons other than the ones below: longer than a frame, for one.
    pub rx_dropped: u64,
    /// Dropped as a descriptor of the fill ring was invalid.
    pub rx_invalid_descriptors: u64,
    /// Transmit descriptors that were invalid.
    pub tx_invalid_descriptors: u64,
    /// Dropped as the receive ring was full: the worker is too slow.
    pub rx_ring_full: u64,
    /// Times that no frame was in the fill ring: there are too few frames, or the worker is too slow.
    pub fill_ring_empty: u64,
    /// Times that the kernel was told to send with nothing to send.
    pub tx_ring_empty: u64,
}
