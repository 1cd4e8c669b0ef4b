//! The AF_XDP queues of one interface that one worker serves.

use std::os::fd::{AsFd, BorrowedFd};

use headgate_xsk::{Frame, FrameCache, Queue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Port;

/// Receives from all its queues in turn, sends on the first.
///
/// There is more than one where an interface has more queues than there are workers: an interface's
/// queues are all served, or what arrives on the others would pass Headgate by.
pub struct XdpPort {
    queues: Vec<Queue>,
    next: usize,
}

impl XdpPort {
    /// Takes queues of one interface.
    ///
    /// # Panics
    /// Without any queue there is none to send on.
    #[must_use]
    pub fn new(queues: Vec<Queue>) -> Self {
        assert!(!queues.is_empty(), "a port without queues");
        Self { queues, next: 0 }
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
}
