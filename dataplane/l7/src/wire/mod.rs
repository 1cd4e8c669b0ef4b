//! A connection's bytes: as they are, or through TLS.

mod session;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::AsyncWrite;

use super::buffer::{Buffer, Spare};
use super::current::Current;
use super::net::Stream;
use session::Session;
pub(crate) use session::{Greeted, NotGreeted};

/// A connection of a client or to a pod. Nothing here waits: what cannot be done now registers the caller's waker.
pub(crate) struct Wire {
    stream: Stream,
    tls: Option<Box<Session>>,
}

impl Wire {
    pub(crate) fn plain(stream: Stream) -> Self {
        Self { stream, tls: None }
    }

    /// A client that has to shake hands before anything is read ([`Self::greet`]).
    pub(crate) fn tls(stream: Stream) -> Self {
        Self {
            stream,
            tls: Some(Box::default()),
        }
    }

    /// The handshake. What a client is told that is not greeted is sent by [`Self::flush`].
    pub(crate) fn greet(
        &mut self,
        cx: &mut Context<'_>,
        current: &Current,
    ) -> Poll<Result<Greeted, NotGreeted>> {
        match &mut self.tls {
            None => Poll::Ready(Ok(Greeted { resumed: false })),
            Some(session) => session.greet(cx, &mut self.stream, current),
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
        let room = most.saturating_sub(inbox.len());
        match &mut self.tls {
            None => self
                .stream
                .poll_receive(cx, room, |data| inbox.fill(spare).extend_from_slice(data)),
            Some(session) => session.read(cx, &mut self.stream, |data| {
                inbox.fill(spare).extend_from_slice(data);
            }),
        }
    }

    /// Sends what lies in `outbox`. Ready once all of it is on its way.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>, outbox: &mut Buffer) -> Poll<io::Result<()>> {
        match &mut self.tls {
            None => send(cx, &mut self.stream, outbox),
            Some(session) => session.flush(cx, &mut self.stream, outbox),
        }
    }

    /// Closes our side, behind what was flushed. What cannot be said any more is left unsaid.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(session) = &mut self.tls {
            session.say_goodbye(cx, &mut self.stream);
        }
        // Where it fails the connection has ended already.
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }

    /// Whether nothing has come and the connection is whole: a kept one is good for another exchange then. If so, `waker` is
    /// told when that changes.
    pub(crate) fn is_quiet(&mut self, waker: &Waker) -> bool {
        let mut cx = Context::from_waker(waker);
        self.stream.poll_receive(&mut cx, 1, |_| {}).is_pending()
    }

    /// Bytes that were sent and the peer has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.stream.unacknowledged()
    }

    /// Whether [`Self::unacknowledged`] is more than a guess.
    pub(crate) fn tells_what_is_acknowledged(&self) -> bool {
        self.stream.tells_what_is_acknowledged()
    }

    /// Resets the connection: the peer sees that what it got is not everything.
    pub(crate) fn reset(&mut self) {
        self.stream.reset().now();
    }
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
