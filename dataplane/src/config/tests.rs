use std::sync::Arc;

use headgate_ring::message::{
    Action, Certificate, Direction, Endpoint, Filters, Frontend, GroupId, Key, Listener, ListenerProtocol,
    Object, PathMatch, Peer, Policy, PolicyRule, PortRange, PrivateKey, Protocol, Redirect, Route, RouteKind,
    RouteMatch, RouteOrigin, Service, TextMatch, Tier, Upstream, UpstreamProtocol, ValueMatch, VirtualHost,
    WeightedBackend,
};

use headgate_ring::{Operation, Transaction};

use super::*;

fn service(last: u8, backends: &[&str]) -> Service {
    Service {
        frontend: Frontend {
            address: [198, 51, 100, last].into(),
            protocol: Protocol::Tcp,
            port: 80,
        },
        name: format!("default/web-{last}"),
        backends: backends.iter().map(|b| b.parse().expect("an endpoint")).collect(),
        affinity_seconds: None,
    }
}

fn listener(address: &str) -> Listener {
    Listener {
        address: address.parse().expect("an address and port"),
        protocol: ListenerProtocol::Http,
        balancers: Vec::new(),
    }
}

fn upstream(name: &str) -> Upstream {
    Upstream {
        name: name.into(),
        protocol: UpstreamProtocol::default(),
        endpoints: vec!["10.244.1.10:8080".parse().expect("an endpoint")],
    }
}

fn route(path: PathMatch, upstream: &str) -> Route {
    Route {
        matches: RouteMatch {
            path,
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        },
        filters: None,
        backends: vec![WeightedBackend {
            upstream: upstream.into(),
            weight: 1,
        }],
        origin: RouteOrigin {
            kind: RouteKind::Ingress,
            name: "default/shop".into(),
            rule: "spec.rules[0].http.paths[0]".into(),
        },
    }
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.into())
}

fn host(host: &str, paths: &[PathMatch], upstream: &str) -> VirtualHost {
    VirtualHost {
        host: host.into(),
        routes: paths.iter().map(|path| route(path.clone(), upstream)).collect(),
    }
}

fn certificate(name: &str, host: &str) -> Certificate {
    let key = PrivateKey(vec![1].into());
    Certificate {
        name: name.into(),
        hosts: vec![host.into()],
        chain: vec![vec![1]],
        key,
    }
}

fn policy(name: &str) -> Policy {
    let peer = Peer::Block {
        block: "192.0.2.0/24".parse().expect("a block"),
        except: vec!["192.0.2.8/29".parse().expect("a block")],
    };
    let ports = vec![PortRange {
        protocol: Protocol::Tcp,
        first: 80,
        last: 80,
    }];
    Policy {
        name: name.into(),
        tier: Tier::NetworkPolicy,
        priority: 0,
        direction: Direction::Ingress,
        subjects: GroupId(1),
        rules: vec![PolicyRule {
            number: 0,
            name: String::new(),
            action: Action::Accept,
            only: None,
            peers: Some(vec![peer]),
            ports: Some(ports),
        }],
    }
}

fn put(objects: impl IntoIterator<Item = Object>) -> Vec<Operation> {
    objects.into_iter().map(Operation::Put).collect()
}

fn transaction(generation: u64, full: bool, operations: Vec<Operation>) -> Transaction {
    Transaction {
        generation,
        full,
        operations,
    }
}

/// What a transaction with this object is refused with.
fn refusal(object: Object) -> String {
    let mut state = State::default();
    let error = state
        .apply(transaction(1, false, put([object])))
        .expect_err("it should be refused");
    assert!(state.is_empty() && state.generation() == 0);
    error.to_string()
}

