//! ICMP (RFC 792) and ICMPv6 (RFC 4443) echo.

use super::checksum::Delta;
use super::ethernet::swap_link;
use super::icmp::{field, v4, v6};
use super::{Address, HOP_LIMIT, Headers, ICMP, ICMPV6, ipv4, put_word, word};

/// Whether the packet is an echo request.
///
/// # Panics
/// Where `headers` are of another frame.
#[must_use]
pub fn is_request(frame: &[u8], headers: &Headers) -> bool {
    let message = headers.segment(frame);
    let kind = match headers.protocol {
        ICMP if !headers.v6 => v4::ECHO_REQUEST,
        ICMPV6 if headers.v6 => v6::ECHO_REQUEST,
        _ => return false,
    };
    message[field::TYPE] == kind && message[field::CODE] == 0
}

/// Turns the request into its reply, in place: addresses trade places, and a wrong checksum stays wrong.
///
/// # Panics
/// Where [`is_request`] says that it is none.
pub fn reply(frame: &mut [u8], headers: &Headers) {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    swap_link(frame);
    let (ip, message) = frame[l3..].split_at_mut(l4 - l3);
    if headers.v6 {
        swap::<[u8; 16]>(ip);
    } else {
        // The TTL is the high half of the word that it stands in.
        let old = word(ip, ipv4::field::TTL);
        swap::<[u8; 4]>(ip);
        let new = word(ip, ipv4::field::TTL);
        ipv4::update_checksum(ip, Delta::between(old.into(), new.into()));
    }
    // So is the type.
    let old = word(message, field::TYPE);
    message[field::TYPE] = if headers.v6 {
        v6::ECHO_REPLY
    } else {
        v4::ECHO_REPLY
    };
    let delta = Delta::between(old.into(), word(message, field::TYPE).into());
    let sum = delta.apply(word(message, field::CHECKSUM.start));
    put_word(message, field::CHECKSUM.start, sum);
}

/// Swaps the addresses, and lets the packet go as far as one that begins here.
fn swap<A: Address>(ip: &mut [u8]) {
    let (source, rest) = ip[A::SOURCE..].split_at_mut(A::LEN);
    source.swap_with_slice(&mut rest[..A::LEN]);
    ip[A::HOP_LIMIT] = HOP_LIMIT;
}

#[cfg(test)]
mod tests;
