//! A node in small: Services of both families, pods that policies are about, a host whose paths go to one of them, and
//! the routes to all.

use std::net::{IpAddr, SocketAddr};

use headgate_dataplane::config::{State, Tables};
use headgate_net::fib::{self, KernelRoute, NextHop, RouteKind, RoutingTable, Snapshot};
use headgate_net::ids::PortId;
use headgate_ring::message::{
    Action, Certificate, Direction, Endpoint, Frontend, Group, GroupId, Listener, ListenerProtocol, Object,
    PathMatch, Peer, Policy, PolicyRule, PortRange, Protocol, Route as HttpRoute, RouteKind as MadeOf,
    RouteMatch, RouteOrigin, Service, Tier, Upstream, UpstreamProtocol, VirtualHost, WeightedBackend,
};
use headgate_ring::{Operation, Transaction};

/// Of port 0 and port 1.
pub(crate) const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xa0], [2, 0, 0, 0, 0, 0xa1]];
/// Port of the Services that clients reach.
pub(crate) const ALLOWED: u16 = 80;
/// Port of the Service whose pod no client may reach.
pub(crate) const DENIED: u16 = 81;
/// Pods of each Service.
const BACKENDS: u8 = 64;
/// Pods of the upstream.
const ENDPOINTS: u8 = 8;
/// The group of all pods that clients may reach, and of the one that they may not.
const GROUPS: [GroupId; 2] = [GroupId(1), GroupId(2)];

/// Where the Services are.
pub(crate) fn service_address(v6: bool) -> IpAddr {
    if v6 {
        [0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x10].into()
    } else {
        [198, 51, 100, 10].into()
    }
}

/// Where HTTP is terminated.
pub(crate) fn listener(tls: bool) -> SocketAddr {
    ([198, 51, 100, 20], if tls { 443 } else { 80 }).into()
}

/// A client's address; `host` is 10 to 99.
pub(crate) fn client(host: u8, v6: bool) -> IpAddr {
    if v6 {
        [0x2001, 0xdb8, 0xc, 0, 0, 0, 0, u16::from(host)].into()
    } else {
        [192, 0, 2, host].into()
    }
}

/// A pod's address; `host` is 10 to 99.
pub(crate) fn pod(host: u8, v6: bool) -> IpAddr {
    if v6 {
        [0xfd00, 0x10, 0x244, 1, 0, 0, 0, u16::from(host)].into()
    } else {
        [10, 244, 1, host].into()
    }
}

/// Those of the upstream.
pub(crate) fn endpoints() -> impl Iterator<Item = SocketAddr> {
    (10..10 + ENDPOINTS).map(|host| SocketAddr::new(pod(host, false), 8080))
}

/// The tables of the whole state, with this certificate if there is one.
pub(crate) fn tables(certificate: Option<Certificate>) -> Tables {
    let objects = services().into_iter().chain(policies()).chain(http());
    let certificate = certificate.map(Object::Certificate);
    let operations = objects.chain(certificate).map(Operation::Put).collect();
    let transaction = Transaction {
        generation: 1,
        full: true,
        operations,
    };
    Tables::transact(&mut State::default(), transaction, None).expect("a sound state")
}

fn services() -> Vec<Object> {
    let service = |protocol, v6, port, hosts: std::ops::Range<u8>| {
        Object::Service(Service {
            frontend: Frontend {
                address: service_address(v6),
                protocol,
                port,
            },
            name: format!("default/web-{port}"),
            backends: hosts.map(|host| SocketAddr::new(pod(host, v6), 8080)).collect(),
            affinity_seconds: None,
        })
    };
    let open = [
        (Protocol::Tcp, false),
        (Protocol::Tcp, true),
        (Protocol::Udp, false),
    ];
    let open = open.map(|(protocol, v6)| service(protocol, v6, ALLOWED, 10..10 + BACKENDS));
    open.into_iter()
        .chain([service(Protocol::Tcp, false, DENIED, 90..91)])
        .collect()
}

