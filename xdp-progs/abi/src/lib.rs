//! What the steering program shares with user space: its maps, as program and loader see them, and the grammar of
//! headers ([`wire`]).
//!
//! Every type is plain data without padding: what user space writes, the program reads byte for byte. A
//! change here is a change of both sides: rebuild the program (`scripts/build-xdp`).
#![no_std]
#![forbid(unsafe_code)]

pub mod wire;

/// The program's name in the object.
pub const PROGRAM: &str = "headgate";
/// The hash map from [`Address`] to [`Rule`].
pub const ADDRESSES: &str = "ADDRESSES";
/// The hash map from [`PortKey`] to [`PORT_PRESENT`].
pub const PORTS: &str = "PORTS";
/// The array of AF_XDP sockets by receive queue.
pub const SOCKETS: &str = "SOCKETS";
/// The per-CPU array of counters, `u64` each, by [`Outcome`].
pub const COUNTERS: &str = "COUNTERS";

/// Entries of [`ADDRESSES`] at most.
pub const MAX_ADDRESSES: usize = 16_384;
/// Entries of [`PORTS`] at most.
pub const MAX_PORTS: usize = 65_536;
/// Receive queues of one interface at most.
pub const MAX_QUEUES: usize = 256;

/// The value of every entry of [`PORTS`]; only the key matters.
pub const PORT_PRESENT: u8 = 1;

/// An IPv6 address, or an IPv4 address mapped into one (RFC 4291, section 2.5.5.2), in network byte order.
///
/// Eight units of two bytes: headers lie at even offsets of a packet, so the program reads them as such.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub [u16; 8]);

impl Address {
    /// The address of these sixteen octets.
    #[must_use]
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        let mut units = [0; 8];
        let mut i = 0;
        while i < 8 {
            units[i] = u16::from_ne_bytes([octets[2 * i], octets[2 * i + 1]]);
            i += 1;
        }
        Self(units)
    }

    /// The IPv4 address of two units in network byte order, mapped.
    #[inline(always)]
    #[must_use]
    pub const fn mapped(units: [u16; 2]) -> Self {
        Self([0, 0, 0, 0, 0, 0xffff, units[0], units[1]])
    }
}

/// What to take of the packets for an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Any of the flags below.
    pub flags: u16,
    /// The first of the reserved source ports, in host byte order; with [`Rule::SOURCE_PORTS`].
    pub first_port: u16,
    /// The last of them: `first_port <= last_port`.
    pub last_port: u16,
    /// Zero.
    pub reserved: u16,
}

impl Rule {
    /// Every IP packet.
    pub const ALL: u16 = 1;
    /// Every fragment, the first one too.
    pub const FRAGMENTS: u16 = 1 << 1;
    /// ARP requests and NDP neighbour solicitations that ask for the address.
    pub const NEIGHBOURS: u16 = 1 << 2;
    /// TCP and UDP packets with a destination port from `first_port` to `last_port`.
    pub const SOURCE_PORTS: u16 = 1 << 3;
    /// What [`PORTS`] has of the address.
    pub const PORTS: u16 = 1 << 4;

    /// Whether any of `flags` is set.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// A port of an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// The destination address.
    pub address: Address,
    /// The destination port, in host byte order.
    pub port: u16,
    /// The protocol: TCP (6), UDP (17) or SCTP (132).
    pub protocol: u16,
}

/// How the program's run for one packet ended. Redirected packets go to the AF_XDP socket of their queue, passed
/// packets to the kernel.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Redirected: all of the destination address is taken.
    Address,
    /// Redirected: the destination's protocol and port are taken.
    Port,
    /// Redirected: the destination port is one of the reserved source ports.
    SourcePort,
    /// Redirected: a fragment for an address whose fragments are taken.
    Fragment,
    /// Redirected: an ARP request for an address that we answer for.
    Arp,
    /// Redirected: a neighbour solicitation for such an address.
    Ndp,
    /// Passed: neither IP nor ARP.
    NotIp,
    /// Passed: an IP packet or ARP request whose address is not managed.
    NotManaged,
    /// Passed: the address is managed, but this packet is none that is taken.
    NotTaken,
    /// Passed: a fragment for a managed address whose fragments are not taken.
    FragmentNotTaken,
    /// Passed: to be redirected, but no socket is bound to the queue.
    NoSocket,
    /// Passed: ends within its headers, or they contradict themselves.
    Malformed,
    /// Passed: more VLAN tags or IPv6 extension headers than the program looks through.
    TooDeep,
}

impl Outcome {
    /// All of them, by their place in [`COUNTERS`].
    pub const ALL: [Self; 13] = [
        Self::Address,
        Self::Port,
        Self::SourcePort,
        Self::Fragment,
        Self::Arp,
        Self::Ndp,
        Self::NotIp,
        Self::NotManaged,
        Self::NotTaken,
        Self::FragmentNotTaken,
        Self::NoSocket,
        Self::Malformed,
        Self::TooDeep,
    ];
    /// Its name in status and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "redirected_address",
            Self::Port => "redirected_port",
            Self::SourcePort => "redirected_source_port",
            Self::Fragment => "redirected_fragment",
            Self::Arp => "redirected_arp",
            Self::Ndp => "redirected_ndp",
            Self::NotIp => "passed_not_ip",
            Self::NotManaged => "passed_not_managed",
            Self::NotTaken => "passed_not_taken",
            Self::FragmentNotTaken => "passed_fragment",
            Self::NoSocket => "passed_no_socket",
            Self::Malformed => "passed_malformed",
            Self::TooDeep => "passed_too_deep",
        }
    }
}
