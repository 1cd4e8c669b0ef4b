//! One pass over a frame's headers.

use thiserror::Error;

use super::{ICMP, ICMPV6, TCP, UDP, checksum, word};

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
    /// More than 8.
    #[error("too many IPv6 extension headers")]
    TooManyHeaders,
}

/// Where the headers of an IP packet stand; all offsets count from the start of the frame.
///
/// `14 <= l3 < l4 <= end <= frame.len()`. The fixed part of a TCP, UDP, ICMP or ICMPv6 header lies wholly in
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
    /// See [`tcp_flag`](super::tcp_flag); 0 where the protocol is not TCP.
    pub tcp_flags: u8,
    /// Whether the IP header is IPv6's.
    pub v6: bool,
}

/// What a well-formed frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole IP packet.
    Ip(Headers),
    /// An ARP packet at this offset.
    Arp(u16),
    /// A fragment of an IP packet, first or later.
    Fragment,
    /// An IPv6 packet that has segments left in a routing header.
    Routed,
    /// Anything else.
    NotIp,
}

/// VLAN tags that are seen through: one of the customer and one of the provider.
const MAX_TAGS: usize = 2;
/// IPv6 extension headers that are walked; RFC 8200 4.1 recommends an order in which seven make sense.
const MAX_EXTENSIONS: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and the number that was used for the latter before it had one.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// Parses an Ethernet frame.
///
/// # Errors
/// [`Malformed`] where headers contradict each other or the length of the frame. A frame that simply is not for
/// us to understand is no error.
#[inline]
pub fn parse(frame: &[u8]) -> Result<Parsed, Malformed> {
    // Offsets are 16 bits wide; no link carries frames of that size, so nothing real is cut off.
    let frame = &frame[..frame.len().min(usize::from(u16::MAX))];
    let mut l3 = 14;
    if frame.len() < l3 {
        return Err(Malformed::Truncated);
    }
    let mut ethertype = word(frame, 12);
    let mut tags = 0;
    while TAGS.contains(&ethertype) && tags < MAX_TAGS {
        if frame.len() < l3 + 4 {
            return Err(Malformed::Truncated);
        }
        ethertype = word(frame, l3 + 2);
        l3 += 4;
        tags += 1;
    }
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, l3),
        ETHERTYPE_IPV6 => ipv6(frame, l3),
        ETHERTYPE_ARP => Ok(Parsed::Arp(offset(l3))),
        _ => Ok(Parsed::NotIp),
    }
}

#[inline]
fn ipv4(frame: &[u8], l3: usize) -> Result<Parsed, Malformed> {
    let fixed: &[u8; 20] = frame[l3..].first_chunk().ok_or(Malformed::Truncated)?;
    if fixed[0] >> 4 != 4 {
        return Err(Malformed::BadVersion);
    }
    let length = usize::from(fixed[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if length < 20 {
        return Err(Malformed::BadHeaderLength);
    }
    if total < length || l3 + total > frame.len() {
        return Err(Malformed::BadLength);
    }
    // The common case has a length that the compiler knows.
    let sum = if length == 20 {
        checksum::sum(fixed)
    } else {
        checksum::sum(&frame[l3..l3 + length])
    };
    if checksum::fold(sum) != 0xffff {
        return Err(Malformed::BadChecksum);
    }
    // More fragments, or an offset other than zero.
    if u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0 {
        return Ok(Parsed::Fragment);
    }
    transport(frame, l3, l3 + length, l3 + total, fixed[9], false)
}

fn ipv6(frame: &[u8], l3: usize) -> Result<Parsed, Malformed> {
    let fixed: &[u8; 40] = frame[l3..].first_chunk().ok_or(Malformed::Truncated)?;
    if fixed[0] >> 4 != 6 {
        return Err(Malformed::BadVersion);
    }
    let end = l3 + 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    if end > frame.len() {
        return Err(Malformed::BadLength);
    }
    match extensions(&frame[..end], l3 + 40, fixed[6])? {
        Chain::Transport { at, protocol } => transport(frame, l3, at, end, protocol, true),
        Chain::Fragment => Ok(Parsed::Fragment),
        Chain::Routed => Ok(Parsed::Routed),
    }
}

enum Chain {
    Transport { at: usize, protocol: u8 },
    Fragment,
    Routed,
}

/// Walks extension headers (RFC 8200, 4) to the first header that is none.
fn extensions(packet: &[u8], mut at: usize, mut next: u8) -> Result<Chain, Malformed> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    const DESTINATION: u8 = 60;
    for _ in 0..=MAX_EXTENSIONS {
        if !matches!(
            next,
            HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION
        ) {
            return Ok(Chain::Transport { at, protocol: next });
        }
        let head: &[u8; 4] = packet[at..].first_chunk().ok_or(Malformed::Truncated)?;
        let length = match next {
            FRAGMENT => return Ok(Chain::Fragment),
            ROUTING if head[3] != 0 => return Ok(Chain::Routed),
            AUTHENTICATION => (usize::from(head[1]) + 2) * 4,
            _ => (usize::from(head[1]) + 1) * 8,
        };
        if packet.len() - at < length {
            return Err(Malformed::BadHeaderLength);
        }
        next = head[0];
        at += length;
    }
    Err(Malformed::TooManyHeaders)
}

/// `end <= frame.len()`, `l4 <= end`.
#[inline]
fn transport(
    frame: &[u8],
    l3: usize,
    l4: usize,
    end: usize,
    protocol: u8,
    v6: bool,
) -> Result<Parsed, Malformed> {
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
            let tcp: &[u8; 20] = segment.first_chunk().ok_or(Malformed::Truncated)?;
            let length = usize::from(tcp[12] >> 4) * 4;
            if length < 20 || length > segment.len() {
                return Err(Malformed::BadHeaderLength);
            }
            headers.source_port = word(tcp, 0);
            headers.destination_port = word(tcp, 2);
            headers.tcp_flags = tcp[13];
        }
        UDP => {
            let udp: &[u8; 8] = segment.first_chunk().ok_or(Malformed::Truncated)?;
            let length = usize::from(word(udp, 4));
            if length < 8 || length > segment.len() {
                return Err(Malformed::BadLength);
            }
            headers.source_port = word(udp, 0);
            headers.destination_port = word(udp, 2);
        }
        ICMP if !v6 && segment.len() < 8 => return Err(Malformed::Truncated),
        ICMPV6 if v6 && segment.len() < 8 => return Err(Malformed::Truncated),
        _ => {}
    }
    Ok(Parsed::Ip(headers))
}

/// `parse` has cut the frame, so that every offset fits.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "frames are cut to 65,535 bytes at the start"
)]
const fn offset(at: usize) -> u16 {
    at as u16
}

#[cfg(test)]
mod tests;
