//! Random clusters: what is compiled must say what the reference says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use headgate_ring::message::{
    Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange, Protocol, Tier,
};
use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{Compiled, Decision, reference};

/// Few addresses, so that policies, blocks and connections meet.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => (0_u8..4, 0_u8..16).prop_map(|(c, d)| Ipv4Addr::new(10, 244, c, d * 17).into()),
        2 => (0_u16..2, 0_u16..16).prop_map(|(g, h)| Ipv6Addr::new(0xfd00, 0, 0, g, 0, 0, 0, h * 0x1111).into()),
        1 => any::<[u8; 4]>().prop_map(IpAddr::from),
        1 => any::<[u8; 16]>().prop_map(IpAddr::from),
    ]
}

fn block() -> impl Strategy<Value = IpNet> {
    (address(), 0_u8..=128, any::<bool>()).prop_map(|(address, length, single)| {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = if single { width } else { length.min(width) };
        IpNet::new(address, length)
            .expect("a length in the family's width")
            .trunc()
    })
}

/// Few groups, so that pods are in several.
fn group() -> impl Strategy<Value = GroupId> {
    (0_u128..8).prop_map(GroupId)
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![2 => group().prop_map(Peer::Group), 3 => block_peer()]
}

/// A block, and parts of it as excepts, which may lie in one another or cover it together.
fn block_peer() -> impl Strategy<Value = Peer> {
    (block(), vec((address(), 1_u8..12), 0..4)).prop_map(|(block, parts)| {
        let part = |(address, deeper): (IpAddr, u8)| {
            let length = block.prefix_len() + deeper;
            // The block's bits, then the address's.
            let except = match (block.network(), address) {
                (IpAddr::V4(b), IpAddr::V4(a)) => {
                    let host = u32::MAX.checked_shr(block.prefix_len().into()).unwrap_or(0);
                    Ipv4Addr::from_bits(b.to_bits() | a.to_bits() & host).into()
                }
                (IpAddr::V6(b), IpAddr::V6(a)) => {
                    let host = u128::MAX.checked_shr(block.prefix_len().into()).unwrap_or(0);
                    Ipv6Addr::from_bits(b.to_bits() | a.to_bits() & host).into()
                }
                _ => return None,
            };
            IpNet::new(except, length).ok().map(|net| net.trunc())
        };
        Peer::Block {
            block,
            except: parts.into_iter().filter_map(part).collect(),
        }
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)]
}

fn port_range() -> impl Strategy<Value = PortRange> {
    let ports = prop_oneof![
        Just((0, u16::MAX)),
        (1_u16..20).prop_map(|p| (p, p)),
        (1_u16..20, 0_u16..20).prop_map(|(first, more)| (first, first + more)),
        (65_530_u16..65_535).prop_map(|first| (first, u16::MAX)),
    ];
    (protocol(), ports).prop_map(|(protocol, (first, last))| PortRange {
        protocol,
        first,
        last,
    })
}

fn rule() -> impl Strategy<Value = PolicyRule> {
    let peers = proptest::option::weighted(0.9, vec(peer(), 0..5));
    let ports = proptest::option::weighted(0.8, vec(port_range(), 0..4));
    let only = proptest::option::weighted(0.2, group());
    (peers, ports, only).prop_map(|(peers, ports, only)| PolicyRule {
        number: 0,
        name: String::new(),
        action: Action::Accept,
        only,
        peers,
        ports,
    })
}

fn policies() -> impl Strategy<Value = Vec<Arc<Policy>>> {
    vec((any::<bool>(), group(), vec(rule(), 0..5)), 0..12).prop_map(|all| {
        let policy = |(i, (ingress, subjects, rules))| {
            Arc::new(Policy {
                name: format!("ns/p{i:02}"),
                tier: Tier::NetworkPolicy,
                priority: 0,
                direction: if ingress {
                    Direction::Ingress
                } else {
                    Direction::Egress
                },
                subjects,
                rules,
            })
        };
        all.into_iter().enumerate().map(policy).collect()
    })
}

/// Pods, some of which share an address.
fn endpoints() -> impl Strategy<Value = Vec<Arc<Endpoint>>> {
    vec((btree_set(address(), 0..3), btree_set(group(), 0..4)), 0..12).prop_map(|all| {
        let endpoint = |(i, (addresses, groups)): (usize, (_, _))| {
            let (addresses, groups): (std::collections::BTreeSet<_>, std::collections::BTreeSet<_>) =
                (addresses, groups);
            Arc::new(Endpoint {
                name: format!("ns/e{i:02}"),
                addresses: addresses.into_iter().collect(),
                labels: Vec::new(),
                ports: Vec::new(),
                groups: groups.into_iter().collect(),
            })
        };
        all.into_iter().enumerate().map(endpoint).collect()
    })
}

/// Ports at the edges of the ranges above, and protocols that policies cannot name.
fn connection() -> impl Strategy<Value = (IpAddr, IpAddr, u8, u16)> {
    let protocol = prop_oneof![4 => protocol().prop_map(Protocol::number), 1 => any::<u8>()];
    let port = prop_oneof![8 => 0_u16..42, 2 => 65_529_u16..=65_535, 1 => any::<u16>()];
    (address(), address(), protocol, port)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn compiled_policies_say_what_the_reference_says(
        endpoints in endpoints(),
        policies in policies(),
        connections in vec(connection(), 100),
    ) {
        let compiled = Compiled::build(endpoints.clone(), policies.clone()).expect("few policies");
        for (src, dst, protocol, port) in connections {
            let expected = reference::explain(&endpoints, &policies, src, dst, protocol, port);
            let expected = expected.denied().map(|(direction, end)| {
                (direction, end.by.as_ref().map(|ruling| ruling.policy.name.clone()))
            });
            let denied = match compiled.decide(src, dst, protocol, port) {
                Decision::Allow => None,
                Decision::Deny(denial) => {
                    Some((denial.direction, compiled.policy(denial.policy).map(|p| p.name.clone())))
                }
            };
            prop_assert_eq!(denied, expected, "{} to {}, protocol {}, port {}", src, dst, protocol, port);
        }
    }
}
