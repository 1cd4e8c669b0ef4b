//! The log's parts, and the whole of it on real sockets and files.

mod explaining;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;

use headgate_ring::message::{
    Action, Direction, Endpoint, Frontend, GroupId, Object, Peer, Policy, PolicyRule, Protocol,
    Service as L4, Tier,
};
use headgate_ring::{Operation, Transaction};

use super::*;
use crate::config::{State, Tables};
use headgate_net::clock::Nanos;
use headgate_net::ids::WorkerId;

const SECOND: u64 = 1_000_000_000;

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn group(number: u128) -> GroupId {
    GroupId(number)
}

fn pod(name: &str, address: &str, labels: &[(&str, &str)], groups: &[u128]) -> Object {
    let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Object::Endpoint(Endpoint {
        name: name.into(),
        addresses: vec![address.parse().unwrap()],
        hosts: Vec::new(),
        labels: labels.iter().map(label).collect(),
        ports: Vec::new(),
        groups: groups.iter().copied().map(group).collect(),
    })
}

fn rule(number: u32, name: &str, action: Action, peers: Option<&str>) -> PolicyRule {
    let block = |text: &str| {
        vec![Peer::Block {
            block: text.parse().unwrap(),
            except: Vec::new(),
        }]
    };
    PolicyRule {
        number,
        name: name.into(),
        action,
        only: None,
        peers: peers.map(block),
        ports: None,
    }
}

fn policy(name: &str, tier: Tier, direction: Direction, subjects: u128, rules: Vec<PolicyRule>) -> Object {
    Object::Policy(Policy {
        name: name.into(),
        tier,
        priority: 0,
        direction,
        subjects: group(subjects),
        rules,
    })
}

/// `shop/web-1` takes 192.0.2.0/25 alone, an admin keeps 198.18.0.0/15 out of everything, and two pods share a node's
/// address.
fn objects() -> Vec<Object> {
    let ingress = Direction::Ingress;
    vec![
        Object::Service(L4 {
            frontend: Frontend {
                address: "198.51.100.10".parse().unwrap(),
                protocol: Protocol::Tcp,
                port: 80,
            },
            name: "shop/web".into(),
            backends: vec![socket("10.244.1.10:8080")],
            affinity_seconds: None,
        }),
        pod(
            "shop/web-1",
            "10.244.1.10",
            &[("app", "web"), ("note", "a \"b\"\n")],
            &[1, 2],
        ),
        pod("shop/db-1", "10.244.1.11", &[("app", "db")], &[1]),
        pod("kube-system/proxy-1", "192.0.2.1", &[], &[]),
        pod("kube-system/agent-1", "192.0.2.1", &[("app", "agent")], &[]),
        pod("node-1", "192.0.2.1", &[], &[]),
        pod("node-2", "192.0.2.2", &[], &[]),
        policy(
            "shop/web",
            Tier::NetworkPolicy,
            ingress,
            2,
            vec![rule(3, "", Action::Accept, Some("192.0.2.0/25"))],
        ),
        policy(
            "guard",
            Tier::Admin,
            ingress,
            1,
            vec![rule(0, "no benchmarks", Action::Deny, Some("198.18.0.0/15"))],
        ),
    ]
}

/// The tables of `objects`, as the successor of `previous`.
fn tables(
    objects: Vec<Object>,
    publication: u64,
    previous: Option<(&mut State, &Tables)>,
) -> (State, Tables) {
    let transaction = Transaction {
        generation: publication,
        full: true,
        operations: objects.into_iter().map(Operation::Put).collect(),
    };
    if let Some((state, tables)) = previous {
        let mut next = Tables::transact(state, transaction, Some(tables)).unwrap();
        next.publication = publication;
        return (State::default(), next);
    }
    let mut state = State::default();
    let mut tables = Tables::transact(&mut state, transaction, None).unwrap();
    tables.publication = publication;
    (state, tables)
}

fn record(client: &str, pod: &str, event: Event) -> Record {
    Record {
        at: Nanos(SECOND),
        publication: 1,
        client: socket(client),
        frontend: socket("198.51.100.10:80"),
        pod: socket(pod),
        protocol: 6,
        event,
    }
}

mod recording {
    use super::*;

    fn log(settings: Settings) -> (Arc<FlowLog>, Recorder) {
        let log = Arc::new(FlowLog::new(settings, 1));
        let recorder = Recorder::new(Arc::clone(&log), WorkerId(0));
        (log, recorder)
    }

    fn at(at: u64, event: Event) -> Record {
        Record {
            at: Nanos(at),
            ..record("192.0.2.7:1", "10.244.1.10:8080", event)
        }
    }

