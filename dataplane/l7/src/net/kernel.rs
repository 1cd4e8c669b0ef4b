//! The kernel's sockets as [`Net`](super::Net) and [`KernelStream`](super::Stream) want them.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use headgate_net::clock::{Clock, Nanos};

/// Bytes read at a time at most: small enough to stay in the core's cache.
const SCRATCH: usize = 64 << 10;
/// After how long a silence a peer is probed, as our own TCP does.
const KEEP_ALIVE: Duration = Duration::from_secs(45);
/// How long a peer may leave data or probes unanswered.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a silent peer is listened to after its stream was dropped, and how long one that still sends, whose data is thrown
/// away: a client finishes what it was sending, and reads our answer instead of a reset.
const LINGER: Duration = Duration::from_secs(10);
const LISTENED: Duration = Duration::from_secs(30);
/// How long nothing is accepted after an error that does not get better by trying at once.
const BACK_OFF: Duration = Duration::from_millis(100);

/// One for each core.
#[derive(Clone)]
pub(crate) struct KernelNet {
    clock: Clock,
    scratch: Scratch,
    lingering: Arc<Lingering>,
}

/// Connections whose streams are gone and whose peers are still listened to, each of which is a descriptor.
struct Lingering {
    now: AtomicUsize,
    most: usize,
}

/// Where bytes are between the kernel and the buffers above, whose room is not written to yet: only unsafe code could hand it to
/// the kernel.
type Scratch = Rc<RefCell<Box<[u8]>>>;

impl KernelNet {
    /// At most `lingering` connections are waited for after their end; a further one is closed at once.
    pub(crate) fn new(clock: Clock, lingering: usize) -> Self {
        Self {
            clock,
            scratch: Rc::new(RefCell::new(vec![0; SCRATCH].into())),
            lingering: Arc::new(Lingering {
                now: AtomicUsize::default(),
                most: lingering,
            }),
        }
    }

    pub(super) fn now(&self) -> Nanos {
        self.clock.now()
    }

    #[expect(clippy::unused_self, reason = "the other network has a generator of its own")]
    pub(super) fn random(&self) -> u64 {
        getrandom::u64().expect("the system's random generator works")
    }

