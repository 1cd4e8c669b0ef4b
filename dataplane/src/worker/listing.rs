//! The flows of a worker, for who lists them.
//!
//! A worker copies its flows into a bounded queue, a portion each turn, between packets, while somebody wants them; where
//! the queue is full it does something else. It allocates nothing and waits for nobody. Who lists takes copies out and wakes
//! a worker that sleeps.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

use super::Shared;
use crate::pipeline::{FlowCursor, Pipeline};
use headgate_net::clock::Nanos;
use headgate_net::flow::FlowCopy;
use headgate_net::ids::WorkerId;

/// Copies that wait to be taken.
const QUEUE: usize = 1024;
/// Slots of the flow tables that are looked at in one turn: some 10 microseconds' worth.
const PORTION: usize = 1024;
/// How long who lists waits before it looks again; for it to be told, a worker would have to make a system call.
const LOOK: Duration = Duration::from_micros(500);

/// Between a worker and who lists.
pub(super) struct FlowTap {
    /// The number of the listing that is wanted; 0 while nobody wants one.
    wanted: AtomicU64,
    /// That of the last one that is complete.
    done: AtomicU64,
    copies: ArrayQueue<(u64, FlowCopy)>,
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
pub(super) struct Progress {
    listing: u64,
    cursor: FlowCursor,
}

impl Progress {
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

impl Shared {
    /// Calls `each` for every flow of every worker; a flow may come twice while others end. Returns whether all workers
    /// have told all of theirs within `patience`. Who lists at the same time waits.
    pub fn each_flow(&self, patience: Duration, mut each: impl FnMut(WorkerId, FlowCopy)) -> bool {
        let until = Instant::now() + patience;
        let mut number = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        let listing = *number;
        for peer in &self.peers {
            peer.flows.wanted.store(listing, Ordering::Relaxed);
            peer.wake();
        }
        let complete = loop {
            let (mut left, mut moved) = (0, false);
            for peer in &self.peers {
                // Asked first: what was put down before it was done is there.
                let done = peer.flows.done.load(Ordering::Acquire) == listing;
                for _ in 0..QUEUE {
                    let Some((of, flow)) = peer.flows.copies.pop() else {
                        left += usize::from(!done);
                        break;
                    };
                    moved = true;
                    // Others are left over from a listing that was given up.
                    if of == listing {
                        each(peer.id, flow);
                    }
                }
                left += usize::from(!peer.flows.copies.is_empty());
                if !done {
                    peer.wake();
                }
            }
            if left == 0 && !moved {
                break true;
            }
            if Instant::now() >= until || self.stopping() {
                break false;
            }
            if !moved {
                std::thread::park_timeout(LOOK);
            }
        };
        for peer in &self.peers {
            peer.flows.wanted.store(0, Ordering::Relaxed);
        }
        complete
    }
}
