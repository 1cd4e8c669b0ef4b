//! Our end of a stream: what an exchange has in place of a connection of its own, to its client or its pod.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

use super::asking::STREAM_WINDOW;
use super::heads::AnswerHead;
use super::streams::{ResetBy, StreamState};
use super::{OUT_ROOM, SharedConnection};
use crate::buffer::{Buffer, ROOM, Spare};
use crate::h2::frame::{self, END_STREAM, ErrorCode};

/// Where the flags are in a frame's head.
const FLAGS: usize = 4;

/// An end of a stream. When it is dropped before the stream has ended, the peer sees a reset.
pub(crate) struct StreamEnd {
    connection: SharedConnection,
    place: usize,
    /// Frames of heads that wait for room, and where in them the one stands that ends the stream if nothing follows.
    heads: Vec<u8>,
    last_head: Option<usize>,
    /// The block of trailers, empty where there are none, once nothing follows but what waits.
    ends_with: Option<Vec<u8>>,
    /// What a reset says: that it is not complete, unless somebody knows better.
    reset: ErrorCode,
}

impl StreamEnd {
    /// Takes over the stream at a place.
    pub(crate) fn new(connection: &SharedConnection, place: usize) -> Self {
        Self {
            connection: SharedConnection::clone(connection),
            place,
            heads: Vec::new(),
            last_head: None,
            ends_with: None,
            reset: ErrorCode::INTERNAL_ERROR,
        }
    }

    /// One by which we ask. It has not begun: it gets its number with the first frame.
    pub(crate) fn asking(connection: &SharedConnection) -> Self {
        let place = {
            let connection = &mut *connection.borrow_mut();
            let window = connection.peer.window;
            let mut stream = StreamState::new(0, window, STREAM_WINDOW, connection.now);
            stream.asks = true;
            connection.streams.add(stream)
        };
        Self::new(connection, place)
    }

    /// Adds a head, by its block; one that is not `interim` is the message's own.
    pub(crate) fn head(&mut self, block: &[u8], interim: bool) {
        let connection = self.connection.borrow();
        let StreamState { id, asks, .. } = connection.streams.known[self.place];
        if asks {
            // It gets its number when it is sent: they have to begin in their order (RFC 9113, section 5.1.1).
            return self.heads.extend_from_slice(block);
        }
        if !interim {
            self.last_head = Some(self.heads.len());
        }
        // A byte may be put in front.
        let most = connection.peer.max_payload - 1;
        frame::write_block(id, block, false, most, &mut self.heads);
    }

    /// Nothing follows what waits to be sent, but for trailers, by their block.
    pub(crate) fn end(&mut self, trailers: Vec<u8>) {
        self.ends_with.get_or_insert(trailers);
    }

