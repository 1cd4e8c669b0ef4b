use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{
    Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange, Protocol, Tier,
};

use super::*;

/// A policy and the addresses of its subjects' pods.
type Case = (Arc<Policy>, Vec<IpAddr>);

fn policy(name: &str, direction: Direction, subjects: &[&str], rules: Vec<PolicyRule>) -> Case {
    let subjects = subjects.iter().map(|s| s.parse().expect("an address")).collect();
    let letters = name.bytes().fold(0, |sum, byte| sum << 8 | u128::from(byte));
    let policy = Policy {
        name: name.into(),
        tier: Tier::NetworkPolicy,
        priority: 0,
        direction,
        subjects: GroupId(letters << 1 | u128::from(direction == Direction::Egress)),
        rules,
    };
    (Arc::new(policy), subjects)
}

fn rule(peers: &[&str], ports: &[(Protocol, u16, u16)]) -> PolicyRule {
    let peer = |block: &&str| Peer::Block {
        block: block.parse().expect("a block"),
        except: Vec::new(),
    };
    let port = |&(protocol, first, last): &_| PortRange {
        protocol,
        first,
        last,
    };
    PolicyRule {
        number: 0,
        name: String::new(),
        action: Action::Accept,
        only: None,
        peers: (!peers.is_empty()).then(|| peers.iter().map(peer).collect()),
        ports: (!ports.is_empty()).then(|| ports.iter().map(port).collect()),
    }
}

/// One endpoint for each address.
fn endpoints(cases: &[Case]) -> Vec<Arc<Endpoint>> {
    let mut groups: BTreeMap<IpAddr, BTreeSet<GroupId>> = BTreeMap::new();
    for (policy, subjects) in cases {
        for subject in subjects {
            groups.entry(*subject).or_default().insert(policy.subjects);
        }
    }
    let endpoint = |(address, groups): (IpAddr, BTreeSet<GroupId>)| {
        Arc::new(Endpoint {
            name: format!("a/{address}"),
            addresses: vec![address],
            hosts: Vec::new(),
            labels: Vec::new(),
            ports: Vec::new(),
            groups: groups.into_iter().collect(),
        })
    };
    groups.into_iter().map(endpoint).collect()
}

fn policies(cases: &[Case]) -> Vec<Arc<Policy>> {
    cases.iter().map(|(policy, _)| policy.clone()).collect()
}

fn decide(cases: &[Case], src: &str, dst: &str, protocol: u8, port: u16) -> Decision {
    let (src, dst) = (src.parse().expect("an address"), dst.parse().expect("an address"));
    let compiled = Compiled::build(endpoints(cases), policies(cases)).expect("few policies");
    let decision = compiled.decide(src, dst, protocol, port);
    let explanation = reference::explain(&endpoints(cases), &policies(cases), src, dst, protocol, port);
    let named = match &decision {
        Decision::Allow => None,
        Decision::Deny(denial) => compiled.policy(denial.policy).map(|p| (denial.direction, &**p)),
    };
    let expected = explanation.denied().map(|(direction, end)| {
        let ruling = end.by.as_ref().expect("who denies is known");
        (direction, &*ruling.policy)
    });
    assert_eq!(named, expected);
    decision
}

const CLIENT: &str = "192.0.2.10";
const POD: &str = "10.244.1.10";
const OTHER: &str = "10.244.1.11";
const CLIENT_BLOCK: &str = "192.0.2.10/32";

fn denied(policy: u32, direction: Direction) -> Decision {
    Decision::Deny(Denial {
        policy: PolicyId(policy),
        direction,
    })
}

#[test]
fn without_policies_everything_is_allowed() {
    assert_eq!(decide(&[], CLIENT, POD, 6, 80), Decision::Allow);
}