    #[test]
    fn one_in_so_many_allowed_flows_is_sampled_and_every_denial() {
        let (log, mut recorder) = log(Settings {
            recorded: Recorded::All,
            sample: 10,
            rate: 1_000,
        });
        for n in 0..95 {
            recorder.allowed(|| at(SECOND + n, Event::FlowAllowed));
            recorder.denied(|| at(SECOND + n, Event::FlowDenied));
        }
        let told = log.take();
        let allowed = told.iter().filter(|r| r.event.is_allowed()).count();
        assert_eq!((allowed, told.len() - allowed), (10, 95));
        assert_eq!((log.status().unsampled, log.status().recorded), (85, 105));
    }

    #[test]
    fn the_rate_is_a_burst_and_then_so_many_a_second() {
        let (log, mut recorder) = log(Settings {
            rate: 100,
            ..Settings::default()
        });
        for n in 0..1_000 {
            recorder.denied(|| at(5 * SECOND + n, Event::FlowDenied));
        }
        assert_eq!((log.take().len(), log.status().over_rate), (100, 900));
        // Ten a millisecond, which is a hundred times too many.
        for n in 1..=10_000 {
            recorder.denied(|| at(5 * SECOND + n * 100_000, Event::FlowDenied));
        }
        assert_eq!(log.take().len(), 100);
    }

    #[test]
    fn a_log_that_does_not_keep_up_costs_records_and_they_are_counted() {
        let (log, mut recorder) = log(Settings {
            rate: 1_000_000,
            ..Settings::default()
        });
        for n in 0..10_000 {
            recorder.denied(|| at(SECOND + n, Event::FlowDenied));
        }
        let status = log.status();
        assert_eq!((status.recorded, status.queue_full), (4_096, 10_000 - 4_096));
    }

    #[test]
    fn off_is_off() {
        let mut recorder = Recorder::off();
        recorder.allowed(|| panic!("nobody asked"));
        recorder.denied(|| panic!("nobody asked"));
    }
}

mod repeating {
    use super::super::repeats::Repeats;
    use super::*;

    fn ended(repeats: &mut Repeats, seconds: u64) -> Vec<(SocketAddr, u64)> {
        let mut told = Vec::new();
        repeats.ended(Nanos(seconds * SECOND), |record, _, count| {
            told.push((record.client, count));
        });
        told
    }

    #[test]
    fn the_first_is_told_and_the_others_are_counted() {
        let mut repeats = Repeats::default();
        let denied = |port: u16| {
            record(
                &format!("192.0.2.200:{port}"),
                "10.244.1.10:8080",
                Event::FlowDenied,
            )
        };
        assert!(repeats.is_first(&denied(1), 0));
        for port in 2..=8 {
            assert!(!repeats.is_first(&denied(port), 0));
        }
        // Other pods, ports and clients are other denials.
        for (client, pod) in [
            ("192.0.2.200:1", "10.244.1.10:8081"),
            ("192.0.2.200:1", "10.244.1.11:8080"),
            ("192.0.2.201:1", "10.244.1.10:8080"),
        ] {
            assert!(repeats.is_first(&record(client, pod, Event::FlowDenied), 0));
        }
        assert_eq!(ended(&mut repeats, 10), []);
        assert_eq!(ended(&mut repeats, 11), [(socket("192.0.2.200:8"), 7)]);
        // The window goes on while it repeats itself, and ends when it does not.
        assert!(!repeats.is_first(&denied(9), 0));
        assert_eq!(ended(&mut repeats, 21), [(socket("192.0.2.200:9"), 1)]);
        assert_eq!(ended(&mut repeats, 31), []);
        assert!(repeats.is_empty());
        assert!(repeats.is_first(&denied(10), 0));
    }

    #[test]
    fn what_is_allowed_or_cut_is_never_put_together() {
        let mut repeats = Repeats::default();
        for event in [Event::FlowAllowed, Event::FlowCut, Event::RequestCut] {
            for _ in 0..3 {
                assert!(repeats.is_first(&record("192.0.2.7:1", "10.244.1.10:8080", event), 0));
            }
        }
    }

    #[test]
    fn a_flood_from_many_addresses_has_a_bound() {
        let mut repeats = Repeats::default();
        let denied = |n: u32| Record {
            client: SocketAddr::new(std::net::Ipv4Addr::from(n).into(), 1),
            ..record("192.0.2.7:1", "10.244.1.10:8080", Event::FlowDenied)
        };
        for n in 0..10_000 {
            assert!(repeats.is_first(&denied(n), 0));
        }
        assert!(!repeats.is_first(&denied(4_095), 0));
        assert!(repeats.is_first(&denied(4_096), 0), "not watched");
    }
}
