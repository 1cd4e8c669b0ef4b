//! Whole frames, for tests and traffic generators.

use std::net::SocketAddr;

use super::ethernet::{self, ether_type, set_link, set_type};
use super::{Address, TCP, Tuple, UDP, checksum, ip, put_word, tcp, udp};

/// The fields of a TCP header that tell segments apart; the window of all but resets is as large as can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// See [`tcp::flag`].
    pub flags: u8,
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
        Transport::Tcp(_, payload) => (TCP, tcp::HEADER, payload),
        Transport::Udp(payload) => (UDP, udp::HEADER, payload),
    };
    let l4 = ethernet::HEADER + A::HEADER;
    let mut frame = vec![0; l4 + header];
    frame.extend_from_slice(payload);
    set_link(&mut frame, macs[0], macs[1]);
    set_type(
        &mut frame,
        if A::V6 { ether_type::IPV6 } else { ether_type::IPV4 },
    );
    ip::write(
        &mut frame[ethernet::HEADER..],
        tuple.source,
        tuple.destination,
        protocol,
    );
    let segment = &mut frame[l4..];
    match transport {
        Transport::Tcp(fields, _) => tcp::Fields {
            sequence: fields.sequence,
            acknowledgement: fields.acknowledgement,
            flags: fields.flags,
            window: if fields.flags & tcp::flag::RST == 0 {
                u16::MAX
            } else {
                0
            },
        }
        .write(segment, tuple.source_port, tuple.destination_port),
        Transport::Udp(_) => udp::write(segment, tuple.source_port, tuple.destination_port),
    }
    match (checksum::transport(tuple, protocol, segment), transport) {
        (sum, Transport::Tcp(..)) => put_word(segment, tcp::field::CHECKSUM.start, sum),
        // 0 would say that there is none.
        (0, Transport::Udp(_)) => put_word(segment, udp::field::CHECKSUM.start, u16::MAX),
        (sum, Transport::Udp(_)) => put_word(segment, udp::field::CHECKSUM.start, sum),
    }
    frame
}