#[test]
fn an_isolated_pod_takes_only_what_a_rule_names() {
    let policies = [policy(
        "a/p",
        Direction::Ingress,
        &[POD],
        vec![rule(&["192.0.2.0/24"], &[(Protocol::Tcp, 80, 89)])],
    )];
    assert_eq!(decide(&policies, CLIENT, POD, 6, 80), Decision::Allow);
    assert_eq!(decide(&policies, CLIENT, POD, 6, 89), Decision::Allow);
    assert_eq!(
        decide(&policies, CLIENT, POD, 6, 90),
        denied(0, Direction::Ingress)
    );
    assert_eq!(
        decide(&policies, CLIENT, POD, 6, 79),
        denied(0, Direction::Ingress)
    );
    assert_eq!(
        decide(&policies, CLIENT, POD, 17, 80),
        denied(0, Direction::Ingress)
    );
    assert_eq!(
        decide(&policies, CLIENT, POD, 1, 0),
        denied(0, Direction::Ingress)
    );
    assert_eq!(
        decide(&policies, "198.51.100.1", POD, 6, 80),
        denied(0, Direction::Ingress)
    );
    assert_eq!(decide(&policies, CLIENT, OTHER, 6, 90), Decision::Allow);
    assert_eq!(decide(&policies, POD, CLIENT, 6, 90), Decision::Allow);
    assert_eq!(decide(&policies, POD, POD, 6, 90), Decision::Allow);
}

#[test]
fn missing_peers_and_ports_mean_any() {
    let any = [policy("a/p", Direction::Ingress, &[POD], vec![rule(&[], &[])])];
    assert_eq!(decide(&any, CLIENT, POD, 1, 0), Decision::Allow);
    let any_peer = [policy(
        "a/p",
        Direction::Ingress,
        &[POD],
        vec![rule(&[], &[(Protocol::Udp, 0, 65535)])],
    )];
    assert_eq!(decide(&any_peer, "2001:db8::1", POD, 17, 0), Decision::Allow);
    assert_eq!(decide(&any_peer, "2001:db8::1", POD, 17, 65535), Decision::Allow);
    assert_eq!(
        decide(&any_peer, "2001:db8::1", POD, 6, 1),
        denied(0, Direction::Ingress)
    );
}

#[test]
fn both_ends_must_allow_and_egress_is_named_first() {
    let deny_in = policy("a/in", Direction::Ingress, &[POD], Vec::new());
    let deny_out = policy("b/out", Direction::Egress, &[OTHER], Vec::new());
    let allow_out = policy(
        "c/out",
        Direction::Egress,
        &[OTHER],
        vec![rule(&["10.244.1.10/32"], &[])],
    );
    let both = [deny_in, deny_out.clone()];
    assert_eq!(decide(&both, OTHER, POD, 6, 80), denied(1, Direction::Egress));
    assert_eq!(decide(&both, CLIENT, POD, 6, 80), denied(0, Direction::Ingress));
    // Policies add up: what one allows, another cannot take away.
    assert_eq!(decide(&[deny_out, allow_out], OTHER, POD, 6, 80), Decision::Allow);
}

#[test]
fn excepts_hold_for_their_own_block_only() {
    let excepted = Peer::Block {
        block: "192.0.2.0/24".parse().expect("a block"),
        except: vec![
            "192.0.2.0/28".parse().expect("a block"),
            "192.0.2.0/30".parse().expect("a block"),
        ],
    };
    let narrow = Peer::Block {
        block: "192.0.2.9/32".parse().expect("a block"),
        except: Vec::new(),
    };
    let rules = vec![PolicyRule {
        peers: Some(vec![excepted, narrow]),
        ..rule(&[], &[])
    }];
    let policies = [policy("a/p", Direction::Ingress, &[POD], rules)];
    assert_eq!(decide(&policies, "192.0.2.16", POD, 6, 80), Decision::Allow);
    assert_eq!(decide(&policies, "192.0.2.9", POD, 6, 80), Decision::Allow);
    assert_eq!(
        decide(&policies, "192.0.2.1", POD, 6, 80),
        denied(0, Direction::Ingress)
    );
    assert_eq!(
        decide(&policies, "192.0.2.10", POD, 6, 80),
        denied(0, Direction::Ingress)
    );
}

