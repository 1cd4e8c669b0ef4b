//! The steering program and user space are of one mind about what a frame is: what the one takes for its protocol and
//! port, the other reads as such.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::frames::*;
use common::{in_namespace, steering_on_loopback};
use headgate_net::wire::{Headers, Malformed, Parsed, SCTP, ndp, parse, quote};
use headgate_xsk::{AddressRule, Outcome, Queue, Steering};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Fragments and ports of these are taken.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 1);
/// Nothing of these.
const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xdead, 0, 0, 0, 0, 1);
/// So that there always is a port; nothing that is generated goes there.
const RESERVED: u16 = 1;

struct Bench {
    steering: RefCell<Steering>,
    _queue: Queue,
    seen: RefCell<BTreeMap<&'static str, usize>>,
}

type Judged = Result<(), TestCaseError>;

impl Bench {
    fn new() -> Self {
        let (mut steering, queue) = steering_on_loopback();
        let fragments = AddressRule {
            fragments: true,
            ..AddressRule::default()
        };
        for address in [IpAddr::from(HOST), HOST6.into()] {
            steering.set_address(address, fragments).expect("there is room");
            steering.add_port(address, SCTP, RESERVED).expect("there is room");
        }
        Self {
            steering: steering.into(),
            _queue: queue,
            seen: RefCell::default(),
        }
    }

    /// How the program's run ends while `port`, if there is one, is taken.
    fn run(&self, frame: &[u8], port: Option<(IpAddr, u8, u16)>) -> Outcome {
        let mut steering = self.steering.borrow_mut();
        if let Some((address, protocol, port)) = port {
            steering.add_port(address, protocol, port).expect("there is room");
        }
        let before = steering.counters().expect("counters");
        steering.run(frame).expect("the program runs");
        let after = steering.counters().expect("counters");
        if let Some((address, protocol, port)) = port {
            steering
                .remove_port(address, protocol, port)
                .expect("it was added");
        }
        let ended = after
            .iter()
            .find(|&(outcome, count)| count != before.get(outcome));
        ended.expect("one outcome").0
    }

    fn count(&self, what: &'static str) {
        *self.seen.borrow_mut().entry(what).or_default() += 1;
    }

    fn judge(&self, frame: &[u8]) -> Judged {
        let parsed = parse(frame);
        let outcome = self.run(frame, None);
        match parsed {
            Ok(Parsed::Ip(headers)) => self.packet(frame, &headers, outcome)?,
            Ok(Parsed::Fragment(fragment)) => {
                self.count("fragment");
                let expected = match is_host(fragment.destination(frame)) {
                    true => Outcome::Fragment,
                    false => Outcome::NotManaged,
                };
                prop_assert_eq!(outcome, expected);
            }
            Ok(Parsed::Routed) => {
                self.count("routed");
                prop_assert!(matches!(outcome, Outcome::NotTaken | Outcome::NotManaged));
            }
            Ok(Parsed::Arp(_)) => {
                self.count("ARP");
                // For no address that is answered for.
                let other = [
                    Outcome::NotTaken,
                    Outcome::NotManaged,
                    Outcome::NotIp,
                    Outcome::Malformed,
                ];
                prop_assert!(other.contains(&outcome), "{outcome:?}");
            }
            Ok(Parsed::NotIp) => {
                self.count("not IP");
                prop_assert!(
                    matches!(outcome, Outcome::NotIp | Outcome::TooDeep),
                    "{outcome:?}"
                );
            }
            Err(Malformed::TooManyHeaders) => {
                self.count("too many headers");
                prop_assert!(
                    matches!(outcome, Outcome::TooDeep | Outcome::NotManaged),
                    "{outcome:?}"
                );
            }
            // User space looks at more: lengths, checksums. It drops what comes to it, and says why.
            Err(_) => self.count("malformed"),
        }
        Ok(())
    }

    /// `outcome` is with none of the ports taken.
    fn packet(&self, frame: &[u8], headers: &Headers, outcome: Outcome) -> Judged {
        let (_, to) = headers.addresses(frame);
        if headers.v6 && ndp::is_ndp(frame, headers) && outcome == Outcome::NotManaged {
            return Ok(());
        }
        let port = match headers.protocol {
            TCP | UDP => Some((headers.protocol, headers.destination_port)),
            _ => quote::parse_quote(frame, headers)
                .map(|quote| (quote.headers.protocol, quote.headers.source_port)),
        };
        let Some((protocol, port)) = port.filter(|_| is_host(to)) else {
            self.count(if is_host(to) { "other protocol" } else { "stranger" });
            let expected: &[Outcome] = match is_host(to) {
                false => &[Outcome::NotManaged],
                // A quotation may be too short, and a segment of SCTP too.
                true => &[Outcome::NotTaken, Outcome::Malformed],
            };
            prop_assert!(expected.contains(&outcome), "{outcome:?}");
            return Ok(());
        };
        self.count(match headers.protocol {
            TCP => "TCP",
            UDP => "UDP",
            _ => "ICMP error",
        });
        prop_assert_eq!(outcome, Outcome::NotTaken);
        prop_assert_eq!(self.run(frame, Some((to, protocol, port))), Outcome::Port);
        prop_assert_eq!(self.run(frame, Some((to, protocol, port ^ 1))), Outcome::NotTaken);
        prop_assert_eq!(
            self.run(frame, Some((to, protocol ^ TCP ^ UDP, port))),
            Outcome::NotTaken
        );
        Ok(())
    }
}

fn is_host(address: IpAddr) -> bool {
    [IpAddr::from(HOST), HOST6.into()].contains(&address)
}

