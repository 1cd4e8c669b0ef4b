//! What the tables cost: one look-up, one pick, and their building. Policies are measured by `headgate-bench policy`.
//!
//! `cargo run --release -p headgate-dataplane --example tables_ns`. Each figure is the median of rounds; a round
//! of look-ups is 1,000 of them, one after another, on inputs drawn beforehand.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]
#![allow(clippy::disallowed_methods, reason = "measures times")]

mod random;

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_dataplane::config::{State, Tables};
use headgate_net::fib::{Fib, KernelRoute, Link, Neighbour, NextHop, RouteKind, RoutingTable, Snapshot};
use headgate_net::ids::PortId;
use headgate_net::lb::{BalancedService, Maglev};
use headgate_net::number::Numbers;
use headgate_ring::message::{self, Frontend, Object, Protocol};
use headgate_ring::{Operation, Transaction};
use random::Random;

const LOOKUPS: usize = 20_000;
const ROUNDS: usize = 51;
/// Look-ups between two readings of the clock.
const ROUND: usize = 1_000;
/// How often all inputs are gone through.
const PASSES: usize = 5;

fn main() {
    println!("{:<58} {:>12}", "what", "median");
    maglev();
    forwarding();
    services();
}

/// The median time of one round.
fn median(rounds: usize, mut round: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2]
}

/// The median time of one call of `look_up`, printed in nanoseconds. Rounds are short, so that where other
/// programs share the core, most of them run undisturbed.
fn each<T, R>(what: &str, inputs: &[T], look_up: impl Fn(&T) -> R) {
    let mut rounds = inputs.chunks_exact(ROUND).cycle();
    let round = median(PASSES * inputs.len() / ROUND, || {
        rounds.next().into_iter().flatten().for_each(|input| {
            black_box(look_up(input));
        });
    });
    let nanos = round.as_secs_f64() * 1e9 / ROUND as f64;
    println!("{what:<58} {nanos:>9.1} ns");
}

fn once(what: &str, rounds: usize, build: impl FnMut()) {
    let micros = median(rounds, build).as_secs_f64() * 1e6;
    println!("{what:<58} {micros:>9.0} us");
}

fn backends(count: u32) -> Vec<SocketAddr> {
    (0..count)
        .map(|i| ((0x0af4_0000 + i).to_be_bytes(), 8080).into())
        .collect()
}

fn maglev() {
    for (count, size) in [(10, 65_537), (655, 65_537)] {
        let backends = backends(count);
        once(
            &format!("Maglev: {size} entries, {count} backends, built"),
            ROUNDS,
            || {
                black_box(Maglev::with_size(&backends, size));
            },
        );
    }
    let source = message::Service {
        frontend: Frontend {
            address: [198, 51, 100, 10].into(),
            protocol: Protocol::Tcp,
            port: 80,
        },
        name: "default/web".into(),
        backends: backends(655),
        affinity_seconds: None,
    };
    let Ok(service) = BalancedService::build(Arc::new(source), None, &Numbers::default()) else {
        return;
    };
    let mut random = Random::new(1);
    let clients: Vec<(IpAddr, u16)> = (0..LOOKUPS)
        .map(|_| (random.v4(0, 0), random.below(65_536) as u16))
        .collect();
    each(
        "Maglev: pick, 65,537 entries, random clients",
        &clients,
        |(ip, port)| service.pick(*ip, *port),
    );
}

