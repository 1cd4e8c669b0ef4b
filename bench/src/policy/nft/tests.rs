use std::net::IpAddr;

use super::{
    replay::{FRAME, frame},
    rules::scripts,
};
use crate::policy::{
    cluster::Connection,
    expand::{Expansion, Guard, Ports, Side, Span, bits},
};

fn connection(src: &str, dst: &str) -> Connection {
    Connection {
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        protocol: 17,
        dst_port: 53,
    }
}

#[test]
fn rules_are_maps_to_chains_with_sets() {
    let pod: IpAddr = [10, 0, 0, 1].into();
    let peer = bits([192, 0, 2, 0].into());
    let guard = Guard {
        any: vec![Ports {
            protocol: Some(6),
            first: 80,
            last: 90,
        }],
        peers: vec![(
            Span {
                first: peer,
                last: peer + 7,
            },
            vec![Ports {
                protocol: None,
                first: 0,
                last: u16::MAX,
            }],
        )],
    };
    let side = |guards: Vec<Guard>| Side {
        pods: guards.iter().map(|_| (pod, 0)).collect(),
        guards,
    };
    let expansion = Expansion {
        v6: false,
        egress: side(vec![]),
        ingress: side(vec![guard]),
    };
    let text = String::from_utf8(scripts(&expansion).unwrap().concat()).unwrap();
    let expected = "\
add table ip bench
add counter ip bench allowed
add counter ip bench denied
add chain ip bench i0
add set ip bench i0a { type inet_proto . inet_service; flags interval; size 1; elements = { 6 . 80-90, }; }
add rule ip bench i0 meta l4proto . th dport @i0a return
add set ip bench i0p { type ipv4_addr . inet_proto . inet_service; flags interval; size 1; elements = { \
192.0.2.0-192.0.2.7 . 0-255 . 0-65535, }; }
add rule ip bench i0 ip saddr . meta l4proto . th dport @i0p return
add rule ip bench i0 counter name denied drop
add chain ip bench main { type filter hook prerouting priority raw; }
add map ip bench i { type ipv4_addr : verdict; size 1; elements = { 10.0.0.1 : jump i0, }; }
add rule ip bench main ip daddr vmap @i
add rule ip bench main counter name allowed drop
";
    assert_eq!(text, expected);
}

#[test]
fn frames_are_packets_that_the_kernel_takes() {
    let v4 = frame(&connection("192.0.2.1", "10.0.0.1"));
    let header = &v4[14..34];
    let sum: u32 = header
        .chunks(2)
        .map(|b| u32::from(u16::from_be_bytes([b[0], b[1]])))
        .sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "RFC 1071");
    assert_eq!(usize::from(header[3]), FRAME - 14);
    assert_eq!((&header[12..], header[9]), (&[192, 0, 2, 1, 10, 0, 0, 1][..], 17));
    assert_eq!(v4[36..38], [0, 53]);
    let v6 = frame(&connection("2001:db8::1", "fd00::2"));
    assert_eq!(v6[12..15], [0x86, 0xdd, 0x60]);
    assert_eq!((v6[19], v6[20]), (10, 17));
    assert_eq!((v6[37], v6[53]), (1, 2), "the last bytes of the addresses");
    assert_eq!(v6[56..58], [0, 53]);
}
