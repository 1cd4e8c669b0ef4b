//! The record of one direction of a flow.

use super::{NewFlow, Tick, Timeouts};
use crate::fib::HopId;
use crate::wire::{Address, Deltas, TCP, Tuple};

/// Where a connection stands, as far as timeouts are concerned. Each end's own state machine is its own affair.
///
/// ```text
///            SYN                 SYN+ACK of pod            ACK of client
///  (none) ---------> TcpOpening ---------------> TcpAnswered ----------> TcpEstablished
///                                                                             | FIN of one end
///                     TcpReset <--- RST, in any state                         v
///                                                TcpClosed <------------ TcpHalfClosed
///                                                          FIN of the other
///  (none) ---------> UdpUnreplied ---------------> UdpReplied
///          datagram                datagram of pod
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum FlowState {
    /// No flow: a free slot.
    #[default]
    Free,
    /// The client has sent its SYN.
    TcpOpening,
    /// The pod has answered it.
    TcpAnswered,
    /// The client has acknowledged the answer.
    TcpEstablished,
    /// One end has sent its FIN.
    TcpHalfClosed,
    /// Both have.
    TcpClosed,
    /// One end has sent a reset.
    TcpReset,
    /// The client alone has sent.
    UdpUnreplied,
    /// Both have.
    UdpReplied,
}

impl FlowState {
    pub(super) const COUNT: usize = 9;

    /// Ticks for each state, by its discriminant.
    pub(super) fn timeouts(t: &Timeouts) -> [u32; Self::COUNT] {
        [
            std::time::Duration::ZERO,
            t.tcp_opening,
            t.tcp_opening,
            t.tcp_established,
            t.tcp_half_closed,
            t.tcp_closed,
            t.tcp_reset,
            t.udp_unreplied,
            t.udp_replied,
        ]
        .map(Tick::count)
    }

    /// Every state that a flow can be in.
    pub const ALL: [Self; Self::COUNT - 1] = [
        Self::TcpOpening,
        Self::TcpAnswered,
        Self::TcpEstablished,
        Self::TcpHalfClosed,
        Self::TcpClosed,
        Self::TcpReset,
        Self::UdpUnreplied,
        Self::UdpReplied,
    ];

    /// Whether one end has yet to show that it is there.
    #[must_use]
    pub const fn is_unanswered(self) -> bool {
        matches!(self, Self::TcpOpening | Self::TcpAnswered | Self::UdpUnreplied)
    }

    /// As `headgate status` spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::TcpOpening => "tcp-opening",
            Self::TcpAnswered => "tcp-answered",
            Self::TcpEstablished => "tcp-established",
            Self::TcpHalfClosed => "tcp-half-closed",
            Self::TcpClosed => "tcp-closed",
            Self::TcpReset => "tcp-reset",
            Self::UdpUnreplied => "udp-unreplied",
            Self::UdpReplied => "udp-replied",
        }
    }
}

/// Which way an entry's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the frontend, and on to the pod.
    FromClient,
    /// From the pod to the source port, and back to the client.
    FromPod,
}

/// How an entry's packets leave, as remembered from the forwarding table of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// Has to be looked up.
    Unknown,
    /// By one of our ports.
    Hop(HopId),
    /// By a device that is not ours.
    Kernel,
}

/// One direction of a flow: what to match, what to make of it, where to send it, what has been sent. Plain integers,
/// 64 bytes for IPv4 and 128 for IPv6, that a BPF map could hold as they are.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct FlowEntry<A> {
    /// The packets of this direction.
    pub key: Tuple<A>,
    /// IANA number.
    pub protocol: u8,
    /// The same in both directions.
    pub state: FlowState,
    pub(super) flags: u8,
    /// What they become.
    pub rewrite: Tuple<A>,
    /// What that does to checksums.
    pub deltas: Deltas,
    hop: u32,
    /// Low half of the publication of the forwarding table that `hop` is from.
    fib_publication: u32,
    /// Low half of the publication of the tables that allowed the flow last.
    tables_publication: u32,
    /// When the last packet of this direction came.
    pub(super) seen: Tick,
    /// The Service in the upper 16 bits; below them packets of this direction, which a flow of ten million a second fills
    /// in a year.
    service_and_packets: u64,
    /// Bytes of their IP packets.
    bytes: u64,
}

/// Bits for packets.
const PACKETS: u32 = 48;

const _: () = assert!(size_of::<FlowEntry<[u8; 4]>>() == 64 && size_of::<FlowEntry<[u8; 16]>>() == 128);

