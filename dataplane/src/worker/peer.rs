//! What others know of a worker and may give it.

use crossbeam::queue::ArrayQueue;
use headgate_xsk::Frame;

use super::Subscriber;
use super::listing::FlowTap;
use headgate_net::ids::{PortId, WorkerId};

/// Frames under way to one worker from all others.
const INBOX: usize = 2048;
/// Frames that other threads have it send: announcements of addresses.
const OUTBOX: usize = 256;
/// The same where L7 stages are other threads: as many as a transmit ring has.
const OUTBOX_FOR_STAGES: usize = 2048;

/// The side of a worker that other threads see. Everything is lock-free.
pub struct Peer {
    /// Whose side this is.
    pub id: WorkerId,
    inbox: ArrayQueue<(Frame, PortId)>,
    outbox: ArrayQueue<(Frame, PortId)>,
    /// Copies of its flows, for who lists them.
    pub(super) flows: FlowTap,
    /// Its bell, and what it works by.
    pub subscriber: Subscriber,
}

impl Peer {
    /// A worker that has stages, `apart` from it, send by it or not.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(id: WorkerId, apart: bool) -> std::io::Result<Self> {
        let outbox = if apart { OUTBOX_FOR_STAGES } else { OUTBOX };
        Ok(Self {
            id,
            inbox: ArrayQueue::new(INBOX),
            outbox: ArrayQueue::new(outbox),
            flows: FlowTap::default(),
            subscriber: Subscriber::new()?,
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

    /// As [`Subscriber::wake`].
    pub fn wake(&self) {
        self.subscriber.wake();
    }

    /// How many frames [`Peer::send`] still takes.
    pub(super) fn room(&self) -> usize {
        self.outbox.capacity().saturating_sub(self.outbox.len())
    }

    pub(super) fn take_handed_over(&self) -> Option<(Frame, PortId)> {
        self.inbox.pop()
    }

    pub(super) fn take_to_send(&self) -> Option<(Frame, PortId)> {
        self.outbox.pop()
    }

    /// Whether frames were handed over that it has not taken.
    pub(super) fn has_handed_over(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether there are frames for it to send that it has not taken.
    pub(super) fn has_to_send(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Frames that wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inbox.len() + self.outbox.len()
    }
}