fn services() {
    let service = |i: u32, more: u32| {
        let address = IpAddr::from((0xc633_6400 + i / 4).to_be_bytes());
        Operation::Put(Object::Service(message::Service {
            frontend: Frontend {
                address,
                protocol: Protocol::Tcp,
                port: 80 + (i % 4) as u16,
            },
            name: format!("ns/service-{i}"),
            backends: backends(3 + i % 8 + more),
            affinity_seconds: None,
        }))
    };
    let mut state = State::default();
    let operations: Vec<_> = (0..1_000).map(|i| service(i, 0)).collect();
    let transaction = |generation, full, operations| Transaction {
        generation,
        full,
        operations,
    };
    let mut tables = Tables::transact(&mut state, transaction(1, true, operations), None).ok();
    let mut generation = 1;
    once(
        "1,000 Services, one with new backends: state and tables",
        ROUNDS,
        || {
            generation += 1;
            let operations = vec![service(7, generation as u32 % 2)];
            tables = Tables::transact(
                &mut state,
                transaction(generation, false, operations),
                tables.as_ref(),
            )
            .ok();
        },
    );
    let Some(tables) = tables else { return };
    let mut random = Random::new(2);
    let draw = |_| {
        let i = random.below(1_000);
        (
            IpAddr::from((0xc633_6400 + i / 4).to_be_bytes()),
            80 + (i % 4) as u16,
        )
    };
    let frontends: Vec<_> = (0..LOOKUPS).map(draw).collect();
    each("1,000 Services: lookup", &frontends, |(ip, port)| {
        tables.services.lookup(*ip, 6, *port).is_some()
    });
}

/// A full IPv4 table's mix of lengths and 20,000 IPv6 routes, by 16 routers on two ports, and 500 neighbours.
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn forwarding() {
    let mut random = Random::new(3);
    let mut snapshot = Snapshot::default();
    for index in 2..4 {
        snapshot.links.push(Link {
            index,
            mac: Some([2, 0, 0, 0, 0, index as u8]),
            mtu: 1500,
            up: true,
        });
        snapshot.ports.push((PortId(index as u8 - 2), index));
    }
    let router = |i: u32| IpAddr::from([192, 0, 2, 1 + (i % 16) as u8]);
    let mut route = |destination, i| {
        let hops = vec![NextHop {
            gateway: Some(router(i)),
            interface: 2 + i % 2,
            weight: 1,
        }];
        let (table, kind) = (RoutingTable::Main, RouteKind::Unicast);
        snapshot.routes.push(KernelRoute {
            table,
            destination,
            kind,
            metric: 0,
            preferred_source: None,
            hops,
        });
    };
    for i in 0..100_000 {
        let lengths = [16, 20, 22, 24, 24, 24, 24, 24];
        route(
            random::block(random.v4(0, 0), lengths[i as usize % lengths.len()]),
            i,
        );
    }
    for i in 0..20_000 {
        let lengths = [32, 40, 48, 48, 48, 64];
        route(
            random::block(random.v6(0x2000, 3), lengths[i as usize % lengths.len()]),
            i,
        );
    }
    for i in 0..500 {
        let mac = Some([2, 0, 0, 1, (i >> 8) as u8, i as u8]);
        snapshot.neighbours.push(Neighbour {
            interface: 2 + i % 2,
            address: router(i),
            mac,
        });
    }
    let small = Snapshot {
        routes: snapshot.routes[..60].to_vec(),
        ..snapshot.clone()
    };
    once("Fib: 60 routes and 500 neighbours, built", ROUNDS, || {
        black_box(Fib::build(&small, 1));
    });
    let fib = Fib::build(&snapshot, 1);
    println!(
        "Fib: 100,000 IPv4 and 20,000 IPv6 routes: {:.1} MB",
        fib.memory() as f64 / 1e6
    );
    once("Fib: built from those", 7, || {
        black_box(Fib::build(&snapshot, 1));
    });
    let v4 = (0..LOOKUPS).map(|_| random.v4(0, 0)).collect::<Vec<_>>();
    each("Fib: lookup, random IPv4 addresses", &v4, |dst| fib.lookup(*dst));
    let routes = &snapshot.routes[100_000..];
    let v6: Vec<_> = (0..LOOKUPS)
        .map(|_| routes[random.below(20_000) as usize].destination.addr())
        .collect();
    each("Fib: lookup, IPv6 addresses under random routes", &v6, |dst| {
        fib.lookup(*dst)
    });
}