    /// The trailers of the peer, as lines, once its body has ended.
    pub(crate) fn take_trailers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.connection.borrow_mut().streams.known[self.place].trailers)
    }

    /// Ready once the connection is one, or will be none.
    pub(crate) fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = &mut *self.connection.borrow_mut();
        if let Some(why) = connection.failure() {
            return Poll::Ready(Err(why.into()));
        }
        if connection.is_there() {
            return Poll::Ready(Ok(()));
        }
        connection.streams.known[self.place].wake_by(cx.waker());
        Poll::Pending
    }

    /// The next head of the answer, for which room is [given back](Self::give_back).
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<AnswerHead>>> {
        let connection = &mut *self.connection.borrow_mut();
        let stream = &mut connection.streams.known[self.place];
        match stream.reset {
            None | Some(ResetBy::Enough) => {}
            Some(_) => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
        }
        stream.wake_by(cx.waker());
        connection
            .take_head(self.place)
            .map_or(Poll::Pending, |head| Poll::Ready(Ok(head)))
    }

    /// A head was looked at.
    pub(crate) fn give_back(&mut self, head: Box<AnswerHead>) {
        self.connection.borrow_mut().give_back(head);
    }

    /// Whether the pod has done nothing of what was asked, and says so.
    pub(crate) fn is_refused(&self) -> bool {
        let stream = &self.connection.borrow().streams.known[self.place];
        stream.reset == Some(ResetBy::Refusal)
    }

    /// Nothing else is asked over its connection: it does not answer.
    pub(crate) fn retire(&self) {
        self.connection.borrow_mut().retire();
    }

    /// Whether more heads should be added.
    pub(crate) fn has_room(&self) -> bool {
        self.heads.len() < ROOM
    }

    /// Whether others have their turn before it: it waits for the connection to have room, and for nothing else.
    pub(crate) fn waits_for_turn(&self) -> bool {
        let connection = self.connection.borrow();
        connection.send_window > 0 && connection.streams.known[self.place].in_line
    }

    /// Whether nothing waits to be sent but what lies in an outbox.
    pub(crate) fn has_sent(&self) -> bool {
        let ended = || self.connection.borrow().streams.known[self.place].local_ended;
        self.heads.is_empty() && (self.ends_with.is_none() || ended())
    }

    /// Adds what has arrived to `inbox`, until `most` bytes lie there. Ready with 0 at the end.
    pub(crate) fn read(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut Buffer,
        most: usize,
        spare: &mut Spare,
    ) -> Poll<io::Result<usize>> {
        let connection = &mut *self.connection.borrow_mut();
        let stream = &mut connection.streams.known[self.place];
        if stream.reset.is_some_and(|by| by != ResetBy::Enough) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let length = stream.inbox.len().min(most.saturating_sub(inbox.len()));
        if length > 0 {
            if inbox.is_empty() && length == stream.inbox.len() {
                std::mem::swap(inbox, &mut stream.inbox);
            } else {
                inbox
                    .fill(spare)
                    .extend_from_slice(&stream.inbox.bytes()[..length]);
                stream.inbox.consume(length);
            }
            connection.stream_has_read(self.place, length);
            return Poll::Ready(Ok(length));
        }
        if stream.remote_ended && stream.inbox.is_empty() {
            return Poll::Ready(Ok(0));
        }
        stream.wake_by(cx.waker());
        Poll::Pending
    }

    /// Sends heads and what lies in `outbox`, as far as the peer's windows and the connection have room. Ready once all of it
    /// is on its way.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>, outbox: &mut Buffer) -> Poll<io::Result<()>> {
        let sent = self.send(outbox);
        let connection = &mut *self.connection.borrow_mut();
        // That it was reset is worth knowing whatever it waits for.
        connection.streams.known[self.place].wake_by(cx.waker());
        // Others may have stood behind it.
        if !connection.line.is_empty() {
            connection.wake();
        }
        sent
    }

    fn send(&mut self, outbox: &mut Buffer) -> Poll<io::Result<()>> {
        let Self {
            place,
            heads,
            last_head,
            ends_with,
            ..
        } = self;
        let connection = &mut *self.connection.borrow_mut();
        connection.leave_line(*place);
        if connection.streams.known[*place].reset.is_some() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        loop {
            let ends = ends_with.as_deref().filter(|_| outbox.is_empty());
            let said = ends.is_none() || connection.streams.known[*place].local_ended;
            if heads.is_empty() && outbox.is_empty() && said {
                return Poll::Ready(Ok(()));
            }
            if connection.out.len() >= OUT_ROOM {
                connection.stand_in_line(*place);
                return Poll::Pending;
            }
            if !heads.is_empty() && connection.streams.known[*place].asks {
                let ends = ends.is_some_and(<[u8]>::is_empty);
                if !connection.write_request(*place, heads, ends) {
                    return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
                }
                heads.clear();
            } else if !heads.is_empty() {
                if let Some(head) = last_head.take().filter(|_| ends.is_some_and(<[u8]>::is_empty)) {
                    heads[head + FLAGS] |= END_STREAM;
                    connection.has_ended(*place);
                }
                connection.write_heads(heads);
            } else if let Some(trailers) = ends {
                connection.write_end(*place, trailers);
            } else {
                let last = ends_with.as_deref().is_some_and(<[u8]>::is_empty);
                if !connection.write_data(*place, outbox, last) {
                    return Poll::Pending;
                }
            }
            connection.wake();
        }
    }

    /// Ends our side, behind what was flushed.
    pub(crate) fn finish(&mut self) {
        self.end(Vec::new());
        // What the peer has no window for is lost, as is the rest.
        let _ = self.send(&mut Buffer::default());
    }

    /// The peer sees that what it got is not everything.
    pub(crate) fn abort(&mut self) {
        let connection = &mut *self.connection.borrow_mut();
        let asks = connection.streams.known[self.place].asks;
        let why = if asks { ErrorCode::CANCEL } else { self.reset };
        connection.reset(self.place, why);
    }
}

impl Drop for StreamEnd {
    fn drop(&mut self) {
        let connection = &mut *self.connection.borrow_mut();
        let stream = &connection.streams.known[self.place];
        if stream.reset.is_none() {
            let (id, local, remote) = (stream.id, stream.local_ended, stream.remote_ended);
            if id > 0 && (!local || !remote) {
                let why = match local {
                    _ if stream.asks => ErrorCode::CANCEL,
                    // Of a request that was answered before its end nothing more is wanted (RFC 9113, section 8.1).
                    true => ErrorCode::NO_ERROR,
                    false => self.reset,
                };
                connection.write_reset(id, why);
            }
        }
        connection.forget(self.place);
        connection.wake();
    }
}
