//! ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443) errors about packets.

use super::link::swap_link;
use super::{Address, Headers, ICMP, ICMPV6, Tuple, checksum, craft, put_word};

/// What was wrong with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nobody serves the port.
    PortUnreachable,
    /// The next link takes IP packets of this many bytes at most.
    TooBig(u16),
    /// TTL or hop limit ran out.
    TimeExceeded,
}

/// Bytes of the ICMP header in front of the quoted packet, in both families.
const HEADER: usize = 8;
/// An ICMP error is no longer than this, IP header included (RFC 1812, 4.3.2.3).
const MAX_V4: usize = 576;
/// The same for ICMPv6: the least MTU of IPv6 (RFC 4443, 2.4 c).
const MAX_V6: usize = 1280;

/// Turns a packet into the error about it, from the address that it was sent to. Gives the error's length;
/// `None` where the buffer is too short to quote anything.
///
/// # Panics
/// Where `headers` are of another frame.
pub fn answer(buffer: &mut [u8], headers: &Headers, error: Error) -> Option<usize> {
    let len = if headers.v6 {
        write::<[u8; 16]>(buffer, headers, error, MAX_V6)
    } else {
        write::<[u8; 4]>(buffer, headers, error, MAX_V4)
    }?;
    swap_link(buffer);
    Some(len)
}

fn write<A: Address>(buffer: &mut [u8], headers: &Headers, error: Error, max: usize) -> Option<usize> {
    let tuple = Tuple::<A>::of(buffer, headers).reversed();
    let (l3, end) = (usize::from(headers.l3), usize::from(headers.end));
    let front = craft::ip_header_len::<A>() + HEADER;
    let room = buffer.len().checked_sub(l3 + front)?.min(max - front);
    let quoted = room.min(end - l3);
    buffer.copy_within(l3..l3 + quoted, l3 + front);
    let packet = &mut buffer[l3..l3 + front + quoted];
    let protocol = if A::V6 { ICMPV6 } else { ICMP };
    craft::ip_header(packet, tuple.source, tuple.destination, protocol);
    let message = &mut packet[front - HEADER..];
    message[..HEADER].fill(0);
    let (kind, code) = numbers::<A>(error);
    message[0] = kind;
    message[1] = code;
    if let Error::TooBig(mtu) = error {
        // The low half of the second word in both: ICMPv6's MTU is 32 bits wide.
        put_word(message, 6, mtu);
    }
    let sum = if A::V6 {
        checksum::transport(&tuple, protocol, message)
    } else {
        checksum::checksum(message)
    };
    put_word(message, 2, sum);
    Some(l3 + front + quoted)
}

/// Type and code.
const fn numbers<A: Address>(error: Error) -> (u8, u8) {
    match (error, A::V6) {
        (Error::PortUnreachable, false) => (3, 3),
        (Error::PortUnreachable, true) => (1, 4),
        (Error::TooBig(_), false) => (3, 4),
        (Error::TooBig(_), true) => (2, 0),
        (Error::TimeExceeded, false) => (11, 0),
        (Error::TimeExceeded, true) => (3, 0),
    }
}

#[cfg(test)]
mod tests;
