//! What the worst cost that somebody who may create pods and policies in a namespace can think of.
//!
//! `cargo run --release -p headgate-dataplane --example policy_worst [NAME]`. For each case: everything compiled from
//! nothing, one pod exchanged for another, one policy taken away and put back, a denied decision, and memory. Nothing may
//! take seconds, or it must be refused before.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]
#![allow(clippy::disallowed_methods, reason = "measures times")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_net::policy::{Classifier, Compiled, Decision, PolicyChanges};
use headgate_ring::message::{
    Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange, Protocol, Tier,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A cluster that somebody made.
#[derive(Default)]
struct Case {
    endpoints: Vec<Endpoint>,
    policies: Vec<Policy>,
}

type Make = fn() -> Case;

const EVERYBODY: GroupId = GroupId(1);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

fn main() {
    let only = std::env::args().nth(1);
    let cases: [(&str, Make); 11] = [
        ("from all namespaces, each pod of its own kind", all_namespaces),
        ("all pods but one, 400 times", || all_but_one(400, 2_000)),
        ("5,000 pods but one, 2,000 times", || all_but_one(2_000, 5_000)),
        ("500 times 0.0.0.0/0 except 100 blocks", excepts),
        ("20 times 0.0.0.0/0 except 5,000 blocks", many_excepts),
        ("a StatefulSet of 5,000, a policy for each pod", stateful_set),
        ("50,000 single addresses", single_addresses),
        ("a rule, an address and a port, 20,000 times", rules),
        ("20,000 single ports, and 500 peers with one more", ports),
        ("IPv6 blocks in one another, 100 deep, 200 times", nested),
        ("an Admin policy denies, 2,000 rules below", denied),
    ];
    println!(
        "{:<50} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8}",
        "case", "build", "pod", "policy", "denied", "tables", "builder"
    );
    for (name, case) in cases {
        if only.as_ref().is_none_or(|only| name.contains(only)) {
            measure(name, &case());
        }
    }
}

fn measure(name: &str, case: &Case) {
    let mut classifier = Classifier::default();
    let (built, compiled) = timed(|| classifier.update(everything(case)));
    let Ok(compiled) = compiled else {
        return println!("{name:<50} {built:>9.1?} refused");
    };
    let (pod, renamed) = median(|turn| {
        let mut new = case.endpoints[turn % case.endpoints.len()].clone();
        new.addresses[0] = Ipv4Addr::from_bits(0x0af5_0000 + u32::try_from(turn).unwrap_or(0)).into();
        let changes = PolicyChanges {
            endpoints: vec![(new.name.clone(), Some(Arc::new(new)))],
            ..PolicyChanges::default()
        };
        timed(|| classifier.update(changes).map(drop))
    });
    let (policy, replaced) = median(|turn| {
        let at = turn / 2 % case.policies.len();
        let old = &case.policies[at];
        let new = (turn % 2 == 1).then(|| Arc::new(old.clone()));
        let changes = PolicyChanges {
            policies: vec![((old.name.clone(), old.direction), new)],
            ..PolicyChanges::default()
        };
        timed(|| classifier.update(changes).map(drop))
    });
    let size = compiled.size();
    println!(
        "{name:<50} {built:>9.1?} {pod:>9.1?} {policy:>9.1?} {:>9.1?} {:>7} M {:>6} M{}  {size:?}",
        denial(&compiled, case),
        compiled.memory() >> 20,
        size.builder_bytes >> 20,
        if renamed && replaced {
            ""
        } else {
            " (changes refused)"
        },
    );
}

/// The median of some changes, and whether all were taken.
fn median<E>(mut change: impl FnMut(usize) -> (Duration, Result<(), E>)) -> (Duration, bool) {
    let mut all = true;
    let mut times: Vec<Duration> = (0..10)
        .map(|turn| {
            let (time, done) = change(turn);
            all &= done.is_ok();
            time
        })
        .collect();
    times.sort_unstable();
    (times[5], all)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

/// What a denied connection to a pod costs, the mean of many.
fn denial(compiled: &Compiled, case: &Case) -> Duration {
    let pods: Vec<IpAddr> = case.endpoints.iter().map(|e| e.addresses[0]).collect();
    let denied = |pod: &&IpAddr| compiled.decide(CLIENT, **pod, 6, 7) != Decision::Allow;
    let pods: Vec<&IpAddr> = pods.iter().filter(denied).take(1_000).collect();
    let (time, ()) = timed(|| {
        for _ in 0..10 {
            for pod in &pods {
                black_box(compiled.decide(CLIENT, **pod, 6, 7));
            }
        }
    });
    time / u32::try_from(pods.len().max(1) * 10).unwrap_or(1)
}

fn everything(case: &Case) -> PolicyChanges {
    PolicyChanges {
        endpoints: case
            .endpoints
            .iter()
            .map(|e| (e.name.clone(), Some(Arc::new(e.clone()))))
            .collect(),
        groups: Vec::new(),
        policies: case
            .policies
            .iter()
            .map(|p| ((p.name.clone(), p.direction), Some(Arc::new(p.clone()))))
            .collect(),
    }
}

fn own(pod: u32) -> GroupId {
    GroupId(1 << 32 | u128::from(pod))
}

fn namespace(number: u32) -> GroupId {
    GroupId(2 << 32 | u128::from(number))
}

/// Pods that are in these groups, besides everybody's.
fn pods(count: u32, groups: impl Fn(u32) -> Vec<GroupId>) -> Vec<Endpoint> {
    let pod = |i| {
        let mut groups = groups(i);
        groups.push(EVERYBODY);
        groups.sort_unstable();
        Endpoint {
            name: format!("ns/pod-{i}"),
            addresses: vec![Ipv4Addr::from_bits(0x0af4_0000 + i).into()],
            hosts: Vec::new(),
            labels: Vec::new(),
            ports: Vec::new(),
            groups,
        }
    };
    (0..count).map(pod).collect()
}

fn policy(number: u32, subjects: GroupId, rules: Vec<PolicyRule>) -> Policy {
    Policy {
        name: format!("ns/policy-{number:05}"),
        tier: Tier::NetworkPolicy,
        priority: 0,
        direction: Direction::Ingress,
        subjects,
        rules,
    }
}

fn rule(peers: Option<Vec<Peer>>, ports: impl IntoIterator<Item = u32>) -> PolicyRule {
    let port = |port: u32| {
        let first = u16::try_from(port).unwrap_or(u16::MAX);
        PortRange {
            protocol: Protocol::Tcp,
            first,
            last: first,
        }
    };
    PolicyRule {
        number: 0,
        name: String::new(),
        action: Action::Accept,
        only: None,
        peers,
        ports: Some(ports.into_iter().map(port).collect()),
    }
}

fn host(number: u32) -> IpNet {
    Ipv4Net::from(Ipv4Addr::from_bits(0xcb00_0000 + number * 7)).into()
}

fn block(block: IpNet, except: Vec<IpNet>) -> Peer {
    Peer::Block { block, except }
}

fn all_namespaces() -> Case {
    let ingress = |i| {
        rule(
            Some(vec![Peer::Group(EVERYBODY), Peer::Group(own(i))]),
            [1_000 + i],
        )
    };
    Case {
        endpoints: pods(5_000, |i| vec![own(i), namespace(i % 1_000)]),
        policies: (0..1_000)
            .map(|i| policy(i, namespace(i), vec![ingress(i)]))
            .collect(),
    }
}

fn all_but_one(policies: u32, count: u32) -> Case {
    let but = |i: u32| GroupId(3 << 32 | u128::from(i));
    let rules = |i| vec![rule(Some(vec![Peer::Group(but(i))]), [1_000 + i])];
    Case {
        endpoints: pods(count, |i| {
            let all = (0..policies).filter(|n| *n != i).map(but);
            all.chain([own(i), namespace(i % policies)]).collect()
        }),
        policies: (0..policies).map(|i| policy(i, namespace(i), rules(i))).collect(),
    }
}

fn excepts() -> Case {
    let except = |i| (0..100).chain([1_000 + i]).map(host).collect();
    Case {
        endpoints: pods(2_000, |i| vec![own(i), namespace(i % 500)]),
        policies: (0..500)
            .map(|i| {
                policy(
                    i,
                    namespace(i),
                    vec![rule(
                        Some(vec![block(Ipv4Net::default().into(), except(i))]),
                        [1_000 + i],
                    )],
                )
            })
            .collect(),
    }
}

fn many_excepts() -> Case {
    let except = |i| (0..5_000).chain([10_000 + i]).map(host).collect();
    Case {
        endpoints: pods(2_000, |i| vec![own(i), namespace(i % 20)]),
        policies: (0..20)
            .map(|i| {
                policy(
                    i,
                    namespace(i),
                    vec![rule(
                        Some(vec![block(Ipv4Net::default().into(), except(i))]),
                        [1_000 + i],
                    )],
                )
            })
            .collect(),
    }
}

fn stateful_set() -> Case {
    Case {
        endpoints: pods(5_000, |i| vec![own(i)]),
        policies: (0..5_000)
            .map(|i| {
                policy(
                    i,
                    own(i),
                    vec![rule(Some(vec![Peer::Group(own((i + 1) % 5_000))]), [1_000 + i])],
                )
            })
            .collect(),
    }
}

fn single_addresses() -> Case {
    let peers = |i: u32| {
        (0..2_000)
            .map(|n| block(host(i * 2_000 + n), Vec::new()))
            .collect()
    };
    Case {
        endpoints: pods(1_000, |i| vec![namespace(i % 25)]),
        policies: (0..25)
            .map(|i| policy(i, namespace(i), vec![rule(Some(peers(i)), [80 + i])]))
            .collect(),
    }
}

fn rules() -> Case {
    let rules = (0..20_000).map(|i| rule(Some(vec![block(host(i), Vec::new())]), [1_000 + i]));
    Case {
        endpoints: pods(1_000, |i| vec![namespace(i % 2)]),
        policies: vec![policy(0, namespace(0), rules.collect())],
    }
}

fn ports() -> Case {
    let mut rules: Vec<PolicyRule> = vec![rule(None, (0..20_000).map(|i| 2 * i + 100))];
    rules.extend((0..500).map(|i| rule(Some(vec![block(host(i), Vec::new())]), [2 * i + 101])));
    Case {
        endpoints: pods(1_000, |i| vec![namespace(i % 2)]),
        policies: vec![policy(0, namespace(0), rules)],
    }
}

fn nested() -> Case {
    let deep = |chain: u128| {
        let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | chain << 88 | 0x55 << 40 | chain);
        let net = move |length| IpNet::from(Ipv6Net::new_assert(address, length)).trunc();
        (28..128).map(move |length| block(net(length), vec![net(length + 1)]))
    };
    let rules = (0..200_u32).map(|i| rule(Some(deep(i.into()).collect()), [1_000 + i]));
    Case {
        endpoints: pods(1_000, |i| vec![namespace(i % 2)]),
        policies: vec![policy(0, namespace(0), rules.collect())],
    }
}

fn denied() -> Case {
    let rules = (0..2_000).map(|i| rule(Some(vec![block(host(i), Vec::new())]), [1_000 + i % 8]));
    let mut admin = policy(
        1,
        EVERYBODY,
        vec![rule(Some(vec![Peer::Group(namespace(1))]), [22])],
    );
    admin.tier = Tier::Admin;
    admin.rules[0].action = Action::Deny;
    Case {
        endpoints: pods(1_000, |i| vec![namespace(i % 2)]),
        policies: vec![policy(0, namespace(0), rules.collect()), admin],
    }
}
