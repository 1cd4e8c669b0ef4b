use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::craft::{Segment, Transport, frame};
use super::super::{fuzz, tcp_flag, word};
use super::*;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn udp4() -> Vec<u8> {
    frame(
        MACS,
        "192.0.2.10:4000".parse().unwrap(),
        "198.51.100.10:53".parse().unwrap(),
        Transport::Udp(b"query"),
    )
}

fn udp6() -> Vec<u8> {
    let (client, vip) = (
        "[2001:db8:c::10]:4000".parse().unwrap(),
        "[2001:db8:f::10]:53".parse().unwrap(),
    );
    frame(MACS, client, vip, Transport::Udp(b"query"))
}

fn tcp4() -> Vec<u8> {
    let syn = Segment {
        sequence: 7,
        acknowledgement: 0,
        flags: tcp_flag::SYN,
    };
    frame(
        MACS,
        "192.0.2.10:4000".parse().unwrap(),
        "198.51.100.10:80".parse().unwrap(),
        Transport::Tcp(syn, b""),
    )
}

/// Inserts `tags` before the EtherType.
fn tagged(mut frame: Vec<u8>, tags: &[[u8; 4]]) -> Vec<u8> {
    frame.splice(12..12, tags.iter().flatten().copied());
    frame
}

/// Inserts 8 bytes of no-operation options and mends length and checksum.
fn with_options(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(34..34, [1; 8]);
    frame[14] = 0x47;
    let total = word(&frame, 16) + 8;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    mend(&mut frame);
    frame
}

