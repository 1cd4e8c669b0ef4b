//! Random clusters and changes: what is compiled must say what the reference says.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use headgate_ring::message::{
    Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange, Protocol, Tier,
};
use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::build::Limits;
use super::{Classifier, Compiled, Decision, PolicyChanges, Size, reference};

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

fn rule(tier: Tier) -> impl Strategy<Value = PolicyRule> {
    let peers = proptest::option::weighted(0.9, vec(peer(), 0..5));
    let ports = proptest::option::weighted(0.8, vec(port_range(), 0..4));
    let only = proptest::option::weighted(0.2, group());
    let action = match tier {
        Tier::NetworkPolicy => Just(Action::Accept).boxed(),
        Tier::Admin | Tier::Baseline => {
            prop_oneof![Just(Action::Accept), Just(Action::Deny), Just(Action::Pass)].boxed()
        }
    };
    (peers, ports, only, action).prop_map(|(peers, ports, only, action)| PolicyRule {
        number: 0,
        name: String::new(),
        action,
        only,
        peers,
        ports,
    })
}

/// Few names, so that policies are replaced.
fn policy_key() -> impl Strategy<Value = (String, Direction)> {
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    (0..8, direction).prop_map(|(i, direction)| (format!("ns/p{i:02}"), direction))
}

fn policy() -> impl Strategy<Value = Policy> {
    let tier = prop_oneof![3 => Just(Tier::NetworkPolicy), 1 => Just(Tier::Admin), 1 => Just(Tier::Baseline)];
    let body = tier.prop_flat_map(|tier| (Just(tier), 0_u16..3, group(), vec(rule(tier), 0..5)));
    (policy_key(), body).prop_map(|((name, direction), (tier, priority, subjects, rules))| Policy {
        name,
        tier,
        priority: if tier == Tier::NetworkPolicy { 0 } else { priority },
        direction,
        subjects,
        rules,
    })
}

fn endpoint_name() -> impl Strategy<Value = String> {
    (0..12).prop_map(|i| format!("ns/e{i:02}"))
}

/// Pods, some of which share an address.
fn endpoint() -> impl Strategy<Value = Endpoint> {
    let body = (
        btree_set(address(), 0..3),
        btree_set(address(), 0..2),
        btree_set(group(), 0..4),
    );
    (endpoint_name(), body).prop_map(|(name, (addresses, hosts, groups))| Endpoint {
        name,
        addresses: addresses.into_iter().collect(),
        hosts: hosts.into_iter().collect(),
        labels: Vec::new(),
        ports: Vec::new(),
        groups: groups.into_iter().collect(),
    })
}

#[derive(Clone, Debug)]
enum Step {
    PutEndpoint(Endpoint),
    DeleteEndpoint(String),
    PutPolicy(Policy),
    DeletePolicy((String, Direction)),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => endpoint().prop_map(Step::PutEndpoint),
        1 => endpoint_name().prop_map(Step::DeleteEndpoint),
        4 => policy().prop_map(Step::PutPolicy),
        1 => policy_key().prop_map(Step::DeletePolicy),
    ]
}

/// What is in force, as the reference sees it.
#[derive(Clone, Debug, Default)]
struct World {
    endpoints: BTreeMap<String, Arc<Endpoint>>,
    policies: BTreeMap<(String, Direction), Arc<Policy>>,
}

