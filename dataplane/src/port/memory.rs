//! Two ports joined by a wire inside the process.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use headgate_xsk::{Frame, FrameCache};

use super::Port;

/// One end of the wire that [`pair`] makes. Frames move; they are not copied.
pub struct MemoryPort {
    incoming: Arc<ArrayQueue<Frame>>,
    outgoing: Arc<ArrayQueue<Frame>>,
}

/// Two ends; each direction holds `capacity` frames, more stay with the sender.
#[must_use]
pub fn pair(capacity: usize) -> (MemoryPort, MemoryPort) {
    let (left, right) = (
        Arc::new(ArrayQueue::new(capacity)),
        Arc::new(ArrayQueue::new(capacity)),
    );
    let other = MemoryPort {
        incoming: Arc::clone(&right),
        outgoing: Arc::clone(&left),
    };
    (
        MemoryPort {
            incoming: left,
            outgoing: right,
        },
        other,
    )
}

impl Port for MemoryPort {
    fn receive(&mut self, _cache: &mut FrameCache, out: &mut Vec<Frame>, max: usize) -> usize {
        let before = out.len();
        out.extend(std::iter::from_fn(|| self.incoming.pop()).take(max));
        out.len() - before
    }

    fn transmit(&mut self, _cache: &mut FrameCache, frames: &mut Vec<Frame>) -> usize {
        // Only this end pushes, so that what is free now stays free.
        let count = frames.len().min(self.outgoing.capacity() - self.outgoing.len());
        for frame in frames.drain(..count) {
            let pushed = self.outgoing.push(frame);
            debug_assert!(pushed.is_ok(), "the wire has one sender");
        }
        count
    }

    fn ready(&self) -> bool {
        !self.incoming.is_empty()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
}