    pub(super) fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<KernelStream>> + use<> {
        let net = self.clone();
        async move {
            let stream = KernelStream::new(TcpStream::connect(to).await?, None, &net)?;
            // To a port of this host that nobody listens at, the kernel may connect a socket with itself.
            if stream.local == stream.peer {
                stream.reset().now();
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(stream)
        }
    }
}

/// What came of waiting for a client.
pub(crate) enum Accepted {
    Client(super::Stream),
    /// Out of descriptors, as a rule; nothing was accepted for a while after it.
    Failed(io::Error),
}

/// Waits for a client of the listener that the configuration knows as `listener`. May be dropped while it waits without
/// losing a client.
pub(crate) async fn accept(socket: &TcpListener, listener: SocketAddr, net: &super::Net) -> Accepted {
    let super::Net::Kernel(net) = net else {
        unreachable!("only the network of the kernel's sockets has listeners of the kernel");
    };
    loop {
        let error = match socket.accept().await {
            Ok((stream, _)) => match KernelStream::new(stream, Some(listener), net) {
                Ok(stream) => return Accepted::Client(super::Stream::Kernel(Box::new(stream))),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !is_of_one_client(&error) {
            tokio::time::sleep(BACK_OFF).await;
            return Accepted::Failed(error);
        }
    }
}

/// A client that has connected already, if there is one; whatever the runtime has noticed of it.
pub(crate) fn accept_waiting(
    socket: &TcpListener,
    listener: SocketAddr,
    net: &super::Net,
) -> Option<super::Stream> {
    let super::Net::Kernel(net) = net else {
        return None;
    };
    // A duplicate is the same socket to the kernel, and does not wait either.
    let socket = std::net::TcpListener::from(socket.as_fd().try_clone_to_owned().ok()?);
    loop {
        match socket.accept() {
            Ok((stream, _)) => {
                let stream = stream
                    .set_nonblocking(true)
                    .and_then(|()| TcpStream::from_std(stream));
                if let Ok(stream) = stream.and_then(|stream| KernelStream::new(stream, Some(listener), net)) {
                    return Some(super::Stream::Kernel(Box::new(stream)));
                }
            }
            Err(error) if is_of_one_client(&error) => {}
            Err(_) => return None,
        }
    }
}

/// Errors of a connection that went away before it was accepted; the next one is as good as any.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}

/// A connection.
pub(crate) struct KernelStream {
    /// There until the drop.
    socket: Option<TcpStream>,
    listener: Option<SocketAddr>,
    local: SocketAddr,
    peer: SocketAddr,
    scratch: Scratch,
    lingering: Arc<Lingering>,
    /// The peer has closed its side, or is gone.
    ended: bool,
    reset: Rc<Cell<bool>>,
}

impl KernelStream {
    fn new(socket: TcpStream, listener: Option<SocketAddr>, net: &KernelNet) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_tcp_keepidle(&socket, KEEP_ALIVE)?;
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(
            &socket,
            u32::try_from(USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX),
        )?;
        Ok(Self {
            listener,
            local: socket.local_addr()?,
            peer: socket.peer_addr()?,
            socket: Some(socket),
            scratch: Rc::clone(&net.scratch),
            lingering: Arc::clone(&net.lingering),
            ended: false,
            reset: Rc::default(),
        })
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        self.socket.as_mut().expect("there until the drop")
    }

    pub(super) fn listener(&self) -> SocketAddr {
        self.listener.unwrap_or(self.local)
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let scratch = Rc::clone(&self.scratch);
        let mut scratch = scratch.borrow_mut();
        let limit = limit.min(scratch.len());
        let mut buffer = ReadBuf::new(&mut scratch[..limit]);
        ready!(self.poll_read(cx, &mut buffer))?;
        take(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = ready!(std::pin::Pin::new(self.socket()).poll_read(cx, buffer));
        self.ended |= read.is_err() || room > 0 && buffer.filled().len() == before;
        Poll::Ready(read)
    }

    pub(super) fn reset(&self) -> KernelReset {
        KernelReset(Rc::clone(&self.reset))
    }
}

impl Drop for KernelStream {
    /// A socket that is closed while something unread lies in it resets the connection, and the peer may lose what we
    /// wrote last: what the peer still sends is read first.
    fn drop(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        if self.reset.get() {
            // Where it fails the connection is closed in order, which is the best that is left.
            let _ = socket.set_zero_linger();
        } else if !self.ended
            && let Ok(runtime) = Handle::try_current()
            && let Some(guest) = Guest::enter(&self.lingering)
        {
            runtime.spawn(linger(socket, guest));
        }
    }
}

/// One of those that are lingering, until this is dropped.
struct Guest(Arc<Lingering>);

impl Guest {
    /// `None` where there are too many.
    fn enter(lingering: &Arc<Lingering>) -> Option<Self> {
        // On one thread; tasks only have to be such that they could move to another.
        let now = lingering.now.fetch_add(1, Ordering::Relaxed);
        let guest = Self(Arc::clone(lingering));
        (now < lingering.most).then_some(guest)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes our side, and then throws away what comes until the peer closes its own.
async fn linger(mut socket: TcpStream, _guest: Guest) {
    // Where the connection is gone already there is nothing to wait for, which the first read finds out.
    let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Write);
    let discard = async {
        let mut scratch = [0; 4096];
        while let Ok(Ok(1..)) = tokio::time::timeout(LINGER, socket.read(&mut scratch)).await {}
    };
    // One that takes longer is reset by the close.
    let _ = tokio::time::timeout(LISTENED, discard).await;
}

/// Resets a connection at the drop of its stream.
pub(crate) struct KernelReset(Rc<Cell<bool>>);

impl KernelReset {
    pub(super) fn now(self) {
        self.0.set(true);
    }
}
