//! Frames that no stack would send: what an attacker, a broken NIC or a fuzzer puts on the wire.
//!
//! Lengths lie, headers end early, options and extension headers go on for ever, fragments overlap. Checksums are right
//! where they can be, so that the lie itself is what a parser meets.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Where the frames pretend to come from and where they go.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Source and destination link-layer address.
    pub mac: ([u8; 6], [u8; 6]),
    /// Source and destination, IPv4.
    pub v4: (Ipv4Addr, Ipv4Addr),
    /// Source and destination, IPv6.
    pub v6: (Ipv6Addr, Ipv6Addr),
    /// Destination port, TCP and UDP.
    pub port: u16,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;

/// All of them; at least a thousand, each with an Ethernet header at least.
#[must_use]
pub fn corpus(route: &Route) -> Vec<Vec<u8>> {
    let whole = [
        route.ipv4(TCP, &route.tcp()),
        route.ipv4(UDP, &route.udp()),
        route.ipv6(TCP, &route.tcp()),
        route.ipv6(UDP, &route.udp()),
        route.ipv4(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
        route.ipv6(ICMPV6, &[135, 0, 0, 0, 0, 0, 0, 0]),
        route.ethernet(0x0806, &arp(route)),
    ];
    let mut all = Vec::new();
    for frame in &whole {
        all.extend((14..frame.len()).map(|end| frame[..end].to_vec()));
        all.extend(bits(frame));
    }
    all.extend(ipv4_lies(route));
    all.extend(ipv4_fragments(route));
    all.extend(ipv6_chains(route));
    all.extend(transport_lies(route));
    all.extend(vlan_stacks(&whole[0]));
    all
}

/// Every bit of the headers turned over, one at a time.
fn bits(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let end = frame.len().min(14 + 40 + 20);
    (14..end).flat_map(move |at| {
        (0..8).map(move |bit| {
            let mut frame = frame.to_vec();
            frame[at] ^= 1 << bit;
            frame
        })
    })
}

fn ipv4_lies(route: &Route) -> Vec<Vec<u8>> {
    let frame = route.ipv4(UDP, &route.udp());
    let mut all = Vec::new();
    for first in 0..=255 {
        all.push(with_header(&frame, |header| header[0] = first));
    }
    for total in [0_u16, 1, 19, 20, 21, 27, 28, 1500, 0x7fff, 0xffff] {
        all.push(with_header(&frame, |header| {
            header[2..4].copy_from_slice(&total.to_be_bytes());
        }));
    }
    for option in [
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [7, 0, 0, 0],
        [7, 1, 0, 0],
        [7, 255, 4, 0],
        [131, 3, 4, 0],
        [148, 4, 0, 0],
    ] {
        all.push(route.ipv4_with_options(UDP, &option, &route.udp()));
        all.push(route.ipv4_with_options(TCP, &option.repeat(10), &route.tcp()));
    }
    all
}

fn ipv4_fragments(route: &Route) -> Vec<Vec<u8>> {
    let frame = route.ipv4(UDP, &[&route.udp()[..], &[0; 64]].concat());
    // (offset in eights, more follow): a first one, one that overlaps it, one that begins inside the UDP header, the
    // farthest, one past the longest packet, and a first one with nothing behind it.
    let pieces = [
        (0, true),
        (0, true),
        (1, false),
        (1, true),
        (0x1fff, false),
        (0x1fff, true),
        (0, false),
    ];
    let fragment = |(offset, more): (u16, bool)| {
        let field = offset | if more { 0x2000 } else { 0 };
        with_header(&frame, |header| {
            header[6..8].copy_from_slice(&field.to_be_bytes());
        })
    };
    pieces.into_iter().map(fragment).collect()
}

fn ipv6_chains(route: &Route) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for kind in [0_u8, 43, 51, 60, 135, 139, 140, 253] {
        for count in [1, 2, 8, 60] {
            all.push(route.ipv6(kind, &chain(kind, count, UDP, 0, &route.udp())));
        }
        for length in [1, 2, 127, 255] {
            all.push(route.ipv6(kind, &chain(kind, 1, UDP, length, &route.udp())));
        }
        // Says that another of its kind follows where the packet ends.
        all.push(route.ipv6(kind, &chain(kind, 1, kind, 0, &[])));
    }
    for (offset, more) in [
        (0_u16, 1),
        (0, 0),
        (8, 1),
        (8, 0),
        (0xfff8, 0),
        (0xfff8, 1),
        (16, 1),
    ] {
        let mut piece = vec![UDP, 0];
        piece.extend((offset | more).to_be_bytes());
        piece.extend([0, 0, 0, 9]);
        piece.extend(route.udp());
        all.push(route.ipv6(FRAGMENT, &piece));
        all.push(route.ipv6(FRAGMENT, &piece[..5]));
        all.push(route.ipv6(0, &chain(0, 1, FRAGMENT, 0, &piece)));
    }
    for length in [0_u16, 1, 7, 8, 9, 0xffff] {
        let mut frame = route.ipv6(UDP, &route.udp());
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        all.push(frame);
    }
    all
}

/// `count` extension headers of a kind, each `8 + 8 * length` bytes by its own account and 8 in fact.
fn chain(kind: u8, count: usize, last: u8, length: u8, payload: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for n in 1..=count {
        all.extend([if n == count { last } else { kind }, length, 1, 4, 0, 0, 0, 0]);
    }
    all.extend(payload);
    all
}

