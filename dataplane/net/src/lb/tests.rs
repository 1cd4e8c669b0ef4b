use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use headgate_ring::message::{self, Frontend, Protocol};
use proptest::prelude::*;

use super::*;
use crate::number::Numbers;

fn backends(count: u16) -> Vec<SocketAddr> {
    (0..count)
        .map(|i| SocketAddr::from(([10, 244, (i >> 8) as u8, i as u8], 8080)))
        .collect()
}

fn shares(table: &Maglev, backends: usize) -> Vec<usize> {
    let mut shares = vec![0; backends];
    for entry in table.entries() {
        shares[usize::from(*entry)] += 1;
    }
    shares
}

fn source(address: &str, protocol: Protocol, port: u16, backends: Vec<SocketAddr>) -> Arc<message::Service> {
    let address = address.parse().expect("an address");
    Arc::new(message::Service {
        frontend: Frontend {
            address,
            protocol,
            port,
        },
        name: format!("default/{address}-{port}"),
        backends,
        affinity_seconds: None,
    })
}

fn service(address: &str, protocol: Protocol, port: u16, backends: Vec<SocketAddr>) -> BalancedService {
    BalancedService::build(
        source(address, protocol, port, backends),
        None,
        &Numbers::default(),
    )
    .expect("few backends")
}

#[test]
fn sizes_are_primes_with_100_entries_for_each_backend() {
    for backends in [
        0,
        1,
        2,
        3,
        10,
        20,
        40,
        80,
        100,
        300,
        655,
        656,
        2_000,
        5_000,
        10_000,
        20_000,
        maglev::MAX_BACKENDS,
    ] {
        let size = table_size(backends).expect("within the limit");
        assert!(
            (2..)
                .take_while(|d| d * d <= size)
                .all(|d| !size.is_multiple_of(d)),
            "{size} is not a prime"
        );
        assert!(backends < 2 || size as usize >= 100 * backends);
    }
    assert_eq!(table_size(655), Some(65_537));
    assert_eq!(table_size(maglev::MAX_BACKENDS + 1), None);
    assert!(maglev::MAX_BACKENDS <= usize::from(u16::MAX));
}

#[test]
fn the_table_is_the_same_on_every_machine() {
    let table = Maglev::with_size(&backends(3), 7);
    assert_eq!(table.entries(), [1, 2, 1, 0, 2, 0, 0]);
}

#[test]
fn clients_spread_evenly() {
    let service = service("198.51.100.10", Protocol::Tcp, 80, backends(10));
    let mut hits: HashMap<SocketAddr, u32> = HashMap::new();
    for i in 0..100_000_u32 {
        let client = IpAddr::from((0xc000_0200 + i / 50).to_be_bytes());
        let port = u16::try_from(1024 + i % 50).expect("a port");
        *hits
            .entry(service.pick(client, port).expect("a backend"))
            .or_default() += 1;
    }
    assert_eq!(hits.len(), 10);
    assert!(hits.values().all(|h| (9_500..10_500).contains(h)), "{hits:?}");
}

#[test]
fn affinity_ignores_the_port_and_only_then() {
    let mut object = source("198.51.100.10", Protocol::Tcp, 80, backends(10))
        .as_ref()
        .clone();
    let client = "192.0.2.10".parse().expect("an address");
    let distinct = |object: &message::Service| {
        let service = BalancedService::build(Arc::new(object.clone()), None, &Numbers::default())
            .expect("few backends");
        let picks: std::collections::HashSet<_> = (1..200).map(|p| service.pick(client, p)).collect();
        picks.len()
    };
    assert_eq!(distinct(&object), 10);
    object.affinity_seconds = Some(10_800);
    assert_eq!(distinct(&object), 1);
}

#[test]
fn a_service_without_backends_is_found_and_picks_none() {
    let services = Services::build(vec![service("198.51.100.10", Protocol::Tcp, 80, Vec::new())]);
    let found = services
        .lookup("198.51.100.10".parse().expect("an address"), 6, 80)
        .expect("the service");
    assert_eq!(found.pick("192.0.2.1".parse().expect("an address"), 1), None);
}

