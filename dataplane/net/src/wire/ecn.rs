//! The field of IP headers by which routers say that they are congested before they drop anything (RFC 3168, section 5): the
//! lower two bits of IPv4's type of service, and of IPv6's traffic class, which straddles two bytes.

use super::checksum::Delta;
use super::{Headers, ipv4, ipv6};

/// The sender does not hear of congestion in this way.
pub const NOT_ECT: u8 = 0b00;
/// It does, and takes part in the experiments of RFC 8311.
pub const ECT_1: u8 = 0b01;
/// It does.
pub const ECT_0: u8 = 0b10;
/// A router is congested.
pub const CE: u8 = 0b11;

/// The byte that has the field, of either IP.
const AT: usize = 1;
/// How far from its end the field stands in IPv6.
const SHIFT_V6: u8 = 4;

/// The field of a packet.
///
/// # Panics
/// Where `headers` are of another frame.
#[inline]
#[must_use]
pub fn of(frame: &[u8], headers: &Headers) -> u8 {
    let byte = frame[usize::from(headers.l3) + AT];
    let shift = if headers.v6 { SHIFT_V6 } else { 0 };
    byte >> shift & CE
}

/// Writes the field of an IP packet, and what IPv4's checksum is then.
///
/// # Panics
/// Where the packet is shorter than its header.
pub fn set(packet: &mut [u8], to: u8) {
    let before = packet[AT];
    if ipv4::version(packet[0]) == ipv6::VERSION {
        packet[AT] = before & !(CE << SHIFT_V6) | to << SHIFT_V6;
        return;
    }
    let after = before & !CE | to;
    packet[AT] = after;
    ipv4::update_checksum(packet, Delta::between(before.into(), after.into()));
}

#[cfg(test)]
mod tests;
