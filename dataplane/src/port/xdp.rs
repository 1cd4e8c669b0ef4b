//! The AF_XDP queues of one interface that one worker serves.

use std::os::fd::{AsFd, BorrowedFd};

use headgate_xsk::{Frame, FrameCache, Queue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Port;
use crate::telemetry::QueueStatus;

/// Receives from all its queues in turn, sends on the first.
///
/// There is more than one where an interface has more queues than there are workers: an interface's
/// queues are all served, or what arrives on the others would pass Headgate by.
pub struct XdpPort {
    queues: Vec<Queue>,
    numbers: Vec<u32>,
    next: usize,
}

impl XdpPort {
    /// Takes queues with their numbers on the interface.
    ///
    /// # Panics
    /// Without any queue there is none to send on.
    #[must_use]
    pub fn new(queues: Vec<(u32, Queue)>) -> Self {
        assert!(!queues.is_empty(), "a port without queues");
        let (numbers, queues) = queues.into_iter().unzip();
        Self {
            queues,
            numbers,
            next: 0,
        }
    }
}

impl Port for XdpPort {
    fn receive(&mut self, cache: &mut FrameCache, out: &mut Vec<Frame>, max: usize) -> usize {
        let mut received = 0;
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            received += self.queues[self.next].receive(cache, out, max - received);
            if received == max {
                break;
            }
        }
        received
    }

    fn transmit(&mut self, cache: &mut FrameCache, frames: &mut Vec<Frame>) -> usize {
        self.queues[0].transmit(cache, frames)
    }

    fn ready(&self) -> bool {
        let mut fds: Vec<_> = self
            .queues
            .iter()
            .map(|queue| PollFd::new(queue, PollFlags::IN))
            .collect();
        // An interface that is gone makes its sockets ready, too: with an error, for ever.
        poll(&mut fds, Some(&Timespec::default())).is_ok()
            && fds.iter().any(|fd| fd.revents().contains(PollFlags::IN))
    }

    fn pending(&self) -> bool {
        self.queues[0].needs_attention()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        self.queues.iter().map(AsFd::as_fd).collect()
    }

    fn queues(&self) -> Vec<QueueStatus> {
        self.queues
            .iter()
            .zip(&self.numbers)
            .map(|(queue, number)| status(queue, *number))
            .collect()
    }
}

fn status(queue: &Queue, number: u32) -> QueueStatus {
    let own = queue.statistics().unwrap_or_default();
    let kernel = own.kernel;
    let counts = [
        ("received", own.received),
        ("transmitted", own.transmitted),
        ("completed", own.completed),
        ("kicks", own.kicks),
        ("kicks_busy", own.busy),
        ("kicks_again", own.again),
        ("kicks_no_buffers", own.no_buffers),
        ("kick_errors", own.kick_errors),
        ("bad_descriptors", own.bad_descriptors),
        ("oversized", own.oversized),
        ("foreign", own.foreign),
        ("filling", own.filling),
        ("sending", own.sending),
        ("kernel_rx_dropped", kernel.rx_dropped),
        ("kernel_rx_invalid_descriptors", kernel.rx_invalid_descriptors),
        ("kernel_tx_invalid_descriptors", kernel.tx_invalid_descriptors),
        ("kernel_rx_ring_full", kernel.rx_ring_full),
        ("kernel_fill_ring_empty", kernel.fill_ring_empty),
        ("kernel_tx_ring_empty", kernel.tx_ring_empty),
    ];
    QueueStatus {
        queue: number,
        zero_copy: queue.zero_copy(),
        counts: counts
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
        ..QueueStatus::default()
    }
}
