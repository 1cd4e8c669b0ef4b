//! ICMP errors about translated packets: the quoted packet has to be translated back, or path MTU discovery and
//! refused ports stay hidden from the end that could act on them (RFC 5508, section 4).

use super::checksum::{self, Delta};
use super::rewrite::update_transport;
use super::{Address, Headers, ICMP, ICMPV6, TCP, Tuple, UDP, put_word, word};

/// Bytes of the ICMP header in front of the quoted packet, in both families.
const HEADER: usize = 8;

/// Where the packet that an ICMP error quotes stands in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Of the quoted packet; `end` is where the quotation ends, not where the packet did. `l4 + 8 <= end`.
    pub headers: Headers,
}

/// Finds the TCP or UDP packet that an ICMP error quotes; `None` for what is no error, or quotes something else or
/// too little.
#[must_use]
pub fn parse_quote(frame: &[u8], headers: &Headers) -> Option<Quote> {
    let message = frame.get(usize::from(headers.l4)..usize::from(headers.end))?;
    let error = match (headers.protocol, message.first()?) {
        // Destination unreachable, time exceeded, parameter problem; redirects concern routers.
        (ICMP, 3 | 11 | 12) => !headers.v6,
        // Those and packet too big.
        (ICMPV6, 1..=4) => headers.v6,
        _ => false,
    };
    let quoted = message.get(HEADER..).filter(|_| error)?;
    let l3 = headers.l4 + 8;
    let (l4, protocol) = if headers.v6 {
        quoted_v6(quoted)?
    } else {
        quoted_v4(quoted)?
    };
    let ports: &[u8; 8] = quoted.get(l4..)?.first_chunk()?;
    if !matches!(protocol, TCP | UDP) {
        return None;
    }
    Some(Quote {
        headers: Headers {
            l3,
            l4: l3 + u16::try_from(l4).ok()?,
            source_port: word(ports, 0),
            destination_port: word(ports, 2),
            protocol,
            tcp_flags: 0,
            ..*headers
        },
    })
}

fn quoted_v4(quoted: &[u8]) -> Option<(usize, u8)> {
    let fixed: &[u8; 20] = quoted.first_chunk()?;
    let length = usize::from(fixed[0] & 0xf) * 4;
    // Ports stand in the first fragment only.
    let first = word(fixed, 6) & 0x1fff == 0;
    (fixed[0] >> 4 == 4 && length >= 20 && first).then_some((length, fixed[9]))
}

/// Packets with extension headers are none of ours: they carry no flow that was translated.
fn quoted_v6(quoted: &[u8]) -> Option<(usize, u8)> {
    let fixed: &[u8; 40] = quoted.first_chunk()?;
    (fixed[0] >> 4 == 6).then_some((40, fixed[6]))
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
        checksum::checksum(&frame[usize::from(headers.l4)..usize::from(headers.end)]) == 0
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
    put_word(segment, 0, before.source_port);
    put_word(segment, 2, before.destination_port);
    update_transport(segment, inner.protocol, addresses.and(ports));

    let outer = Tuple::<A>::of(frame, headers);
    let answer = before.reversed();
    let addresses = Delta::between(
        outer.source.sum() + outer.destination.sum(),
        answer.source.sum() + answer.destination.sum(),
    );
    let ip = &mut frame[usize::from(headers.l3)..];
    let hop = if A::V6 { 7 } else { 8 };
    ip[hop] = ip[hop].wrapping_sub(1);
    put_addresses(
        ip,
        answer.source,
        answer.destination,
        addresses.and(Delta::between(0x0100, 0)),
    );
    put_word(frame, usize::from(headers.l4) + 2, 0);
    let message = &frame[usize::from(headers.l4)..usize::from(headers.end)];
    let sum = if A::V6 {
        checksum::transport(&answer, ICMPV6, message)
    } else {
        checksum::checksum(message)
    };
    put_word(frame, usize::from(headers.l4) + 2, sum);
}

/// Writes the addresses of an IP header; `delta` is all that changes in an IPv4 header.
fn put_addresses<A: Address>(ip: &mut [u8], source: A, destination: A, delta: Delta) {
    source.write(&mut ip[A::SOURCE..]);
    destination.write(&mut ip[A::SOURCE + A::LEN..]);
    if !A::V6 {
        let sum = delta.apply(word(ip, 10));
        put_word(ip, 10, sum);
    }
}

#[cfg(test)]
mod tests;
