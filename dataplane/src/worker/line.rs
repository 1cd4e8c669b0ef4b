//! A port and what waits to be sent by it.

use headgate_xsk::{Frame, FrameCache};

use crate::port::Port;

/// Frames that may wait for room in a transmit ring; a port that is behind by more does not catch up.
const BACKLOG: usize = 4096;

/// One port of a worker.
pub(super) struct Line {
    port: Box<dyn Port>,
    unsent: Vec<Frame>,
}

impl Line {
    pub(super) fn new(port: Box<dyn Port>) -> Self {
        Self {
            port,
            unsent: Vec::with_capacity(BACKLOG),
        }
    }

    pub(super) fn port(&self) -> &dyn Port {
        &*self.port
    }

    pub(super) fn receive(&mut self, cache: &mut FrameCache, out: &mut Vec<Frame>, max: usize) -> usize {
        self.port.receive(cache, out, max)
    }

    /// Queues a frame for the next [`Line::flush`].
    ///
    /// # Errors
    /// The frame, when too many wait.
    pub(super) fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.unsent.len() == BACKLOG {
            return Err(frame);
        }
        self.unsent.push(frame);
        Ok(())
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self, cache: &mut FrameCache) -> usize {
        if self.unsent.is_empty() && !self.port.pending() {
            0
        } else {
            self.port.transmit(cache, &mut self.unsent)
        }
    }

    /// Takes back frames that were sent.
    pub(super) fn reap(&mut self, cache: &mut FrameCache) {
        self.port.transmit(cache, &mut self.unsent);
    }

    /// Whether it needs another [`Line::flush`] soon.
    pub(super) fn pending(&self) -> bool {
        !self.unsent.is_empty() || self.port.pending()
    }

    /// How many frames may still be queued.
    pub(super) fn room(&self) -> usize {
        BACKLOG - self.unsent.len()
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }
}
