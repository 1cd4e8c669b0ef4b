//! Network address translation in place.

use super::checksum::Delta;
use super::{Address, Headers, TCP, Tuple, UDP, ipv4, ports, put_word, tcp, udp, word};

/// What a translation does to checksums; the same for every packet of a direction of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Deltas {
    /// To the IPv4 header checksum: addresses, and the TTL that goes down by one.
    pub l3: Delta,
    /// To the TCP or UDP checksum: addresses (of the pseudo header) and ports.
    pub l4: Delta,
}

impl Deltas {
    /// Of the translation from one tuple to the other.
    #[inline]
    #[must_use]
    pub fn between<A: Address>(from: &Tuple<A>, to: &Tuple<A>) -> Self {
        let addresses = Delta::between(
            from.source.sum() + from.destination.sum(),
            to.source.sum() + to.destination.sum(),
        );
        let ports = Delta::between(
            u32::from(from.source_port) + u32::from(from.destination_port),
            u32::from(to.source_port) + u32::from(to.destination_port),
        );
        Self {
            l3: addresses.and(Delta::OF_HOP),
            l4: addresses.and(ports),
        }
    }
}

/// Writes `to` over the addresses and ports of a TCP or UDP packet, takes one from the TTL or hop limit, and
/// updates the checksums. A wrong checksum stays as wrong as it was, so the receiver finds out.
///
/// The TTL or hop limit must not be 0: such a packet is not to be sent on.
///
/// # Panics
/// Where `headers` are of another frame, of the other address family, or of another protocol.
#[inline]
pub fn rewrite<A: Address>(frame: &mut [u8], headers: &Headers, to: &Tuple<A>, deltas: Deltas) {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    let (ip, segment) = frame[l3..usize::from(headers.end)].split_at_mut(l4 - l3);
    to.source.write(&mut ip[A::SOURCE..]);
    to.destination.write(&mut ip[A::SOURCE + A::LEN..]);
    ip[A::HOP_LIMIT] = ip[A::HOP_LIMIT].wrapping_sub(1);
    if !A::V6 {
        ipv4::update_checksum(ip, deltas.l3);
    }
    put_ports(segment, to);
    update_transport(segment, headers.protocol, deltas.l4);
}

#[inline]
pub(super) fn put_ports<A>(segment: &mut [u8], to: &Tuple<A>) {
    put_word(segment, ports::SOURCE.start, to.source_port);
    put_word(segment, ports::DESTINATION.start, to.destination_port);
}

/// Updates the checksum of a segment; also of a quoted one that is cut off before its checksum.
#[inline]
pub(super) fn update_transport(segment: &mut [u8], protocol: u8, delta: Delta) {
    let Some(at) = checksum_offset(protocol) else {
        return;
    };
    if segment.len() < at + 2 {
        return;
    }
    let old = word(segment, at);
    // No checksum (RFC 768): allowed over IPv4; over IPv6 the receiver drops it, and nothing here can mend that.
    if protocol == UDP && old == 0 {
        return;
    }
    let new = delta.apply(old);
    put_word(
        segment,
        at,
        if protocol == UDP && new == 0 { 0xffff } else { new },
    );
}

/// Where in its header a transport protocol has its checksum.
#[inline]
const fn checksum_offset(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(tcp::field::CHECKSUM.start),
        UDP => Some(udp::field::CHECKSUM.start),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