/// All pods but one take clients' networks on one port; the other takes nobody.
fn policies() -> Vec<Object> {
    let endpoint = |host: u8, group| {
        Object::Endpoint(Endpoint {
            name: format!("default/pod-{host}"),
            addresses: vec![pod(host, false), pod(host, true)],
            labels: Vec::new(),
            ports: Vec::new(),
            groups: vec![group],
            hosts: Vec::new(),
        })
    };
    let pods = (10..10 + BACKENDS).map(|host| endpoint(host, GROUPS[0]));
    let block = |text: &str| Peer::Block {
        block: text.parse().expect("a prefix"),
        except: Vec::new(),
    };
    let ports = [Protocol::Tcp, Protocol::Udp].map(|protocol| PortRange {
        protocol,
        first: 8080,
        last: 8080,
    });
    let clients = PolicyRule {
        number: 0,
        name: String::new(),
        action: Action::Accept,
        only: None,
        peers: Some(vec![block("192.0.2.0/24"), block("2001:db8:c::/64")]),
        ports: Some(ports.to_vec()),
    };
    let policy = |name: &str, subjects, rules| {
        Object::Policy(Policy {
            name: name.to_owned(),
            tier: Tier::NetworkPolicy,
            priority: 0,
            direction: Direction::Ingress,
            subjects,
            rules,
        })
    };
    let groups = GROUPS.map(|id| {
        let text = format!("group {}", id.0);
        Object::Group(Group { id, text })
    });
    let rules = [
        policy("default/clients", GROUPS[0], vec![clients]),
        policy("default/nobody", GROUPS[1], Vec::new()),
    ];
    pods.chain([endpoint(90, GROUPS[1])])
        .chain(groups)
        .chain(rules)
        .collect()
}

/// A host with 20 paths.
fn http() -> Vec<Object> {
    let upstream = Object::Upstream(Upstream {
        name: "default/web:80".to_owned(),
        protocol: UpstreamProtocol::default(),
        endpoints: endpoints().collect(),
    });
    let route = |i: usize| HttpRoute {
        matches: RouteMatch {
            path: PathMatch::Prefix(if i == 0 {
                "/".to_owned()
            } else {
                format!("/shop/{i:02}")
            }),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        },
        filters: None,
        backends: vec![WeightedBackend {
            upstream: "default/web:80".to_owned(),
            weight: 1,
        }],
        origin: RouteOrigin {
            kind: MadeOf::Ingress,
            name: "default/web".to_owned(),
            rule: format!("spec.rules[0].http.paths[{i}]"),
        },
    };
    let host = Object::VirtualHost(VirtualHost {
        host: "web.example".to_owned(),
        routes: (0..20).rev().map(route).collect(),
    });
    let listeners = [false, true].map(|tls| {
        let address = listener(tls);
        let protocol = if tls {
            ListenerProtocol::Https
        } else {
            ListenerProtocol::Http
        };
        Object::Listener(Listener {
            address,
            protocol,
            balancers: Vec::new(),
        })
    });
    listeners.into_iter().chain([upstream, host]).collect()
}

/// Devices 2 and 3 are the ports; everybody on them is a known neighbour.
pub(crate) fn routes() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for port in 0..2_u8 {
        let interface = u32::from(port) + 2;
        snapshot.ports.push((PortId(port), interface));
        snapshot.links.push(fib::Link {
            index: interface,
            mac: Some(MACS[usize::from(port)]),
            mtu: 1500,
            up: true,
        });
        for (v6, bits) in [(false, 24), (true, 64)] {
            let on_link = |host| {
                if port == 0 {
                    client(host, v6)
                } else {
                    pod(host, v6)
                }
            };
            network(&mut snapshot, interface, bits, on_link);
        }
    }
    snapshot
}

/// A network of a port: our address there ends in 1.
fn network(snapshot: &mut Snapshot, interface: u32, bits: u8, on_link: impl Fn(u8) -> IpAddr) {
    let own = on_link(1);
    let prefix = |address: IpAddr| format!("{address}/{bits}").parse().expect("a prefix");
    snapshot.addresses.push(fib::DeviceAddress {
        interface,
        address: prefix(own),
        global: true,
        avoided: false,
    });
    for (table, destination, kind) in [
        (RoutingTable::Main, prefix(on_link(0)), RouteKind::Unicast),
        (RoutingTable::Local, own.into(), RouteKind::Local),
    ] {
        snapshot.routes.push(KernelRoute {
            table,
            destination,
            kind,
            metric: 0,
            preferred_source: None,
            hops: vec![NextHop {
                gateway: None,
                interface,
                weight: 1,
            }],
        });
    }
    for host in 10..100 {
        snapshot.neighbours.push(fib::Neighbour {
            interface,
            address: on_link(host),
            mac: Some([2, 0, 0, 1, u8::try_from(interface).expect("few"), host]),
        });
    }
}
