use std::net::IpAddr;

use super::*;
use crate::testing::Namespace;
use headgate_net::fib::{Fib, Lookup, NextHop, RouteKind, RoutingTable};
use headgate_net::ids::PortId;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two veth ends in one namespace, both up, the near one with addresses.
fn lan(tag: &str) -> Namespace {
    let namespace = Namespace::new(tag);
    namespace.ip("link add near numrxqueues 2 numtxqueues 2 type veth peer name far");
    for link in ["near", "far"] {
        namespace.ip(&format!("link set {link} up"));
    }
    namespace.ip("addr add 192.0.2.1/24 dev near");
    namespace.ip("addr add 2001:db8::1/64 dev near nodad");
    namespace
}

fn near(kernel: &Kernel) -> &Device {
    kernel.device("near").expect("the device")
}

async fn until(mirror: &mut Mirror, what: impl Fn(&Kernel) -> bool) {
    while !what(mirror.kernel()) {
        mirror.changed().await.unwrap();
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn the_first_dump_has_everything() {
    let namespace = lan("dump");
    namespace.ip("neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev near nud permanent");
    namespace.ip("route add 198.51.100.0/24 via 192.0.2.7 mtu 1400 src 192.0.2.1 metric 5");
    namespace.ip("route add 203.0.113.0/24 nexthop via 192.0.2.7 weight 3 nexthop via 192.0.2.8");
    namespace.ip("route add default via 2001:db8::9");
    namespace.ip("route add blackhole 10.9.0.0/16");
    namespace.ip("route add 10.8.0.0/16 via 192.0.2.7 table 77");
    namespace.block_on(async || {
        let mirror = Mirror::open().await.unwrap();
        let kernel = mirror.kernel();
        let device = near(kernel);
        let link = device.link;
        assert!(device.veth && link.up && link.mac.is_some());
        assert_eq!((link.mtu, device.rx_queues), (1500, 2));
        let has = |net: &str| {
            let address = kernel
                .addresses
                .iter()
                .find(|a| a.address == net.parse().unwrap());
            address.is_some_and(|a| a.global && !a.avoided)
        };
        assert!(
            has("192.0.2.1/24") && has("2001:db8::1/64"),
            "{:?}",
            kernel.addresses
        );
        let route = |to: &str| {
            kernel
                .routes
                .iter()
                .find(|r| r.destination == to.parse().unwrap())
        };
        let via = NextHop {
            interface: link.index,
            gateway: Some(address("192.0.2.7")),
            weight: 1,
        };
        let plain = route("198.51.100.0/24").unwrap();
        assert_eq!(
            (plain.preferred_source, plain.metric),
            (Some(address("192.0.2.1")), 5)
        );
        assert_eq!(plain.hops, [via]);
        let several: Vec<_> = route("203.0.113.0/24")
            .unwrap()
            .hops
            .iter()
            .map(|hop| hop.weight)
            .collect();
        assert_eq!(several, [3, 1]);
        assert_eq!(
            route("::/0").unwrap().hops[0].gateway,
            Some(address("2001:db8::9"))
        );
        assert_eq!(route("10.9.0.0/16").unwrap().kind, RouteKind::Reject);
        assert_eq!(route("192.0.2.0/24").unwrap().hops[0].gateway, None);
        let own = route("192.0.2.1/32").unwrap();
        assert_eq!((own.table, own.kind), (RoutingTable::Local, RouteKind::Local));
        assert!(
            route("10.8.0.0/16").is_none(),
            "other tables are not ours to read"
        );
        let neighbour = kernel.neighbours[&(link.index, address("192.0.2.7"))];
        assert_eq!(neighbour, Some([2, 0, 0, 0, 0, 7]));

        let fib = Fib::build(&kernel.snapshot(&[(PortId(0), link.index)]), 1);
        let Lookup::Hop(hop) = fib.lookup(address("198.51.100.1")) else {
            panic!("a resolved next hop")
        };
        assert_eq!(fib.hop(hop).destination_mac, [2, 0, 0, 0, 0, 7]);
        assert_eq!(fib.lookup(address("192.0.2.1")), Lookup::Local);
    });
}

/// What a port is of; not what else is over it or beside it.
#[test]
fn a_bridge_over_a_port_is_known() {
    let namespace = lan("over");
    for command in [
        "link add tunnel type vxlan id 1 dev near local 192.0.2.1 dstport 8472",
        "link add bridge type bridge",
        "link add other type bridge",
        "link set near master bridge",
        "link set far master other",
    ] {
        namespace.ip(command);
    }
    namespace.block_on(async || {
        let mirror = Mirror::open().await.unwrap();
        let kernel = mirror.kernel();
        let snapshot = kernel.snapshot(&[(PortId(0), near(kernel).link.index)]);
        assert_eq!(snapshot.over_ports, [kernel.device("bridge").unwrap().link.index]);
    });
}

/// As the kernel tells of them, where it has VLANs.
#[test]
fn vlans_over_a_port_are_known() {
    use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
    let device = |index: u32, kind: Option<InfoKind>, attributes: &[LinkAttribute]| {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = attributes.to_vec();
        let info = kind.map(|kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
        message.attributes.extend(info);
        (index, kernel::device(&message))
    };
    let on = LinkAttribute::Link;
    let kernel = Kernel {
        devices: [
            device(2, None, &[]),
            device(3, None, &[]),
            device(4, Some(InfoKind::Vlan), &[on(2), LinkAttribute::Controller(8)]),
            device(5, Some(InfoKind::Vlan), &[on(4)]),
            device(6, Some(InfoKind::Vlan), &[on(3)]),
            device(7, Some(InfoKind::Veth), &[on(2)]),
            device(8, Some(InfoKind::Bridge), &[]),
        ]
        .into(),
        ..Kernel::default()
    };
    let mut over = kernel.snapshot(&[(PortId(0), 2)]).over_ports;
    over.sort_unstable();
    assert_eq!(over, [4, 5, 8]);
}

#[test]
fn changes_arrive() {
    let namespace = lan("changes");
    namespace.block_on(async || {
        let mut mirror = Mirror::open().await.unwrap();
        let link = near(mirror.kernel()).link.index;
        let key = (link, address("2001:db8::7"));
        namespace.ip("neigh add 2001:db8::7 lladdr 02:00:00:00:00:07 dev near nud permanent");
        until(&mut mirror, |kernel| kernel.neighbours.contains_key(&key)).await;
        namespace.ip("neigh replace 2001:db8::7 lladdr 02:00:00:00:00:08 dev near nud permanent");
        until(&mut mirror, |kernel| {
            kernel.neighbours[&key] == Some([2, 0, 0, 0, 0, 8])
        })
        .await;
        namespace.ip("neigh del 2001:db8::7 dev near");
        until(&mut mirror, |kernel| {
            kernel.neighbours.get(&key).is_none_or(Option::is_none)
        })
        .await;

        let via = |kernel: &Kernel| {
            kernel
                .routes
                .iter()
                .any(|r| r.destination == "10.0.0.0/8".parse().unwrap())
        };
        namespace.ip("route add 10.0.0.0/8 via 192.0.2.7");
        until(&mut mirror, via).await;
        // The kernel removes this route with the address, without a word about the route.
        namespace.ip("addr del 192.0.2.1/24 dev near");
        until(&mut mirror, |kernel| !via(kernel)).await;
        namespace.ip("link set near down");
        until(&mut mirror, |kernel| !near(kernel).link.up).await;
    });
}

#[test]
fn asking_makes_the_kernel_resolve() {
    let namespace = lan("ask");
    let pods = Namespace::new("askpeer");
    namespace.ip(&format!("link set far netns {}", pods.name()));
    pods.ip("addr add 192.0.2.9/24 dev far");
    pods.ip("link set far up");
    namespace.block_on(async || {
        let mut mirror = Mirror::open().await.unwrap();
        until(&mut mirror, |kernel| near(kernel).link.up).await;
        let link = near(mirror.kernel()).link.index;
        let key = (link, address("192.0.2.9"));
        mirror.asker().ask(link, key.1).await.unwrap();
        until(&mut mirror, |kernel| {
            kernel.neighbours.get(&key).is_some_and(Option::is_some)
        })
        .await;
        mirror
            .asker()
            .ask(link, key.1)
            .await
            .expect("asking for a known neighbour is fine");
        assert!(mirror.asker().ask(9999, key.1).await.is_err());
    });
}

#[test]
fn a_lost_notification_leads_to_a_new_dump() {
    let namespace = lan("overrun");
    namespace.block_on(async || {
        let mut mirror = Mirror::open().await.unwrap();
        let link = near(mirror.kernel()).link.index;
        let ghost = (link, address("192.0.2.200"));
        mirror.kernel.neighbours.insert(ghost, Some([1; 6]));
        mirror.take(&Message::new(
            Default::default(),
            NetlinkPayload::Overrun(Vec::new()),
        ));
        until(&mut mirror, |kernel| !kernel.neighbours.contains_key(&ghost)).await;
        assert_eq!(mirror.statistics().overruns, 1);
    });
}
