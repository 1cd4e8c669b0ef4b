//! One pass over a frame's headers.

use super::ethernet::{self, ether_type};
use super::headers::{Fragment, Headers, Malformed, offset};
use super::ipv6::{self, Chain, extension};
use super::{ICMP, ICMPV6, TCP, UDP, checksum, icmp, ipv4, tcp, udp};

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

#[cfg(test)]
mod tests;
