//! Random clusters: what is said of classes of pods, blocks and runs of ports holds for every single connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use headgate_ring::message::{
    Action, Direction, Endpoint, Group, GroupId, Object, Peer, Policy, PolicyRule, PortRange, Protocol, Tier,
};
use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::classes::{ClassKind, EndpointClass, classes};
use super::diff::{self, Now};
use super::ports::PROTOCOLS;
use super::snapshot::PolicySnapshot;
use headgate_net::policy::Question;

/// Groups of a cluster: few, so that pods are in several.
const GROUPS: u128 = 5;

/// Ports at the edges of the ranges that rules have.
const ASKED: [u16; 5] = [1, 4, 9, 10, u16::MAX];

fn group() -> impl Strategy<Value = GroupId> {
    (0..GROUPS).prop_map(GroupId)
}

/// Pods and a node of one and of two families, always the same, in random groups.
fn endpoints() -> impl Strategy<Value = Vec<Object>> {
    vec(btree_set(group(), 0..4), 10).prop_map(|groups| {
        let endpoint = |(number, groups): (u8, std::collections::BTreeSet<GroupId>)| {
            let v4 = IpAddr::V4(Ipv4Addr::new(10, 0, number / 4, number % 4));
            let v6 = IpAddr::V6(Ipv6Addr::new(
                0xfd00,
                0,
                0,
                u16::from(number / 4),
                0,
                0,
                0,
                u16::from(number),
            ));
            Object::Endpoint(Endpoint {
                name: if number == 9 {
                    "node".to_owned()
                } else {
                    format!("ns{}/p{number}", number % 2)
                },
                addresses: match number % 3 {
                    0 => vec![v4],
                    1 => vec![v6],
                    _ => vec![v4, v6],
                },
                hosts: vec![[10, 0, 0, 77].into(), [10, 0, 2, 1].into()],
                labels: Vec::new(),
                ports: Vec::new(),
                groups: groups.into_iter().collect(),
            })
        };
        (0..).zip(groups).map(endpoint).collect()
    })
}

/// Blocks around the pods, and others.
fn block() -> impl Strategy<Value = IpNet> {
    let v4 = (
        0_u8..4,
        0_u8..4,
        prop_oneof![Just(8_u8), Just(24), Just(30), Just(31), Just(32)],
    )
        .prop_map(|(c, d, length)| IpNet::new_assert(Ipv4Addr::new(10, 0, c, d).into(), length));
    let v6 = (
        0_u16..3,
        0_u16..8,
        prop_oneof![Just(16_u8), Just(64), Just(126), Just(128)],
    )
        .prop_map(|(g, h, length)| {
            IpNet::new_assert(Ipv6Addr::new(0xfd00, 0, 0, g, 0, 0, 0, h).into(), length)
        });
    prop_oneof![3 => v4, 2 => v6, 1 => Just(IpNet::new_assert(Ipv4Addr::UNSPECIFIED.into(), 0))]
        .prop_map(|net| net.trunc())
}

fn peer() -> impl Strategy<Value = Peer> {
    let of_block = (block(), vec(block(), 0..3)).prop_map(|(block, except)| Peer::Block {
        block,
        except: except
            .into_iter()
            .filter(|e| block.contains(e) && e.prefix_len() > block.prefix_len())
            .collect(),
    });
    prop_oneof![group().prop_map(Peer::Group), of_block]
}

fn range() -> impl Strategy<Value = PortRange> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let ports = prop_oneof![
        Just((0, u16::MAX)),
        Just((4, 9)),
        Just((10, 10)),
        Just((9, u16::MAX))
    ];
    (protocol, ports).prop_map(|(protocol, (first, last))| PortRange {
        protocol,
        first,
        last,
    })
}

fn rule(tier: Tier) -> impl Strategy<Value = PolicyRule> {
    let action = match tier {
        Tier::NetworkPolicy => Just(Action::Accept).boxed(),
        Tier::Admin | Tier::Baseline => {
            prop_oneof![Just(Action::Accept), Just(Action::Deny), Just(Action::Pass)].boxed()
        }
    };
    let peers = proptest::option::weighted(0.8, vec(peer(), 1..3));
    let ports = proptest::option::weighted(0.7, vec(range(), 1..3));
    let only = proptest::option::weighted(0.2, group());
    (0_u32..9, action, only, peers, ports).prop_map(|(number, action, only, peers, ports)| PolicyRule {
        number,
        name: String::new(),
        action,
        only,
        peers,
        ports,
    })
}

fn policies() -> impl Strategy<Value = Vec<Object>> {
    let tier = prop_oneof![3 => Just(Tier::NetworkPolicy), 1 => Just(Tier::Admin), 1 => Just(Tier::Baseline)];
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    let policy = tier.prop_flat_map(|tier| (Just(tier), vec(rule(tier), 0..3)));
    vec((policy, direction, group()), 0..7).prop_map(|all| {
        let policy = |(number, ((tier, rules), direction, subjects))| {
            Object::Policy(Policy {
                name: format!("ns0/policy{number}"),
                tier,
                priority: if tier == Tier::NetworkPolicy { 0 } else { number },
                direction,
                subjects,
                rules,
            })
        };
        (0_u16..).zip(all).map(policy).collect()
    })
}

