//! One pass over a frame's headers.

use std::net::IpAddr;

use headgate_abi::wire::Field;
use thiserror::Error;

use super::ethernet::{self, ether_type};
use super::ipv6::{self, Chain, extension};
use super::{Address, ICMP, ICMPV6, TCP, Tuple, UDP, checksum, icmp, ipv4, tcp, udp};

/// Lies or nonsense in headers that are ours to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Malformed {
    /// The frame ends before its headers do.
    #[error("the frame ends inside its headers")]
    Truncated,
    /// An IPv4 EtherType before another version, or an IPv6 one.
    #[error("the IP version contradicts the EtherType")]
    BadVersion,
    /// Shorter than the fixed part, or longer than the packet.
    #[error("a header length that cannot be")]
    BadHeaderLength,
    /// Longer than the frame, or shorter than the header.
    #[error("an IP or UDP length that cannot be")]
    BadLength,
    /// Of the IPv4 header.
    #[error("wrong IPv4 header checksum")]
    BadChecksum,
    /// More than [`extension::MAX`].
    #[error("too many IPv6 extension headers")]
    TooManyHeaders,
}

/// Where the headers of an IP packet stand; all offsets count from the start of the frame, or of the packet where there is
/// no frame around it.
///
/// `l3 < l4 <= end <= frame.len()`. The fixed part of a TCP, UDP, ICMP or ICMPv6 header lies wholly in
/// `l4..end`, and so does all that a TCP data offset or a UDP length claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The IP header.
    pub l3: u16,
    /// What follows IPv4 options or IPv6 extension headers.
    pub l4: u16,
    /// The end of the IP packet; what comes behind it in the frame is padding.
    pub end: u16,
    /// 0 where the protocol is neither TCP nor UDP.
    pub source_port: u16,
    /// 0 where the protocol is neither TCP nor UDP.
    pub destination_port: u16,
    /// The IANA number of what stands at `l4`.
    pub protocol: u8,
    /// See [`tcp::flag`]; 0 where the protocol is not TCP.
    pub tcp_flags: u8,
    /// Whether the IP header is IPv6's.
    pub v6: bool,
}

impl Headers {
    /// The IP packet, without padding behind it.
    ///
    /// # Panics
    /// Where they are of another frame.
    #[inline]
    #[must_use]
    pub fn packet<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[usize::from(self.l3)..usize::from(self.end)]
    }

    /// Source and destination.
    ///
    /// # Panics
    /// Where they are of another frame.
    #[must_use]
    pub fn addresses(&self, frame: &[u8]) -> (IpAddr, IpAddr) {
        fn of<A: Address>(frame: &[u8], headers: &Headers) -> (IpAddr, IpAddr) {
            let tuple = Tuple::<A>::of(frame, headers);
            (tuple.source.ip(), tuple.destination.ip())
        }
        if self.v6 {
            of::<[u8; 16]>(frame, self)
        } else {
            of::<[u8; 4]>(frame, self)
        }
    }

    /// What stands behind the IP header and its options or extensions.
    ///
    /// # Panics
    /// Where they are of another frame.
    #[inline]
    #[must_use]
    pub fn segment<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[usize::from(self.l4)..usize::from(self.end)]
    }
}

/// A part of an IP packet, and where it stands: offsets count as those of [`Headers`] do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The IP header.
    pub l3: u16,
    /// The part of the packet's payload.
    pub payload: u16,
    /// The end of the fragment.
    pub end: u16,
    /// Where the part belongs in the whole payload, in bytes; a multiple of 8. 0 for the first fragment.
    pub offset: u16,
    /// The two halves of the identification; IPv4 has the lower one only.
    identification: [u16; 2],
    /// What the whole payload begins with: the IANA number of a protocol, or in IPv6 of an extension header.
    pub next: u8,
    /// Whether other fragments come behind this one.
    pub more: bool,
    /// Whether the IP header is IPv6's.
    pub v6: bool,
}

impl Fragment {
    /// To whom.
    ///
    /// # Panics
    /// Where it is of another frame.
    #[must_use]
    pub fn destination(&self, frame: &[u8]) -> IpAddr {
        let at = |field: Field| &frame[usize::from(self.l3) + field.start..];
        if self.v6 {
            <[u8; 16]>::read(at(ipv6::field::DESTINATION)).ip()
        } else {
            <[u8; 4]>::read(at(ipv4::field::DESTINATION)).ip()
        }
    }

    /// What all fragments of a packet have in common, beside addresses and in IPv4 the protocol.
    #[must_use]
    pub const fn identification(&self) -> u32 {
        (self.identification[0] as u32) << 16 | self.identification[1] as u32
    }
}

