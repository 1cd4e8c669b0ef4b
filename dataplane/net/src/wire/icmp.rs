//! ICMP (RFC 792) and ICMPv6 (RFC 4443) messages.

pub use headgate_abi::wire::icmp::{HEADER, field, v4, v6};

use super::{Address, ICMP, ICMPV6, Tuple, checksum, long, put_word, word};

/// Whether a message of `protocol` in a packet of one IP or the other is an error that quotes a packet.
#[must_use]
pub(super) fn is_error(protocol: u8, kind: u8, of_v6: bool) -> bool {
    match protocol {
        ICMP => !of_v6 && v4::is_error(kind),
        ICMPV6 => of_v6 && v6::is_error(kind),
        _ => false,
    }
}

/// The MTU of the next link, as an error says it about a packet that was too large: "fragmentation needed" of ICMP
/// (RFC 1191; 0 from routers that are older), "packet too big" of ICMPv6. `None` for any other message.
#[must_use]
pub fn too_big(message: &[u8; HEADER], of_v6: bool) -> Option<u32> {
    match (of_v6, message[field::TYPE], message[field::CODE]) {
        (false, v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED) => Some(word(message, field::MTU_V4.start).into()),
        (true, v6::PACKET_TOO_BIG, _) => Some(long(message, field::REST.start)),
        _ => None,
    }
}

/// The protocol that an IP has for its messages.
#[must_use]
pub const fn protocol<A: Address>() -> u8 {
    if A::V6 { ICMPV6 } else { ICMP }
}

/// Writes the checksum of `message`; that of ICMPv6 covers `tuple`'s addresses.
///
/// # Panics
/// Where there is no header.
pub(super) fn fill_checksum<A: Address>(message: &mut [u8], tuple: &Tuple<A>) {
    put_word(message, field::CHECKSUM.start, 0);
    let sum = if A::V6 {
        checksum::transport(tuple, ICMPV6, message)
    } else {
        checksum::checksum(message)
    };
    put_word(message, field::CHECKSUM.start, sum);
}
