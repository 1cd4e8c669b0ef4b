use std::sync::Arc;

use headgate_dataplane::config::{State, Tables};
use headgate_net::policy::reference;
use headgate_ring::{
    Operation, Transaction,
    message::{Peer, PolicyRule},
};

use super::{
    changes::{Change, Changing},
    cluster::{Cluster, Connection, SMALL, Scale},
    expand::{Expansion, Guard, Ports, Span, bits},
    linear::Linear,
};

/// So small that every kind of rule meets every pod, and connections are often allowed.
const TINY: Scale = Scale {
    pods: 100,
    policies: 12,
    cidrs: 20,
};

fn transaction(generation: u64, operations: Vec<Operation>) -> Transaction {
    Transaction {
        generation,
        full: generation == 1,
        operations,
    }
}

fn compiled(cluster: &Cluster) -> (State, Tables) {
    let mut state = State::default();
    let tables = Tables::transact(&mut state, transaction(1, cluster.operations()), None).unwrap();
    (state, tables)
}

fn allows(tables: &Tables, c: &Connection) -> bool {
    tables
        .policy
        .decide(c.src, c.dst, c.protocol, c.dst_port)
        .is_allowed()
}

#[test]
fn list_expansion_and_tables_say_what_the_reference_says() {
    for v6 in [false, true] {
        let cluster = Cluster::new(TINY, v6);
        let (_, tables) = compiled(&cluster);
        let (list, expansion) = (Linear::new(&cluster), Expansion::new(&cluster));
        let endpoints: Vec<_> = cluster.endpoints.iter().cloned().map(Arc::new).collect();
        let policies: Vec<_> = cluster.policies.iter().cloned().map(Arc::new).collect();
        let mut allowed = 0;
        for c in cluster.connections(2_000) {
            let explanation = reference::explain(&endpoints, &policies, c.src, c.dst, c.protocol, c.dst_port);
            let should = explanation.is_allowed();
            assert_eq!(list.allows(c), should, "list: {c:?}");
            assert_eq!(expansion.allows(c), should, "expansion: {c:?}");
            assert_eq!(allows(&tables, &c), should, "tables: {c:?}");
            allowed += usize::from(should);
        }
        assert!((200..1_800).contains(&allowed), "{allowed} of 2,000 are allowed");
    }
}

#[test]
fn a_cluster_is_the_same_every_time() {
    for v6 in [false, true] {
        let (one, other) = (Cluster::new(SMALL, v6), Cluster::new(SMALL, v6));
        assert_eq!(one.operations(), other.operations());
        assert_eq!(one.connections(100), other.connections(100));
        assert_eq!(
            (one.endpoints.len(), one.policies.len()),
            (SMALL.pods, SMALL.policies)
        );
    }
}

/// The only guard of a cluster whose first policy is the only one, with these rules.
fn guard(rules: Vec<PolicyRule>) -> Guard {
    let mut cluster = Cluster::new(TINY, false);
    cluster.policies.truncate(1);
    cluster.policies[0].rules = rules;
    let Expansion {
        egress, mut ingress, ..
    } = Expansion::new(&cluster);
    assert_eq!((egress.guards.len(), ingress.guards.len()), (0, 1));
    ingress.guards.remove(0)
}

fn rule(peers: &[(&str, &[&str])], ports: &[(u16, u16)]) -> PolicyRule {
    use headgate_ring::message::{Action, PortRange, Protocol};
    let block = |(block, except): &(&str, &[&str])| Peer::Block {
        block: block.parse().unwrap(),
        except: except.iter().map(|e| e.parse().unwrap()).collect(),
    };
    let range = |(first, last): &(u16, u16)| PortRange {
        protocol: Protocol::Tcp,
        first: *first,
        last: *last,
    };
    PolicyRule {
        number: 0,
        name: String::new(),
        action: Action::Accept,
        only: None,
        peers: (!peers.is_empty()).then(|| peers.iter().map(block).collect()),
        ports: (!ports.is_empty()).then(|| ports.iter().map(range).collect()),
    }
}

fn span(first: [u8; 4], last: [u8; 4]) -> Span {
    Span {
        first: bits(first.into()),
        last: bits(last.into()),
    }
}