#[test]
fn tables_above_the_limit_are_refused_by_the_policy_that_passes_it() {
    let peers: Vec<String> = (0..250).map(|i| format!("192.0.{i}.0/24")).collect();
    let rules = peers
        .iter()
        .zip(1..)
        .map(|(peer, port)| rule(&[peer], &[(Protocol::Tcp, port, port)]));
    let small = policy(
        "a/small",
        Direction::Ingress,
        &[POD],
        vec![rule(&["192.0.2.0/24"], &[])],
    );
    let large = policy("b/large", Direction::Ingress, &[OTHER], rules.collect());
    let (small, both) = ([small.clone()], [small, large]);
    let mut classifier = Classifier::with_limits(build::Limits {
        bytes: 10_000,
        ..Default::default()
    });
    let whole = |cases: &[Case]| PolicyChanges {
        endpoints: endpoints(cases)
            .into_iter()
            .map(|e| (e.name.clone(), Some(e)))
            .collect(),
        groups: Vec::new(),
        policies: policies(cases)
            .into_iter()
            .map(|p| ((p.name.clone(), p.direction), Some(p)))
            .collect(),
    };
    classifier.update(whole(&small)).expect("it is small");
    let refused = classifier.update(whole(&both)).expect_err("too large");
    assert_eq!(refused.policy, ("b/large".to_owned(), Direction::Ingress));
    // The state before stays, and goes on from there.
    let (src, pod, other) = ("198.51.100.1", POD, OTHER);
    let decide = |compiled: &Compiled, dst: &str| {
        let (src, dst) = (src.parse().expect("an address"), dst.parse().expect("an address"));
        compiled.decide(src, dst, 6, 80)
    };
    assert_eq!(decide(classifier.tables(), pod), denied(0, Direction::Ingress));
    assert_eq!(decide(classifier.tables(), other), Decision::Allow);
    let gone = PolicyChanges {
        policies: vec![(("a/small".to_owned(), Direction::Ingress), None)],
        ..PolicyChanges::default()
    };
    let compiled = classifier.update(gone).expect("it is nothing");
    assert_eq!(decide(&compiled, pod), Decision::Allow);
}

#[test]
fn many_ports_need_several_levels_of_index() {
    let ports: Vec<_> = (1..2_000)
        .map(|port| (Protocol::Udp, port * 20, port * 20 + 9))
        .collect();
    let cases = [policy(
        "a/p",
        Direction::Ingress,
        &[POD],
        vec![rule(&["192.0.2.0/24"], &ports)],
    )];
    let compiled = Compiled::build(endpoints(&cases), policies(&cases)).expect("few policies");
    let (src, dst) = (
        CLIENT.parse().expect("an address"),
        POD.parse().expect("an address"),
    );
    for port in 0..=u16::MAX {
        let decision = compiled.decide(src, dst, 17, port);
        assert_eq!(
            decision.is_allowed(),
            (20..39_990).contains(&port) && port % 20 < 10,
            "port {port}"
        );
    }
}

/// Many peers, each of which holds all pods but one: classes join them one after another, and must not leave a
/// region behind for each.
#[test]
fn peers_that_hold_nearly_everybody_cost_what_differs() {
    const PODS: u32 = 60;
    let but = |i: u32| GroupId(1000 + u128::from(i));
    let pod = |i: u32| {
        let mut groups: Vec<GroupId> = (0..PODS).filter(|other| *other != i).map(but).collect();
        groups.push(GroupId(2000 + u128::from(i)));
        let endpoint = Endpoint {
            name: format!("a/pod-{i}"),
            addresses: vec![[10, 244, 0, u8::try_from(i).expect("few pods")].into()],
            hosts: Vec::new(),
            labels: Vec::new(),
            ports: Vec::new(),
            groups,
        };
        (endpoint.name.clone(), Some(Arc::new(endpoint)))
    };
    let rules = |i: u32| PolicyRule {
        peers: Some(vec![Peer::Group(but(i))]),
        ..rule(&[], &[])
    };
    let policy = |i: u32| {
        let policy = Policy {
            name: format!("a/p{i}"),
            tier: Tier::NetworkPolicy,
            priority: 0,
            direction: Direction::Ingress,
            subjects: GroupId(2000 + u128::from(i)),
            rules: vec![rules(i)],
        };
        ((policy.name.clone(), policy.direction), Some(Arc::new(policy)))
    };
    let mut classifier = Classifier::with_limits(build::Limits {
        wide: 20,
        narrow: 10,
        ..Default::default()
    });
    let everything = PolicyChanges {
        endpoints: (0..PODS).map(pod).collect(),
        groups: Vec::new(),
        policies: (0..PODS).map(policy).collect(),
    };
    let compiled = classifier.update(everything).expect("few policies");
    let size = compiled.size();
    assert_eq!((size.regions, size.cells), (60, 60 * 59));
    assert!(size.verdicts_bytes < 1 << 20, "{size:?}");
    for (i, j) in (0..60).flat_map(|i| (0..60).map(move |j| (i, j))) {
        let allowed = compiled
            .decide([10, 244, 0, i].into(), [10, 244, 0, j].into(), 6, 80)
            .is_allowed();
        assert!(
            allowed,
            "from pod {i} to pod {j}: only the pod itself is left out"
        );
        let stranger = compiled.decide([192, 0, 2, i].into(), [10, 244, 0, j].into(), 6, 80);
        assert!(!stranger.is_allowed());
    }
}

