//! A connection as the stack keeps it: its socket while it lives, and what is known about it beside smoltcp.

use std::io;
use std::net::SocketAddr;

use smoltcp::socket::tcp::State;

use super::key::ConnectionKey;
use super::packets::{Replies, Sent, bare};
use super::recovery::Recovery;
use super::segment::{SYN, Segment};
use super::socket::{Socket, Stateless};
use headgate_net::clock::Nanos;

pub(super) struct Connection {
    pub(super) key: ConnectionKey,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Gone once TCP is done with the connection and the stream has read everything.
    pub(super) socket: Option<Socket>,
    /// How the connection ended; says nothing while there is a socket.
    pub(super) end: ConnectionEnd,
    /// Whether the key still leads here; not once TCP is done.
    pub(super) indexed: bool,
    /// Whether a stream (or a connect) holds this connection.
    pub(super) held: bool,
    /// Whether the connection stands in the queue for egress.
    pub(super) queued: bool,
    /// The earliest time at which the timer will look at the connection.
    pub(super) armed: Option<Nanos>,
    /// Bytes read since the peer was last told about the window.
    pub(super) untold: usize,
    pub(super) numbers: Numbers,
    /// What a router on the path takes, if that is less than our own link.
    pub(super) mtu: Option<usize>,
    /// Once established.
    pub(super) recovery: Option<Recovery>,
    /// Whether something else than new data is due: an acknowledgement, a retransmission, a larger window.
    pub(super) urgent: bool,
    /// When the last segment of the peer arrived.
    pub(super) heard: Nanos,
    pub(super) linger: Option<Linger>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// Both sides closed it.
    Closed,
    /// The peer reset it, or refused it.
    Reset,
    /// The peer was silent for too long.
    TimedOut,
    /// We reset it.
    Aborted,
}

/// A connection that its stream has left, while it sends the rest and waits for the peer's FIN.
pub(super) struct Linger {
    pub(super) until: Nanos,
    /// What was left to send when `until` was set.
    pub(super) left: usize,
    /// How much more data of the peer is read and thrown away before the connection is reset.
    pub(super) discard: usize,
}

/// Sequence numbers as they were on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    /// The peer's initial sequence number, once known.
    pub(super) irs: Option<u32>,
    /// Bytes that the stream has read, modulo 2^32.
    pub(super) read: u32,
    /// After the last byte that was ever sent; `None` before anything was.
    pub(super) next: Option<u32>,
    /// What was acknowledged last.
    pub(super) acknowledged: u32,
    /// Whether a window was sent with a segment other than a SYN.
    pub(super) window_sent: bool,
}

impl Numbers {
    /// Takes note of a segment that was sent.
    pub(super) fn sent(&mut self, sent: Sent) {
        if self.next.is_none_or(|next| sent.end.wrapping_sub(next) < 1 << 31) {
            self.next = Some(sent.end);
        }
        self.acknowledged = sent.acknowledgement;
        self.window_sent |= sent.flags & SYN == 0;
    }

    /// Whether the data of a segment lies within a receive buffer of `capacity` bytes.
    ///
    /// smoltcp takes the window of a SYN for scaled, and would take data beyond its buffer (and panic later) until it
    /// has sent a scaled one.
    pub(super) fn fits(&self, segment: &Segment<'_>, capacity: usize) -> bool {
        let Some(irs) = self.irs.filter(|_| !self.window_sent) else {
            return true;
        };
        let first = irs.wrapping_add(1).wrapping_add(self.read);
        let end = segment
            .sequence
            .wrapping_add(segment.length())
            .wrapping_sub(first);
        end >= 1 << 31 || usize::try_from(end).is_ok_and(|end| end <= capacity)
    }

    /// The next sequence number expected of the peer, with `queued` bytes unread, and its FIN received or not.
    pub(super) fn expected(&self, queued: usize, fin: bool) -> Option<u32> {
        let ahead = u32::try_from(queued).ok()?.wrapping_add(u32::from(fin));
        let read = self.irs?.wrapping_add(1).wrapping_add(self.read);
        Some(read.wrapping_add(ahead))
    }
}

impl Connection {
    pub(super) fn new(key: ConnectionKey, local: SocketAddr, remote: SocketAddr, socket: Socket) -> Self {
        Self {
            key,
            local,
            remote,
            socket: Some(socket),
            end: ConnectionEnd::Closed,
            indexed: true,
            held: true,
            queued: false,
            armed: None,
            untold: 0,
            numbers: Numbers::default(),
            mtu: None,
            recovery: None,
            urgent: true,
            heard: Nanos(0),
            linger: None,
        }
    }

    /// Takes note of a segment that was sent.
    pub(super) fn sent(&mut self, sent: Sent, now: Nanos) {
        self.numbers.sent(sent);
        self.untold = 0;
        if let Some(recovery) = &mut self.recovery {
            recovery.sent(sent, now);
        }
    }

    /// Makes smoltcp send the first unacknowledged segment again, at the next egress.
    pub(super) fn retransmit(&mut self, interface: &mut Stateless, now: Nanos) {
        let (Some(socket), Some(recovery)) = (&mut self.socket, &mut self.recovery) else {
            return;
        };
        let tcp = socket.tcp();
        let fin = fin_received(tcp.state());
        // Without data, all that can be lost is a FIN, and smoltcp would forget that it waits for its acknowledgement.
        let Some(sequence) = self
            .numbers
            .expected(tcp.recv_queue(), fin)
            .filter(|_| tcp.send_queue() > 0)
        else {
            return;
        };
        let from = (self.remote, self.local);
        let (acknowledgement, window) = recovery.last_heard();
        if window > 0 {
            socket.retransmit(
                interface,
                now,
                |window| bare(from, sequence, acknowledgement, window),
                window,
            );
            self.urgent = true;
        }
    }

    /// The next sequence number expected of the peer; `None` before its SYN.
    pub(super) fn expected(&mut self) -> Option<u32> {
        let tcp = self.socket.as_mut()?.tcp();
        let (queued, fin) = (tcp.recv_queue(), fin_received(tcp.state()));
        self.numbers.expected(queued, fin)
    }

    /// Sends an acknowledgement as smoltcp does in answer to a keep-alive probe: at most one in a second.
    pub(super) fn challenge(&mut self, interface: &mut Stateless, now: Nanos, replies: &mut Replies) {
        let (Some(expected), Some(recovery)) = (self.expected(), &self.recovery) else {
            return;
        };
        let (acknowledgement, window) = recovery.last_heard();
        let probe = bare(
            (self.remote, self.local),
            expected.wrapping_sub(1),
            acknowledgement,
            window,
        );
        if let Some(socket) = &mut self.socket {
            socket.ingress(interface, probe.bytes(), now, replies);
        }
    }

    /// What a write to a connection without a socket says, and a read where there was no orderly end.
    pub(super) fn error(&self) -> io::Error {
        let (kind, text) = match self.end {
            ConnectionEnd::Closed => (io::ErrorKind::BrokenPipe, "the connection is closed"),
            ConnectionEnd::Reset => (io::ErrorKind::ConnectionReset, "the peer reset the connection"),
            ConnectionEnd::TimedOut => (io::ErrorKind::TimedOut, "the peer did not answer"),
            ConnectionEnd::Aborted => (io::ErrorKind::ConnectionAborted, "the connection was aborted"),
        };
        io::Error::new(kind, text)
    }
}

/// Whether the peer's FIN has arrived, by the state of a socket that has seen no reset.
const fn fin_received(state: State) -> bool {
    matches!(
        state,
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait
    )
}