#[test]
fn errors_name_object_and_field() {
    let mut wrong = service(10, &["10.244.1.10:80", "10.244.1.9:80"]);
    let expected = "Service 198.51.100.10 TCP 80: backends[1]: \
                    10.244.1.9:80 does not sort behind 10.244.1.10:80, the one before";
    assert_eq!(refusal(Object::Service(wrong.clone())), expected);
    wrong.backends = vec!["[2001:db8::1]:80".parse().expect("an endpoint")];
    assert!(refusal(Object::Service(wrong.clone())).contains("backends[0]: [2001:db8::1]:80 is not of the"));
    wrong.backends = vec!["10.244.1.10:0".parse().expect("an endpoint")];
    assert!(refusal(Object::Service(wrong.clone())).contains("backends[0]: 10.244.1.10:0 has port 0"));
    wrong.backends.clear();
    wrong.affinity_seconds = Some(0);
    assert!(refusal(Object::Service(wrong.clone())).contains(": affinity_seconds: "));
    wrong.frontend.address = "224.0.0.1".parse().expect("an address");
    assert!(refusal(Object::Service(wrong.clone())).contains("frontend.address: 224.0.0.1 is multicast"));
    wrong = service(10, &[]);
    wrong.frontend.port = 0;
    assert!(refusal(Object::Service(wrong)).contains(": frontend.port: is 0"));
    assert!(
        refusal(Object::Listener(listener("[::ffff:1.2.3.4]:80")))
            .contains("address: ::ffff:1.2.3.4 is IPv4-mapped")
    );
    assert!(refusal(Object::Upstream(upstream(""))).contains("Upstream \"\": name: is empty"));
}

#[test]
fn hosts_are_checked() {
    for bad in [
        "Shop.example",
        "*.",
        "a..b",
        "-a.example",
        "*",
        "a.*.b",
        &"a".repeat(254),
        "a b",
    ] {
        assert!(
            refusal(Object::VirtualHost(host(bad, &[], "u"))).contains(": host: "),
            "{bad}"
        );
    }
    // A rule whose upstream is missing is no error: it answers 503.
    let fine = [
        PathMatch::Exact("/a".into()),
        prefix("/"),
        PathMatch::Regex("^/[a-z]+$".into()),
    ];
    let fine = put([Object::VirtualHost(host("*.shop.example", &fine, "missing"))]);
    assert!(Tables::transact(&mut State::default(), transaction(1, true, fine), None).is_ok());
}

/// What is said of a host whose second route is changed so.
fn refused_route(change: &dyn Fn(&mut Route)) -> String {
    let mut bad = route(prefix("/"), "u");
    change(&mut bad);
    let routes = vec![route(prefix("/"), "u"), bad];
    refusal(Object::VirtualHost(VirtualHost {
        host: "shop.example".into(),
        routes,
    }))
}

/// A field, a part of what is said of it, and what makes it wrong.
type Wrong<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Route));

