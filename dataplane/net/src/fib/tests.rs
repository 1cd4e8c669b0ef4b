use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
const POD: [u8; 6] = [2, 0, 0, 0, 1, 10];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn route(destination: &str, gateway: Option<&str>, interface: u32) -> KernelRoute {
    KernelRoute {
        table: RoutingTable::Main,
        destination: destination.parse().expect("a prefix"),
        kind: RouteKind::Unicast,
        metric: 0,
        preferred_source: None,
        hops: vec![NextHop {
            gateway: gateway.map(ip),
            interface,
            weight: 1,
        }],
    }
}

fn special(table: RoutingTable, destination: &str, kind: RouteKind) -> KernelRoute {
    KernelRoute {
        table,
        kind,
        hops: Vec::new(),
        ..route(destination, None, 1)
    }
}

fn address(interface: u32, address: &str) -> DeviceAddress {
    DeviceAddress {
        interface,
        address: address.parse().expect("a prefix"),
        global: true,
        avoided: false,
    }
}

/// Device 1 is the loopback, 2 and 3 are ports 0 and 1, 4 is not ours.
fn snapshot() -> Snapshot {
    let link = |index: u32| Link {
        index,
        mac: (index != 1).then_some(MAC),
        mtu: 1500,
        up: true,
    };
    let neighbour = |interface, address, mac| Neighbour {
        interface,
        address: ip(address),
        mac,
    };
    Snapshot {
        links: (1..5).map(link).collect(),
        addresses: vec![
            DeviceAddress {
                global: false,
                ..address(2, "fe80::1/64")
            },
            address(2, "192.0.2.1/24"),
            address(2, "2001:db8:c::1/64"),
            address(3, "10.244.1.1/24"),
            address(4, "203.0.113.5/24"),
        ],
        routes: vec![
            special(RoutingTable::Local, "127.0.0.0/8", RouteKind::Local),
            special(RoutingTable::Local, "192.0.2.1/32", RouteKind::Local),
            special(RoutingTable::Local, "192.0.2.255/32", RouteKind::Kernel),
            special(RoutingTable::Local, "ff00::/8", RouteKind::Kernel),
            route("192.0.2.0/24", None, 2),
            route("10.244.1.0/24", None, 3),
            route("203.0.113.0/24", None, 4),
            route("0.0.0.0/0", Some("192.0.2.254"), 2),
            route("::/0", Some("fe80::fe"), 2),
            special(RoutingTable::Main, "10.0.0.0/8", RouteKind::Reject),
        ],
        neighbours: vec![
            neighbour(2, "192.0.2.254", Some(ROUTER)),
            neighbour(2, "fe80::fe", Some(ROUTER)),
            neighbour(3, "10.244.1.10", Some(POD)),
            neighbour(3, "10.244.1.11", None),
        ],
        ports: vec![(PortId(0), 2), (PortId(1), 3)],
        ..Snapshot::default()
    }
}

fn hop(fib: &Fib, dst: &str) -> Hop {
    match fib.lookup(ip(dst)) {
        Lookup::Hop(id) => *fib.hop(id),
        other => panic!("{dst} should have a hop, not {other:?}"),
    }
}

#[test]
fn packets_go_by_gateway_link_kernel_or_nowhere() {
    let fib = Fib::build(&snapshot(), 3);
    let by_router = Hop {
        port: PortId(0),
        source_mac: MAC,
        destination_mac: ROUTER,
        mtu: 1500,
    };
    assert_eq!(hop(&fib, "8.8.8.8"), by_router);
    assert_eq!(hop(&fib, "2001:db8:9::1"), by_router);
    assert_eq!(
        hop(&fib, "10.244.1.10"),
        Hop {
            port: PortId(1),
            destination_mac: POD,
            ..by_router
        }
    );
    for unresolved in ["10.244.1.11", "10.244.1.12"] {
        let expected = Lookup::Unresolved {
            port: PortId(1),
            neighbour: ip(unresolved),
        };
        assert_eq!(fib.lookup(ip(unresolved)), expected);
    }
    assert_eq!(fib.lookup(ip("203.0.113.9")), Lookup::Kernel);
    assert_eq!(fib.lookup(ip("192.0.2.255")), Lookup::Kernel);
    assert_eq!(fib.lookup(ip("ff02::1")), Lookup::Kernel);
    assert_eq!(fib.lookup(ip("192.0.2.1")), Lookup::Local);
    assert_eq!(fib.lookup(ip("10.1.1.1")), Lookup::Unreachable);
    assert_eq!(fib.publication, 3);
}

#[test]
fn without_routes_nothing_is_reachable() {
    assert_eq!(Fib::default().lookup(ip("192.0.2.1")), Lookup::Unreachable);
    assert_eq!(Fib::default().source_address(ip("192.0.2.1")), None);
}

#[test]
fn the_local_table_hides_longer_routes_of_main() {
    let mut snapshot = snapshot();
    snapshot.routes.push(route("127.1.2.0/24", None, 3));
    let fib = Fib::build(&snapshot, 0);
    assert!(fib.is_local(ip("127.1.2.3")));
    assert!(fib.is_local(ip("192.0.2.1")));
    assert!(!fib.is_local(ip("192.0.2.2")));
}

