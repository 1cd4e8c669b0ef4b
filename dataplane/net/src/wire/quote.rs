//! ICMP errors about translated packets: the quoted packet has to be translated back, or path MTU discovery and
//! refused ports stay hidden from the end that could act on them (RFC 5508, section 4).

use super::checksum::{self, Delta};
use super::headers::offset;
use super::rewrite::{put_ports, update_transport};
use super::{Address, Headers, TCP, Tuple, UDP, icmp, ipv4, ipv6, ports, word};

/// Where the packet that an ICMP error quotes stands in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Of the quoted packet; `end` is where the quotation ends, not where the packet did. `l4 + 8 <= end`.
    pub headers: Headers,
}

/// Bytes of the quoted segment that every error has (RFC 792).
const LEAST: usize = 8;

/// Finds the TCP or UDP packet that an ICMP error quotes; `None` for what is no error, or quotes something else or
/// too little.
#[must_use]
pub fn parse_quote(frame: &[u8], headers: &Headers) -> Option<Quote> {
    let message = frame.get(usize::from(headers.l4)..usize::from(headers.end))?;
    if !icmp::is_error(headers.protocol, *message.get(icmp::field::TYPE)?, headers.v6) {
        return None;
    }
    let quoted = message.get(icmp::HEADER..)?;
    let (header, protocol) = if headers.v6 {
        quoted_v6(quoted)?
    } else {
        quoted_v4(quoted)?
    };
    let segment: &[u8; LEAST] = quoted.get(header..)?.first_chunk()?;
    if !matches!(protocol, TCP | UDP) {
        return None;
    }
    let l3 = usize::from(headers.l4) + icmp::HEADER;
    Some(Quote {
        headers: Headers {
            l3: offset(l3),
            l4: offset(l3 + header),
            source_port: word(segment, ports::SOURCE.start),
            destination_port: word(segment, ports::DESTINATION.start),
            protocol,
            tcp_flags: 0,
            ..*headers
        },
    })
}

fn quoted_v4(quoted: &[u8]) -> Option<(usize, u8)> {
    let ip = ipv4::Ipv4Header::of(quoted).ok()?;
    // Ports stand in the first fragment only.
    (ip.fragment_offset() == 0).then_some((ip.header_len(), ip.protocol()))
}

/// Packets with extension headers are none of ours: they carry no flow that was translated.
fn quoted_v6(quoted: &[u8]) -> Option<(usize, u8)> {
    let ip = ipv6::Ipv6Header::of(quoted).ok()?;
    Some((ipv6::HEADER, ip.next()))
}

/// Whether the ICMP checksum of the error is right. Translation writes a new one, which must not mend a wrong one.
///
/// # Panics
/// Where `headers` are of another frame.
#[must_use]
pub fn intact(frame: &[u8], headers: &Headers) -> bool {
    if headers.v6 {
        checksum::transport_of(frame, headers) == 0
    } else {
        checksum::is_right(headers.segment(frame))
    }
}

/// Rewrites an error about a packet that was translated, for the end that sent it as `before`: the quotation, and the
/// outer addresses, which become those of an answer to it. Takes one from the TTL or hop limit, which must not be 0.
///
/// # Panics
/// Where `headers` and `quote` are of another frame or address family.
pub fn translate<A: Address>(frame: &mut [u8], headers: &Headers, quote: &Quote, before: &Tuple<A>) {
    let inner = &quote.headers;
    let now = Tuple::<A>::of(frame, inner);
    let addresses = Delta::between(
        now.source.sum() + now.destination.sum(),
        before.source.sum() + before.destination.sum(),
    );
    let ports = Delta::between(
        u32::from(now.source_port) + u32::from(now.destination_port),
        u32::from(before.source_port) + u32::from(before.destination_port),
    );
    let quoted = &mut frame[usize::from(inner.l3)..usize::from(inner.end)];
    put_addresses(quoted, before.source, before.destination, addresses);
    let segment = &mut quoted[usize::from(inner.l4 - inner.l3)..];
    put_ports(segment, before);
    update_transport(segment, inner.protocol, addresses.and(ports));

    let outer = Tuple::<A>::of(frame, headers);
    let answer = before.reversed();
    let addresses = Delta::between(
        outer.source.sum() + outer.destination.sum(),
        answer.source.sum() + answer.destination.sum(),
    );
    let ip = &mut frame[usize::from(headers.l3)..];
    ip[A::HOP_LIMIT] = ip[A::HOP_LIMIT].wrapping_sub(1);
    put_addresses(
        ip,
        answer.source,
        answer.destination,
        addresses.and(Delta::OF_HOP),
    );
    let message = &mut frame[usize::from(headers.l4)..usize::from(headers.end)];
    icmp::fill_checksum(message, &answer);
}

/// Writes the addresses of an IP header; `delta` is all that changes in an IPv4 header.
fn put_addresses<A: Address>(ip: &mut [u8], source: A, destination: A, delta: Delta) {
    source.write(&mut ip[A::SOURCE..]);
    destination.write(&mut ip[A::SOURCE + A::LEN..]);
    if !A::V6 {
        ipv4::update_checksum(ip, delta);
    }
}

#[cfg(test)]
mod tests;
