use etherparse::PacketBuilder;

use super::super::{Parsed, checksum, parse};
use super::*;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn headers(frame: &[u8]) -> Headers {
    match parse(frame) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}

#[test]
fn v4() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv4([192, 0, 2, 10], [198, 51, 100, 10], 7)
        .icmpv4_echo_request(3, 4)
        .write(&mut frame, b"ping")
        .unwrap();
    let h = headers(&frame);
    assert!(is_request(&frame, &h));
    reply(&mut frame, &h);
    let mut expected = Vec::new();
    PacketBuilder::ethernet2(MACS[1], MACS[0])
        .ipv4([198, 51, 100, 10], [192, 0, 2, 10], HOP_LIMIT)
        .icmpv4_echo_reply(3, 4)
        .write(&mut expected, b"ping")
        .unwrap();
    assert_eq!(frame, expected);
    assert!(!is_request(&frame, &h));
}

#[test]
fn v6() {
    let (client, vip) = ([0x20; 16], [0x30; 16]);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv6(client, vip, 7)
        .icmpv6_echo_request(3, 4)
        .write(&mut frame, b"ping")
        .unwrap();
    let h = headers(&frame);
    assert!(is_request(&frame, &h));
    reply(&mut frame, &h);
    let mut expected = Vec::new();
    PacketBuilder::ethernet2(MACS[1], MACS[0])
        .ipv6(vip, client, HOP_LIMIT)
        .icmpv6_echo_reply(3, 4)
        .write(&mut expected, b"ping")
        .unwrap();
    assert_eq!(frame, expected);
    assert_eq!(checksum::transport_of(&frame, &h), 0);
}
