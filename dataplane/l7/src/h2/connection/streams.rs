//! The streams of a connection, by their numbers.

use std::task::Waker;

use slab::Slab;

use super::heads::AnswerHead;
use super::window::ReceiveWindow;
use crate::buffer::Buffer;
use headgate_net::clock::Nanos;

/// A stream between its first frame and the last (RFC 9113, section 5.1). A side that has ended sends no more.
#[derive(Debug)]
pub(super) struct StreamState {
    /// 0 where it has not begun.
    pub(super) id: u32,
    /// Of one by which we ask: heads of the answer that nobody has looked at, and whether the one that counts has come.
    pub(super) asks: bool,
    pub(super) heads: Option<Box<AnswerHead>>,
    pub(super) answered: bool,
    /// What has come of the body and was not read.
    pub(super) inbox: Buffer,
    /// What came behind the body, as lines.
    pub(super) trailers: Vec<u8>,
    pub(super) remote_ended: bool,
    pub(super) local_ended: bool,
    pub(super) reset: Option<ResetBy>,
    /// What we may send.
    pub(super) send_window: i64,
    pub(super) receive_window: ReceiveWindow,
    /// Bytes of the body that are still to come, where they were told.
    pub(super) expected: Option<u64>,
    /// Told when something has come, or there is room to send.
    pub(super) waker: Option<Waker>,
    /// Whether it stands in the line of those who want to send.
    pub(super) in_line: bool,
}

impl StreamState {
    /// One that begins: with what may be sent, and what the peer may send, in bytes.
    pub(super) fn new(id: u32, send_window: u32, receive_window: u32, now: Nanos) -> Self {
        Self {
            id,
            asks: false,
            heads: None,
            answered: false,
            inbox: Buffer::default(),
            trailers: Vec::new(),
            remote_ended: false,
            local_ended: false,
            reset: None,
            send_window: send_window.into(),
            receive_window: ReceiveWindow::new(receive_window, now),
            expected: None,
            waker: None,
            in_line: false,
        }
    }

    pub(super) fn wake_by(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Why a stream ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResetBy {
    /// The peer, who sends nothing more of it.
    Peer,
    /// The pod, which has not looked at what was asked and will not, or cannot have.
    Refusal,
    /// The pod, which has answered and needs no more of what was asked.
    Enough,
    /// We, which the peer may not know yet.
    Us,
    /// The connection ends.
    Loss,
}

/// All of them that are not over.
#[derive(Debug, Default)]
pub(super) struct StreamTable {
    pub(super) known: Slab<StreamState>,
    /// Numbers with their places, in ascending order: both sides count upwards.
    index: Vec<(u32, usize)>,
}

impl StreamTable {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Adds one whose number is above all others, or which has none yet.
    pub(super) fn add(&mut self, stream: StreamState) -> usize {
        let id = stream.id;
        let place = self.known.insert(stream);
        if id > 0 {
            self.index.push((id, place));
        }
        place
    }

    /// Gives one its number, which is above all others.
    pub(super) fn number(&mut self, place: usize, id: u32) {
        self.known[place].id = id;
        self.index.push((id, place));
    }

    /// Where a stream is, unless it is over or was never there.
    pub(super) fn find(&self, id: u32) -> Option<usize> {
        let found = self.index.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.index[found].1)
    }

    pub(super) fn remove(&mut self, place: usize) {
        let stream = self.known.remove(place);
        if let Ok(found) = self.index.binary_search_by_key(&stream.id, |(id, _)| *id) {
            self.index.remove(found);
        }
        if self.known.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut StreamState> {
        self.known.iter_mut().map(|(_, stream)| stream)
    }
}
