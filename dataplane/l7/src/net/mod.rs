//! The network below HTTP: our own TCP on packets, or the kernel's sockets. Nothing above this module knows which.

mod kernel;

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use headgate_net::clock::{Clock, Nanos};
use headgate_tcp::{Stack, TcpStream};
pub(super) use kernel::{Accepted, KernelNet, accept, accept_waiting};

/// Where connections to pods are opened, with the clock and the random numbers that belong to it.
pub(super) enum Net {
    /// Our own TCP, on the packets of a worker, and the kernel's where packets do not lead.
    User {
        stack: Stack,
        kernel: KernelNet,
        by_kernel: ByKernel,
    },
    /// The kernel's sockets.
    Kernel(KernelNet),
}

/// A connection of a client or to a pod. Dropping it sends what was written and closes it in order; what the peer still
/// sends is thrown away, within limits.
pub(super) enum Stream {
    User(TcpStream),
    /// Boxed, since it is ten times as large, and with packets it is rare.
    Kernel(Box<kernel::KernelStream>),
}

/// A connection that is being opened; dropping it gives up.
pub(super) enum Connecting {
    User(headgate_tcp::Connecting),
    Kernel(Pin<Box<dyn Future<Output = io::Result<kernel::KernelStream>>>>),
}

impl Connecting {
    /// Ready once the peer has accepted or refused.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Self::User(connecting) => Pin::new(connecting).poll(cx).map_ok(Stream::User),
            Self::Kernel(connecting) => {
                let connected = connecting.as_mut().poll(cx);
                connected.map_ok(|stream| Stream::Kernel(Box::new(stream)))
            }
        }
    }
}

/// Resets a connection while something else owns its stream.
pub(super) enum Reset {
    User(headgate_tcp::Reset),
    Kernel(kernel::KernelReset),
}

/// Whether an address is behind a device that no packet of ours leaves by, or the host's own: only the kernel's sockets get
/// answers from there.
#[derive(Clone)]
pub struct ByKernel(Rc<dyn Fn(IpAddr) -> bool>);

impl ByKernel {
    /// Asked for each connection to a pod.
    #[must_use]
    pub fn new(leads_to: impl Fn(IpAddr) -> bool + 'static) -> Self {
        Self(Rc::new(leads_to))
    }

    fn leads_to(&self, address: IpAddr) -> bool {
        (self.0)(address)
    }
}

impl fmt::Debug for ByKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKernel").finish_non_exhaustive()
    }
}

/// Connections that are listened to for their peers' last words at one time.
const LINGERING: usize = 1024;

impl Net {
    /// Our own TCP, and the kernel's for those addresses.
    pub(super) fn user(stack: Stack, by_kernel: ByKernel) -> Self {
        Self::User {
            stack,
            kernel: KernelNet::new(Clock::start(), LINGERING),
            by_kernel,
        }
    }

    /// Opens a connection. Whoever waits sets a limit to it.
    ///
    /// # Errors
    /// When there is no address, port or room on our side; that the peer refuses is told by what waits for it.
    pub(super) fn connect(&self, to: SocketAddr) -> io::Result<Connecting> {
        match self {
            Self::User {
                kernel, by_kernel, ..
            } if by_kernel.leads_to(to.ip()) => Ok(Connecting::Kernel(Box::pin(kernel.connect(to)))),
            Self::User { stack, .. } => stack.connect(to).map(Connecting::User),
            Self::Kernel(net) => Ok(Connecting::Kernel(Box::pin(net.connect(to)))),
        }
    }

    /// The time: what the worker told last, or the clock's.
    pub(super) fn now(&self) -> Nanos {
        match self {
            Self::User { stack, .. } => stack.now(),
            Self::Kernel(net) => net.now(),
        }
    }

    /// A number from the system's random generator.
    pub(super) fn random(&self) -> u64 {
        match self {
            Self::User { stack, .. } => stack.random(),
            Self::Kernel(net) => net.random(),
        }
    }
}

impl Stream {
    /// The address of the listener that accepted it: the one that the configuration names, which with the kernel's
    /// sockets may be that of all addresses.
    pub(super) fn listener(&self) -> SocketAddr {
        match self {
            Self::User(stream) => stream.local_addr(),
            Self::Kernel(stream) => stream.listener(),
        }
    }

    /// Our end.
    pub(super) fn local_addr(&self) -> SocketAddr {
        match self {
            Self::User(stream) => stream.local_addr(),
            Self::Kernel(stream) => stream.local_addr(),
        }
    }

    /// The other end.
    pub(super) fn peer_addr(&self) -> SocketAddr {
        match self {
            Self::User(stream) => stream.peer_addr(),
            Self::Kernel(stream) => stream.peer_addr(),
        }
    }

    /// Lets `take` see at most `limit` bytes of what has arrived, all of which it takes. Ready with 0 at the end.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::User(stream) => stream.poll_receive(cx, |data| {
                let data = &data[..data.len().min(limit)];
                take(data);
                data.len()
            }),
            Self::Kernel(stream) => stream.poll_receive(cx, limit, take),
        }
    }

    /// Bytes that were written and the peer has not acknowledged; what lies in the kernel's buffers is nobody's to know.
    pub(super) fn unacknowledged(&self) -> usize {
        match self {
            Self::User(stream) => stream.unacknowledged(),
            Self::Kernel(_) => 0,
        }
    }

    /// Bytes of data in a full segment, and how many may be under way; the kernel's sockets are not asked.
    pub(super) fn window(&self) -> Option<(usize, usize)> {
        match self {
            Self::User(stream) => Some(stream.window()),
            Self::Kernel(_) => None,
        }
    }

    /// Whether it is known what the peer has acknowledged.
    pub(super) fn tells_what_is_acknowledged(&self) -> bool {
        matches!(self, Self::User(_))
    }

    /// What resets the connection.
    pub(super) fn reset(&self) -> Reset {
        match self {
            Self::User(stream) => Reset::User(stream.reset()),
            Self::Kernel(stream) => Reset::Kernel(stream.reset()),
        }
    }

    /// Resets the connection; the peer sees that what it got is not everything.
    pub(super) fn abort(self) {
        self.reset().now();
    }
}

impl Reset {
    /// Does so, at the latest when the stream is dropped; nothing where it is gone.
    pub(super) fn now(self) {
        match self {
            Self::User(reset) => reset.now(),
            Self::Kernel(reset) => reset.now(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::User(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Kernel(stream) => stream.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::User(stream) => Pin::new(stream).poll_write(cx, data),
            Self::Kernel(stream) => Pin::new(stream.socket()).poll_write(cx, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::User(stream) => Pin::new(stream).poll_flush(cx),
            Self::Kernel(stream) => Pin::new(stream.socket()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::User(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Kernel(stream) => Pin::new(stream.socket()).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::User(stream) => Pin::new(stream).poll_write_vectored(cx, data),
            Self::Kernel(stream) => Pin::new(stream.socket()).poll_write_vectored(cx, data),
        }
    }
}