/// A segment, datagram or message, and its protocol.
fn transport() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let port = 2..=u16::MAX;
    let rest = 0..40_usize;
    prop_oneof![
        4 => (port.clone(), rest.clone(), 5..8_u8).prop_map(|(port, rest, words)| {
            let mut segment = datagram(port, &vec![0; 12 + rest]);
            segment[12] = words << 4;
            (TCP, segment)
        }),
        4 => (port, rest.clone()).prop_map(|(port, rest)| (UDP, datagram(port, &vec![0; rest]))),
        1 => (select([0, 1, 47, 50, 58, 59, 132, 253]), rest).prop_map(|(p, rest)| (p, vec![3; rest])),
    ]
}

/// An ICMP error about what was sent from a port.
fn error_v4() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let quoted = (transport(), 0..3_usize, select([0_u16, 0x2000, 0x4000, 1]));
    (quoted, select([0_u8, 3, 5, 8, 11, 12]), 0..60_usize).prop_map(
        |(((protocol, segment), options, cut), kind, length)| {
            let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
            message.extend(ipv4(STRANGER, protocol, &vec![1; options * 4], cut, &segment));
            message.truncate(8 + 20 + length);
            (1, message)
        },
    )
}

fn error_v6() -> impl Strategy<Value = (u8, Vec<u8>)> {
    (transport(), select([0_u8, 1, 2, 3, 4, 5, 128]), 0..60_usize).prop_map(
        |((protocol, segment), kind, length)| {
            let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
            message.extend(ipv6(STRANGER6, protocol, &segment));
            message.truncate(8 + 40 + length);
            (ICMPV6, message)
        },
    )
}

/// An extension header in front of others: its type, its length, and the bits that may end the walk.
fn link() -> impl Strategy<Value = (u8, u8, u16)> {
    let stop = prop_oneof![4 => Just(0_u16), 1 => any::<u16>(), 1 => select([1_u16, 6, 8, 9])];
    (select([0_u8, 43, 44, 51, 60, 135, 139, 140]), 0..4_u8, stop)
}

fn packet_v6() -> impl Strategy<Value = Vec<u8>> {
    let chain = prop_oneof![
        4 => proptest::collection::vec(link(), 0..4),
        1 => proptest::collection::vec(link(), 7..10),
    ];
    let transport = prop_oneof![4 => transport(), 1 => error_v6()];
    (select([HOST6, HOST6, STRANGER6]), chain, transport).prop_map(|(to, chain, (protocol, segment))| {
        let (mut next, mut payload) = (protocol, segment);
        for (kind, units, stop) in chain.into_iter().rev() {
            payload = match kind {
                44 => fragment(next, stop, &payload),
                _ => extension(kind, next, units, &payload),
            };
            payload[2..4].copy_from_slice(&stop.to_be_bytes());
            next = kind;
        }
        ipv6(to, next, &payload)
    })
}

fn packet_v4() -> impl Strategy<Value = Vec<u8>> {
    let cut = prop_oneof![4 => select([0_u16, 0x4000]), 1 => any::<u16>()];
    let transport = prop_oneof![4 => transport(), 1 => error_v4()];
    (select([HOST, HOST, STRANGER]), transport, 0..=10_usize, cut).prop_map(
        |(to, (protocol, segment), options, cut)| ipv4(to, protocol, &vec![1; options * 4], cut, &segment),
    )
}

/// Frames with all kinds of tags, a few damaged and some cut off.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let packet = prop_oneof![
        4 => packet_v4().prop_map(|packet| (0x0800_u16, packet)),
        5 => packet_v6().prop_map(|packet| (0x86dd, packet)),
        1 => select([1_u16, 2]).prop_map(|operation| (0x0806, arp(operation, HOST))),
        1 => (select([0x0800_u16, 0x86dd, 0x88cc, 0x8847]), any::<[u8; 46]>())
            .prop_map(|(kind, bytes)| (kind, bytes.to_vec())),
    ];
    let tag = select([0x8100_u16, 0x88a8, 0x9100, 0x9200]);
    let tags = prop_oneof![2 => Just(vec![]), 2 => proptest::collection::vec(tag, 0..4)];
    let damage = prop_oneof![
        3 => Just(vec![]),
        1 => proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ];
    let cut = prop_oneof![3 => Just(0_usize), 1 => 0..80_usize];
    (tags, packet, damage, cut).prop_map(|(tags, (kind, packet), damage, cut)| {
        let mut frame = ethernet(&tags, kind, &packet);
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame.truncate(frame.len().saturating_sub(cut).max(14));
        frame
    })
}

fn select<T: Clone + std::fmt::Debug + 'static, const N: usize>(
    from: [T; N],
) -> impl Strategy<Value = T> + Clone {
    prop::sample::select(Vec::from(from))
}

#[test]
fn the_program_and_user_space_read_frames_alike() {
    in_namespace(|| {
        let bench = Bench::new();
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(8000)
        };
        let judged = TestRunner::new(config).run(&frames(), |frame| {
            bench
                .judge(&frame)
                .map_err(|error| TestCaseError::fail(format!("{error}: {:?} {frame:02x?}", parse(&frame))))
        });
        judged.unwrap_or_else(|error| panic!("{error}"));
        let seen = bench.seen.borrow();
        for what in [
            "TCP",
            "UDP",
            "ICMP error",
            "fragment",
            "routed",
            "ARP",
            "not IP",
            "too many headers",
            "stranger",
            "other protocol",
            "malformed",
        ] {
            assert!(seen.get(what).is_some_and(|n| *n >= 20), "{what}: {seen:?}");
        }
    });
}