/// What a well-formed frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole IP packet.
    Ip(Headers),
    /// An ARP packet at this offset.
    Arp(u16),
    /// A fragment of an IP packet, first or later.
    Fragment(Fragment),
    /// An IPv6 packet that has segments left in a routing header.
    Routed,
    /// Anything else.
    NotIp,
}

/// Parses an Ethernet frame.
///
/// # Errors
/// [`Malformed`] where headers contradict each other or the length of the frame. A frame that simply is not for
/// us to understand is no error.
#[inline]
pub fn parse(frame: &[u8]) -> Result<Parsed, Malformed> {
    let frame = short(frame);
    let (ether_type, l3) = ethernet::payload(frame)?;
    match ether_type {
        ether_type::IPV4 => ipv4(frame, l3),
        ether_type::IPV6 => ipv6(frame, l3),
        ether_type::ARP => Ok(Parsed::Arp(offset(l3))),
        _ => Ok(Parsed::NotIp),
    }
}

/// Parses an IP packet without a frame around it, of the version that its first byte says.
///
/// # Errors
/// As [`parse`].
pub fn parse_packet(packet: &[u8]) -> Result<Parsed, Malformed> {
    let packet = short(packet);
    match ipv4::version(*packet.first().ok_or(Malformed::Truncated)?) {
        ipv6::VERSION => ipv6(packet, 0),
        _ => ipv4(packet, 0),
    }
}

/// Offsets are 16 bits wide; no link carries frames of that size, so nothing real is cut off.
#[inline]
fn short(frame: &[u8]) -> &[u8] {
    &frame[..frame.len().min(usize::from(u16::MAX))]
}

#[inline]
fn ipv4(frame: &[u8], l3: usize) -> Result<Parsed, Malformed> {
    let ip = ipv4::Ipv4Header::of(&frame[l3..])?;
    let (length, end) = (ip.header_len(), l3 + ip.total_len());
    if ip.total_len() < length || end > frame.len() {
        return Err(Malformed::BadLength);
    }
    // The common case has a length that the compiler knows.
    let right = if length == ipv4::HEADER {
        checksum::is_right(ip.bytes())
    } else {
        checksum::is_right(&frame[l3..l3 + length])
    };
    if !right {
        return Err(Malformed::BadChecksum);
    }
    if ip.is_fragment() {
        return Ok(Parsed::Fragment(Fragment {
            l3: offset(l3),
            payload: offset(l3 + length),
            end: offset(end),
            offset: ip.fragment_offset(),
            identification: [0, ip.identification()],
            next: ip.protocol(),
            more: ip.more_fragments(),
            v6: false,
        }));
    }
    transport(frame, [l3, l3 + length, end], ip.protocol(), false)
}

fn ipv6(frame: &[u8], l3: usize) -> Result<Parsed, Malformed> {
    let ip = ipv6::Ipv6Header::of(&frame[l3..])?;
    let end = l3 + ip.total_len();
    let packet = frame.get(..end).ok_or(Malformed::BadLength)?;
    match ipv6::walk(packet, l3 + ipv6::HEADER, ip.next())? {
        Chain::Transport { at, protocol } => transport(frame, [l3, at, end], protocol, true),
        Chain::Fragment { at, header } => Ok(Parsed::Fragment(Fragment {
            l3: offset(l3),
            payload: offset(at + extension::LEAST),
            end: offset(end),
            offset: header.offset(),
            identification: header.identification(),
            next: header.next(),
            more: header.more(),
            v6: true,
        })),
        Chain::Routed => Ok(Parsed::Routed),
    }
}

/// `l4 <= end <= frame.len()`.
#[inline]
fn transport(frame: &[u8], [l3, l4, end]: [usize; 3], protocol: u8, v6: bool) -> Result<Parsed, Malformed> {
    let segment = &frame[l4..end];
    let mut headers = Headers {
        l3: offset(l3),
        l4: offset(l4),
        end: offset(end),
        source_port: 0,
        destination_port: 0,
        protocol,
        tcp_flags: 0,
        v6,
    };
    match protocol {
        TCP => {
            let tcp = tcp::TcpHeader::of(segment)?;
            headers.source_port = tcp.source_port();
            headers.destination_port = tcp.destination_port();
            headers.tcp_flags = tcp.flags();
        }
        UDP => {
            let udp = udp::UdpHeader::of(segment)?;
            headers.source_port = udp.source_port();
            headers.destination_port = udp.destination_port();
        }
        ICMP if !v6 && segment.len() < icmp::HEADER => return Err(Malformed::Truncated),
        ICMPV6 if v6 && segment.len() < icmp::HEADER => return Err(Malformed::Truncated),
        _ => {}
    }
    Ok(Parsed::Ip(headers))
}

/// Frames are cut, so that every offset fits.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "frames are cut to 65,535 bytes at the start"
)]
pub(super) const fn offset(at: usize) -> u16 {
    at as u16
}

#[cfg(test)]
mod tests;
