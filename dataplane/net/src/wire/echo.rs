//! ICMP (RFC 792) and ICMPv6 (RFC 4443) echo.

use super::checksum::Delta;
use super::craft::HOP_LIMIT;
use super::link::swap_link;
use super::{Address, Headers, ICMP, ICMPV6, put_word, word};

const REQUEST: u8 = 8;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// Whether the packet is an echo request.
///
/// # Panics
/// Where `headers` are of another frame.
#[must_use]
pub fn is_request(frame: &[u8], headers: &Headers) -> bool {
    let l4 = usize::from(headers.l4);
    let kind = match headers.protocol {
        ICMP if !headers.v6 => REQUEST,
        ICMPV6 if headers.v6 => REQUEST_V6,
        _ => return false,
    };
    frame[l4] == kind && frame[l4 + 1] == 0
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
        ip[7] = HOP_LIMIT;
    } else {
        swap::<[u8; 4]>(ip);
        let old = word(ip, 8);
        ip[8] = HOP_LIMIT;
        let delta = Delta::between(old.into(), word(ip, 8).into());
        let sum = delta.apply(word(ip, 10));
        put_word(ip, 10, sum);
    }
    let old = word(message, 0);
    message[0] = if headers.v6 { REPLY_V6 } else { 0 };
    let sum = Delta::between(old.into(), word(message, 0).into()).apply(word(message, 2));
    put_word(message, 2, sum);
}

fn swap<A: Address>(ip: &mut [u8]) {
    let (source, rest) = ip[A::SOURCE..].split_at_mut(A::LEN);
    source.swap_with_slice(&mut rest[..A::LEN]);
}

#[cfg(test)]
mod tests;
