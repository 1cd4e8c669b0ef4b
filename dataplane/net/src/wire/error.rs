//! ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443) errors about packets.

use super::ethernet::swap_link;
use super::icmp::{self, HEADER, field, v4, v6};
use super::{Address, Headers, Tuple, ip, put_word};

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
    let front = A::HEADER + HEADER;
    let room = buffer.len().checked_sub(l3 + front)?.min(max - front);
    let quoted = room.min(end - l3);
    buffer.copy_within(l3..l3 + quoted, l3 + front);
    let packet = &mut buffer[l3..l3 + front + quoted];
    ip::write(packet, tuple.source, tuple.destination, icmp::protocol::<A>());
    let message = &mut packet[A::HEADER..];
    message[..HEADER].fill(0);
    let (kind, code) = numbers::<A>(error);
    message[field::TYPE] = kind;
    message[field::CODE] = code;
    if let Error::TooBig(mtu) = error {
        put_word(message, field::MTU_V4.start, mtu);
    }
    icmp::fill_checksum(message, &tuple);
    Some(l3 + front + quoted)
}

/// Type and code.
const fn numbers<A: Address>(error: Error) -> (u8, u8) {
    match (error, A::V6) {
        (Error::PortUnreachable, false) => (v4::UNREACHABLE, v4::PORT_UNREACHABLE),
        (Error::PortUnreachable, true) => (v6::UNREACHABLE, v6::PORT_UNREACHABLE),
        (Error::TooBig(_), false) => (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED),
        (Error::TooBig(_), true) => (v6::PACKET_TOO_BIG, 0),
        (Error::TimeExceeded, false) => (v4::TIME_EXCEEDED, 0),
        (Error::TimeExceeded, true) => (v6::TIME_EXCEEDED, 0),
    }
}

#[cfg(test)]
mod tests;
