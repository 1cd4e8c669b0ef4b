//! The flows of a worker, for who lists them.
//!
//! A worker copies its flows into a bounded queue, a portion each turn, between packets, while somebody wants them; where
//! the queue is full it does something else. It allocates nothing and waits for nobody. Who lists takes copies out and wakes
//! a worker that sleeps.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::pipeline::{FlowCursor, Pipeline};
use headgate_net::clock::Nanos;
use headgate_net::flow::FlowCopy;

/// Copies that wait to be taken.
pub(super) const QUEUE: usize = 1024;
/// Slots of the flow tables that are looked at in one turn: some 10 microseconds' worth.
const PORTION: usize = 1024;
/// Between a worker and who lists.
pub(super) struct FlowTap {
    /// The number of the listing that is wanted; 0 while nobody wants one.
    pub(super) wanted: AtomicU64,
    /// That of the last one that is complete.
    pub(super) done: AtomicU64,
    pub(super) copies: ArrayQueue<(u64, FlowCopy)>,
}

impl Default for FlowTap {
    fn default() -> Self {
        Self {
            wanted: AtomicU64::default(),
            done: AtomicU64::default(),
            copies: ArrayQueue::new(QUEUE),
        }
    }
}

impl FlowTap {
    /// The listing that the worker is to go on with.
    #[inline]
    fn wanted(&self) -> Option<u64> {
        let wanted = self.wanted.load(Ordering::Relaxed);
        (wanted != 0 && wanted != self.done.load(Ordering::Relaxed)).then_some(wanted)
    }

    /// Whether the worker can go on.
    pub(super) fn has_work(&self) -> bool {
        self.wanted().is_some() && !self.copies.is_full()
    }
}

/// How far a worker is.
#[derive(Default)]
pub(super) struct ListingProgress {
    listing: u64,
    cursor: FlowCursor,
}

impl ListingProgress {
    /// Copies the next portion, if somebody wants it. Returns whether there is more that could be done at once.
    #[inline]
    pub(super) fn go_on(&mut self, tap: &FlowTap, pipeline: &Pipeline, now: Nanos) -> bool {
        match tap.wanted() {
            Some(listing) => self.portion(listing, tap, pipeline, now),
            None => false,
        }
    }

    #[cold]
    fn portion(&mut self, listing: u64, tap: &FlowTap, pipeline: &Pipeline, now: Nanos) -> bool {
        if self.listing != listing {
            (self.listing, self.cursor) = (listing, pipeline.flow_cursor());
        }
        let push = |flow| tap.copies.push((listing, flow)).is_ok();
        pipeline.copy_flows(&mut self.cursor, PORTION, now, push);
        if self.cursor.is_done() {
            tap.done.store(listing, Ordering::Release);
            return false;
        }
        !tap.copies.is_full()
    }
}
