//! Bytes that the L7 stage holds for each connection of a client, in memory, one thread:
//!
//! ```text
//! cargo run --release -p headgate-l7 --example http_memory [CONNECTIONS]
//! ```
//!
//! What the stage's own calls have allocated and not freed, of TCP, TLS and HTTP; clients and pods do not count. Each client has
//! had an answer and waits; then all leave at once, and what is left half a minute later is told.
#![allow(clippy::print_stdout)]

#[path = "../shared/bed.rs"]
mod bed;

use std::alloc::System;
use std::time::{Duration, Instant};

use bed::Bed;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Connections that come and go, each with a request: so many a second, so many at once, for so many seconds.
const A_SECOND: usize = 20_000;
const AT_ONCE: usize = 20;
const SECONDS: usize = 30;

fn main() {
    churn();
    let count = std::env::args()
        .nth(1)
        .map_or(15_000, |count| count.parse().expect("a number"));
    for tls in [false, true] {
        let mut held = 0;
        let mut bed = Bed::new();
        let mut weigh = |work: &mut dyn FnMut()| {
            let region = Region::new(ALLOCATOR);
            work();
            let change = region.change();
            held += change.bytes_allocated as isize - change.bytes_deallocated as isize;
        };
        bed.connect(count, tls, &mut weigh);
        for first in (0..count).step_by(32) {
            bed.exchange(first..(first + 32).min(count), &mut weigh);
        }
        // Until the last answers are acknowledged.
        for _ in 0..20 {
            bed.now = bed.now.after(Duration::from_millis(50));
            bed.turn(&mut weigh);
        }
        let idle = held;
        let mut weigh = |work: &mut dyn FnMut()| {
            let region = Region::new(ALLOCATOR);
            work();
            let change = region.change();
            held += change.bytes_allocated as isize - change.bytes_deallocated as isize;
        };
        bed.connections.clear();
        // Until everyone has said so.
        for _ in 0..200 {
            bed.turn(&mut weigh);
        }
        for _ in 0..40 {
            bed.turn(&mut weigh);
            bed.now = bed.now.after(Duration::from_secs(1));
        }
        let by = if tls { "TLS" } else { "plain" };
        println!(
            "{count} idle connections, {by}: {:.2} KiB each; after they have left: {:.2}",
            idle as f64 / count as f64 / 1024.0,
            held as f64 / count as f64 / 1024.0
        );
    }
}

/// Many connections that come and go at a rate, and what they leave, as they do and then.
#[expect(
    clippy::disallowed_methods,
    reason = "the time that all of it takes, as a clock on the wall has it"
)]
fn churn() {
    let mut held = 0;
    let mut bed = Bed::new();
    let begun = Instant::now();
    for second in 1..=SECONDS {
        let mut weigh = |work: &mut dyn FnMut()| {
            let region = Region::new(ALLOCATOR);
            work();
            let change = region.change();
            held += change.bytes_allocated as isize - change.bytes_deallocated as isize;
        };
        for _ in 0..A_SECOND / AT_ONCE {
            bed.connect(AT_ONCE, false, &mut weigh);
            bed.exchange(0..AT_ONCE, &mut weigh);
            bed.connections.clear();
            bed.turn(&mut weigh);
            let step = Duration::from_secs(1) / (A_SECOND / AT_ONCE) as u32;
            bed.now = bed.now.after(step);
        }
        if second % 5 == 0 {
            println!(
                "{A_SECOND} connections a second, after {second} s: {} KiB in all",
                held / 1024
            );
        }
    }
    let each = begun.elapsed() / (SECONDS * A_SECOND) as u32;
    let mut weigh = |work: &mut dyn FnMut()| {
        let region = Region::new(ALLOCATOR);
        work();
        let change = region.change();
        held += change.bytes_allocated as isize - change.bytes_deallocated as isize;
    };
    for _ in 0..40 {
        bed.turn(&mut weigh);
        bed.now = bed.now.after(Duration::from_secs(1));
    }
    println!(
        "40 s later: {} KiB; {each:?} of the thread for each, clients and pods included",
        held / 1024
    );
}
