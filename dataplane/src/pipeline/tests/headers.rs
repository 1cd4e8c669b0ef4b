//! What stands between an IP header and a transport header, and parts of packets.

use super::stages::{frame, gateway};
use super::*;
use headgate_net::wire::tcp::flag::{CWR, ECE};
use headgate_net::wire::{ecn, ethernet, ipv4, ipv6};

const DESTINATION_OPTIONS: (u8, [u8; 8]) = (60, [0, 0, 1, 4, 0, 0, 0, 0]);
const HOP_BY_HOP: (u8, [u8; 8]) = (0, [0, 0, 1, 4, 0, 0, 0, 0]);
const ATOMIC: (u8, [u8; 8]) = (44, [0, 0, 0, 0, 0xab, 0xcd, 0xef, 0x01]);
const MOBILITY: (u8, [u8; 8]) = (135, [0; 8]);

/// Puts extension headers in front of the transport header.
fn extended(mut frame: Vec<u8>, chain: &[(u8, [u8; 8])]) -> Vec<u8> {
    let at = ethernet::HEADER + ipv6::HEADER;
    let next = ethernet::HEADER + ipv6::field::NEXT;
    for (kind, header) in chain.iter().rev() {
        let mut header = *header;
        header[0] = std::mem::replace(&mut frame[next], *kind);
        frame.splice(at..at, header);
    }
    let payload = u16::try_from(frame.len() - at).unwrap();
    let field = ethernet::HEADER + ipv6::field::PAYLOAD.start;
    frame[field..field + 2].copy_from_slice(&payload.to_be_bytes());
    frame
}

fn chains() -> [Vec<(u8, [u8; 8])>; 4] {
    [
        vec![DESTINATION_OPTIONS],
        vec![HOP_BY_HOP, DESTINATION_OPTIONS],
        vec![ATOMIC],
        vec![MOBILITY, DESTINATION_OPTIONS],
    ]
}

#[test]
fn a_listener_gets_what_stands_behind_extension_headers() {
    for chain in chains() {
        let mut gateway = Gateway::new(1, Ownership::Hash);
        let plain = frame(CLIENT6, LISTENER6, tcp(SYN));
        let out = gateway.receive(0, CLIENTS, &extended(plain.clone(), &chain));
        let Verdict::ToL7 { headers, .. } = out.verdict else {
            panic!("{chain:?}: {:?}", out.verdict)
        };
        assert_eq!(headers.packet(&out.frame), super::headers(&plain).packet(&plain));
        assert_eq!(headers.tcp_flags, SYN);
    }
}

#[test]
fn a_pod_gets_extension_headers_as_they_came() {
    for chain in chains() {
        let mut gateway = Gateway::new(1, Ownership::Hash);
        let sent = extended(frame(CLIENT6, VIP6, tcp(SYN)), &chain);
        let out = gateway.receive(0, CLIENTS, &sent);
        assert_eq!(out.verdict, Verdict::Forward(PODS), "{chain:?}");
        let behind = ethernet::HEADER + ipv6::HEADER..sent.len() - 20;
        assert_eq!(out.frame[behind.clone()], sent[behind]);
        assert_eq!(ends(&out.frame).1.port(), 8080);
    }
}

/// RFC 3168, section 5: whoever passes a packet on leaves the field as it is, but for a router that is congested; and TCP's
/// two flags are between the ends.
#[test]
fn what_routers_say_of_congestion_passes_both_ways() {
    for (client, service) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
        for field in [ecn::NOT_ECT, ecn::ECT_1, ecn::ECT_0, ecn::CE] {
            let mut gateway = Gateway::new(1, Ownership::Hash);
            let mut passes = |port, to, mut sent: Vec<u8>| {
                ecn::set(&mut sent[ethernet::HEADER..], field);
                let out = gateway.receive(0, port, &sent);
                assert_eq!(out.verdict, Verdict::Forward(to));
                let headers = super::headers(&out.frame);
                assert_eq!(ecn::of(&out.frame, &headers), field);
                (headers.tcp_flags, ends(&out.frame))
            };
            let (flags, (from, pod)) = passes(CLIENTS, PODS, frame(client, service, tcp(SYN | ECE | CWR)));
            assert_eq!(flags, SYN | ECE | CWR);
            let macs = [PEER_MAC, GATEWAY_MACS[1]];
            let answer = craft::frame(macs, pod, from, tcp(SYN | ACK | ECE));
            let (flags, _) = passes(PODS, CLIENTS, answer);
            assert_eq!(flags, SYN | ACK | ECE);
        }
    }
}

fn fragment_v4(to: &str, field: u16) -> Vec<u8> {
    let mut fragment = frame(CLIENT, to, UDP);
    let ip = &mut fragment[ethernet::HEADER..][..ipv4::HEADER];
    ip[ipv4::field::FRAGMENT].copy_from_slice(&field.to_be_bytes());
    ipv4::fill_checksum(ip);
    fragment
}

fn fragment_v6(to: &str, field: u8) -> Vec<u8> {
    let header = [0, 0, 0, field, 0, 0, 0, 1];
    extended(frame(CLIENT6, to, UDP), &[DESTINATION_OPTIONS, (44, header)])
}

/// The kernel does not have the address: a fragment would go round and be counted nowhere.
#[test]
fn fragments_for_owned_addresses_are_dropped_for_that_reason() {
    let mut gateway = gateway();
    let fragments = [
        fragment_v4(VIP, ipv4::MORE_FRAGMENTS),
        fragment_v4(VIP, 3),
        fragment_v6(VIP6, 1),
        fragment_v6(VIP6, 8),
    ];
    for fragment in &fragments {
        let out = gateway.receive(0, CLIENTS, fragment);
        assert_eq!(out.verdict, Verdict::Drop(Reason::Fragment));
        assert_eq!(&out.frame, fragment);
    }
    assert_eq!(gateway.counters().dropped(Reason::Fragment), 4);
    for fragment in [fragment_v4("192.0.2.1:53", 3), fragment_v4("203.0.113.9:53", 3)] {
        assert_eq!(gateway.receive(0, CLIENTS, &fragment).verdict, Verdict::ToKernel);
    }
    assert_eq!(gateway.counters().to_kernel(Kernel::Fragment), 2);
}