fn tcp(first: u16, last: u16) -> Ports {
    Ports {
        protocol: Some(6),
        first,
        last,
    }
}

#[test]
fn what_one_rule_excepts_another_allows() {
    let guard = guard(vec![
        rule(&[("192.0.2.0/24", &["192.0.2.64/26"])], &[(80, 80)]),
        rule(&[("192.0.2.80/28", &[])], &[(443, 443)]),
    ]);
    let expected = vec![
        (span([192, 0, 2, 0], [192, 0, 2, 63]), vec![tcp(80, 80)]),
        (span([192, 0, 2, 80], [192, 0, 2, 95]), vec![tcp(443, 443)]),
        (span([192, 0, 2, 128], [192, 0, 2, 255]), vec![tcp(80, 80)]),
    ];
    assert_eq!(guard.peers, expected);
    assert_eq!(guard.any, []);
}

#[test]
fn overlapping_blocks_and_ports_are_cut_and_joined() {
    let guard = guard(vec![
        rule(&[("10.0.0.0/8", &[])], &[(80, 90), (85, 100), (101, 101)]),
        rule(&[("10.1.0.0/16", &[])], &[]),
        rule(&[], &[(53, 53)]),
    ]);
    let all = Ports {
        protocol: None,
        first: 0,
        last: u16::MAX,
    };
    let expected = vec![
        (span([10, 0, 0, 0], [10, 0, 255, 255]), vec![tcp(80, 101)]),
        (span([10, 1, 0, 0], [10, 1, 255, 255]), vec![all]),
        (span([10, 2, 0, 0], [10, 255, 255, 255]), vec![tcp(80, 101)]),
    ];
    assert_eq!(guard.peers, expected);
    assert_eq!(guard.any, [tcp(53, 53)]);
}

#[test]
fn the_whole_address_space_has_no_end_to_pass() {
    let guard = guard(vec![rule(&[("0.0.0.0/0", &["255.255.255.255/32"])], &[(1, 1)])]);
    let expected = vec![(span([0, 0, 0, 0], [255, 255, 255, 254]), vec![tcp(1, 1)])];
    assert_eq!(guard.peers, expected);
}

#[test]
fn no_two_rules_of_a_guard_overlap() {
    for v6 in [false, true] {
        let expansion = Expansion::new(&Cluster::new(SMALL, v6));
        assert!(expansion.rules() > 1_000);
        for guard in expansion.egress.guards.iter().chain(&expansion.ingress.guards) {
            for pair in guard.peers.windows(2) {
                assert!(pair[0].0.last < pair[1].0.first, "{pair:?}");
            }
            for ports in guard.peers.iter().map(|(_, ports)| ports).chain([&guard.any]) {
                let apart = |a: &Ports, b: &Ports| a.protocol < b.protocol || a.last < b.first;
                assert!(
                    ports.windows(2).all(|pair| apart(&pair[0], &pair[1])),
                    "{ports:?}"
                );
            }
        }
    }
}

#[test]
fn told_by_pods_the_rules_of_a_guard_are_there_for_each() {
    let mut cluster = Cluster::new(TINY, false);
    cluster.policies.truncate(1);
    cluster.policies[0].subjects = cluster.groups[0].id;
    cluster.policies[0].rules = vec![rule(&[("10.0.0.0/8", &[])], &[(80, 80), (443, 443)])];
    let expansion = Expansion::new(&cluster);
    assert_eq!((expansion.rules(), expansion.rules_of_pods()), (2, 20));
}

#[test]
fn changes_told_one_by_one_are_the_changed_cluster() {
    let mut changing = Changing::new(Cluster::new(TINY, false));
    let (mut state, mut tables) = compiled(&changing.cluster);
    for generation in 2..20 {
        for change in Change::ALL {
            let operations = changing.change(change);
            tables =
                Tables::transact(&mut state, transaction(generation, operations), Some(&tables)).unwrap();
        }
    }
    let (whole, from_nothing) = compiled(&changing.cluster);
    assert_eq!(state.len(), whole.len());
    let list = Linear::new(&changing.cluster);
    for c in changing.cluster.connections(2_000) {
        let should = list.allows(c);
        assert_eq!(
            (allows(&tables, &c), allows(&from_nothing, &c)),
            (should, should),
            "{c:?}"
        );
    }
}
