//! Frames, built layer by layer.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// An Ethernet frame with these VLAN tags, by their type.
pub(crate) fn ethernet(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    for (id, tag) in tags.iter().enumerate() {
        frame.extend(tag.to_be_bytes());
        frame.extend((id as u16 + 7).to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 packet with `options` (a multiple of 4 bytes) and the 16 bits of flags and fragment offset.
pub(crate) fn ipv4(
    destination: Ipv4Addr,
    protocol: u8,
    options: &[u8],
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, 99]);
    packet.extend(destination.octets());
    packet.extend(options);
    let checksum = checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An IPv6 packet whose first header is `next`.
pub(crate) fn ipv6(destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend("2001:db8::99".parse::<Ipv6Addr>().expect("an address").octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// An IPv6 extension header of type `kind` before the one of type `next`, `units` longer than the shortest.
pub(crate) fn extension(kind: u8, next: u8, units: u8, rest: &[u8]) -> Vec<u8> {
    let length = match kind {
        51 => (usize::from(units) + 2) * 4,
        _ => (usize::from(units) + 1) * 8,
    };
    let mut header = vec![0; length];
    header[..2].copy_from_slice(&[next, units]);
    header.extend(rest);
    header
}

/// An IPv6 fragment header; `offset_more` are the 13 bits of the offset, two reserved ones, and the M flag.
pub(crate) fn fragment(next: u8, offset_more: u16, rest: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 0];
    header.extend(offset_more.to_be_bytes());
    header.extend([0, 0, 0, 1]);
    header.extend(rest);
    header
}

/// A UDP datagram without a checksum; as TCP, the beginning of a segment.
pub(crate) fn datagram(destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = 4000_u16.to_be_bytes().to_vec();
    datagram.extend(destination_port.to_be_bytes());
    datagram.extend(((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// An ARP packet over Ethernet for IPv4.
pub(crate) fn arp(operation: u16, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend([2, 0, 0, 0, 0, 2, 192, 0, 2, 99]);
    packet.extend([0; 6]);
    packet.extend(target.octets());
    packet
}

/// The ICMPv6 part of an NDP message with a target: a solicitation has type 135.
pub(crate) fn ndp(kind: u8, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([1, 1, 2, 0, 0, 0, 0, 2]);
    message
}

/// RFC 1071.
fn checksum(header: &[u8]) -> u16 {
    let sum = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum::<u32>();
    !((sum & 0xffff) + (sum >> 16)) as u16
}
