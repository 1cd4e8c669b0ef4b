//! What a queue counts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::net::sockopt::xdp_statistics;

/// Reads the counts of one queue, on any thread; the queue's own does not notice. Keeps the socket open.
#[derive(Debug)]
pub struct Probe {
    socket: OwnedFd,
    counts: Arc<QueueCounters>,
    zero_copy: bool,
}

impl Probe {
    pub(super) fn new(socket: &impl AsFd, counts: &Arc<QueueCounters>, zero_copy: bool) -> io::Result<Self> {
        Ok(Self {
            socket: socket.as_fd().try_clone_to_owned()?,
            counts: Arc::clone(counts),
            zero_copy,
        })
    }

    /// Whether the driver reads and writes packet memory itself.
    #[must_use]
    pub fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// The counts of the queue and of its socket.
    ///
    /// # Errors
    /// Fails if the kernel does not tell its own counts.
    pub fn statistics(&self) -> io::Result<QueueStatistics> {
        self.counts.with_kernels(&self.socket)
    }
}

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

/// A number that the queue's thread alone writes: neither load nor store locks the bus.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn subtract(&self, less: u64) {
        self.0.store(self.get().wrapping_sub(less), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// [`QueueStatistics`] as they are written.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct QueueCounters {
    pub(super) received: Count,
    pub(super) transmitted: Count,
    pub(super) completed: Count,
    pub(super) kicks: Count,
    pub(super) busy: Count,
    pub(super) again: Count,
    pub(super) no_buffers: Count,
    pub(super) kick_errors: Count,
    pub(super) bad_descriptors: Count,
    pub(super) oversized: Count,
    pub(super) foreign: Count,
    pub(super) filling: Count,
    pub(super) sending: Count,
}

impl QueueCounters {
    /// With the kernel's counts of the socket.
    pub(super) fn with_kernels(&self, socket: &impl AsFd) -> io::Result<QueueStatistics> {
        let kernel = xdp_statistics(socket)?;
        Ok(QueueStatistics {
            received: self.received.get(),
            transmitted: self.transmitted.get(),
            completed: self.completed.get(),
            kicks: self.kicks.get(),
            busy: self.busy.get(),
            again: self.again.get(),
            no_buffers: self.no_buffers.get(),
            kick_errors: self.kick_errors.get(),
            bad_descriptors: self.bad_descriptors.get(),
            oversized: self.oversized.get(),
            foreign: self.foreign.get(),
            filling: self.filling.get(),
            sending: self.sending.get(),
            kernel: KernelStatistics {
                rx_dropped: kernel.rx_dropped,
                rx_invalid_descriptors: kernel.rx_invalid_descs,
                tx_invalid_descriptors: kernel.tx_invalid_descs,
                rx_ring_full: kernel.rx_ring_full.unwrap_or_default(),
                fill_ring_empty: kernel.rx_fill_ring_empty_descs.unwrap_or_default(),
                tx_ring_empty: kernel.tx_ring_empty_descs.unwrap_or_default(),
            },
        })
    }
}
