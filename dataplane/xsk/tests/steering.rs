//! The steering program in the kernel, on packets that never were on a wire.

mod common;
mod reference;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::frames::*;
use common::{in_namespace, steering_on_loopback};
use headgate_xsk::{AddressRule, Outcome, Queue, Steering};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reference::{Rules, classify};

const VIP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BARE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x10);
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 1);
const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 1);

/// The program with rules of every kind, and a socket on queue 0.
struct Bench {
    steering: Steering,
    rules: Rules,
    _queue: Queue,
}

impl Bench {
    fn new() -> Self {
        let (mut steering, queue) = steering_on_loopback();
        let mut rules = Rules::default();
        let all = AddressRule {
            all: true,
            ..AddressRule::default()
        };
        let host = AddressRule {
            source_ports: Some((32_768, 36_863)),
            fragments: true,
            ..AddressRule::default()
        };
        for (address, rule) in [
            (VIP.into(), all),
            (VIP6.into(), all),
            (HOST.into(), host),
            (HOST6.into(), host),
        ] {
            rules.addresses.insert(address, rule);
            steering.set_address(address, rule).expect("there is room");
        }
        for (address, protocol, port) in [
            (IpAddr::from(HOST), UDP, 53),
            (HOST.into(), TCP, 80),
            (HOST6.into(), TCP, 80),
            (HOST6.into(), 132, 80),
            (BARE.into(), TCP, 443),
        ] {
            rules.ports.insert((address, protocol, port));
            steering.add_port(address, protocol, port).expect("there is room");
        }
        Self {
            steering,
            rules,
            _queue: queue,
        }
    }

    /// How the program's run on `packet` ended; there must be one outcome, and it must fit the verdict.
    fn outcome(&self, packet: &[u8]) -> Outcome {
        let before = self.steering.counters().expect("counters");
        let redirected = self.steering.run(packet).expect("the program runs");
        let after = self.steering.counters().expect("counters");
        let changed: Vec<Outcome> = after
            .iter()
            .filter(|&(outcome, count)| count != before.get(outcome))
            .map(|(outcome, _)| outcome)
            .collect();
        let [outcome] = changed[..] else {
            panic!("{changed:?} of {packet:02x?}");
        };
        assert_eq!(outcome.name().starts_with("redirected"), redirected);
        outcome
    }

    /// What was expected, and the reference's opinion of every shorter and longer version of the packet.
    fn check(&self, what: &str, packet: &[u8], expected: Outcome) {
        assert_eq!(self.outcome(packet), expected, "{what}");
        for length in 14..=packet.len() {
            let cut = &packet[..length];
            assert_eq!(
                self.outcome(cut),
                classify(&self.rules, cut),
                "{what}, cut at {length}"
            );
        }
    }
}

fn udp4(to: Ipv4Addr, port: u16) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4(to, UDP, &[], 0, &datagram(port, b"hello")))
}

fn tcp4(to: Ipv4Addr, port: u16) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4(to, TCP, &[], 0, &datagram(port, &[0; 12])))
}

fn v6(to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(&[], 0x86dd, &ipv6(to, next, payload))
}

#[test]
fn ipv4_is_taken_by_address_by_port_and_by_source_port() {
    in_namespace(|| {
        let bench = Bench::new();
        bench.check("anything for a VIP", &udp4(VIP, 9), Outcome::Address);
        let gre = ethernet(&[], 0x0800, &ipv4(VIP, 47, &[], 0, &[0; 8]));
        bench.check("any protocol for a VIP", &gre, Outcome::Address);
        bench.check("a port", &udp4(HOST, 53), Outcome::Port);
        bench.check("the port of another protocol", &tcp4(HOST, 53), Outcome::NotTaken);
        bench.check("an address with ports alone", &tcp4(BARE, 443), Outcome::Port);
        bench.check("another port of it", &tcp4(BARE, 22), Outcome::NotTaken);
        bench.check("the host's own SSH", &tcp4(HOST, 22), Outcome::NotTaken);
        bench.check("a stranger", &tcp4(STRANGER, 80), Outcome::NotManaged);
        for (port, outcome) in [
            (32_767, Outcome::NotTaken),
            (32_768, Outcome::SourcePort),
            (36_863, Outcome::SourcePort),
            (36_864, Outcome::NotTaken),
        ] {
            bench.check("reserved source ports, TCP", &tcp4(HOST, port), outcome);
            bench.check("reserved source ports, UDP", &udp4(HOST, port), outcome);
        }
    });
}

