use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::Lpm;

/// What the table must say, by looking at every prefix.
fn scan(prefixes: &[(IpNet, u32)], default: u32, address: IpAddr) -> u32 {
    prefixes
        .iter()
        .filter(|(net, _)| net.contains(&address))
        .max_by_key(|(net, _)| net.prefix_len())
        .map_or(default, |(_, value)| *value)
}

/// Addresses from few distinct bytes, so that prefixes nest and collide.
fn address() -> impl Strategy<Value = IpAddr> {
    let byte = prop_oneof![Just(0_u8), Just(1), Just(128), Just(255), any::<u8>()];
    let v6 = proptest::collection::vec(byte.clone(), 16);
    prop_oneof![
        proptest::collection::vec(byte, 4).prop_map(|b| IpAddr::from([b[0], b[1], b[2], b[3]])),
        v6.prop_map(|b| IpAddr::from(<[u8; 16]>::try_from(b).expect("16 bytes"))),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| {
            IpAddr::from(Ipv6Addr::new(0xfd00, 0x10, 0x244, a & 3, 0, 0, 0, b & 0x1ff))
        }),
    ]
}

fn prefix() -> impl Strategy<Value = IpNet> {
    (address(), any::<u8>()).prop_map(|(address, length)| {
        let width = if address.is_ipv4() { 33 } else { 129 };
        IpNet::new(address, length % width)
            .expect("a length in the family's width")
            .trunc()
    })
}

/// An address at an edge of a prefix, where mistakes live.
fn edges(net: &IpNet) -> [IpAddr; 4] {
    let step = |address: IpAddr, by: i8| match address {
        IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits().wrapping_add_signed(by.into())).into(),
        IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits().wrapping_add_signed(by.into())).into(),
    };
    [
        net.network(),
        net.broadcast(),
        step(net.network(), -1),
        step(net.broadcast(), 1),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn agrees_with_a_scan(nets in proptest::collection::vec(prefix(), 0..60),
                          probes in proptest::collection::vec(address(), 50)) {
        let mut prefixes: Vec<(IpNet, u32)> = nets.iter().copied().zip(1..).collect();
        let table = Lpm::build(prefixes.clone(), 0);
        // Of equal prefixes the scan, too, must see only the last.
        prefixes.reverse();
        prefixes.sort_by_key(|(net, _)| *net);
        prefixes.dedup_by_key(|(net, _)| *net);
        for probe in nets.iter().flat_map(edges).chain(probes) {
            prop_assert_eq!(table.lookup(probe), scan(&prefixes, 0, probe), "{}", probe);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Prefixes come and go, and two copies take turns, as where tables are published.
    #[test]
    fn rebuilt_parts_end_in_the_same_table(
        first in proptest::collection::vec(prefix(), 0..80),
        changes in proptest::collection::vec((prefix(), any::<bool>()), 0..30),
        probes in proptest::collection::vec(address(), 20),
    ) {
        let mut held: BTreeMap<IpNet, u32> = first.iter().copied().zip(1..).collect();
        let mut front = Lpm::build(held.clone(), 0);
        let mut back = front.clone();
        for (net, add) in &changes {
            back.catch_up(&front);
            std::mem::swap(&mut front, &mut back);
            if *add {
                held.insert(*net, 1_000 + u32::try_from(held.len()).expect("few"));
            } else if let Some(other) = held.keys().next().copied() {
                held.remove(&other);
                rebuild(&mut front, other, &held);
            }
            rebuild(&mut front, *net, &held);
            let all: Vec<_> = held.iter().map(|(net, value)| (*net, *value)).collect();
            for probe in held.keys().flat_map(edges).chain(probes.clone()) {
                prop_assert_eq!(front.lookup(probe), scan(&all, 0, probe), "{}", probe);
            }
        }
    }
}

fn rebuild(table: &mut Lpm, net: IpNet, held: &BTreeMap<IpNet, u32>) {
    let part = Lpm::part(net);
    let all: Vec<_> = held.iter().map(|(net, value)| (*net, *value)).collect();
    let around: Vec<_> = all
        .iter()
        .filter(|(net, _)| net.contains(&part) && *net != part)
        .copied()
        .collect();
    let inside = all.into_iter().filter(|(net, _)| part.contains(net));
    table.rebuild(part, scan(&around, 0, part.network()), inside);
}

/// Every /32 of a /24 of its own value, next to a /24 with few: all kinds of nodes.
#[test]
fn crowded_blocks_are_looked_up() {
    let host = |third: u8, fourth: u8| IpAddr::from([10, 0, third, fourth]);
    let mut prefixes: Vec<(IpNet, u32)> = (0..=255)
        .map(|i| (host(7, i).into(), 100 + u32::from(i)))
        .collect();
    prefixes.extend((0..20).map(|i| (host(9, i * 12).into(), 500 + u32::from(i))));
    prefixes.extend((100..130).map(|i| (IpNet::new_assert(host(i, 0), 24), 1_000 + u32::from(i))));
    let table = Lpm::build(prefixes.clone(), 3);
    for third in 0..=255 {
        for fourth in 0..=255 {
            let address = host(third, fourth);
            assert_eq!(table.lookup(address), scan(&prefixes, 3, address), "{address}");
        }
    }
}

#[test]
fn empty_table_gives_the_default() {
    let table = Lpm::build([], 7);
    assert_eq!(table.lookup("0.0.0.0".parse().expect("address")), 7);
    assert_eq!(table.lookup("::1".parse().expect("address")), 7);
}

#[test]
fn default_routes_hold_everything() {
    let nets = ["0.0.0.0/0", "::/0"].map(|n| (n.parse().expect("prefix"), 9));
    let table = Lpm::build(nets, 7);
    assert_eq!(table.lookup("255.255.255.255".parse().expect("address")), 9);
    assert_eq!(table.lookup("ffff::".parse().expect("address")), 9);
}

#[test]
#[should_panic(expected = "30 bits")]
fn values_that_do_not_fit_are_refused() {
    let _ = Lpm::build([("10.0.0.0/8".parse().expect("prefix"), super::LIMIT)], 0);
}
