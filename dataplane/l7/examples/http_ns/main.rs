//! Nanoseconds of the L7 stage for a proxied request, between clients and pods in memory, one thread:
//!
//! ```text
//! cargo run --release -p headgate-l7 --example http_ns [CONNECTIONS REQUESTS plain|tls]
//! ```
//!
//! The stage alone is timed: both of its TCP sides, TLS, HTTP and the choice of a pod; with the packets of 32 clients in each
//! batch, as a busy worker has them. Each figure is the median of the rounds; others may share the cores.
#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "measures times")]

#[path = "../shared/bed.rs"]
mod bed;

use std::time::{Duration, Instant};

use bed::Bed;

const ROUNDS: usize = 9;
/// Clients whose packets make a batch.
const BATCH: usize = 32;

fn main() {
    // For profilers: one round of so many requests.
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [connections, requests, tls] = &args[..] {
        let mut bed = connected(connections.parse().expect("a number"), tls == "tls");
        println!("{:.0}", round(&mut bed, requests.parse().expect("a number")));
        return;
    }
    println!("{:<58} {:>10}", "the stage, median of rounds", "ns");
    for tls in [false, true] {
        for connections in [50, 1_000, 10_000] {
            let mut bed = connected(connections, tls);
            let mut figures: Vec<f64> = (0..ROUNDS)
                .map(|_| round(&mut bed, connections.max(20_000)))
                .collect();
            figures.sort_by(f64::total_cmp);
            let by = if tls { "TLS" } else { "plain" };
            let name = format!("a request over one of {connections} kept connections, {by}");
            println!("{name:<58} {:>10.0}", figures[ROUNDS / 2]);
        }
        let mut bed = Bed::new();
        let count = if tls { 500 } else { 5_000 };
        let mut figures: Vec<f64> = (0..ROUNDS).map(|_| churn(&mut bed, tls, count)).collect();
        figures.sort_by(f64::total_cmp);
        let name = format!(
            "a connection with one request, {}",
            if tls { "TLS" } else { "plain" }
        );
        println!("{name:<58} {:>10.0}", figures[ROUNDS / 2]);
    }
}

/// Nanoseconds of the stage for a connection with one request, which the client closes.
fn churn(bed: &mut Bed, tls: bool, connections: usize) -> f64 {
    let mut spent = Duration::ZERO;
    let mut around = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        spent += start.elapsed();
    };
    for _ in 0..connections {
        bed.connect(1, tls, &mut around);
        bed.exchange(0..1, &mut around);
        bed.connections.clear();
    }
    bed.turn(&mut around);
    spent.as_nanos() as f64 / connections as f64
}

fn connected(connections: usize, tls: bool) -> Bed {
    let mut bed = Bed::new();
    bed.connect(connections, tls, &mut |work| work());
    round(&mut bed, connections);
    bed
}

/// Nanoseconds of the stage for a request.
fn round(bed: &mut Bed, requests: usize) -> f64 {
    let mut spent = Duration::ZERO;
    let batch = BATCH.min(bed.connections.len());
    let mut done = 0;
    while done < requests {
        bed.exchange(done..done + batch, &mut |work| {
            let start = Instant::now();
            work();
            spent += start.elapsed();
        });
        done += batch;
    }
    spent.as_nanos() as f64 / done as f64
}