/// An ICMP or ICMPv6 message of this type about a packet.
fn error(kind: u8, quoted: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0], quoted].concat()
}

/// The first eight bytes of a segment from this port.
fn from_port(port: u16) -> Vec<u8> {
    [&port.to_be_bytes()[..], &[0, 53, 0, 8, 0, 0]].concat()
}

#[test]
fn icmp_errors_go_with_the_packets_that_they_are_about() {
    in_namespace(|| {
        let bench = Bench::new();
        let about = |protocol, options: &[u8], cut, port| {
            error(3, &ipv4(STRANGER, protocol, options, cut, &from_port(port)))
        };
        for (message, outcome) in [
            (about(UDP, &[], 0, 33_000), Outcome::SourcePort),
            (about(TCP, &[1; 12], 0, 33_000), Outcome::SourcePort),
            (about(TCP, &[], 0, 80), Outcome::Port),
            (about(TCP, &[], 0, 22), Outcome::NotTaken),
            (about(47, &[], 0, 33_000), Outcome::NotTaken),
            (about(UDP, &[], 1, 33_000), Outcome::NotTaken),
            (error(8, &from_port(33_000)), Outcome::NotTaken),
        ] {
            let frame = ethernet(&[], 0x0800, &ipv4(HOST, 1, &[], 0, &message));
            bench.check("an ICMP message", &frame, outcome);
        }
        let about = |protocol, port| error(2, &ipv6(STRANGER6, protocol, &from_port(port)));
        for (message, outcome) in [
            (about(UDP, 33_000), Outcome::SourcePort),
            (about(TCP, 80), Outcome::Port),
            (about(TCP, 22), Outcome::NotTaken),
            (about(60, 33_000), Outcome::NotTaken),
            (error(128, &from_port(33_000)), Outcome::NotTaken),
        ] {
            bench.check("an ICMPv6 message", &v6(HOST6, ICMPV6, &message), outcome);
        }
    });
}

#[test]
fn vlan_tags_and_ipv4_options_are_looked_through() {
    in_namespace(|| {
        let bench = Bench::new();
        let packet = ipv4(HOST, TCP, &[], 0, &datagram(80, &[0; 12]));
        for tags in [
            &[0x8100][..],
            &[0x88a8],
            &[0x9100],
            &[0x9100, 0x8100],
            &[0x88a8, 0x8100],
            &[0x8100, 0x8100],
        ] {
            bench.check("tagged", &ethernet(tags, 0x0800, &packet), Outcome::Port);
        }
        let thrice = ethernet(&[0x88a8, 0x8100, 0x8100], 0x0800, &packet);
        bench.check("three tags", &thrice, Outcome::TooDeep);
        for options in (0..=40).step_by(4) {
            let packet = ipv4(HOST, TCP, &vec![1; options], 0, &datagram(80, &[0; 12]));
            bench.check(
                "with options",
                &ethernet(&[0x8100], 0x0800, &packet),
                Outcome::Port,
            );
        }
        let mut short = ethernet(&[], 0x0800, &packet);
        short[14] = 0x44;
        bench.check("a header length of 16", &short, Outcome::Malformed);
        short[14] = 0x65;
        bench.check("a version that is not 4", &short, Outcome::Malformed);
        bench.check("LLDP", &ethernet(&[], 0x88cc, &[0; 46]), Outcome::NotIp);
    });
}

#[test]
fn ipv4_fragments_go_with_their_address() {
    in_namespace(|| {
        let bench = Bench::new();
        let fragment = |to, bits| ethernet(&[], 0x0800, &ipv4(to, UDP, &[], bits, &datagram(53, &[0; 32])));
        for (what, bits) in [("first", 0x2000), ("middle", 0x2010), ("last", 0x0010)] {
            bench.check(what, &fragment(HOST, bits), Outcome::Fragment);
            bench.check(what, &fragment(VIP, bits), Outcome::Fragment);
            bench.check(what, &fragment(BARE, bits), Outcome::FragmentNotTaken);
            bench.check(what, &fragment(STRANGER, bits), Outcome::NotManaged);
        }
        bench.check("don't fragment", &fragment(HOST, 0x4000), Outcome::Port);
    });
}

