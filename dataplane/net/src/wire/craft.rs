//! Making packets: headers of answers, and whole frames for tests and traffic generators.

use std::net::SocketAddr;

use super::link::{HEADER, set_link};
use super::{Address, TCP, Tuple, UDP, checksum, put_word, tcp_flag};

/// TTL and hop limit of packets that begin here (RFC 1700, and Linux).
pub const HOP_LIMIT: u8 = 64;

/// Bytes of an IP header without options.
#[must_use]
pub const fn ip_header_len<A: Address>() -> usize {
    if A::V6 { 40 } else { 20 }
}

/// Writes the IP header without options of a packet that fills `packet`.
///
/// # Panics
/// Where `packet` is shorter than the header.
pub(super) fn ip_header<A: Address>(packet: &mut [u8], source: A, destination: A, protocol: u8) {
    if A::V6 {
        ipv6_header(packet, source, destination, protocol, HOP_LIMIT);
    } else {
        ipv4_header(packet, source, destination, protocol);
    }
}

fn ipv4_header<A: Address>(packet: &mut [u8], source: A, destination: A, protocol: u8) {
    let total = length(packet.len());
    let ip = &mut packet[..20];
    // Don't fragment, so that the identification may be zero (RFC 6864, 4.1).
    ip.copy_from_slice(&[
        0x45, 0, 0, 0, 0, 0, 0x40, 0, HOP_LIMIT, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    put_word(ip, 2, total);
    source.write(&mut ip[12..]);
    destination.write(&mut ip[16..]);
    let sum = checksum::checksum(ip);
    put_word(ip, 10, sum);
}

/// As [`ip_header`], for IPv6 with a hop limit.
pub(super) fn ipv6_header<A: Address>(packet: &mut [u8], source: A, destination: A, next: u8, hop_limit: u8) {
    let payload = length(packet.len() - 40);
    let ip = &mut packet[..40];
    ip[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, next, hop_limit]);
    put_word(ip, 4, payload);
    source.write(&mut ip[8..]);
    destination.write(&mut ip[24..]);
}

/// Packets are made in frames, which are shorter than 64 KiB.
fn length(len: usize) -> u16 {
    u16::try_from(len).expect("a packet longer than 65,535 bytes")
}

/// The fields of a TCP header that tell segments apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// See [`tcp_flag`].
    pub flags: u8,
}

impl Segment {
    /// The reset that answers `segment`, a whole TCP segment, where there is no connection (RFC 9293, 3.10.7.1).
    pub(super) fn answering(segment: &[u8]) -> Self {
        let field =
            |at: usize| u32::from_be_bytes([segment[at], segment[at + 1], segment[at + 2], segment[at + 3]]);
        let flags = segment[13];
        if flags & tcp_flag::ACK != 0 {
            return Self {
                sequence: field(8),
                acknowledgement: 0,
                flags: tcp_flag::RST,
            };
        }
        let data = segment.len() - usize::from(segment[12] >> 4) * 4;
        let control = [tcp_flag::SYN, tcp_flag::FIN]
            .iter()
            .filter(|f| flags & **f != 0)
            .count();
        let length = u32::from(length(data + control));
        Self {
            sequence: 0,
            acknowledgement: field(4).wrapping_add(length),
            flags: tcp_flag::RST | tcp_flag::ACK,
        }
    }

    /// Writes a TCP header without options and with checksum zero.
    pub(super) fn write(self, tcp: &mut [u8], source_port: u16, destination_port: u16) {
        tcp[..20].fill(0);
        put_word(tcp, 0, source_port);
        put_word(tcp, 2, destination_port);
        tcp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.acknowledgement.to_be_bytes());
        tcp[12] = 5 << 4;
        tcp[13] = self.flags;
        if self.flags & tcp_flag::RST == 0 {
            put_word(tcp, 14, 0xffff);
        }
    }
}

/// What a made frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// A TCP segment.
    Tcp(Segment, &'a [u8]),
    /// A UDP datagram.
    Udp(&'a [u8]),
}

/// A whole Ethernet frame with correct checksums, not padded.
///
/// # Panics
/// Where the addresses are of different families, or the payload does not fit an IP packet.
#[must_use]
pub fn frame(
    macs: [[u8; 6]; 2],
    source: SocketAddr,
    destination: SocketAddr,
    transport: Transport<'_>,
) -> Vec<u8> {
    match (source, destination) {
        (SocketAddr::V4(s), SocketAddr::V4(d)) => {
            let tuple = Tuple {
                source: s.ip().octets(),
                destination: d.ip().octets(),
                source_port: s.port(),
                destination_port: d.port(),
            };
            frame_of(macs, &tuple, transport)
        }
        (SocketAddr::V6(s), SocketAddr::V6(d)) => {
            let tuple = Tuple {
                source: s.ip().octets(),
                destination: d.ip().octets(),
                source_port: s.port(),
                destination_port: d.port(),
            };
            frame_of(macs, &tuple, transport)
        }
        _ => panic!("a packet from {source} to {destination}"),
    }
}

/// [`frame`] from a tuple; `macs` are source and destination.
#[must_use]
pub fn frame_of<A: Address>(macs: [[u8; 6]; 2], tuple: &Tuple<A>, transport: Transport<'_>) -> Vec<u8> {
    let (protocol, header, payload) = match transport {
        Transport::Tcp(_, payload) => (TCP, 20, payload),
        Transport::Udp(payload) => (UDP, 8, payload),
    };
    let l4 = HEADER + ip_header_len::<A>();
    let mut frame = vec![0; l4 + header];
    frame.extend_from_slice(payload);
    set_link(&mut frame, macs[0], macs[1]);
    put_word(&mut frame, 12, if A::V6 { 0x86dd } else { 0x0800 });
    ip_header(&mut frame[HEADER..], tuple.source, tuple.destination, protocol);
    let segment = &mut frame[l4..];
    match transport {
        Transport::Tcp(fields, _) => fields.write(segment, tuple.source_port, tuple.destination_port),
        Transport::Udp(_) => {
            put_word(segment, 0, tuple.source_port);
            put_word(segment, 2, tuple.destination_port);
            let length = length(segment.len());
            put_word(segment, 4, length);
        }
    }
    let sum = checksum::transport(tuple, protocol, segment);
    let (at, sum) = if protocol == UDP {
        (6, if sum == 0 { 0xffff } else { sum })
    } else {
        (16, sum)
    };
    put_word(segment, at, sum);
    frame
}
