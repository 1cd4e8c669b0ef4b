//! Lists the flows of all workers.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use super::listing::QUEUE;
use headgate_net::flow::FlowCopy;
use headgate_net::ids::WorkerId;

/// How long who lists waits before it looks again; for it to be told, a worker would have to make a system call.
const LOOK: Duration = Duration::from_micros(500);

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
