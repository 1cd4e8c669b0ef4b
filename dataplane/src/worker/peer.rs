//! What others know of a worker and may give it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crossbeam::queue::ArrayQueue;
use headgate_xsk::Frame;
use rustix::event::{EventfdFlags, eventfd};

use headgate_net::verdict::{PortId, WorkerId};

/// Frames under way to one worker from all others.
const INBOX: usize = 2048;
/// Frames that other threads have it send.
const OUTBOX: usize = 256;

/// The side of a worker that other threads see. Everything is lock-free.
pub struct Peer {
    /// Whose side this is.
    pub id: WorkerId,
    inbox: ArrayQueue<(Frame, PortId)>,
    outbox: ArrayQueue<(Frame, PortId)>,
    bell: OwnedFd,
    asleep: AtomicBool,
    seen: AtomicU64,
}

impl Peer {
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(id: WorkerId) -> std::io::Result<Self> {
        Ok(Self {
            id,
            inbox: ArrayQueue::new(INBOX),
            outbox: ArrayQueue::new(OUTBOX),
            bell: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            asleep: AtomicBool::new(false),
            seen: AtomicU64::new(0),
        })
    }

    /// Gives the worker a frame of one of its flows, as it came in on `ingress`. Call [`Peer::wake`] after the last
    /// of a batch.
    ///
    /// # Errors
    /// The frame, when the worker does not keep up.
    pub fn hand_over(&self, frame: Frame, ingress: PortId) -> Result<(), Frame> {
        self.inbox.push((frame, ingress)).map_err(|(frame, _)| frame)
    }

    /// Has the worker send a frame as it is. Call [`Peer::wake`] after the last of a batch.
    ///
    /// # Errors
    /// The frame, when too many wait.
    pub fn send(&self, frame: Frame, port: PortId) -> Result<(), Frame> {
        self.outbox.push((frame, port)).map_err(|(frame, _)| frame)
    }

    /// Wakes the worker if it sleeps, so that it sees what was put down for it before this call.
    pub fn wake(&self) {
        // Pairs with the fence in `fall_asleep`: either the worker sees what we did, or we see it asleep.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            // The only error is a full counter, and then the bell rings already.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    /// The publication that the worker works by: what [`Shared::all_see`](super::Shared::all_see) asks.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    pub(super) fn take_handed_over(&self) -> Option<(Frame, PortId)> {
        self.inbox.pop()
    }

    pub(super) fn take_to_send(&self) -> Option<(Frame, PortId)> {
        self.outbox.pop()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.outbox.is_empty()
    }

    /// Frames that wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inbox.len() + self.outbox.len()
    }

    /// Announces sleep. The worker must look once more at everything that others may have put down for it.
    pub(super) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Takes the announcement back and silences the bell.
    pub(super) fn wake_up(&self) {
        if !self.asleep.swap(false, Ordering::AcqRel) {
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.bell, &mut count);
        }
    }

    pub(super) fn set_seen(&self, epoch: u64) {
        self.seen.store(epoch, Ordering::Release);
    }
}

impl AsFd for Peer {
    /// Readable when the worker was woken.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
