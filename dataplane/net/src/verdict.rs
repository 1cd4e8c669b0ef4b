//! How a packet's way ends; the counters of every ending are [`record::Counters`](crate::record::Counters).

use std::net::IpAddr;

use strum::{EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray};

use crate::counted::Id;
use crate::ids::{PortId, StageId, WorkerId};
use crate::wire::{Headers, Malformed};

/// What becomes of a packet; each ends with exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rewritten, link-layer header included: send it on this port.
    Forward(PortId),
    /// Rewritten in place into its own answer: send it on the port that it came from.
    Reply,
    /// TCP for a listener, a pod's answer to an L7 stage, or an ICMP error about either. The headers stand where these
    /// say, without extension headers and without padding behind the packet; else it is as it came.
    ToL7 {
        /// Whose connection it is of.
        stage: StageId,
        /// The packet's.
        headers: Headers,
    },
    /// Another worker owns the flow; the packet is as it came.
    HandOver(WorkerId),
    /// Rewritten but for the addresses of the link-layer header, which is Ethernet without tags: once the
    /// neighbour is known, [`wire::set_link`](crate::wire::set_link) completes it. It must not go through
    /// the pipeline a second time.
    Resolve {
        /// Where the neighbour is.
        port: PortId,
        /// The neighbour: a gateway, or the destination itself where it is on the link.
        neighbour: IpAddr,
    },
    /// For the kernel's own stack, as it came or rewritten; the counter of a [`Kernel`] says why.
    ToKernel,
    /// The end of it.
    Drop(Reason),
}

/// Why a packet was dropped. `docs/dataplane.md` says what an operator does about each.
#[derive(EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The frame ends before its headers do.
    Truncated,
    /// The version nibble of the IP header contradicts the EtherType.
    BadVersion,
    /// An IPv4 header length, a TCP data offset or an IPv6 extension that cannot be.
    BadHeaderLength,
    /// An IP or UDP length that is longer than the packet, or shorter than its own header.
    BadLength,
    /// An IPv4 header, or an ICMP error to be translated, whose checksum is wrong.
    BadChecksum,
    /// More IPv6 extension headers than anybody sends.
    TooManyHeaders,
    /// A fragment for an address of Headgate's own: without all of them nobody knows its port.
    Fragment,
    /// Flooded by a switch: the destination MAC address is another host's.
    OtherHost,
    /// A source that nobody can have: multicast, broadcast, loopback, unspecified, IPv4-mapped, an address that only
    /// Headgate has, or the destination itself.
    BadSource,
    /// The packet has been forwarded too often already.
    HopLimit,
    /// A NetworkPolicy or ClusterNetworkPolicy forbids the connection; [`Counters::denials`](crate::record::Counters::denials) says which.
    Denied,
    /// An address of Headgate's own, but neither a Service nor a listener at that port.
    NoService,
    /// A protocol that Headgate does not serve at an address of its own.
    UnsupportedProtocol,
    /// The Service has no ready backend, and no answer could be sent.
    NoBackend,
    /// Belongs to a connection that is not in the flow table, and no answer could be sent.
    NoFlow,
    /// The flow table holds as many flows as it may.
    FlowTableFull,
    /// Every source port of this worker is in use towards the backend.
    SourcePortsExhausted,
    /// No address of the family on the port towards the backend to send from.
    NoSourceAddress,
    /// The kernel's routes know no way to the destination, or forbid it.
    NoRoute,
    /// The backend is an address of this host: its answers would never come out of it.
    LocalBackend,
    /// An ICMP error or a TCP reset was due, and too many have gone out lately.
    RateLimited,
    /// The neighbour did not answer ARP or NDP.
    Unresolved,
    /// Too many packets wait for neighbours already.
    ResolveFull,
    /// The worker that owns the flow does not keep up.
    HandOverFull,
    /// The L7 stage that the connection is of does not keep up.
    StageFull,
    /// The transmit ring of the port, or its driver, does not keep up.
    TransmitFull,
    /// The kernel does not read the TAP device fast enough.
    KernelFull,
    /// It opens a flow or a connection, and the dataplane is about to end: another gateway is to have it.
    Draining,
}

impl Id for Reason {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

/// Why a packet went to the kernel.
#[derive(EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kernel {
    /// Neither IPv4 nor IPv6 nor ARP.
    NotIp,
    /// For an address of the host.
    Local,
    /// For a reserved source port of the host's, where there is no such flow: the kernel refuses it, or it belongs to a
    /// connection that is older than the reservation.
    NoFlow,
    /// For an address that is nobody's here: the kernel forwards or drops it.
    NotOurs,
    /// A fragment, first or later, for an address that is not Headgate's alone.
    Fragment,
    /// An IPv6 routing header with segments left.
    Routed,
    /// ARP or NDP that is not a question for an address of Headgate's.
    Neighbour,
    /// An ICMP error about no flow of this worker.
    IcmpUnmatched,
    /// Rewritten; the route to its destination leaves by a device that is not one of ours.
    OtherDevice,
    /// Rewritten; larger than the next link takes, and may be cut into fragments.
    NeedsFragmenting,
}

impl Id for Kernel {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}

impl From<Malformed> for Reason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Truncated => Self::Truncated,
            Malformed::BadVersion => Self::BadVersion,
            Malformed::BadHeaderLength => Self::BadHeaderLength,
            Malformed::BadLength => Self::BadLength,
            Malformed::BadChecksum => Self::BadChecksum,
            Malformed::TooManyHeaders => Self::TooManyHeaders,
        }
    }
}

/// What a packet was answered with.
#[derive(EnumCount, EnumMessage, EnumProperty, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Answer {
    /// ARP for an address of Headgate's.
    Arp,
    /// NDP for an address of Headgate's.
    NeighbourAdvertisement,
    /// ICMP or ICMPv6 echo.
    Echo,
    /// A TCP reset: no backend, no service, or no such flow.
    Reset,
    /// ICMP port unreachable: no backend, or no service.
    PortUnreachable,
    /// ICMP fragmentation needed, or ICMPv6 packet too big.
    TooBig,
    /// ICMP time exceeded.
    TimeExceeded,
}

impl Id for Answer {
    #[inline]
    fn index(self) -> usize {
        self as usize
    }
}