#[test]
fn lookup_compares_address_family_protocol_and_port() {
    let services = Services::build(vec![
        service("198.51.100.10", Protocol::Tcp, 80, backends(1)),
        service("198.51.100.10", Protocol::Udp, 80, backends(2)),
        service("2001:db8:f::10", Protocol::Tcp, 80, Vec::new()),
    ]);
    let find = |address: &str, protocol, port| {
        let address = address.parse().expect("an address");
        services
            .lookup(address, protocol, port)
            .map(|s| s.backends().len())
    };
    assert_eq!(find("198.51.100.10", 6, 80), Some(1));
    assert_eq!(find("198.51.100.10", 17, 80), Some(2));
    assert_eq!(find("2001:db8:f::10", 6, 80), Some(0));
    assert_eq!(find("198.51.100.10", 132, 80), None);
    assert_eq!(find("198.51.100.10", 6, 81), None);
    assert_eq!(find("198.51.100.10", 6, 0), None);
    // The mapped address is IPv6 and another address.
    assert_eq!(find("::ffff:198.51.100.10", 6, 80), None);
    assert!(
        Services::default()
            .lookup("::".parse().expect("an address"), 0, 0)
            .is_none()
    );
}

#[test]
fn unchanged_backends_keep_their_table_and_the_same_service_its_number() {
    let numbers = Numbers::default();
    let first = service("198.51.100.10", Protocol::Tcp, 80, backends(5));
    let mut renamed = first.source().as_ref().clone();
    renamed.name = "default/other".into();
    let second = BalancedService::build(Arc::new(renamed), Some(&first), &numbers).expect("few backends");
    assert!(Arc::ptr_eq(first.table(), second.table()));
    let third = BalancedService::build(
        source("198.51.100.10", Protocol::Tcp, 80, backends(6)),
        Some(&first),
        &numbers,
    );
    let third = third.expect("few backends");
    assert!(!Arc::ptr_eq(first.table(), third.table()));
    assert!(first.number() == third.number() && first.number() != second.number());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Turns give each backend the same number of entries, give or take one: within 1% from 100 entries each.
    #[test]
    fn shares_differ_by_one_entry(count in 2_u16..600) {
        let table = Maglev::with_size(&backends(count), 65_537);
        let shares = shares(&table, count.into());
        let (least, most) = (shares.iter().min().copied().unwrap_or(0), shares.iter().max().copied().unwrap_or(0));
        prop_assert!(most - least <= 1 && least >= 100, "{} to {}", least, most);
    }

    /// Figure 12 of the paper: at 65,537 entries, few entries of the backends that stay move.
    #[test]
    fn one_backend_less_moves_little_else(count in 3_u16..200, gone in any::<prop::sample::Index>()) {
        let before = backends(count);
        let mut after = before.clone();
        let gone = after.remove(gone.index(before.len()));
        let (old, new) = (Maglev::with_size(&before, 65_537), Maglev::with_size(&after, 65_537));
        let moved = old.entries().iter().zip(new.entries())
            .map(|(a, b)| (before[usize::from(*a)], after[usize::from(*b)]))
            .filter(|(a, b)| *a != gone && a != b)
            .count();
        prop_assert!(moved * 100 <= 65_537 * 2, "{} of 65,537 moved", moved);
    }

    #[test]
    fn services_are_found_as_in_a_map(keys in proptest::collection::btree_set((0_u8..8, 0_u8..3, 1_u16..6), 0..60)) {
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let all: Vec<_> = keys.iter()
            .map(|(a, p, port)| service(&format!("198.51.100.{a}"), protocols[usize::from(*p)], *port, Vec::new()))
            .collect();
        let services = Services::build(all);
        prop_assert_eq!(services.len(), keys.len());
        for a in 0..8 { for p in 0..3_u8 { for port in 0..7 {
            let found = services.lookup(IpAddr::from([198, 51, 100, a]), protocols[usize::from(p)].number(), port);
            prop_assert_eq!(found.is_some(), keys.contains(&(a, p, port)));
            prop_assert!(found.is_none_or(|s| s.frontend().port == port));
        } } }
    }
}