/// What somebody writes in a namespace must not take the cluster's own policies away.
#[test]
fn who_takes_most_gives_way() {
    let own = |name: &str, tier| {
        let (policy, subjects) = policy(name, Direction::Ingress, &[POD], vec![rule(&[CLIENT_BLOCK], &[])]);
        let mut policy = Policy::clone(&policy);
        (policy.tier, policy.subjects) = (tier, GroupId(7));
        (Arc::new(policy), subjects)
    };
    let rules = (0..250).map(|i| rule(&[&format!("192.0.{i}.0/24")], &[(Protocol::Tcp, i + 1, i + 1)]));
    let mut large = policy("a/large", Direction::Ingress, &[POD], rules.collect());
    Arc::make_mut(&mut large.0).subjects = GroupId(7);
    let small = policy(
        "z/small",
        Direction::Ingress,
        &[OTHER],
        vec![rule(&[CLIENT_BLOCK], &[])],
    );
    let (admin, baseline) = (own("admin", Tier::Admin), own("zz", Tier::Baseline));
    let cases = [admin, large, small, baseline];
    let mut classifier = Classifier::with_limits(build::Limits {
        bytes: 20_000,
        ..Default::default()
    });
    let changes = PolicyChanges {
        endpoints: endpoints(&cases)
            .into_iter()
            .map(|e| (e.name.clone(), Some(e)))
            .collect(),
        groups: Vec::new(),
        policies: policies(&cases)
            .into_iter()
            .map(|p| ((p.name.clone(), p.direction), Some(p)))
            .collect(),
    };
    let refused = classifier.update(changes).expect_err("too large");
    assert_eq!(refused.policy.0, "a/large");
}

/// Lists of sets are memory, too, where no cell comes of them.
#[test]
fn what_the_builder_lists_is_limited() {
    let rules: Vec<PolicyRule> = std::iter::once(rule(&[], &[]))
        .chain((0..200).map(|i| rule(&[&format!("192.0.{i}.0/24")], &[])))
        .collect();
    let mut classifier = Classifier::with_limits(build::Limits {
        bytes: 50_000,
        ..Default::default()
    });
    let group = |i: u32| GroupId(100 + u128::from(i));
    let pod = |i: u32| {
        let endpoint = Endpoint {
            name: format!("a/pod-{i}"),
            addresses: vec![[10, 244, 0, u8::try_from(i).expect("few pods")].into()],
            hosts: Vec::new(),
            labels: Vec::new(),
            ports: Vec::new(),
            groups: vec![GroupId(1), group(i)],
        };
        (endpoint.name.clone(), Some(Arc::new(endpoint)))
    };
    let policy = |name: &str, subjects, rules| {
        let (policy, _) = policy(name, Direction::Ingress, &[], rules);
        let policy = Policy {
            subjects,
            ..Policy::clone(&policy)
        };
        ((policy.name.clone(), policy.direction), Some(Arc::new(policy)))
    };
    let mut policies = vec![policy("a/all", GroupId(1), rules)];
    policies.extend((0..100).map(|i| policy(&format!("a/p{i}"), group(i), Vec::new())));
    let changes = PolicyChanges {
        endpoints: (0..100).map(pod).collect(),
        groups: Vec::new(),
        policies,
    };
    let refused = classifier
        .update(changes)
        .expect_err("100 guards list 200 sets each");
    assert_eq!(refused.policy.0, "a/all");
}