fn transport_lies(route: &Route) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for offset in 0..16 {
        let mut tcp = route.tcp();
        tcp[12] = offset << 4;
        all.push(route.ipv4(TCP, &tcp));
        all.push(route.ipv6(TCP, &tcp));
    }
    for flags in 0..=255 {
        let mut tcp = route.tcp();
        tcp[13] = flags;
        all.push(route.ipv4(TCP, &tcp));
    }
    for option in [
        [2, 0, 0, 0],
        [2, 4, 0, 0],
        [2, 255, 1, 1],
        [3, 3, 255, 0],
        [8, 10, 0, 0],
        [254, 1, 1, 1],
    ] {
        let mut tcp = route.tcp();
        tcp[12] = 6 << 4;
        tcp.extend(option);
        all.push(route.ipv4(TCP, &tcp));
    }
    for length in [0_u16, 1, 7, 9, 1000, 0xffff] {
        let mut udp = route.udp();
        udp[4..6].copy_from_slice(&length.to_be_bytes());
        all.push(route.ipv4(UDP, &udp));
        all.push(route.ipv6(UDP, &udp));
    }
    for protocol in 0..=255 {
        all.push(route.ipv4(protocol, &[0; 8]));
        all.push(route.ipv6(protocol, &[0; 8]));
    }
    all
}

/// Tags in front of a whole packet, and in front of nothing.
fn vlan_stacks(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for tags in 1..6 {
        for tpid in [[0x81, 0x00], [0x88, 0xa8]] {
            let mut tagged = frame[..12].to_vec();
            for _ in 0..tags {
                tagged.extend([tpid[0], tpid[1], 0, 1]);
            }
            all.push(tagged.clone());
            tagged.extend(&frame[12..]);
            all.push(tagged);
        }
    }
    all
}

/// The frame with its IPv4 header changed and the header's checksum right again, where there is a header.
fn with_header(frame: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut frame = frame.to_vec();
    change(&mut frame[14..34]);
    let end = 14 + usize::from(frame[14] & 15).max(5) * 4;
    let end = end.min(frame.len());
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..end]);
    frame[24..26].copy_from_slice(&sum);
    frame
}

fn arp(route: &Route) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(route.mac.0);
    arp.extend(route.v4.0.octets());
    arp.extend([0; 6]);
    arp.extend(route.v4.1.octets());
    arp
}

/// The Internet checksum (RFC 1071) of whole 16-bit words; a last odd byte counts as the high one.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

impl Route {
    /// A SYN without options.
    fn tcp(&self) -> Vec<u8> {
        let mut tcp = vec![0x9c, 0x40];
        tcp.extend(self.port.to_be_bytes());
        tcp.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, 2, 0xff, 0xff, 0, 0, 0, 0]);
        tcp
    }

    fn udp(&self) -> Vec<u8> {
        let mut udp = vec![0x9c, 0x40];
        udp.extend(self.port.to_be_bytes());
        udp.extend([0, 12, 0, 0]);
        udp.extend(b"ping");
        udp
    }

    fn ethernet(&self, kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = self.mac.1.to_vec();
        frame.extend(self.mac.0);
        frame.extend(kind.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn ipv4(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        self.ipv4_with_options(protocol, &[], payload)
    }

    fn ipv4_with_options(&self, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let words = 5 + options.len() / 4;
        let total = (words * 4 + payload.len()) as u16;
        let mut packet = vec![0x40 | words as u8, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
        packet.extend(self.v4.0.octets());
        packet.extend(self.v4.1.octets());
        packet.extend(options);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum);
        packet.extend(payload);
        let addresses = [self.v4.0.octets(), self.v4.1.octets()].concat();
        finish(&mut packet[words * 4..], protocol, &addresses);
        self.ethernet(0x0800, &packet)
    }

    fn ipv6(&self, next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((payload.len() as u16).to_be_bytes());
        packet.extend([next, 64]);
        packet.extend(self.v6.0.octets());
        packet.extend(self.v6.1.octets());
        packet.extend(payload);
        let addresses = [self.v6.0.octets(), self.v6.1.octets()].concat();
        finish(&mut packet[40..], next, &addresses);
        self.ethernet(0x86dd, &packet)
    }
}

/// Makes the checksum of a transport header right that has one and is whole.
fn finish(payload: &mut [u8], protocol: u8, addresses: &[u8]) {
    let at = match protocol {
        TCP => 16,
        UDP => 6,
        ICMPV6 => 2,
        _ => return,
    };
    if payload.len() < at + 2 {
        return;
    }
    let mut covered = addresses.to_vec();
    covered.extend((payload.len() as u32).to_be_bytes());
    covered.extend([0, 0, 0, protocol]);
    covered.extend_from_slice(payload);
    let sum = checksum(&covered);
    payload[at..at + 2].copy_from_slice(&sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_large_and_every_frame_can_be_sent() {
        let route = Route {
            mac: ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]),
            v4: (Ipv4Addr::new(192, 0, 2, 10), Ipv4Addr::new(198, 51, 100, 11)),
            v6: (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            port: 7,
        };
        let corpus = corpus(&route);
        assert!(corpus.len() > 1000, "{}", corpus.len());
        assert!(corpus.iter().all(|frame| (14..=1514).contains(&frame.len())));
    }

    #[test]
    fn checksums_are_rfc_1071() {
        // The example of RFC 1071, section 3, and its complement.
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            [0x22, 0x0d]
        );
    }
}
