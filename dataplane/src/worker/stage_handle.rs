//! What others know of an L7 stage on a core of its own, and may give it.

use crossbeam::queue::ArrayQueue;
use headgate_xsk::Frame;

use super::Subscriber;
use crate::options::STAGE_INBOX;
use headgate_net::ids::StageId;
use headgate_net::wire::Headers;

/// The side of a stage that other threads see. Everything is lock-free.
pub struct StageHandle {
    /// Whose side this is.
    pub id: StageId,
    inbox: ArrayQueue<(Frame, Headers)>,
    /// Its bell, and what it works by.
    pub subscriber: Subscriber,
}

impl StageHandle {
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(id: StageId) -> std::io::Result<Self> {
        Ok(Self {
            id,
            inbox: ArrayQueue::new(STAGE_INBOX as usize),
            subscriber: Subscriber::new()?,
        })
    }

    /// Gives the stage a packet of one of its connections. Call [`Subscriber::wake`] after the last of a batch.
    ///
    /// # Errors
    /// The frame, when the stage does not keep up.
    pub fn give(&self, frame: Frame, headers: Headers) -> Result<(), Frame> {
        self.inbox.push((frame, headers)).map_err(|(frame, _)| frame)
    }

    pub(super) fn take(&self) -> Option<(Frame, Headers)> {
        self.inbox.pop()
    }

    /// Packets that wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inbox.len()
    }
}
