//! An AF_XDP socket: one queue of one interface.

mod bind;
mod config;
mod receive;
mod socket;
mod statistics;
mod transmit;

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};

pub use config::{BindError, BusyPoll, QueueConfig, XdpMode, ZeroCopy};
use socket::Socket;
pub use statistics::{KernelStatistics, Probe, QueueStatistics};

use crate::umem::{Frame, FrameCache, Umem};

/// Descriptors that cross a ring at once, and packets sent by one system call.
pub const BATCH: usize = 64;

/// One AF_XDP socket with its four rings: receive, transmit, fill and completion.
///
/// Belongs to one worker at a time. In the order of a worker's turn: [`Queue::receive`], then work, then
/// [`Queue::transmit`], which also takes sent frames back and so is to be called even with nothing to send.
/// When idle, wait until the file descriptor is readable; while [`Queue::needs_attention`], call
/// `transmit` again instead.
///
/// A queue that is dropped stays bound until the process ends, with the frames that the kernel holds for
/// it, and [`Queue::bind`] gives it out again: the kernel lets go of packet memory some time after a
/// socket was closed, and does not tell when. Take it out of the [`crate::Steering`] first, or packets
/// that still arrive on it are lost.
pub struct Queue {
    socket: ManuallyDrop<Box<Socket>>,
}

impl Queue {
    /// Opens a socket on a queue and hands it frames to receive into.
    ///
    /// No packet arrives before [`crate::Steering::set_queue`].
    ///
    /// # Errors
    ///
    /// See [`BindError`]: each says what to do about it.
    pub fn bind(umem: &'static Umem, config: &QueueConfig) -> Result<Queue, BindError> {
        let mut socket = bind::bind(umem, config)?;
        socket.refill(&mut umem.cache());
        Ok(Queue {
            socket: ManuallyDrop::new(socket),
        })
    }

    /// Whether the driver reads and writes packet memory itself.
    #[must_use]
    pub fn zero_copy(&self) -> bool {
        self.socket.rings.zero_copy
    }

    /// Why there is no zero-copy although it was asked for.
    #[must_use]
    pub fn zero_copy_refusal(&self) -> Option<&str> {
        self.socket.rings.refusal.as_deref()
    }

    /// Appends packets that have arrived to `out`, `max` at most, and gives the kernel free frames for as many.
    ///
    /// Returns how many were appended. Allocates nothing if `out` has room for `max` more.
    pub fn receive(&mut self, cache: &mut FrameCache, out: &mut Vec<Frame>, max: usize) -> usize {
        self.socket.receive(cache, out, max)
    }

    /// Takes sent frames back into `cache`, puts `frames` into the transmit ring from the first on, and tells the
    /// kernel, once for each [`BATCH`].
    ///
    /// Returns how many were taken out of `frames`. Those that found no room stay, in their order.
    pub fn transmit(&mut self, cache: &mut FrameCache, frames: &mut Vec<Frame>) -> usize {
        self.socket.transmit(cache, frames)
    }

    /// Whether packets wait in the transmit ring for another call of [`Queue::transmit`].
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.socket.unsent
    }

    /// The counts of this queue and of its socket.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not tell its own counts.
    pub fn statistics(&self) -> io::Result<QueueStatistics> {
        self.socket.statistics()
    }

    /// What reads the counts while the queue is elsewhere.
    ///
    /// # Errors
    ///
    /// Fails if there is no file descriptor left.
    pub fn probe(&self) -> io::Result<Probe> {
        self.socket.probe()
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the socket is moved out once, here, and not used afterwards.
        let socket = unsafe { ManuallyDrop::take(&mut self.socket) };
        bind::park(socket);
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("interface", &self.socket.interface)
            .field("queue", &self.socket.queue)
            .field("zero_copy", &self.zero_copy())
            .finish_non_exhaustive()
    }
}