#[test]
fn ipv6_extension_headers_are_walked() {
    in_namespace(|| {
        let bench = Bench::new();
        let segment = datagram(80, &[0; 12]);
        bench.check("plain", &v6(HOST6, TCP, &segment), Outcome::Port);
        bench.check("SCTP", &v6(HOST6, 132, &segment), Outcome::Port);
        bench.check("no such port", &v6(HOST6, UDP, &segment), Outcome::NotTaken);
        bench.check(
            "reserved",
            &v6(HOST6, UDP, &datagram(33_000, &[])),
            Outcome::SourcePort,
        );
        bench.check(
            "SCTP has none reserved",
            &v6(HOST6, 132, &datagram(33_000, &[])),
            Outcome::NotTaken,
        );
        bench.check("a VIP", &v6(VIP6, 59, &[]), Outcome::Address);
        bench.check("a stranger", &v6(STRANGER6, TCP, &segment), Outcome::NotManaged);
        for kind in [0, 43, 51, 60, 135, 139, 140] {
            for units in [0, 1, 5] {
                let packet = v6(HOST6, kind, &extension(kind, TCP, units, &segment));
                bench.check("one header", &packet, Outcome::Port);
            }
            let longest = v6(HOST6, kind, &extension(kind, TCP, 160, &segment));
            assert_eq!(
                bench.outcome(&longest),
                Outcome::Port,
                "a long header of type {kind}"
            );
        }
        let on_its_way = |to| v6(to, 43, &[&[TCP, 0, 0, 1, 0, 0, 0, 0][..], &segment].concat());
        bench.check("segments left", &on_its_way(HOST6), Outcome::NotTaken);
        bench.check("segments left", &on_its_way(VIP6), Outcome::Address);
        let chain = |count: usize| {
            let rest = (1..count).fold(extension(60, TCP, 0, &segment), |rest, _| {
                extension(60, 60, 0, &rest)
            });
            v6(HOST6, 60, &rest)
        };
        bench.check("seven headers", &chain(7), Outcome::Port);
        bench.check("eight headers", &chain(8), Outcome::Port);
        bench.check("nine headers", &chain(9), Outcome::TooDeep);
        let mut to_vip = chain(9);
        to_vip[38..54].copy_from_slice(&VIP6.octets());
        bench.check("nine headers for a VIP", &to_vip, Outcome::Address);
    });
}

#[test]
fn ipv6_fragments_go_with_their_address() {
    in_namespace(|| {
        let bench = Bench::new();
        let segment = datagram(80, &[0; 12]);
        for (what, bits) in [("first", 0x0001), ("middle", 0x0041), ("last", 0x0040)] {
            let behind = fragment(TCP, bits, &segment);
            bench.check(what, &v6(HOST6, 44, &behind), Outcome::Fragment);
            bench.check(what, &v6(VIP6, 44, &behind), Outcome::Fragment);
            let deeper = extension(0, 44, 0, &behind);
            bench.check(what, &v6(HOST6, 0, &deeper), Outcome::Fragment);
        }
        // RFC 6946: neither an offset nor more to come.
        bench.check(
            "atomic",
            &v6(HOST6, 44, &fragment(TCP, 0, &segment)),
            Outcome::Port,
        );
        bench.check(
            "reserved bits",
            &v6(HOST6, 44, &fragment(TCP, 6, &segment)),
            Outcome::Port,
        );
    });
}

#[test]
fn neighbours_are_answered_for_owned_addresses_alone() {
    in_namespace(|| {
        let mut bench = Bench::new();
        let request = |target| ethernet(&[], 0x0806, &arp(1, target));
        bench.check("an ARP request", &request(VIP), Outcome::Arp);
        let tagged = ethernet(&[0x8100], 0x0806, &arp(1, VIP));
        bench.check("a tagged ARP request", &tagged, Outcome::Arp);
        bench.check("for the host", &request(HOST), Outcome::NotTaken);
        bench.check("for a stranger", &request(STRANGER), Outcome::NotManaged);
        bench.check(
            "an ARP reply",
            &ethernet(&[], 0x0806, &arp(2, VIP)),
            Outcome::NotTaken,
        );
        let mut token_ring = request(VIP);
        token_ring[15] = 6;
        bench.check("not over Ethernet", &token_ring, Outcome::NotIp);

        let solicited: Ipv6Addr = "ff02::1:ff00:10".parse().expect("an address");
        let ask = |to, target| v6(to, ICMPV6, &ndp(135, target));
        bench.check(
            "to the solicited-node address",
            &ask(solicited, VIP6),
            Outcome::Ndp,
        );
        bench.check("to the address itself", &ask(VIP6, VIP6), Outcome::Ndp);
        bench.check("for a stranger", &ask(solicited, STRANGER6), Outcome::NotManaged);
        bench.check("for the host", &ask(HOST6, HOST6), Outcome::NotTaken);
        bench.check(
            "an advertisement",
            &v6(solicited, ICMPV6, &ndp(136, VIP6)),
            Outcome::NotManaged,
        );

        let neighbours = AddressRule {
            neighbours: true,
            ..AddressRule::default()
        };
        for address in [IpAddr::from(BARE), HOST6.into()] {
            bench.rules.addresses.insert(address, neighbours);
            bench
                .steering
                .set_address(address, neighbours)
                .expect("there is room");
        }
        bench.check("asked for, with ports alone", &request(BARE), Outcome::Arp);
        bench.check("asked for, with ports alone", &ask(HOST6, HOST6), Outcome::Ndp);
        bench.check("its ports are still taken", &tcp4(BARE, 443), Outcome::Port);
    });
}

