use super::super::craft::{Segment, Transport, frame};
use super::super::{Parsed, parse, tcp_flag};
use super::*;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn answered(client: &str, vip: &str, segment: Segment, payload: &[u8]) -> Option<Vec<u8>> {
    let mut frame = frame(
        MACS,
        client.parse().unwrap(),
        vip.parse().unwrap(),
        Transport::Tcp(segment, payload),
    );
    let Ok(Parsed::Ip(headers)) = parse(&frame) else {
        panic!("not parsed")
    };
    frame.resize(2048, 0);
    let len = answer(&mut frame, &headers)?;
    frame.truncate(len);
    Some(frame)
}

fn expected(vip: &str, client: &str, segment: Segment) -> Vec<u8> {
    let macs = [MACS[1], MACS[0]];
    frame(
        macs,
        vip.parse().unwrap(),
        client.parse().unwrap(),
        Transport::Tcp(segment, b""),
    )
}

#[test]
fn a_syn_is_acknowledged() {
    let (client, vip) = ("192.0.2.10:4000", "198.51.100.10:80");
    let syn = Segment {
        sequence: u32::MAX,
        acknowledgement: 0,
        flags: tcp_flag::SYN,
    };
    let reset = Segment {
        sequence: 0,
        acknowledgement: 0,
        flags: tcp_flag::RST | tcp_flag::ACK,
    };
    assert_eq!(
        answered(client, vip, syn, b""),
        Some(expected(vip, client, reset))
    );
}

#[test]
fn data_counts() {
    let (client, vip) = ("[2001:db8:c::10]:4000", "[2001:db8:f::10]:80");
    let fin = Segment {
        sequence: 10,
        acknowledgement: 0,
        flags: tcp_flag::FIN,
    };
    let reset = Segment {
        sequence: 0,
        acknowledgement: 16,
        flags: tcp_flag::RST | tcp_flag::ACK,
    };
    assert_eq!(
        answered(client, vip, fin, b"hello"),
        Some(expected(vip, client, reset))
    );
}

#[test]
fn an_acknowledgement_names_the_sequence() {
    let (client, vip) = ("192.0.2.10:4000", "198.51.100.10:80");
    let ack = Segment {
        sequence: 5,
        acknowledgement: 99,
        flags: tcp_flag::ACK,
    };
    let reset = Segment {
        sequence: 99,
        acknowledgement: 0,
        flags: tcp_flag::RST,
    };
    assert_eq!(
        answered(client, vip, ack, b"data"),
        Some(expected(vip, client, reset))
    );
}

#[test]
fn a_reset_is_not_answered() {
    let reset = Segment {
        sequence: 5,
        acknowledgement: 99,
        flags: tcp_flag::RST,
    };
    assert_eq!(answered("192.0.2.10:4000", "198.51.100.10:80", reset, b""), None);
}
