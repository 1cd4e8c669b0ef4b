//! What a worker tells of the policies that have denied.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::queue::SegQueue;
use headgate_ring::message::Direction;

use super::Count;

/// Packets that one policy forbade in one direction, on one worker.
#[derive(Debug)]
pub struct Denied {
    /// `namespace/name`, or the name of a ClusterNetworkPolicy.
    pub policy: String,
    /// Of its rules.
    pub direction: Direction,
    /// Packets.
    pub packets: Count,
}

/// All of them. A worker adds to it without a lock; readers wait for each other.
#[derive(Debug, Default)]
pub struct DenialRecord {
    new: SegQueue<Arc<Denied>>,
    known: Mutex<Vec<Arc<Denied>>>,
}

impl DenialRecord {
    /// A policy has denied for the first time.
    pub fn add(&self, denied: Arc<Denied>) {
        self.new.push(denied);
    }

    /// Calls `each` for every policy and direction that has denied, in the order in which they first did.
    pub fn each(&self, each: impl FnMut(&Denied)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(std::iter::from_fn(|| self.new.pop()));
        known.iter().map(Arc::as_ref).for_each(each);
    }
}
