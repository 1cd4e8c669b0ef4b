use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice, icmpv4, icmpv6};

use super::super::craft::{Transport, frame};
use super::super::{Parsed, checksum, parse};
use super::*;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn answered(client: &str, vip: &str, payload: &[u8], error: Error) -> (Vec<u8>, Vec<u8>) {
    let original = frame(
        MACS,
        client.parse().unwrap(),
        vip.parse().unwrap(),
        Transport::Udp(payload),
    );
    let Ok(Parsed::Ip(headers)) = parse(&original) else {
        panic!("not parsed")
    };
    let mut buffer = original.clone();
    buffer.resize(2048, 0);
    let len = answer(&mut buffer, &headers, error).unwrap();
    buffer.truncate(len);
    (original, buffer)
}

#[test]
fn v4_errors() {
    for (error, kind) in [
        (
            Error::PortUnreachable,
            Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port),
        ),
        (
            Error::TooBig(1400),
            Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::FragmentationNeeded {
                next_hop_mtu: 1400,
            }),
        ),
        (
            Error::TimeExceeded,
            Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit),
        ),
    ] {
        let (original, frame) = answered("192.0.2.10:4000", "198.51.100.10:53", b"query", error);
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = sliced.net else {
            panic!("no IPv4")
        };
        assert_eq!(ip.header().source(), [198, 51, 100, 10]);
        assert_eq!(ip.header().destination(), [192, 0, 2, 10]);
        let Some(TransportSlice::Icmpv4(icmp)) = sliced.transport else {
            panic!("no ICMP")
        };
        assert_eq!(icmp.icmp_type(), kind);
        assert_eq!(checksum::checksum(icmp.slice()), 0);
        assert_eq!(icmp.payload(), &original[14..]);
        assert_eq!(frame[..12], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    }
}

#[test]
fn v6_errors() {
    for (error, kind) in [
        (
            Error::PortUnreachable,
            Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port),
        ),
        (Error::TooBig(1400), Icmpv6Type::PacketTooBig { mtu: 1400 }),
        (
            Error::TimeExceeded,
            Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded),
        ),
    ] {
        let (original, frame) = answered("[2001:db8:c::10]:4000", "[2001:db8:f::10]:53", b"query", error);
        let Ok(Parsed::Ip(headers)) = parse(&frame) else {
            panic!("not parsed")
        };
        assert_eq!(checksum::transport_of(&frame, &headers), 0);
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else {
            panic!("no ICMPv6")
        };
        assert_eq!(icmp.icmp_type(), kind);
        assert_eq!(icmp.payload(), &original[14..]);
    }
}

#[test]
fn long_packets_are_quoted_in_part() {
    let payload = [7; 1400];
    let (_, frame) = answered(
        "192.0.2.10:4000",
        "198.51.100.10:53",
        &payload,
        Error::PortUnreachable,
    );
    assert_eq!(frame.len(), 14 + MAX_V4);
    let (_, frame) = answered(
        "[2001:db8:c::10]:4000",
        "[2001:db8:f::10]:53",
        &payload,
        Error::PortUnreachable,
    );
    assert_eq!(frame.len(), 14 + MAX_V6);
}
