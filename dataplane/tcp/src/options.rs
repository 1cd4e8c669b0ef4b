//! Limits and timeouts of a [`Stack`](super::Stack).

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::segment::Segment;
use headgate_net::record::TcpRecord;

/// Chooses the local address of a connection to the given remote one: the same family, or nothing.
pub type SourceAddress = Rc<dyn Fn(IpAddr) -> Option<IpAddr>>;

/// What a [`Stack`](super::Stack) may use. Every bound is per worker.
#[derive(Clone)]
pub struct StackConfig {
    /// Largest IP packet sent, in bytes; the MSS follows from it. Frames must hold it.
    pub mtu: usize,
    /// Size of the receive and of the send buffer of a connection, in bytes. Memory is committed as it is first used;
    /// the receive buffer bounds the window, the send buffer what is in flight.
    pub buffer: usize,
    /// How many sockets with their buffers are kept for reuse when connections end. Beyond that they are freed, and the
    /// allocator clears what it hands out again, tens of microseconds for a connection.
    pub pooled: usize,
    /// Connections of both directions; a SYN beyond that is dropped.
    pub max_connections: usize,
    /// Handshakes that clients have begun and not finished; the oldest is dropped for a new one beyond that.
    pub max_half_open: usize,
    /// Ports and addresses remembered in TIME-WAIT; the oldest is forgotten beyond that.
    pub max_time_wait: usize,
    /// How long TIME-WAIT lasts.
    pub time_wait: Duration,
    /// After how long a silence a peer is probed.
    pub keep_alive: Duration,
    /// How long a peer may leave data or probes unanswered; longer than `keep_alive`.
    pub user_timeout: Duration,
    /// How long a connection whose stream was dropped, once everything is sent, waits for the peer to close.
    pub linger: Duration,
    /// How long an acknowledgement waits for data to travel with; two full segments do not wait.
    pub ack_delay: Duration,
    /// Resets sent in a second to segments that belong to no connection.
    pub max_resets: u32,
    /// Local ports of [`connect`](super::Stack::connect).
    pub source_ports: RangeInclusive<u16>,
    /// Local addresses of [`connect`](super::Stack::connect).
    pub source_address: SourceAddress,
    /// Where the stack counts: it alone writes there.
    pub record: Arc<TcpRecord>,
}

impl StackConfig {
    /// Defaults for an ingress node: windows of 256 KiB, 16,384 connections a worker.
    #[must_use]
    pub fn new(source_ports: RangeInclusive<u16>, source_address: SourceAddress) -> Self {
        Self {
            mtu: 1500,
            buffer: 256 << 10,
            pooled: 2_048,
            max_connections: 16_384,
            max_half_open: 4_096,
            max_time_wait: 16_384,
            time_wait: Duration::from_secs(30),
            keep_alive: Duration::from_secs(45),
            user_timeout: Duration::from_secs(90),
            linger: Duration::from_secs(10),
            ack_delay: Duration::from_millis(10),
            max_resets: 1_000,
            source_ports,
            source_address,
            record: Arc::default(),
        }
    }
}

impl StackConfig {
    /// Data in a full segment to the sender of `segment`, by our MTU.
    pub(super) fn mss(&self, segment: &Segment<'_>) -> usize {
        let headers = if segment.source.is_ipv4() { 40 } else { 60 };
        self.mtu.saturating_sub(headers).max(1)
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