#[test]
fn the_least_metric_counts_among_devices_that_are_up() {
    let mut snapshot = snapshot();
    snapshot.routes.push(KernelRoute {
        metric: 50,
        ..route("198.18.0.0/16", None, 3)
    });
    snapshot.routes.push(KernelRoute {
        metric: 10,
        ..route("198.18.0.0/16", None, 4)
    });
    assert_eq!(Fib::build(&snapshot, 0).lookup(ip("198.18.0.1")), Lookup::Kernel);
    snapshot.links[3].up = false;
    let expected = Lookup::Unresolved {
        port: PortId(1),
        neighbour: ip("198.18.0.1"),
    };
    assert_eq!(Fib::build(&snapshot, 0).lookup(ip("198.18.0.1")), expected);
}

#[test]
fn paths_share_destinations_by_weight() {
    let mut snapshot = snapshot();
    let mut multipath = route("198.18.0.0/16", Some("192.0.2.254"), 2);
    multipath.hops[0].weight = 3;
    multipath.hops.push(NextHop {
        gateway: None,
        interface: 4,
        weight: 1,
    });
    snapshot.routes.push(multipath);
    let fib = Fib::build(&snapshot, 0);
    let by_port = (0..=u16::MAX)
        .map(|i| fib.lookup(IpAddr::from([198, 18, (i >> 8) as u8, i as u8])))
        .filter(|lookup| matches!(lookup, Lookup::Hop(_)))
        .count();
    assert!((48_000..50_300).contains(&by_port), "{by_port} of 65,536");
}

#[test]
fn ipv6_paths_listed_as_routes_are_joined() {
    let mut snapshot = snapshot();
    snapshot
        .routes
        .push(route("2001:db8:a::/48", Some("fe80::fe"), 2));
    snapshot
        .routes
        .push(route("2001:db8:a::/48", Some("fe80::fd"), 4));
    let fib = Fib::build(&snapshot, 0);
    let lookups: std::collections::HashSet<String> = (0..64_u16)
        .map(|i| format!("{:?}", fib.lookup(ip(&format!("2001:db8:a::{i:x}")))))
        .collect();
    assert_eq!(lookups.len(), 2, "{lookups:?}");
}

#[test]
fn sources_come_from_the_route_the_device_or_any_device() {
    let mut snapshot = snapshot();
    snapshot.routes.push(KernelRoute {
        preferred_source: Some(ip("192.0.2.99")),
        ..route("198.18.0.0/16", Some("192.0.2.254"), 2)
    });
    snapshot.routes.push(route("fd00::/8", None, 3));
    let source = |snapshot: &Snapshot, dst| Fib::build(snapshot, 0).source_address(ip(dst));
    assert_eq!(source(&snapshot, "198.18.0.1"), Some(ip("192.0.2.99")));
    assert_eq!(source(&snapshot, "8.8.8.8"), Some(ip("192.0.2.1")));
    assert_eq!(source(&snapshot, "10.244.1.10"), Some(ip("10.244.1.1")));
    // Never the link-local address; the second port has no IPv6 address, so the first lends its own.
    assert_eq!(source(&snapshot, "2001:db8:9::1"), Some(ip("2001:db8:c::1")));
    assert_eq!(source(&snapshot, "fd00::1"), Some(ip("2001:db8:c::1")));
    // The address whose prefix holds the gateway comes first, a deprecated one never.
    snapshot.addresses.insert(0, address(2, "198.51.100.1/24"));
    assert_eq!(source(&snapshot, "8.8.8.8"), Some(ip("192.0.2.1")));
    snapshot.addresses[2].avoided = true;
    assert_eq!(source(&snapshot, "8.8.8.8"), Some(ip("198.51.100.1")));
}

/// The source of what goes where no port sees the answer.
#[test]
fn answers_that_come_by_no_port_are_for_the_tap_address() {
    let mut snapshot = snapshot();
    snapshot.routes.push(KernelRoute {
        preferred_source: Some(ip("203.0.113.5")),
        ..route("10.247.1.11/32", None, 4)
    });
    snapshot.routes.push(route("fd00:247::/64", None, 4));
    let of = |snapshot: &Snapshot, dst| Fib::build(snapshot, 0).source_address(ip(dst));
    assert_eq!(of(&snapshot, "10.247.1.11"), Some(ip("203.0.113.5")));
    assert_eq!(
        of(&snapshot, "192.0.2.1"),
        None,
        "the host's own, and there is no device"
    );
    let tap = TapAddresses {
        v4: Some("169.254.247.1".parse().unwrap()),
        v6: None,
    };
    snapshot.tap = tap;
    assert_eq!(of(&snapshot, "10.247.1.11"), Some(ip("169.254.247.1")));
    assert_eq!(of(&snapshot, "192.0.2.1"), Some(ip("169.254.247.1")));
    assert_eq!(of(&snapshot, "10.244.1.10"), Some(ip("10.244.1.1")), "by a port");
    assert_eq!(
        of(&snapshot, "fd00:247::1"),
        Some(ip("2001:db8:c::1")),
        "none of the family"
    );
    let fib = Fib::build(&snapshot, 0);
    assert!(fib.is_tap(ip("169.254.247.1")) && !fib.is_tap(ip("169.254.247.2")) && !fib.is_tap(ip("::1")));
    snapshot.over_ports = vec![4];
    assert_eq!(
        of(&snapshot, "10.247.1.11"),
        Some(ip("203.0.113.5")),
        "over a port"
    );
}

#[test]
fn a_port_without_a_mac_address_is_the_kernels() {
    let mut snapshot = snapshot();
    snapshot.links[1].mac = None;
    assert_eq!(Fib::build(&snapshot, 0).lookup(ip("192.0.2.77")), Lookup::Kernel);
}
