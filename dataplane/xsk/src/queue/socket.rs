//! The state of a bound socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, TxQueue};

use super::statistics::{Probe, QueueCounters};
use super::{BATCH, QueueConfig, QueueStatistics};
use crate::umem::{FRAME_SIZE, Holder, KernelRegion, Umem};

/// The four rings of a bound socket.
pub(super) struct Rings {
    pub(super) receive: RxQueue,
    pub(super) transmit: TxQueue,
    pub(super) fill: FillQueue,
    pub(super) completion: CompQueue,
    pub(super) zero_copy: bool,
    pub(super) refusal: Option<String>,
}

pub(super) struct Socket {
    pub(super) rings: Rings,
    pub(super) umem: &'static Umem,
    pub(super) kernel: &'static KernelRegion,
    /// The interface's index.
    pub(super) interface: u32,
    pub(super) queue: u32,
    /// Marks the frames that the kernel has for receiving.
    pub(super) receiving: Holder,
    /// Marks the frames that the kernel has for sending.
    pub(super) sending: Holder,
    pub(super) ring_size: u32,
    /// Whether an empty receive ring is a reason to have the device polled.
    pub(super) busy_poll: bool,
    /// Whether the last kick left packets in the transmit ring.
    pub(super) unsent: bool,
    pub(super) counts: Arc<QueueCounters>,
    /// Where descriptors lie on their way to and from a ring.
    pub(super) descriptors: [FrameDesc; BATCH],
}

impl Socket {
    pub(super) fn new(
        umem: &'static Umem,
        kernel: &'static KernelRegion,
        rings: Rings,
        interface: u32,
        config: &QueueConfig,
    ) -> Box<Self> {
        let number = umem.owners().number_queue();
        Box::new(Self {
            rings,
            umem,
            kernel,
            interface,
            queue: config.queue,
            receiving: Holder::receive(number),
            sending: Holder::transmit(number),
            ring_size: config.ring_size,
            busy_poll: false,
            unsent: false,
            counts: Arc::default(),
            descriptors: [FrameDesc::default(); BATCH],
        })
    }

    /// Takes the frame at `address`, an offset from the kernel, back from it, and returns the frame's index
    /// and the place in it; `None`, and a count, if `holder` did not have such a frame.
    #[inline]
    pub(super) fn reclaim(&mut self, address: usize, holder: Holder) -> Option<(u32, usize)> {
        let index = u32::try_from(address / FRAME_SIZE).ok();
        match index.filter(|&index| self.umem.owners().reclaim(index, holder)) {
            Some(index) => Some((index, address % FRAME_SIZE)),
            None => {
                self.counts.bad_descriptors.add(1);
                None
            }
        }
    }

    pub(super) fn statistics(&self) -> io::Result<QueueStatistics> {
        self.counts.with_kernels(self)
    }

    pub(super) fn probe(&self) -> io::Result<Probe> {
        Probe::new(self, &self.counts, self.rings.zero_copy)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: xsk-rs keeps the socket open as long as its rings are, which `self` has.
        unsafe { BorrowedFd::borrow_raw(self.rings.receive.fd().as_raw_fd()) }
    }
}