#[test]
fn rules_that_were_removed_take_nothing() {
    in_namespace(|| {
        let mut bench = Bench::new();
        let steering = &mut bench.steering;
        steering.remove_address(HOST.into()).expect("it was set");
        steering
            .remove_address(STRANGER.into())
            .expect("nothing to remove is no error");
        steering
            .add_port(HOST.into(), TCP, 80)
            .expect("adding twice is no error");
        steering.remove_port(HOST.into(), TCP, 80).expect("it was added");
        steering
            .remove_port(HOST.into(), TCP, 80)
            .expect("removing twice is no error");
        assert_eq!(bench.outcome(&tcp4(HOST, 33_000)), Outcome::NotTaken);
        assert_eq!(bench.outcome(&tcp4(HOST, 80)), Outcome::NotTaken);
        assert_eq!(
            bench.outcome(&udp4(HOST, 53)),
            Outcome::Port,
            "the other port stays"
        );
        bench
            .steering
            .remove_port(HOST.into(), UDP, 53)
            .expect("it was added");
        assert_eq!(
            bench.outcome(&udp4(HOST, 53)),
            Outcome::NotManaged,
            "nothing is left of it"
        );
        bench.steering.clear_queue(0).expect("it was set");
        bench.steering.clear_queue(0).expect("clearing twice is no error");
        bench
            .steering
            .clear_queue(77)
            .expect("nor is clearing what never was");
        assert_eq!(bench.outcome(&udp4(VIP, 1)), Outcome::NoSocket);
    });
}

/// Changes of a frame: bytes to overwrite, and a length to cut it to.
fn mutation() -> impl Strategy<Value = (Vec<(prop::sample::Index, u8)>, prop::sample::Index)> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(vec![0, 6, 17, 43, 44, 51, 58, 60, 132, 255])
    ];
    (
        prop::collection::vec((any::<prop::sample::Index>(), byte), 0..6),
        any::<prop::sample::Index>(),
    )
}

#[test]
fn the_program_agrees_with_the_reference_on_damaged_packets() {
    in_namespace(|| {
        let bench = Bench::new();
        let segment = datagram(80, &[0; 12]);
        let chain = extension(
            0,
            43,
            1,
            &extension(43, 51, 0, &extension(51, 44, 2, &fragment(TCP, 0, &segment))),
        );
        let frames = vec![
            tcp4(HOST, 80),
            ethernet(
                &[0x88a8, 0x8100],
                0x0800,
                &ipv4(HOST, UDP, &[1; 12], 0, &datagram(53, &[])),
            ),
            v6(HOST6, 0, &chain),
            v6(
                "ff02::1:ff00:10".parse().expect("an address"),
                ICMPV6,
                &ndp(135, VIP6),
            ),
            ethernet(&[], 0x0806, &arp(1, VIP)),
            ethernet(
                &[],
                0x0800,
                &ipv4(
                    HOST,
                    1,
                    &[],
                    0,
                    &error(3, &ipv4(STRANGER, UDP, &[], 0, &from_port(33_000))),
                ),
            ),
            v6(HOST6, ICMPV6, &error(1, &ipv6(STRANGER6, TCP, &from_port(80)))),
        ];
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(3000)
        };
        let strategy = (prop::sample::select(frames), mutation());
        let result = TestRunner::new(config).run(&strategy, |(mut frame, (bytes, length))| {
            for (at, byte) in bytes {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            frame.truncate(14 + length.index(frame.len() - 13));
            prop_assert_eq!(
                bench.outcome(&frame),
                classify(&bench.rules, &frame),
                "{:02x?}",
                frame
            );
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}"));
    });
}
