//! A thread that works by publications, as others see it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};

use headgate_net::phase::Phase;
use headgate_ring::ThreadBell;

/// What wakes a thread that sleeps when it has nothing to do, and which publication it works by.
pub struct Subscriber {
    bell: ThreadBell,
    asleep: AtomicBool,
    seen: AtomicU64,
    /// The phase that it has entered, with what it holds since then.
    phase: AtomicU8,
    held: AtomicUsize,
}

impl Subscriber {
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            bell: ThreadBell::new()?,
            asleep: AtomicBool::new(false),
            seen: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Serving as u8),
            held: AtomicUsize::new(0),
        })
    }

    /// Wakes the thread if it sleeps, so that it sees what was put down for it before this call.
    pub fn wake(&self) {
        // Pairs with the fence in `fall_asleep`: either the thread sees what we did, or we see it asleep.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.bell.ring();
        }
    }

    /// The publication that the thread works by: what [`Shared::all_see`](super::Shared::all_see) asks.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// What it would break off by its end, counted in `phase` or later; `None` before it is there.
    pub(super) fn held(&self, phase: Phase) -> Option<usize> {
        (Phase::of(self.phase.load(Ordering::Acquire)) >= phase).then(|| self.held.load(Ordering::Acquire))
    }

    /// It holds so much, in this phase.
    pub(super) fn set_held(&self, phase: Phase, held: usize) {
        self.held.store(held, Ordering::Release);
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Announces sleep. The thread must look once more at everything that others may have put down for it.
    pub(super) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Takes the announcement back and silences the bell.
    pub(super) fn wake_up(&self) {
        if !self.asleep.swap(false, Ordering::AcqRel) {
            self.bell.silence();
        }
    }

    pub(super) fn set_seen(&self, publication: u64) {
        self.seen.store(publication, Ordering::Release);
    }
}

impl AsFd for Subscriber {
    /// Readable when the thread was woken.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