/// Makes the IPv4 header checksum right again.
fn mend(frame: &mut [u8]) {
    let length = usize::from(frame[14] & 0xf) * 4;
    frame[24..26].fill(0);
    let sum = checksum::checksum(&frame[14..14 + length]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// Puts extension headers (bytes without the next-header field's meaning) before the transport header.
fn with_extensions(mut frame: Vec<u8>, chain: &[(u8, &[u8])]) -> Vec<u8> {
    let mut next = frame[20];
    for (kind, body) in chain.iter().rev() {
        let mut header = body.to_vec();
        header[0] = next;
        frame.splice(54..54, header);
        next = *kind;
    }
    frame[20] = next;
    let payload = u16::try_from(frame.len() - 54).unwrap();
    frame[18..20].copy_from_slice(&payload.to_be_bytes());
    frame
}

fn fragment(frame: &[u8]) -> Fragment {
    match parse(frame) {
        Ok(Parsed::Fragment(fragment)) => fragment,
        other => panic!("{other:?}"),
    }
}

fn headers(frame: &[u8]) -> Headers {
    match parse(frame) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_packets() {
    let h = headers(&udp4());
    assert_eq!((h.l3, h.l4, h.end), (14, 34, 47));
    assert_eq!(
        (h.source_port, h.destination_port, h.protocol, h.v6),
        (4000, 53, UDP, false)
    );
    let h = headers(&udp6());
    assert_eq!((h.l3, h.l4, h.end, h.v6), (14, 54, 67, true));
    let h = headers(&tcp4());
    assert_eq!((h.tcp_flags, h.destination_port), (tcp_flag::SYN, 80));
}

#[test]
fn tags_are_seen_through() {
    for tags in [
        &[[0x81, 0, 0, 5]][..],
        &[[0x91, 0, 0, 5]],
        &[[0x88, 0xa8, 0, 5], [0x81, 0, 0, 6]],
    ] {
        let frame = tagged(udp6(), tags);
        let h = headers(&frame);
        assert_eq!(usize::from(h.l3), 14 + 4 * tags.len());
        assert_eq!(h.destination_port, 53);
    }
    assert_eq!(parse(&tagged(udp4(), &[[0x81, 0, 0, 5]; 3])), Ok(Parsed::NotIp));
}

#[test]
fn padding_is_not_the_packet() {
    let mut frame = udp4();
    frame.resize(60, 0xee);
    assert_eq!(headers(&frame).end, 47);
    assert_eq!(super::super::ip_packet(&frame).unwrap().len(), 33);
}

#[test]
fn truncated_at_every_byte() {
    let hop_by_hop: (u8, &[u8]) = (0, &[0; 8]);
    for frame in [
        udp4(),
        tcp4(),
        udp6(),
        with_options(tcp4()),
        with_extensions(udp6(), &[hop_by_hop]),
        tagged(udp4(), &[[0x81, 0, 0, 5]]),
    ] {
        assert!(matches!(parse(&frame), Ok(Parsed::Ip(_))));
        for len in 0..frame.len() {
            let cut = parse(&frame[..len]);
            assert!(
                matches!(cut, Err(Malformed::Truncated | Malformed::BadLength)),
                "{len}: {cut:?}"
            );
            fuzz(&frame[..len]);
        }
    }
}

/// Cuts the packet instead of the frame: the lengths agree, the transport header does not fit.
#[test]
fn transport_header_cut_off() {
    for (mut frame, fixed) in [(tcp4(), 20), (udp4(), 8)] {
        for len in 0..fixed {
            frame.truncate(34 + len);
            frame[16..18].copy_from_slice(&(20 + u16::try_from(len).unwrap()).to_be_bytes());
            mend(&mut frame);
            assert_eq!(parse(&frame), Err(Malformed::Truncated), "{len}");
            frame.resize(80, 0);
        }
    }
}

#[test]
fn lies_in_ipv4_headers() {
    let change = |at: usize, byte: u8| {
        let mut frame = udp4();
        frame[at] = byte;
        mend(&mut frame);
        parse(&frame)
    };
    assert_eq!(change(14, 0x55), Err(Malformed::BadVersion));
    assert_eq!(change(14, 0x44), Err(Malformed::BadHeaderLength));
    // A header of 60 bytes in a packet of 33.
    assert_eq!(
        parse(&[&udp4()[..14], &[0x4f], &udp4()[15..]].concat()),
        Err(Malformed::BadLength)
    );
    assert_eq!(change(17, 19), Err(Malformed::BadLength));
    assert_eq!(change(17, 34), Err(Malformed::BadLength));
    assert_eq!(change(39, 7), Err(Malformed::BadLength));
    assert_eq!(change(39, 14), Err(Malformed::BadLength));
    let mut frame = udp4();
    frame[24] ^= 1;
    assert_eq!(parse(&frame), Err(Malformed::BadChecksum));
}

#[test]
fn lies_in_tcp_headers() {
    for offset in [0, 4, 6, 15] {
        let mut frame = tcp4();
        frame[46] = offset << 4;
        assert_eq!(parse(&frame), Err(Malformed::BadHeaderLength));
    }
}

#[test]
fn fragments_overlapping_or_not() {
    // First, later, last; an offset inside the transport header (RFC 1858); more fragments at the limit.
    for (field, offset, more) in [
        (0x2000_u16, 0, true),
        (0x2001, 8, true),
        (0x0001, 8, false),
        (0x00b9, 0x5c8, false),
        (0x3fff, 0xfff8, true),
    ] {
        let mut frame = tcp4();
        frame[18..20].copy_from_slice(&[0xab, 0xcd]);
        frame[20..22].copy_from_slice(&field.to_be_bytes());
        mend(&mut frame);
        let fragment = fragment(&frame);
        assert_eq!((fragment.offset, fragment.more), (offset, more));
        assert_eq!((fragment.l3, fragment.payload, fragment.end), (14, 34, 54));
        assert_eq!(
            (fragment.next, fragment.identification(), fragment.v6),
            (TCP, 0xabcd, false)
        );
        assert_eq!(fragment.destination(&frame), IpAddr::from([198, 51, 100, 10]));
    }
    for (field, offset, more) in [(1, 0, true), (9, 8, true), (8, 8, false)] {
        let header = [0, 0, 0, field, 1, 2, 3, 4];
        let frame = with_extensions(udp6(), &[(60, &[0; 8]), (44, &header)]);
        let fragment = fragment(&frame);
        assert_eq!((fragment.offset, fragment.more), (offset, more));
        assert_eq!((fragment.l3, fragment.payload, fragment.end), (14, 70, 83));
        assert_eq!(
            (fragment.next, fragment.identification(), fragment.v6),
            (UDP, 0x0102_0304, true)
        );
        let vip: IpAddr = "2001:db8:f::10".parse().unwrap();
        assert_eq!(fragment.destination(&frame), vip);
    }
}

/// RFC 6946: neither an offset nor more to come. The reserved bits say nothing.
#[test]
fn a_fragment_that_is_the_whole_packet_is_none() {
    for field in [0, 2, 4, 6] {
        let frame = with_extensions(udp6(), &[(44, &[0, 0, 0, field, 0, 0, 0, 1])]);
        let h = headers(&frame);
        assert_eq!((h.l4, h.protocol, h.destination_port), (62, UDP, 53));
    }
}

#[test]
fn without_its_extension_headers_a_packet_says_the_same() {
    let chain: [(u8, &[u8]); 3] = [
        (0, &[0; 8]),
        (44, &[0, 0, 0, 0, 0, 0, 0, 1]),
        (60, &[0, 1].repeat(8)),
    ];
    let plain = udp6();
    let mut frame = with_extensions(udp6(), &chain);
    let bare = ipv6::without_extensions(&mut frame, &headers(&with_extensions(udp6(), &chain)));
    assert_eq!(bare.packet(&frame), headers(&plain).packet(&plain));
    assert_eq!(parse_packet(bare.packet(&frame)), parse_packet(&plain[14..]));
    let mut unchanged = plain.clone();
    assert_eq!(
        ipv6::without_extensions(&mut unchanged, &headers(&plain)),
        headers(&plain)
    );
    assert_eq!(unchanged, plain);
}

#[test]
fn extension_chains() {
    let frame = with_extensions(
        udp6(),
        &[
            (0, &[0; 8]),
            (60, &[0, 1].repeat(8)),
            (51, &[0, 1, 0, 0].repeat(3)),
        ],
    );
    let h = headers(&frame);
    assert_eq!((h.l4, h.destination_port), (54 + 8 + 16 + 12, 53));
    // A routing header without segments left, mobility, HIP and shim6 headers are seen through.
    for kind in [43, 135, 139, 140] {
        let h = headers(&with_extensions(udp6(), &[(kind, &[0; 8])]));
        assert_eq!((h.l4, h.destination_port), (62, 53), "{kind}");
    }
    let routed = with_extensions(udp6(), &[(43, &[0, 0, 0, 1, 0, 0, 0, 0])]);
    assert_eq!(parse(&routed), Ok(Parsed::Routed));
    let longest = with_extensions(udp6(), &[(60, &[0; 8][..]); extension::MAX]);
    assert!(matches!(parse(&longest), Ok(Parsed::Ip(_))));
    let longer = with_extensions(udp6(), &[(60, &[0; 8][..]); extension::MAX + 1]);
    assert_eq!(parse(&longer), Err(Malformed::TooManyHeaders));
    let lie = with_extensions(udp6(), &[(60, &[0, 200, 0, 0, 0, 0, 0, 0])]);
    assert_eq!(parse(&lie), Err(Malformed::BadHeaderLength));
}

#[test]
fn not_ip_is_no_error() {
    let mut frame = udp4();
    frame[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert_eq!(parse(&frame), Ok(Parsed::NotIp));
    frame[12..14].copy_from_slice(&[0x00, 0x26]);
    assert_eq!(parse(&frame), Ok(Parsed::NotIp));
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(parse(&frame), Ok(Parsed::Arp(14)));
}

/// etherparse's own packets are understood alike.
#[test]
fn agrees_with_etherparse() {
    for frame in [udp4(), udp6(), tcp4(), with_options(tcp4())] {
        let theirs = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
        let h = headers(&frame);
        let ports = match theirs.transport.unwrap() {
            etherparse::TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port()),
            etherparse::TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port()),
            other => panic!("{other:?}"),
        };
        assert_eq!((h.source_port, h.destination_port), ports);
        assert_eq!(checksum::transport_of(&frame, &h), 0);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(data in vec(any::<u8>(), 0..200)) {
        fuzz(&data);
    }

    /// Mostly right, which gets further than noise.
    #[test]
    fn damaged_packets(
        which in 0usize..6,
        damage in vec((0usize..90, any::<u8>()), 0..4),
        cut in 0usize..20,
        repair in any::<bool>(),
    ) {
        let mut frame = match which {
            0 => udp4(),
            1 => tcp4(),
            2 => udp6(),
            3 => with_options(tcp4()),
            4 => with_extensions(udp6(), &[(0, &[0; 8]), (44, &[0; 8]), (60, &[0; 16])]),
            _ => tagged(udp4(), &[[0x81, 0, 0, 5]]),
        };
        for (at, byte) in damage {
            if let Some(slot) = frame.get_mut(at) {
                *slot = byte;
            }
        }
        if repair && frame[14] >> 4 == 4 && frame[14] & 0xf >= 5 {
            frame.resize(frame.len().max(80), 0);
            mend(&mut frame);
        }
        frame.truncate(frame.len() - cut);
        fuzz(&frame);
    }
}
