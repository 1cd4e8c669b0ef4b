//! A connection as the stack keeps it: the state machine, who waits for it, and where it stands in queues.

use std::io;
use std::net::SocketAddr;
use std::task::Waker;

use super::engine::{ConnectionEnd, Tcb, TcpState};
use super::key::ConnectionKey;
use headgate_net::clock::Nanos;

pub(super) struct Connection {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) tcb: Tcb,
    /// Whether the peer opened it.
    pub(super) accepted: bool,
    /// Whether the key still leads here; not once TCP is done.
    pub(super) indexed: bool,
    /// Whether a stream (or a connect) holds this connection.
    pub(super) held: bool,
    /// Whether the connection stands in the queue for egress.
    pub(super) queued: bool,
    /// The earliest time at which the timer will look at the connection.
    pub(super) armed: Option<Nanos>,
    pub(super) linger: Option<Box<Linger>>,
    /// Whether its writer found no memory, and waits in a list for some.
    pub(super) starved: bool,
    pub(super) reader: Waiter,
    /// Who waits for room, or for the handshake.
    pub(super) writer: Waiter,
}

/// Who is told once that something has happened. The waker is kept for the next time: it is most often the same one.
#[derive(Default)]
pub(super) struct Waiter {
    waker: Option<Waker>,
    waits: bool,
}

impl Waiter {
    /// Has `waker` told.
    pub(super) fn register(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        self.waits = true;
    }

    pub(super) const fn waits(&self) -> bool {
        self.waits
    }

    /// Tells whoever waits.
    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.waits)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }
}

/// How many times as long as a silent peer one is listened to that still sends after its stream was dropped, before the
/// connection is reset: a client finishes what it was sending, and reads our answer instead of a reset.
pub(super) const LISTENED: u32 = 3;

/// A connection that its stream has left, while it sends the rest and waits for the peer's FIN.
pub(super) struct Linger {
    pub(super) until: Nanos,
    /// What was left to send when `until` was set.
    pub(super) left: usize,
    /// Until when a peer that still sends is listened to, at the latest.
    pub(super) last: Nanos,
}

impl Connection {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr, tcb: Tcb) -> Self {
        Self {
            local,
            remote,
            tcb,
            accepted: false,
            indexed: true,
            held: true,
            queued: false,
            armed: None,
            linger: None,
            starved: false,
            reader: Waiter::default(),
            writer: Waiter::default(),
        }
    }

    /// What it is found by.
    pub(super) fn key(&self) -> ConnectionKey {
        ConnectionKey::new(self.local, self.remote)
    }

    /// Its ends, if we have opened it.
    pub(super) fn opened(&self) -> Option<(SocketAddr, SocketAddr)> {
        (!self.accepted).then_some((self.local, self.remote))
    }

    /// Wakes whoever waits for what there is now.
    pub(super) fn wake(&mut self, pressed: bool) {
        if self.reader.waits() && self.tcb.readable() {
            self.reader.wake();
        }
        if self.writer.waits() && self.is_writable(pressed) {
            self.writer.wake();
        }
    }

    /// Whether a write, or the wait for the handshake, has an answer.
    fn is_writable(&self, pressed: bool) -> bool {
        match self.tcb.state() {
            TcpState::SynSent | TcpState::SynReceived => false,
            _ => !self.tcb.may_write() || self.tcb.sender.has_room(pressed),
        }
    }

    /// What a write to a closed connection says, and a read where there was no orderly end.
    pub(super) fn error(&self) -> io::Error {
        let (kind, text) = match self.tcb.end {
            ConnectionEnd::Closed => (io::ErrorKind::BrokenPipe, "the connection is closed"),
            ConnectionEnd::Reset => (io::ErrorKind::ConnectionReset, "the peer reset the connection"),
            ConnectionEnd::TimedOut => (io::ErrorKind::TimedOut, "the peer did not answer"),
            ConnectionEnd::Aborted => (io::ErrorKind::ConnectionAborted, "the connection was aborted"),
        };
        io::Error::new(kind, text)
    }
}
