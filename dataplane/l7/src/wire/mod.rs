//! A connection's bytes: as they are, through TLS, or as one stream of many.

mod hello;
mod records;
mod session;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::AsyncWrite;

use super::buffer::{Buffer, Spare};
use super::current::Current;
use super::h2::StreamEnd;
use super::net::Stream;
use session::Session;
pub(crate) use session::{Greeted, NotGreeted};

/// A connection of a client or to a pod, or what stands for one. Nothing here waits: what cannot be done now registers the
/// caller's waker.
pub(crate) enum Wire {
    Plain(Stream),
    Tls(Stream, Box<Session>),
    /// One of the streams of a connection that has many.
    Part(StreamEnd),
}

impl Wire {
    pub(crate) fn plain(stream: Stream) -> Self {
        Self::Plain(stream)
    }

    /// A client that has to shake hands before anything is read ([`Self::greet`]).
    pub(crate) fn tls(stream: Stream) -> Self {
        Self::Tls(stream, Box::default())
    }

    /// The stream of a connection that this is.
    pub(crate) fn part(&mut self) -> Option<&mut StreamEnd> {
        match self {
            Self::Plain(_) | Self::Tls(..) => None,
            Self::Part(end) => Some(end),
        }
    }

    /// Whether nothing waits to be sent but what lies in an outbox.
    pub(crate) fn has_sent(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(..) => true,
            Self::Part(end) => end.has_sent(),
        }
    }

    /// Whether more should be said that does not lie in an outbox.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(..) => true,
            Self::Part(end) => end.has_room(),
        }
    }

    /// Whether it waits for others of its connection.
    pub(crate) fn waits_for_turn(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(..) => false,
            Self::Part(end) => end.waits_for_turn(),
        }
    }

    pub(crate) fn is_part(&self) -> bool {
        matches!(self, Self::Part(_))
    }

    /// The handshake. What a client is told that is not greeted is sent by [`Self::flush`].
    pub(crate) fn greet(
        &mut self,
        cx: &mut Context<'_>,
        current: &Current,
    ) -> Poll<Result<Greeted, NotGreeted>> {
        match self {
            Self::Plain(_) | Self::Part(_) => Poll::Ready(Ok(Greeted::default())),
            Self::Tls(stream, session) => session.greet(cx, stream, current),
        }
    }

    /// Adds what has arrived to `inbox`, until `most` bytes lie there. Ready with 0 at the end.
    pub(crate) fn read(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut Buffer,
        most: usize,
        spare: &mut Spare,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => receive(cx, stream, inbox, most, spare),
            Self::Tls(stream, session) => session.read(cx, stream, inbox, spare),
            Self::Part(end) => end.read(cx, inbox, most, spare),
        }
    }

    /// As [`Self::read`], of what comes below TLS. None of it has been read before.
    pub(crate) fn read_below(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut Buffer,
        most: usize,
        spare: &mut Spare,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) | Self::Tls(stream, _) => receive(cx, stream, inbox, most, spare),
            Self::Part(end) => end.read(cx, inbox, most, spare),
        }
    }

    /// What was [read below](Self::read_below) TLS and not used is the begin of it.
    pub(crate) fn take_over(&mut self, inbox: &mut Buffer) {
        if let Self::Tls(_, session) = self {
            session.take_over(inbox);
        }
    }

    /// Sends what lies in `outbox`. Ready once all of it is on its way.
    pub(crate) fn flush(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &mut Buffer,
        spare: &mut Spare,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => send(cx, stream, outbox),
            Self::Tls(stream, session) => session.flush(cx, stream, outbox, spare),
            Self::Part(end) => end.flush(cx, outbox),
        }
    }

    /// Closes our side, behind what was flushed. What cannot be said any more is left unsaid.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream, session) => {
                session.say_goodbye(cx, stream);
                stream
            }
            Self::Part(end) => return end.finish(),
        };
        // Where it fails the connection has ended already.
        let _ = Pin::new(stream).poll_shutdown(cx);
    }

    /// Whether nothing has come and the connection is whole: a kept one is good for another exchange then. If so, `waker` is
    /// told when that changes.
    pub(crate) fn is_quiet(&mut self, waker: &Waker) -> bool {
        let mut cx = Context::from_waker(waker);
        match self {
            Self::Plain(stream) | Self::Tls(stream, _) => {
                stream.poll_receive(&mut cx, 1, |_| {}).is_pending()
            }
            Self::Part(_) => false,
        }
    }

    /// Bytes that were sent and the peer has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        match self {
            Self::Plain(stream) | Self::Tls(stream, _) => stream.unacknowledged(),
            Self::Part(_) => 0,
        }
    }

    /// Whether [`Self::unacknowledged`] is more than a guess.
    pub(crate) fn tells_what_is_acknowledged(&self) -> bool {
        match self {
            Self::Plain(stream) | Self::Tls(stream, _) => stream.tells_what_is_acknowledged(),
            Self::Part(_) => true,
        }
    }

    /// Resets the connection: the peer sees that what it got is not everything.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Plain(stream) | Self::Tls(stream, _) => stream.reset().now(),
            Self::Part(end) => end.abort(),
        }
    }
}

/// Takes bytes as they are.
fn receive(
    cx: &mut Context<'_>,
    stream: &mut Stream,
    inbox: &mut Buffer,
    most: usize,
    spare: &mut Spare,
) -> Poll<io::Result<usize>> {
    let room = most.saturating_sub(inbox.len());
    stream.poll_receive(cx, room, |data| inbox.fill(spare).extend_from_slice(data))
}

/// Sends bytes as they are.
fn send(cx: &mut Context<'_>, stream: &mut Stream, outbox: &mut Buffer) -> Poll<io::Result<()>> {
    while !outbox.is_empty() {
        let sent = ready!(Pin::new(&mut *stream).poll_write(cx, outbox.bytes()))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        outbox.consume(sent);
    }
    Poll::Ready(Ok(()))
}
