//! TCP termination in user space.
//!
//! A [`Stack`] holds all connections of a worker. IP packets whose headers have been read go in by [`Stack::ingress`] and come out by
//! [`Stack::egress`]; both take the time, and nothing here reads a clock. Tasks on the same thread see connections as
//! [`TcpStream`]s, accepted or opened.
//!
//! Each connection is a state machine of its own, `engine`, which knows nothing of the others. Around them stand what they
//! share: an index by a keyed hash, timers, memory in blocks from one budget, handshakes and TIME-WAIT as records
//! without buffers, and a parser in front that lets no malformed packet through.
//!
//! ```text
//! ingress ─ Segment::of ──── index ┬─ connection ─ engine ─ wakes its task
//!                                  ├─ half-open ─ on its ACK: a connection, for accept
//!                                  ├─ TIME-WAIT ─ acknowledges a FIN again
//!                                  └─ none ─ SYN: half-open; else reset
//! egress ── timers ─ replies ─ queue of connections ─ engine ─ emit
//! ```

#![forbid(unsafe_code)]

mod chain;
mod connection;
mod engine;
mod handshake;
mod key;
mod option;
mod options;
mod packets;
mod pool;
mod ports;
mod segment;
mod sequence;
mod stack;
mod stream;
mod too_big;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;

pub use options::{MoreSources, SourceAddress, StackConfig};
pub use packets::Emit;
pub use stream::{Connecting, Reset, TcpStream};

use headgate_net::clock::Nanos;
use headgate_net::record::TcpStatus;
use headgate_net::wire::Headers;
use stack::Inner;

/// All TCP connections of a worker; `!Send`, cheap to clone.
#[derive(Clone)]
pub struct Stack {
    shared: Rc<SharedStack>,
}

struct SharedStack {
    inner: RefCell<Inner>,
    /// Streams that were dropped while `inner` was borrowed.
    left: RefCell<Vec<usize>>,
}

impl Stack {
    /// A stack without connections or listeners.
    ///
    /// # Panics
    /// If the system's random generator does not work.
    #[must_use]
    pub fn new(config: StackConfig) -> Self {
        Self {
            shared: Rc::new(SharedStack {
                inner: RefCell::new(Inner::new(config)),
                left: RefCell::default(),
            }),
        }
    }

    /// Replaces the addresses at which connections are accepted; connections live on.
    pub fn listen(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.shared.inner.borrow_mut().listeners = addresses.into_iter().collect();
    }

    /// Takes an IP packet in, a TCP segment or an ICMP error about one. Bad ones are counted. `headers` are those of
    /// `frame`, which may have a link-layer header; of IPv6, they have no extension headers any more
    /// ([`without_extensions`](headgate_net::wire::ipv6::without_extensions)).
    ///
    /// # Panics
    /// Where `headers` are of another frame.
    pub fn ingress(&self, frame: &[u8], headers: &Headers, now: Nanos) {
        self.shared.inner.borrow_mut().ingress(frame, headers, now);
        self.collect_left();
    }

    /// Fires timers, then hands out packets until there are no more or `emit` returns `false`. `emit` must not call
    /// the stack.
    pub fn egress(&self, now: Nanos, emit: &mut Emit<'_>) {
        self.shared.inner.borrow_mut().egress(now, emit);
        self.collect_left();
    }

    /// When `egress` next has something to do, if nothing happens before: now, a time, or `None` for never.
    #[must_use]
    pub fn next_timer(&self) -> Option<Nanos> {
        self.shared.inner.borrow().next_timer()
    }

    /// Told when tasks have made work for `egress`.
    #[must_use]
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.inner.borrow().wake)
    }

    /// A connection that a client has opened, if there is one.
    #[must_use]
    pub fn try_accept(&self) -> Option<TcpStream> {
        let id = self.shared.inner.borrow_mut().accepted.pop_front()?;
        Some(TcpStream::new(&self.shared, id))
    }

    /// Waits for a connection that a client has opened. One task may wait at a time.
    pub async fn accept(&self) -> TcpStream {
        poll_fn(|context| match self.try_accept() {
            Some(stream) => Poll::Ready(stream),
            None => {
                self.shared.inner.borrow_mut().acceptor = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// Opens a connection from the configured source address and ports.
    ///
    /// # Errors
    /// `NetworkUnreachable` if there is no source address for `remote`, `AddrNotAvailable` if no port of one is free,
    /// `QuotaExceeded` if there is no room for a connection. The
    /// future fails with `ConnectionRefused` if the peer resets, and with `TimedOut` if it is silent for the user
    /// timeout; the caller may well give up earlier.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<Connecting> {
        let opened = self.shared.inner.borrow_mut().connect(remote);
        let id = opened.map_err(|kind| {
            let missing = match kind {
                io::ErrorKind::AddrNotAvailable => "source port",
                io::ErrorKind::QuotaExceeded => "room",
                _ => "source address",
            };
            io::Error::new(kind, format!("no {missing} for a connection to {remote}"))
        })?;
        Ok(Connecting::new(TcpStream::new(&self.shared, id)))
    }

    /// The time that the worker told last.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.shared.inner.borrow().now
    }

    /// A number from the system's random generator.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.shared.inner.borrow_mut().random()
    }

    /// Connections that their streams have left, of which the peer has not acknowledged all yet. Looks at every connection.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.shared.inner.borrow_mut().unfinished()
    }

    /// Handshakes that clients have begun within the last seven seconds and not finished. Looks at every one.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.shared.inner.borrow().half_open()
    }

    /// Writes down what the stack holds now; what happens it counts at once.
    pub fn note(&self) {
        self.shared.inner.borrow().note();
    }

    /// What the stack holds and has counted.
    #[must_use]
    pub fn status(&self) -> TcpStatus {
        self.note();
        self.shared.inner.borrow().config.record.status()
    }

    fn collect_left(&self) {
        while let Some(id) = self.shared.left.borrow_mut().pop() {
            self.shared.inner.borrow_mut().leave(id);
        }
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stack({:?})", self.status())
    }
}

#[cfg(any(test, feature = "harness"))]
pub mod fuzz;
#[cfg(any(test, feature = "harness"))]
pub mod network;
#[cfg(test)]
mod tests;
