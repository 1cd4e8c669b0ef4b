//! Which frames are the kernel's, and through which ring.

use std::sync::atomic::{AtomicU32, Ordering};

/// Through which ring of which queue the kernel holds a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder(u32);

/// The frame is in user space: a [`super::Frame`] owns it, a cache, or the pool.
const USER: u32 = 0;

impl Holder {
    /// The fill and receive rings of queue number `queue` of the Umem, counted from 0.
    pub(crate) fn receive(queue: u32) -> Self {
        Self(queue * 2 + 1)
    }

    /// The transmit and completion rings of the same.
    pub(crate) fn transmit(queue: u32) -> Self {
        Self(queue * 2 + 2)
    }
}

/// The holder of every frame.
///
/// This is what makes a descriptor from the kernel trustworthy: a frame comes back only through the ring
/// that it went in by, and only once; so two [`super::Frame`]s never share memory.
pub(crate) struct Owners {
    holders: Box<[AtomicU32]>,
    queues: AtomicU32,
}

impl Owners {
    pub(super) fn new(frames: u32) -> Self {
        Self {
            holders: (0..frames).map(|_| AtomicU32::new(USER)).collect(),
            queues: AtomicU32::new(0),
        }
    }

    /// A number for a new queue, never given twice.
    pub(crate) fn number_queue(&self) -> u32 {
        self.queues.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that the kernel is about to get frame `index`.
    pub(crate) fn lend(&self, index: u32, holder: Holder) {
        // Relaxed: the ring's own barriers order the hand-over; a holder's entries are read by the
        // queue's one thread alone.
        self.holders[index as usize].store(holder.0, Ordering::Relaxed);
    }

    /// Takes frame `index` back from the kernel; false if `holder` did not have it.
    #[must_use]
    pub(crate) fn reclaim(&self, index: u32, holder: Holder) -> bool {
        let Some(entry) = self.holders.get(index as usize) else {
            return false;
        };
        if entry.load(Ordering::Relaxed) != holder.0 {
            return false;
        }
        entry.store(USER, Ordering::Relaxed);
        true
    }

    /// How many frames are the kernel's.
    pub(super) fn kernel(&self) -> usize {
        self.holders
            .iter()
            .filter(|holder| holder.load(Ordering::Relaxed) != USER)
            .count()
    }
}