/// The direction is from the pod.
const FROM_POD: u8 = 1;
/// This direction has seen a FIN.
pub(super) const FIN: u8 = 2;
/// This direction has seen a reset.
pub(super) const RST: u8 = 4;

const HOP_UNKNOWN: u32 = u32::MAX;
const HOP_KERNEL: u32 = u32::MAX - 1;

impl<A: Address> FlowEntry<A> {
    /// The two entries of a new flow; `pod` is its direction to the pod as that sees it.
    #[inline]
    pub(super) fn pair(new: &NewFlow<A>, pod: &Tuple<A>, now: Tick) -> [Self; 2] {
        let state = if new.protocol == TCP {
            FlowState::TcpOpening
        } else {
            FlowState::UdpUnreplied
        };
        let one = |key: Tuple<A>, rewrite: Tuple<A>, flags: u8| Self {
            key,
            protocol: new.protocol,
            state,
            flags,
            rewrite,
            deltas: Deltas::between(&key, &rewrite),
            hop: HOP_UNKNOWN,
            fib_publication: 0,
            tables_publication: low(new.tables_publication),
            seen: now,
            service_and_packets: u64::from(new.service) << PACKETS,
            bytes: 0,
        };
        [
            one(new.client, *pod, 0),
            one(pod.reversed(), new.client.reversed(), FROM_POD),
        ]
    }

    /// Whether the slot holds nothing.
    #[inline]
    #[must_use]
    pub const fn is_free(&self) -> bool {
        matches!(self.state, FlowState::Free)
    }

    /// Which way the packets go.
    #[inline]
    #[must_use]
    pub const fn direction(&self) -> Direction {
        if self.flags & FROM_POD == 0 {
            Direction::FromClient
        } else {
            Direction::FromPod
        }
    }

    /// The way that packets leave, if it was looked up in the forwarding table of this publication.
    #[inline]
    #[must_use]
    pub const fn next_hop(&self, fib_publication: u64) -> NextHop {
        if self.fib_publication != low(fib_publication) {
            return NextHop::Unknown;
        }
        match self.hop {
            HOP_UNKNOWN => NextHop::Unknown,
            HOP_KERNEL => NextHop::Kernel,
            hop => NextHop::Hop(HopId(hop)),
        }
    }

    /// Remembers a look-up.
    pub const fn set_next_hop(&mut self, hop: NextHop, fib_publication: u64) {
        self.fib_publication = low(fib_publication);
        self.hop = match hop {
            NextHop::Unknown => HOP_UNKNOWN,
            NextHop::Kernel => HOP_KERNEL,
            NextHop::Hop(HopId(hop)) => hop,
        };
    }

    /// Whether the tables of this publication have allowed the flow.
    #[inline]
    #[must_use]
    pub const fn is_allowed_by(&self, tables_publication: u64) -> bool {
        self.tables_publication == low(tables_publication)
    }

    /// Remembers that they have, and by which number they have the Service.
    pub const fn set_allowed_by(&mut self, tables_publication: u64, service: u16) {
        self.tables_publication = low(tables_publication);
        self.service_and_packets = (service as u64) << PACKETS | self.packets();
    }

    /// Counts a packet.
    #[inline]
    pub const fn count(&mut self, bytes: u16, now: Tick) {
        self.service_and_packets += 1;
        self.bytes += bytes as u64;
        self.seen = now;
    }

    /// Packets of this direction.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.service_and_packets & ((1 << PACKETS) - 1)
    }

    /// Bytes of their IP packets.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The Service, by [`Number::short_index`](crate::number::Number::short_index): right as long as the tables that
    /// [allowed](Self::is_allowed_by) the flow last are in force.
    #[inline]
    #[must_use]
    pub const fn service(&self) -> u16 {
        (self.service_and_packets >> PACKETS) as u16
    }

    /// The flow's direction from the client, whichever direction this is.
    #[inline]
    #[must_use]
    pub const fn client(&self) -> Tuple<A> {
        match self.direction() {
            Direction::FromClient => self.key,
            Direction::FromPod => self.rewrite.reversed(),
        }
    }

    /// The flow's direction to the pod, whichever direction this is.
    #[inline]
    #[must_use]
    pub const fn pod(&self) -> Tuple<A> {
        match self.direction() {
            Direction::FromClient => self.rewrite,
            Direction::FromPod => self.key.reversed(),
        }
    }
}

/// Generations are compared by their low half: for two to be taken for one, four billion would have to pass between
/// two packets of a flow.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
const fn low(publication: u64) -> u32 {
    publication as u32
}
