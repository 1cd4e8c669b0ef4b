//! Random kernels: what is built must say what a look through all routes says.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The kernel's own way: table after table, longest prefix, least metric; then the neighbour.
fn look_through(snapshot: &Snapshot, dst: IpAddr) -> Vec<Lookup> {
    let up = |hop: &&NextHop| snapshot.links.iter().any(|l| l.index == hop.interface && l.up);
    let usable = |r: &&KernelRoute| r.kind != RouteKind::Unicast || r.hops.iter().any(|h| up(&h));
    let matching = |table| {
        let mut routes: Vec<&KernelRoute> = snapshot
            .routes
            .iter()
            .filter(|r| r.table == table && r.destination.contains(&dst))
            .filter(usable)
            .collect();
        routes.sort_by_key(|r| (std::cmp::Reverse(r.destination.prefix_len()), r.metric));
        routes
    };
    let routes = Some(matching(RoutingTable::Local))
        .filter(|r| !r.is_empty())
        .unwrap_or_else(|| matching(RoutingTable::Main));
    let Some(best) = routes.first() else {
        return vec![Lookup::Unreachable];
    };
    let siblings = routes.iter().enumerate().filter(|(i, r)| {
        *i == 0
            || (dst.is_ipv6()
                && r.kind == best.kind
                && r.metric == best.metric
                && r.destination == best.destination)
    });
    match best.kind {
        RouteKind::Local => vec![Lookup::Local],
        RouteKind::Kernel => vec![Lookup::Kernel],
        RouteKind::Reject => vec![Lookup::Unreachable],
        RouteKind::Unicast => siblings
            .flat_map(|(_, r)| r.hops.iter().filter(up))
            .map(|hop| leave(snapshot, hop, dst))
            .collect(),
    }
}

/// What becomes of a packet by one hop; a known neighbour stands as `Hop` of its place in the list.
fn leave(snapshot: &Snapshot, hop: &NextHop, dst: IpAddr) -> Lookup {
    let Some((port, _)) = snapshot.ports.iter().find(|(_, i)| *i == hop.interface) else {
        return Lookup::Kernel;
    };
    let neighbour = hop.gateway.unwrap_or(dst);
    let known = |n: &Neighbour| (n.interface, n.address) == (hop.interface, neighbour) && n.mac.is_some();
    match (0..).zip(&snapshot.neighbours).find(|(_, n)| known(n)) {
        Some((number, _)) => Lookup::Hop(HopId(number)),
        None => Lookup::Unresolved {
            port: *port,
            neighbour,
        },
    }
}

fn address(v6: bool) -> impl Strategy<Value = IpAddr> {
    let byte = prop_oneof![Just(0_u8), Just(10), Just(128), Just(255)];
    vec(byte, 4).prop_map(move |b| match v6 {
        false => IpAddr::from([10, b[1], b[2], b[3]]),
        true => IpAddr::from([0xfd, b[0], 0, 0, 0, 0, 0, b[1], 0, 0, 0, 0, 0, 0, b[2], b[3]]),
    })
}

fn route(v6: bool) -> impl Strategy<Value = KernelRoute> {
    let kind = prop_oneof![
        6 => Just(RouteKind::Unicast), 1 => Just(RouteKind::Local),
        1 => Just(RouteKind::Kernel), 1 => Just(RouteKind::Reject),
    ];
    let table = prop_oneof![4 => Just(RoutingTable::Main), 1 => Just(RoutingTable::Local)];
    let hop =
        (proptest::option::of(address(v6)), 1_u32..5, 0_u16..4).prop_map(|(gateway, interface, weight)| {
            NextHop {
                gateway,
                interface,
                weight,
            }
        });
    (address(v6), 0_u8..=32, kind, table, 0_u32..3, vec(hop, 1..3)).prop_map(
        move |(address, length, kind, table, metric, hops)| {
            let length = if v6 { length * 4 } else { length };
            let destination = IpNet::new(address, length)
                .expect("a length in the family's width")
                .trunc();
            KernelRoute {
                table,
                destination,
                kind,
                metric,
                preferred_source: None,
                hops,
            }
        },
    )
}

fn snapshot(v6: bool) -> impl Strategy<Value = Snapshot> {
    let neighbour = (1_u32..5, address(v6), any::<bool>());
    (vec(route(v6), 0..40), vec(neighbour, 0..20), 0_u32..8).prop_map(|(routes, neighbours, down)| {
        let link = |index: u32| Link {
            index,
            mac: Some([0; 6]),
            mtu: 1500,
            up: index != down,
        };
        let neighbour = |(number, (interface, address, known)): (u8, (u32, IpAddr, bool))| {
            let mac = known.then_some([number, 0, 0, 0, 0, 0]);
            Neighbour {
                interface,
                address,
                mac,
            }
        };
        let mut neighbours: Vec<_> = (0..).zip(neighbours).map(neighbour).collect();
        neighbours.sort_by_key(|n| (n.interface, n.address));
        neighbours.dedup_by_key(|n| (n.interface, n.address));
        let ports = vec![(PortId(0), 2), (PortId(1), 3)];
        Snapshot {
            links: (1..5).map(link).collect(),
            addresses: Vec::new(),
            routes,
            neighbours,
            ports,
            ..Snapshot::default()
        }
    })
}

/// Hops by their MAC address, so that numbers of two tables can be compared.
fn named(lookup: Lookup, mac: impl Fn(HopId) -> [u8; 6]) -> String {
    match lookup {
        Lookup::Hop(id) => format!("hop to {:?}", mac(id)),
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_a_look_through_all_routes(
        (snapshot, probes) in any::<bool>().prop_flat_map(|v6| (snapshot(v6), vec(address(v6), 60))),
    ) {
        let fib = Fib::build(&snapshot, 1);
        for dst in probes {
            let found = named(fib.lookup(dst), |id| fib.hop(id).destination_mac);
            let mac = |id: HopId| snapshot.neighbours[id.0 as usize].mac.unwrap_or_default();
            let expected: Vec<_> = look_through(&snapshot, dst).into_iter().map(|l| named(l, mac)).collect();
            prop_assert!(expected.contains(&found), "{}: {} is not in {:?}", dst, found, expected);
            prop_assert_eq!(fib.is_local(dst), expected == ["Local"]);
        }
    }
}