impl World {
    /// Takes the steps of one change, of which each object is named once.
    fn change(&mut self, steps: &[Step]) -> PolicyChanges {
        let (mut endpoints, mut policies) = (BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::PutEndpoint(e) => drop(endpoints.insert(e.name.clone(), Some(Arc::new(e.clone())))),
                Step::DeleteEndpoint(name) => drop(endpoints.insert(name.clone(), None)),
                Step::PutPolicy(p) => {
                    policies.insert((p.name.clone(), p.direction), Some(Arc::new(p.clone())));
                }
                Step::DeletePolicy(key) => drop(policies.insert(key.clone(), None)),
            }
        }
        follow(&mut self.endpoints, &endpoints);
        follow(&mut self.policies, &policies);
        PolicyChanges {
            endpoints: endpoints.into_iter().collect(),
            groups: Vec::new(),
            policies: policies.into_iter().collect(),
        }
    }

    /// The change that takes everything away.
    fn end(&self) -> PolicyChanges {
        PolicyChanges {
            endpoints: self.endpoints.keys().map(|name| (name.clone(), None)).collect(),
            groups: Vec::new(),
            policies: self.policies.keys().map(|key| (key.clone(), None)).collect(),
        }
    }

    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.values().cloned().collect()
    }

    fn policies(&self) -> Vec<Arc<Policy>> {
        self.policies.values().cloned().collect()
    }

    /// Compares every verdict, who denies, and why.
    fn check(&self, compiled: &Compiled, connections: &[Connection]) -> Result<(), TestCaseError> {
        let (endpoints, policies) = (self.endpoints(), self.policies());
        for (src, dst, protocol, port) in connections.iter().copied() {
            let expected = reference::explain(&endpoints, &policies, src, dst, protocol, port);
            prop_assert_eq!(&compiled.explain(src, dst, protocol, port), &expected);
            let expected = expected.denied().map(|(direction, end)| {
                (
                    direction,
                    end.by.as_ref().map(|ruling| ruling.policy.name.clone()),
                )
            });
            let denied = match compiled.decide(src, dst, protocol, port) {
                Decision::Allow => None,
                Decision::Deny(denial) => Some((
                    denial.direction,
                    compiled.policy(denial.policy).map(|p| p.name.clone()),
                )),
            };
            prop_assert_eq!(
                denied,
                expected,
                "{} to {}, protocol {}, port {}",
                src,
                dst,
                protocol,
                port
            );
        }
        Ok(())
    }
}

fn follow<K: Clone + Ord, V: Clone>(all: &mut BTreeMap<K, V>, changes: &BTreeMap<K, Option<V>>) {
    for (key, change) in changes {
        match change {
            Some(value) => drop(all.insert(key.clone(), value.clone())),
            None => drop(all.remove(key)),
        }
    }
}

type Connection = (IpAddr, IpAddr, u8, u16);

/// Ports at the edges of the ranges above, and protocols that policies cannot name.
fn connection() -> impl Strategy<Value = Connection> {
    let protocol = prop_oneof![4 => protocol().prop_map(Protocol::number), 1 => any::<u8>()];
    let port = prop_oneof![8 => 0_u16..42, 2 => 65_529_u16..=65_535, 1 => any::<u16>()];
    (address(), address(), protocol, port)
}

/// `PROPTEST_CASES` makes it more, see CONTRIBUTING.md.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 200;
    }
    config
}

/// Widths at which the few classes here cross over, and those of real life.
fn limits() -> impl Strategy<Value = Limits> {
    let widths = prop_oneof![3 => Just((2, 1)), 2 => Just((4, 3)), 2 => Just((0, 0)), 1 => Just((256, 128))];
    widths.prop_map(|(wide, narrow)| Limits {
        wide,
        narrow,
        ..Limits::default()
    })
}

proptest! {
    #![proptest_config(config())]

    /// A cluster that grows from nothing, is changed, and is compared with the reference after every change.
    #[test]
    fn changes_end_in_what_the_reference_says(
        limits in limits(),
        first in vec(step(), 0..30),
        changes in vec(vec(step(), 1..5), 0..8),
        connections in vec(connection(), 60),
    ) {
        let mut world = World::default();
        let mut classifier = Classifier::with_limits(limits);
        // Now and then workers hold on to old tables.
        let mut held = Vec::new();
        for (i, steps) in std::iter::once(&first).chain(&changes).enumerate() {
            let before = (i % 3 == 2).then(|| (classifier.tables().clone(), world.clone()));
            let compiled = classifier.update(world.change(steps)).expect("few policies");
            world.check(&compiled, &connections)?;
            held.extend(before);
            if i % 2 == 0 {
                drop(compiled);
                classifier.settle();
            }
        }
        for (compiled, world) in held {
            world.check(&compiled, &connections)?;
        }
        let fresh = Compiled::build(world.endpoints(), world.policies()).expect("few policies");
        world.check(&fresh, &connections)?;
        let (grown, fresh) = (classifier.tables().size(), fresh.size());
        prop_assert_eq!((grown.classes, grown.guards, grown.blocks), (fresh.classes, fresh.guards, fresh.blocks));
        prop_assert!(limits.wide < 256 || grown.regions == 0);
        let ended = classifier.update(world.end()).expect("nothing is not too large").size();
        let nothing = Compiled::default().size();
        let left = |size: Size| (size.classes, size.regions, size.guards, size.cells, size.blocks, size.port_lines);
        prop_assert_eq!(left(ended), left(nothing), "nothing is left behind");
    }
}