#[track_caller]
fn assert_refused(wrong: &[Wrong<'_>]) {
    for (field, reason, change) in wrong {
        let text = refused_route(change);
        let start = format!("VirtualHost \"shop.example\": routes[1].{field}: ");
        assert!(text.starts_with(&start) && text.contains(reason), "{text}");
    }
}

#[test]
fn what_routes_match_is_checked() {
    let named = |name: &str, value: TextMatch| {
        vec![ValueMatch {
            name: name.into(),
            value,
        }]
    };
    let any = TextMatch::Exact(String::new());
    assert_refused(&[
        ("matches.path", "\"a\" does not begin with /", &|r| {
            r.matches.path = prefix("a");
        }),
        ("matches.path", "holds a control character", &|r| {
            r.matches.path = PathMatch::Exact("/a\n".into());
        }),
        ("matches.path", "is not a regular expression", &|r| {
            r.matches.path = PathMatch::Regex("(".into());
        }),
        ("matches.method", "\"G T\" is not a method", &|r| {
            r.matches.method = Some("G T".into());
        }),
        ("matches.headers[0].name", "\"X-A\" is not", &|r| {
            r.matches.headers = named("X-A", any.clone());
        }),
        ("matches.headers[0].value", "regular", &|r| {
            r.matches.headers = named("a", TextMatch::Regex("[".into()));
        }),
        ("matches.query[0].name", "is empty", &|r| {
            r.matches.query = named("", any.clone());
        }),
        ("backends[0].upstream", "is empty", &|r| {
            r.backends[0].upstream.clear();
        }),
    ]);
}

#[test]
fn redirects_are_checked() {
    let redirect = |change: fn(&mut Redirect)| {
        let mut redirect = Redirect {
            from: None,
            scheme: None,
            host: None,
            port: None,
            path: None,
            status: 308,
        };
        change(&mut redirect);
        Some(Box::new(Filters {
            redirect: Some(redirect),
        }))
    };
    assert_refused(&[
        ("filters.redirect.status", "200 is none of", &|r| {
            r.filters = redirect(|r| r.status = 200);
        }),
        ("filters.redirect.port", "is 0", &|r| {
            r.filters = redirect(|r| r.port = Some(0));
        }),
        ("filters.redirect.host", "\"*.a\" is not", &|r| {
            r.filters = redirect(|r| r.host = Some("*.a".into()));
        }),
        ("filters.redirect.path", "\"a\" does not", &|r| {
            r.filters = redirect(|r| r.path = Some("a".into()));
        }),
    ]);
}

#[test]
fn certificates_are_checked() {
    let mut wrong = certificate("default/tls", "shop.example");
    wrong.chain.clear();
    assert!(refusal(Object::Certificate(wrong)).contains("chain: is empty"));
    let mut wrong = certificate("default/tls", "shop.example");
    wrong.key = PrivateKey(Vec::new().into());
    assert!(refusal(Object::Certificate(wrong)).contains("key: is empty"));
    let twice = ["a", "b"].map(|n| Object::Certificate(certificate(n, "shop.example")));
    let error = State::default()
        .apply(transaction(1, true, put(twice)))
        .map(|_| ())
        .expect_err("one host, two certificates");
    assert_eq!(
        error.to_string(),
        "Certificate \"b\": hosts[0]: \"shop.example\" stands in certificate \"a\", too"
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn policies_are_checked() {
    let change = |edit: &dyn Fn(&mut Policy)| {
        let mut wrong = policy("default/p");
        edit(&mut wrong);
        refusal(Object::Policy(wrong))
    };
    let rule = |p: &mut Policy| p.rules[0].clone();
    let except = |except: &'static str| {
        change(&move |p| {
            let mut r = rule(p);
            if let Some(Peer::Block { except: excepts, .. }) = r.peers.as_mut().and_then(|p| p.first_mut()) {
                excepts.push(except.parse().expect("a block"));
            }
            p.rules[0] = r;
        })
    };
    let expected = "Policy \"default/p\" (ingress): rules[0].peers[0].except[1]: 192.0.3.0/24 is not a part of \
                    the block 192.0.2.0/24";
    assert_eq!(except("192.0.3.0/24"), expected);
    assert!(except("192.0.2.0/24").contains("except[1]"));
    assert!(except("192.0.2.77/28").contains("except[1]: 192.0.2.77/28 has host bits"));
    let high = change(&|p| p.priority = 1);
    assert_eq!(
        high,
        "Policy \"default/p\" (ingress): priority: 1 is not one of the tier NetworkPolicy"
    );
    let higher = change(&|p| (p.tier, p.priority) = (Tier::Admin, 1_001));
    assert_eq!(
        higher,
        "Policy \"default/p\" (ingress): priority: 1001 is not one of the tier Admin"
    );
    let deny = change(&|p| p.rules[0].action = Action::Deny);
    assert_eq!(
        deny,
        "Policy \"default/p\" (ingress): rules[0].action: Deny is not one of the tier NetworkPolicy"
    );
    assert!(except("2001:db8::/64").contains("except[1]"));
    let ports = |first, last| {
        change(&move |p| {
            p.rules[0].ports = Some(vec![PortRange {
                protocol: Protocol::Udp,
                first,
                last,
            }]);
        })
    };
    assert!(ports(81, 80).contains("rules[0].ports[0].last: 80 is below the first port, 81"));
    assert!(ports(0, 80).contains("rules[0].ports[0].first: is 0"));
    let endpoint = |edit: &dyn Fn(&mut Endpoint)| {
        let mut wrong = Endpoint {
            name: "default/a".into(),
            addresses: vec!["10.244.1.10".parse().expect("an address")],
            hosts: Vec::new(),
            labels: Vec::new(),
            ports: Vec::new(),
            groups: vec![GroupId(1), GroupId(2)],
        };
        edit(&mut wrong);
        refusal(Object::Endpoint(wrong))
    };
    assert!(
        endpoint(&|e| e.addresses.push(e.addresses[0])).contains("Endpoint \"default/a\": addresses[1]: ")
    );
    assert!(endpoint(&|e| e.groups.reverse()).contains("groups[1]: "));
    assert!(
        endpoint(&|e| e.hosts = vec![[192, 0, 2, 2].into(), [192, 0, 2, 1].into()]).contains("hosts[1]: ")
    );
    assert!(
        endpoint(&|e| e.addresses[0] = [224, 0, 0, 1].into())
            .contains("addresses[0]: 224.0.0.1 is multicast")
    );
}

#[test]
fn a_transaction_applies_whole_or_not_at_all() {
    let mut state = State::default();
    let first = put([
        Object::Service(service(10, &[])),
        Object::Service(service(11, &[])),
    ]);
    let before = Tables::transact(&mut state, transaction(1, true, first), None).expect("two services");
    let mut changes = put([Object::Service(service(12, &[]))]);
    changes.push(Operation::Delete(Key::Service(service(10, &[]).frontend)));
    changes.extend(put([Object::Listener(listener("198.51.100.11:80"))]));
    for full in [false, true] {
        let mut changes = changes.clone();
        changes.extend(put([Object::Service(service(11, &[]))]));
        let error = Tables::transact(&mut state, transaction(2, full, changes), Some(&before))
            .map(|_| ())
            .expect_err("a service and a listener");
        assert!(
            error
                .to_string()
                .contains("frontend: the same address and port is a listener"),
            "{error}"
        );
        let tables = Tables::compile(&state).expect("the state before");
        assert_eq!((tables.publication, tables.managed), (1, before.managed.clone()));
    }
    // In one transaction the service can make room.
    changes.push(Operation::Delete(Key::Service(service(11, &[]).frontend)));
    let after = Tables::transact(&mut state, transaction(2, false, changes), Some(&before))
        .expect("service and listener change places");
    assert_eq!(after.services.len(), 1);
    assert!(after.listeners.lookup([198, 51, 100, 11].into(), 80).is_some());
    assert!(after.listeners.lookup([198, 51, 100, 11].into(), 81).is_none());
    assert!(after.is_managed([198, 51, 100, 12].into()) && !after.is_managed([198, 51, 100, 10].into()));
}

#[test]
fn what_stays_is_taken_over() {
    let objects = |backends: &[&str]| {
        [
            Object::Service(service(10, backends)),
            Object::Service(service(11, &["10.244.1.10:80"])),
        ]
        .into_iter()
        .chain([Object::Policy(policy("default/p"))])
    };
    let mut state = State::default();
    let first =
        Tables::transact(&mut state, transaction(1, true, put(objects(&[]))), None).expect("it is fine");
    // A control plane that comes back sends everything again; one Service has a new backend.
    let again = Tables::transact(
        &mut state,
        transaction(2, true, put(objects(&["10.244.1.11:80"]))),
        Some(&first),
    )
    .expect("it is fine");
    assert!(Arc::ptr_eq(&first.policy, &again.policy));
    let table = |tables: &Tables, last: u8| {
        Arc::clone(
            tables
                .services
                .lookup([198, 51, 100, last].into(), 6, 80)
                .expect("the service")
                .table(),
        )
    };
    assert!(Arc::ptr_eq(&table(&first, 11), &table(&again, 11)));
    assert!(!Arc::ptr_eq(&table(&first, 10), &table(&again, 10)));
    let third = Tables::transact(
        &mut state,
        transaction(3, false, put([Object::Policy(policy("default/q"))])),
        Some(&again),
    )
    .expect("fine");
    assert!(!Arc::ptr_eq(&third.policy, &again.policy));
}

#[test]
fn managed_lists_each_address_once_with_its_ports() {
    let mut udp = service(10, &[]);
    udp.frontend.protocol = Protocol::Udp;
    let objects = [
        Object::Service(udp),
        Object::Service(service(10, &[])),
        Object::Listener(listener("198.51.100.10:443")),
        Object::Listener(listener("[2001:db8:f::10]:443")),
    ];
    let tables = Tables::transact(&mut State::default(), transaction(1, true, put(objects)), None)
        .expect("it is fine");
    let expected = [
        Managed {
            address: [198, 51, 100, 10].into(),
            ports: vec![(Protocol::Tcp, 80), (Protocol::Tcp, 443), (Protocol::Udp, 80)],
        },
        Managed {
            address: "2001:db8:f::10".parse().expect("an address"),
            ports: vec![(Protocol::Tcp, 443)],
        },
    ];
    assert_eq!(*tables.managed, expected);
}
