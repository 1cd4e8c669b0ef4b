//! Scenarios whose instructions are counted: the same work in every run, in memory, without kernel or clock.
//!
//! ```text
//! cargo build -p headgate-dataplane --example instructions
//! target/debug/examples/instructions                     the scenarios, and how often each repeats what it counts
//! target/debug/examples/instructions flow-hit-ipv4-udp   one of them
//! ```
//!
//! `scripts/check-instructions` runs each under callgrind, which collects within [`counted`] alone, and divides by the
//! repetitions. What a scenario needs before that (tables, flows, connections, one round to warm up) is not counted.
#![allow(clippy::print_stdout, reason = "says what there is")]
#![forbid(unsafe_code)]

#[path = "../shared/gateway.rs"]
mod gateway;
#[path = "../shared/objects.rs"]
mod objects;
mod packets;
mod requests;

/// What a scenario is called, how often it repeats what is counted, and what runs it.
struct Scenario {
    name: &'static str,
    repetitions: usize,
    run: fn(&str, usize),
}

fn main() {
    let scenarios: Vec<Scenario> = packets::scenarios().chain(requests::scenarios()).collect();
    let Some(name) = std::env::args().nth(1) else {
        for scenario in &scenarios {
            println!("{} {}", scenario.name, scenario.repetitions);
        }
        return;
    };
    let scenario = scenarios.iter().find(|s| s.name == name);
    let scenario = scenario.unwrap_or_else(|| panic!("there is no scenario {name}"));
    (scenario.run)(scenario.name, scenario.repetitions);
}

/// What runs in here is counted: its name is what `scripts/check-instructions` tells callgrind.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}
