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
