//! Streams: what tasks see of a connection.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::SharedStack;
use super::connection::{Connection, LISTENED, Linger, Waiter};
use super::engine::{ConnectionEnd, TcpState};
use super::stack::Inner;

/// A connection. Dropping it sends what was written and closes it in order; what the peer still sends is thrown away.
pub struct TcpStream {
    shared: Rc<SharedStack>,
    id: usize,
}

impl TcpStream {
    /// Takes a connection over; its `held` is set.
    pub(super) fn new(shared: &Rc<SharedStack>, id: usize) -> Self {
        Self {
            shared: Rc::clone(shared),
            id,
        }
    }

    /// Our end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.inner.borrow().connections[self.id].local
    }

    /// The other end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.shared.inner.borrow().connections[self.id].remote
    }

    /// Lets `take` read from what has arrived, without a copy in between; it returns how much it took. Ready with 0
    /// once the peer has closed its side.
    ///
    /// # Errors
    /// `ConnectionReset`, `TimedOut` and `ConnectionAborted`, once what had arrived before is read.
    pub fn poll_receive(
        &self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.shared.inner.borrow_mut();
        let Inner {
            connections,
            pool,
            now,
            ..
        } = &mut *inner;
        let connection = &mut connections[self.id];
        let tcb = &mut connection.tcb;
        if tcb.receiver.unread() == 0 {
            return match (tcb.state(), tcb.end) {
                // Whatever came after the end: the reader has everything.
                _ if tcb.receiver.finished() => Poll::Ready(Ok(0)),
                (TcpState::Closed, ConnectionEnd::Closed) => Poll::Ready(Ok(0)),
                (TcpState::Closed, _) => Poll::Ready(Err(connection.error())),
                _ => {
                    connection.reader.register(context.waker());
                    Poll::Pending
                }
            };
        }
        let before = tcb.receiver.unread();
        let tell = tcb.read(pool, *now, take);
        let taken = before - tcb.receiver.unread();
        let drained = taken == before && matches!(tcb.state(), TcpState::Closed | TcpState::TimeWait);
        if tell {
            inner.enqueue_and_wake(self.id);
        }
        if drained {
            inner.settle(self.id);
        }
        inner.tell_starved();
        Poll::Ready(Ok(taken as usize))
    }

    /// Waits for the first byte that has not been read, and leaves it. `None` if there will be none.
    pub async fn peek(&self) -> Option<u8> {
        let mut first = None;
        let peek = |context: &mut Context<'_>| {
            self.poll_receive(context, |data| {
                first = data.first().copied();
                0
            })
        };
        poll_fn(peek).await.ok()?;
        first
    }

    /// Bytes that were written and the peer has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.shared.inner.borrow().connections[self.id].tcb.left_to_send()
    }

    /// Bytes of data in a full segment, and how many congestion control lets be under way: for who decides how much of what is
    /// written is of use only as a whole.
    #[must_use]
    pub fn window(&self) -> (usize, usize) {
        let inner = self.shared.inner.borrow();
        let sender = &inner.connections[self.id].tcb.sender;
        (sender.mss as usize, sender.window_now(inner.now) as usize)
    }

    /// Resets the connection; the peer sees that what it got is not everything.
    pub fn abort(self) {
        self.reset().now();
    }

    /// What resets the connection while something else owns the stream.
    #[must_use]
    pub fn reset(&self) -> Reset {
        Reset {
            shared: Rc::clone(&self.shared),
            id: self.id,
            ends: (self.local_addr(), self.peer_addr()),
        }
    }

    fn poll_send(&self, context: &mut Context<'_>, data: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut inner = self.shared.inner.borrow_mut();
        let Inner {
            connections,
            pool,
            starved,
            ..
        } = &mut *inner;
        let connection = &mut connections[self.id];
        if !connection.tcb.may_write() {
            return Poll::Ready(Err(connection.error()));
        }
        let mut written = 0;
        for slice in data.iter().filter(|slice| !slice.is_empty()) {
            let taken = connection.tcb.write(pool, slice);
            written += taken;
            if taken < slice.len() {
                break;
            }
        }
        if written == 0 && data.iter().any(|slice| !slice.is_empty()) {
            connection.writer.register(context.waker());
            if pool.exhausted() && !std::mem::replace(&mut connection.starved, true) {
                starved.push(self.id);
            }
            return Poll::Pending;
        }
        inner.enqueue_and_wake(self.id);
        Poll::Ready(Ok(written))
    }
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.shared.inner.try_borrow() {
            Ok(inner) => {
                let Connection { local, remote, .. } = &inner.connections[self.id];
                write!(f, "TcpStream({local} <- {remote})")
            }
            Err(_) => write!(f, "TcpStream({})", self.id),
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = self.poll_receive(context, |data| {
            let length = data.len().min(buffer.remaining());
            buffer.put_slice(&data[..length]);
            length
        });
        taken.map_ok(|_| ())
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is written is on its way; there is nothing to flush.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes our side after what was written; does not wait for the peer.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.shared.inner.borrow_mut();
        let Inner {
            connections, pool, ..
        } = &mut *inner;
        connections[self.id].tcb.close(pool);
        inner.enqueue_and_wake(self.id);
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        // A waker that the stack calls may drop the last reference to a task, and its stream, while the stack is at work.
        match self.shared.inner.try_borrow_mut() {
            Ok(mut inner) => inner.leave(self.id),
            Err(_) => self.shared.left.borrow_mut().push(self.id),
        }
    }
}

