//! IP headers of either version.

use std::net::IpAddr;

use super::ethernet::ether_type;
use super::{Address, HOP_LIMIT, Malformed, ipv4, ipv6};

/// The header at the front of a packet.
#[derive(Clone, Copy, Debug)]
pub enum IpHeader<'a> {
    /// Of IPv4.
    V4(ipv4::Ipv4Header<'a>),
    /// Of IPv6.
    V6(ipv6::Ipv6Header<'a>),
}

impl<'a> IpHeader<'a> {
    /// The header at the front of `packet`, of the version that its first byte says.
    ///
    /// # Errors
    /// [`Malformed`], as [`parse`](super::parse) says it.
    pub fn of(packet: &'a [u8]) -> Result<Self, Malformed> {
        match packet.first().map(|first| ipv4::version(*first)) {
            Some(ipv4::VERSION) => ipv4::Ipv4Header::of(packet).map(Self::V4),
            Some(ipv6::VERSION) => ipv6::Ipv6Header::of(packet).map(Self::V6),
            Some(_) => Err(Malformed::BadVersion),
            None => Err(Malformed::Truncated),
        }
    }

    /// The EtherType of such packets.
    #[must_use]
    pub const fn ether_type(self) -> u16 {
        match self {
            Self::V4(_) => ether_type::IPV4,
            Self::V6(_) => ether_type::IPV6,
        }
    }

    /// Bytes of the header: with the options of IPv4, without the extensions of IPv6.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V4(header) => header.header_len(),
            Self::V6(_) => ipv6::HEADER,
        }
    }

    /// Bytes of the packet.
    #[must_use]
    pub fn total_len(self) -> usize {
        match self {
            Self::V4(header) => header.total_len(),
            Self::V6(header) => header.total_len(),
        }
    }

    /// What follows.
    #[must_use]
    pub const fn next(self) -> u8 {
        match self {
            Self::V4(header) => header.protocol(),
            Self::V6(header) => header.next(),
        }
    }

    /// From whom.
    #[must_use]
    pub fn source(self) -> IpAddr {
        match self {
            Self::V4(header) => header.source().into(),
            Self::V6(header) => header.source().into(),
        }
    }

    /// To whom.
    #[must_use]
    pub fn destination(self) -> IpAddr {
        match self {
            Self::V4(header) => header.destination().into(),
            Self::V6(header) => header.destination().into(),
        }
    }
}

/// Writes the header, without options or extensions, of a packet that fills `packet`.
///
/// # Panics
/// Where `packet` is shorter than the header or longer than an IP packet can be.
pub fn write<A: Address>(packet: &mut [u8], source: A, destination: A, protocol: u8) {
    if A::V6 {
        ipv6::write(packet, source, destination, protocol, HOP_LIMIT);
    } else {
        ipv4::write(packet, source, destination, protocol);
    }
}
