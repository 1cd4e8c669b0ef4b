//! Streams: what tasks see of a connection.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use smoltcp::socket::tcp::{RecvError, State};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::SharedStack;
use super::connection::{Connection, ConnectionEnd, Linger};
use super::stack::Inner;

/// How much of a peer's data is thrown away after its stream was dropped, before the connection is reset. Enough for
/// a client to finish what it was sending and to read our answer instead of a reset.
const DISCARD: usize = 1 << 20;

/// A connection. Dropping it sends what was written and closes it in order; what the peer still sends is thrown away.
pub struct TcpStream {
    shared: Rc<SharedStack>,
    id: usize,
    local: SocketAddr,
    remote: SocketAddr,
}

impl TcpStream {
    /// Takes a connection over; its `held` is set.
    pub(super) fn new(shared: &Rc<SharedStack>, id: usize) -> Self {
        let inner = shared.inner.borrow();
        let connection = &inner.connections[id];
        Self {
            shared: Rc::clone(shared),
            id,
            local: connection.local,
            remote: connection.remote,
        }
    }

    /// Our end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The other end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.remote
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
        let quarter = inner.config.buffer / 4;
        let connection = &mut inner.connections[self.id];
        let Some(socket) = &mut connection.socket else {
            return Poll::Ready(match connection.end {
                ConnectionEnd::Closed => Ok(0),
                _ => Err(connection.error()),
            });
        };
        let tcp = socket.tcp();
        if !tcp.can_recv() && tcp.may_recv() {
            tcp.register_recv_waker(context.waker());
            return Poll::Pending;
        }
        let taken = tcp.recv(|data| {
            let taken = take(data);
            (taken, taken)
        });
        let drained = !tcp.can_recv() && matches!(tcp.state(), State::Closed | State::TimeWait);
        let taken = match taken {
            Ok(taken) => taken,
            Err(RecvError::Finished) => return Poll::Ready(Ok(0)),
            Err(RecvError::InvalidState) => return Poll::Ready(Err(connection.error())),
        };
        connection.numbers.read = connection.numbers.read.wrapping_add(taken as u32);
        connection.untold += taken;
        // Telling the peer about a little more window costs a packet; a quarter of the buffer is worth one.
        if connection.untold >= quarter {
            connection.urgent = true;
            inner.enqueue_and_wake(self.id);
        }
        if drained {
            inner.settle(self.id);
        }
        Poll::Ready(Ok(taken))
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
            ends: (self.local, self.remote),
        }
    }

    fn poll_send(&self, context: &mut Context<'_>, data: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut inner = self.shared.inner.borrow_mut();
        let connection = &mut inner.connections[self.id];
        let Some(socket) = &mut connection.socket else {
            return Poll::Ready(Err(connection.error()));
        };
        let tcp = socket.tcp();
        if !tcp.may_send() {
            return Poll::Ready(Err(connection.error()));
        }
        let mut written = 0;
        for slice in data.iter().filter(|slice| !slice.is_empty()) {
            let taken = tcp.send_slice(slice).unwrap_or(0);
            written += taken;
            if taken < slice.len() {
                break;
            }
        }
        if written == 0 && data.iter().any(|slice| !slice.is_empty()) {
            tcp.register_send_waker(context.waker());
            return Poll::Pending;
        }
        if let Some(recovery) = &mut connection.recovery {
            recovery.wrote(written);
        }
        inner.enqueue_and_wake(self.id);
        Poll::Ready(Ok(written))
    }
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TcpStream({} <- {})", self.local, self.remote)
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
        if let Some(socket) = &mut inner.connections[self.id].socket {
            socket.tcp().close();
            inner.enqueue_and_wake(self.id);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        // A waker that smoltcp calls may drop the last reference to a task, and its stream, while the stack is at work.
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
        let Some(connection) = inner.connections.get_mut(self.id).filter(theirs) else {
            return;
        };
        if let Some(socket) = &mut connection.socket {
            connection.end = ConnectionEnd::Aborted;
            socket.tcp().abort();
            inner.enqueue_and_wake(self.id);
        }
    }
}

impl Inner {
    /// The stream of a connection is gone.
    pub(super) fn leave(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        connection.held = false;
        let Some(socket) = &mut connection.socket else {
            self.connections.remove(id);
            return;
        };
        let discarded = socket.discard();
        connection.numbers.read = connection.numbers.read.wrapping_add(discarded as u32);
        let tcp = socket.tcp();
        if tcp.state() == State::SynSent {
            // Nobody waits for the answer: a reset is due to it, and will come from the missing connection.
            tcp.abort();
            connection.end = ConnectionEnd::Aborted;
        } else {
            tcp.close();
        }
        let left = socket.left_to_send();
        let until = self.now.after(self.patience(left));
        self.connections[id].linger = Some(Linger {
            until,
            left,
            discard: DISCARD,
        });
        self.settle(id);
        if self.connections.contains(id) {
            self.enqueue_and_wake(id);
        }
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
        let state = connection.socket.as_mut().map(|socket| socket.tcp().state());
        match state {
            Some(State::SynSent | State::SynReceived) => {
                if let Some(socket) = &mut connection.socket {
                    socket.tcp().register_send_waker(context.waker());
                }
                Poll::Pending
            }
            Some(state) if state != State::Closed => Poll::Ready(Ok(())),
            _ if connection.end == ConnectionEnd::Reset => {
                let text = format!("{} refused the connection", self.remote);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionRefused, text)))
            }
            _ => Poll::Ready(Err(connection.error())),
        }
    }
}