/// Resets a connection, see [`TcpStream::reset`].
pub struct Reset {
    shared: Rc<SharedStack>,
    id: usize,
    ends: (SocketAddr, SocketAddr),
}

impl Reset {
    /// Does so; nothing where the stream is gone.
    pub fn now(self) {
        let mut inner = self.shared.inner.borrow_mut();
        // Another connection may have the place of one that is gone.
        let theirs = |c: &&mut Connection| c.held && (c.local, c.remote) == self.ends;
        let Inner {
            connections, pool, ..
        } = &mut *inner;
        let Some(connection) = connections.get_mut(self.id).filter(theirs) else {
            return;
        };
        connection.tcb.abort(pool, ConnectionEnd::Aborted);
        connection.wake(false);
        inner.enqueue_and_wake(self.id);
    }
}

impl Inner {
    /// The stream of a connection is gone.
    pub(super) fn leave(&mut self, id: usize) {
        let Self {
            connections,
            pool,
            now,
            ..
        } = self;
        let connection = &mut connections[id];
        connection.held = false;
        (connection.reader, connection.writer) = (Waiter::default(), Waiter::default());
        connection.tcb.discard(pool, *now);
        // Where nobody has answered our SYN, nobody waits for its answer either: a reset is due to it, and will come from
        // the missing connection.
        connection.tcb.close(pool);
        let left = connection.tcb.left_to_send();
        let until = self.now.after(self.patience(left));
        self.connections[id].linger = Some(Box::new(Linger {
            until,
            left,
            last: self.now.after(self.config.linger * LISTENED),
        }));
        self.settle(id);
        if self.connections.contains(id) {
            self.enqueue_and_wake(id);
        }
        self.tell_starved();
    }
}

/// A connection being opened. Resolves once the peer has accepted; dropping it gives up.
pub struct Connecting {
    stream: Option<TcpStream>,
}

impl Connecting {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: Some(stream) }
    }

    /// Our end.
    #[cfg(any(test, feature = "harness"))]
    pub(crate) fn local(&self) -> SocketAddr {
        let stream = self.stream.as_ref().expect("not accepted yet");
        stream.local_addr()
    }
}

impl Future for Connecting {
    type Output = io::Result<TcpStream>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let stream = self
            .stream
            .as_ref()
            .ok_or_else(|| io::Error::other("polled after completion"))?;
        ready!(stream.poll_connected(context))?;
        Poll::Ready(
            self.stream
                .take()
                .ok_or_else(|| io::Error::other("polled after completion")),
        )
    }
}

impl TcpStream {
    fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.shared.inner.borrow_mut();
        let connection = &mut inner.connections[self.id];
        match (connection.tcb.state(), connection.tcb.end) {
            (TcpState::SynSent | TcpState::SynReceived, _) => {
                connection.writer.register(context.waker());
                Poll::Pending
            }
            (TcpState::Closed, ConnectionEnd::Reset) => {
                let text = format!("{} refused the connection", connection.remote);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionRefused, text)))
            }
            (TcpState::Closed, _) => Poll::Ready(Err(connection.error())),
            _ => Poll::Ready(Ok(())),
        }
    }
}