fn cluster() -> impl Strategy<Value = PolicySnapshot> {
    (endpoints(), policies()).prop_map(|(endpoints, policies)| {
        let group = |id| {
            Object::Group(Group {
                id: GroupId(id),
                text: format!("group {id}"),
            })
        };
        let objects = endpoints
            .into_iter()
            .chain(policies)
            .chain((0..GROUPS).map(group));
        PolicySnapshot::new(objects.collect()).expect("a state that the dataplane takes")
    })
}

/// Every address of a pod, and some that are nobody's.
fn addresses(snapshot: &PolicySnapshot) -> Vec<IpAddr> {
    let outside = [
        "8.8.8.8",
        "10.0.0.77",
        "10.0.3.3",
        "10.200.0.1",
        "fd00::77",
        "2001:db8::1",
    ];
    let pods = snapshot
        .endpoints
        .iter()
        .flat_map(|e| e.addresses.iter().copied());
    pods.chain(outside.map(|text| text.parse().expect("an address")))
        .collect()
}

/// The class of an address.
fn class_of<'a>(
    snapshot: &PolicySnapshot,
    classes: &'a [EndpointClass],
    address: IpAddr,
) -> &'a EndpointClass {
    let name = snapshot.endpoints_at(address).next().map(|e| &e.name);
    let has = |class: &&EndpointClass| match (&class.kind, name) {
        (ClassKind::Endpoints(names), Some(name)) => names.contains(name),
        (ClassKind::Outside(o), None) => {
            o.block.contains(&address) && !o.without.iter().any(|w| w.contains(&address))
        }
        _ => false,
    };
    classes.iter().find(has).expect("everybody has a class")
}

/// Every connection between two that are not the same, not both outside, and of one family.
fn connections(snapshot: &PolicySnapshot) -> Vec<Question> {
    let all = addresses(snapshot);
    let known = |address: IpAddr| snapshot.endpoints_at(address).next().is_some();
    let mut connections = Vec::new();
    for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to))) {
        if from != to && from.is_ipv4() == to.is_ipv4() && (known(from) || known(to)) {
            let ports = PROTOCOLS
                .into_iter()
                .flat_map(|protocol| ASKED.map(|port| (protocol, port)));
            connections.extend(ports.map(|(protocol, port)| Question {
                from,
                to,
                protocol,
                port,
            }));
        }
    }
    connections
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn classes_speak_for_each_of_their_members(cluster in cluster()) {
        let decided: Vec<_> = connections(&cluster)
            .into_iter()
            .map(|connection| (connection, cluster.decide(connection).expect("agreement").is_allowed()))
            .collect();
        let cluster = cluster.apart_from_nodes().expect("a state that the dataplane takes");
        let classes = classes(&[&cluster]);
        for (connection, allowed) in decided {
            let (from, to) = (connection.from, connection.to);
            // Those that are every pod's node.
            let nodes: [IpAddr; 2] = [[10, 0, 2, 1].into(), [10, 0, 0, 77].into()];
            if nodes.contains(&from) || nodes.contains(&to) {
                continue;
            }
            let from_class = class_of(&cluster, &classes, from);
            let spoken = from_class.speaks(&cluster, 0, class_of(&cluster, &classes, to), &[]);
            let spoken = spoken.iter().find(|s| s.from.is_ipv4() == from.is_ipv4()).expect("they can speak");
            prop_assert_eq!(
                spoken.ports.contains(connection.protocol, connection.port),
                allowed,
                "{:?}", connection
            );
        }
    }

    #[test]
    fn each_connection_that_differs_is_in_one_line(old in cluster(), new in cluster()) {
        let [old, new] = [old, new].map(|state| state.apart_from_nodes().expect("a state that the dataplane takes"));
        let difference = diff::difference(&old, &new).expect("agreement");
        let classes = classes(&[&old, &new]);
        let name = |address| match &class_of(&old, &classes, address).kind {
            ClassKind::Endpoints(_) => old.endpoints_at(address).next().expect("a pod").name.clone(),
            ClassKind::Outside(outside) => outside.to_string(),
        };
        for connection in connections(&old) {
            let (from, to) = (name(connection.from), name(connection.to));
            let family = if connection.from.is_ipv4() { "IPv4" } else { "IPv6" };
            let about = difference.changes.iter().filter(|change| {
                change.ports.contains(connection.protocol, connection.port)
                    && change.family.is_none_or(|f| f == family)
                    && change.from.contains(&from)
                    && change.to.contains(&to)
            });
            let now: Vec<Now> = about.map(|change| change.now).collect();
            let expected = match (old.allows(connection), new.allows(connection)) {
                (true, false) => vec![Now::Denied],
                (false, true) => vec![Now::Allowed],
                _ => vec![],
            };
            prop_assert_eq!(now, expected, "{:?} {:#?}", connection, difference);
        }
    }
}
