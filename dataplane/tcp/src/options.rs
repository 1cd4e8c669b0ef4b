//! TcpLimits and timeouts of a [`Stack`](super::Stack).

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::engine::TcpLimits;
use headgate_net::record::TcpRecord;

/// Chooses the local address of a connection to the given remote one: the same family, or nothing.
pub type SourceAddress = Rc<dyn Fn(IpAddr) -> Option<IpAddr>>;

/// Gives further local addresses of connections to the remote one, and their ports, by number from 0 until there are no more.
pub type MoreSources = Rc<dyn Fn(IpAddr, usize) -> Option<(IpAddr, RangeInclusive<u16>)>>;

/// What a [`Stack`](super::Stack) may use. Every bound is per worker.
#[derive(Clone)]
pub struct StackConfig {
    /// Largest IP packet sent, in bytes; the MSS follows from it. Frames must hold it.
    pub mtu: usize,
    /// The largest window, and most that a stream may have written and the peer not acknowledged, in bytes. Both begin
    /// small and grow with the path's bandwidth and delay.
    pub buffer: usize,
    /// Memory of all connections for what is not acknowledged or not read, in bytes. Near its end windows shrink; what
    /// arrives beyond it is dropped, and the peer sends it again.
    pub memory: usize,
    /// Connections of both directions; a quarter is kept for those that the stack opens, and a SYN beyond that is dropped.
    pub max_connections: usize,
    /// Handshakes that clients have begun and not finished and that are remembered; SYNs beyond that are answered by cookies.
    pub max_half_open: usize,
    /// Ports and addresses remembered in TIME-WAIT; the oldest is forgotten beyond that.
    pub max_time_wait: usize,
    /// How long TIME-WAIT lasts.
    pub time_wait: Duration,
    /// After how long a silence a peer is probed.
    pub keep_alive: Duration,
    /// How long a peer may leave data or probes unanswered; longer than `keep_alive`.
    pub user_timeout: Duration,
    /// How long a peer may take nothing of what is sent to it, though it answers: its window is closed, or it acknowledges
    /// only what it had. Those who wait for it may well lose patience earlier.
    pub stall_timeout: Duration,
    /// How long a connection whose stream was dropped, once everything is sent, waits for the peer to close.
    pub linger: Duration,
    /// How long an acknowledgement waits for data to travel with; two full segments do not wait.
    pub ack_delay: Duration,
    /// Whether connections that the stack opens ask for explicit congestion notification (RFC 3168). Those of clients that ask
    /// for it always use it.
    pub ask_ecn: bool,
    /// Resets sent in a second to segments that belong to no connection.
    pub max_resets: u32,
    /// Local ports of [`connect`](super::Stack::connect).
    pub source_ports: RangeInclusive<u16>,
    /// Local addresses of [`connect`](super::Stack::connect).
    pub source_address: SourceAddress,
    /// Others, which are used once all ports of the former are in use towards a destination.
    pub more_sources: MoreSources,
    /// Where the stack counts: it alone writes there.
    pub record: Arc<TcpRecord>,
}

impl StackConfig {
    /// Defaults for an ingress node: windows up to 16 MiB, 200,000 connections a worker.
    #[must_use]
    pub fn new(source_ports: RangeInclusive<u16>, source_address: SourceAddress) -> Self {
        Self {
            mtu: 1500,
            buffer: 16 << 20,
            memory: 256 << 20,
            max_connections: 200_000,
            max_half_open: 4_096,
            max_time_wait: 16_384,
            time_wait: Duration::from_secs(30),
            keep_alive: Duration::from_secs(45),
            user_timeout: Duration::from_secs(90),
            stall_timeout: Duration::from_secs(600),
            linger: Duration::from_secs(10),
            ack_delay: Duration::from_millis(10),
            ask_ecn: false,
            max_resets: 1_000,
            source_ports,
            source_address,
            more_sources: Rc::new(|_, _| None),
            record: Arc::default(),
        }
    }
}

impl StackConfig {
    /// Connections that clients may open, so that there is room for those that answer them.
    pub(super) const fn most_accepted(&self) -> usize {
        self.max_connections - self.max_connections / 4
    }

    /// What each connection is told.
    pub(super) fn limits(&self) -> TcpLimits {
        TcpLimits {
            mtu: self.mtu,
            // RFC 7323, section 2.3: windows above a gigabyte cannot be told.
            buffer: u32::try_from(self.buffer)
                .unwrap_or(u32::MAX)
                .clamp(4_096, 1 << 30),
            ack_delay: self.ack_delay,
            ask_ecn: self.ask_ecn,
            keep_alive: self.keep_alive,
            ask_again: self.keep_alive / 3,
            user_timeout: self.user_timeout,
            stall_timeout: self.stall_timeout,
        }
    }
}

impl std::fmt::Debug for StackConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackConfig")
            .field("mtu", &self.mtu)
            .field("buffer", &self.buffer)
            .field("max_connections", &self.max_connections)
            .field("source_ports", &self.source_ports)
            .finish_non_exhaustive()
    }
}
