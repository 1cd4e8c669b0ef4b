//! How much of what CUBIC of Linux reaches over a bad line is reached here, and how a bottleneck is shared with it.

use std::time::Duration;

use super::line::{Flow, LineConfig, Ours, Reference, run_flows};

const PATIENCE: Duration = Duration::from_secs(600);

/// What a worker's batches, and a loaded receiver's, make of arrivals.
const BATCH: Duration = Duration::from_micros(500);

/// A path of so many Mbit/s with a queue of its bandwidth-delay product.
pub(super) fn line(rtt: Duration, mbits: f64, loss: f64, seed: u64) -> LineConfig {
    let rate = mbits * 1e6;
    LineConfig {
        rtt,
        loss,
        rate: Some((rate, (rate / 8.0 * rtt.as_secs_f64()).max(200_000.0))),
        marks: false,
        batch: BATCH,
        seed,
    }
}

fn seconds(flow: impl Flow + 'static, config: LineConfig) -> f64 {
    let outcome = run_flows(&mut [(Duration::ZERO, Box::new(flow))], config, PATIENCE);
    outcome.seconds[0]
}

/// The geometric mean over seeds of how many times as fast as the reference an upload is. Downloads differ by half a round
/// trip of the handshake.
fn ratio(rtt: u64, mbits: f64, loss: f64, bytes: u64, seeds: u64) -> f64 {
    let sum: f64 = (0..seeds)
        .map(|seed| {
            let config = line(Duration::from_millis(rtt), mbits, loss, seed);
            let (ours, theirs) = (
                seconds(Ours::new(bytes, true), config),
                seconds(Reference::new(bytes), config),
            );
            (theirs / ours).ln()
        })
        .sum();
    (sum / seeds as f64).exp()
}

/// Fails where less than `least` of the reference is reached.
fn reaches(least: f64, cells: &[(u64, f64, f64, u64, u64)]) {
    for &(rtt, mbits, loss, bytes, seeds) in cells {
        let ratio = ratio(rtt, mbits, loss, bytes, seeds);
        assert!(
            ratio >= least,
            "{ratio:.2} of CUBIC at {rtt} ms, {mbits} Mbit/s, {loss} lost, {bytes} bytes"
        );
    }
}

#[test]
fn a_good_line_is_filled_as_by_cubic() {
    reaches(
        0.95,
        &[
            (1, 800.0, 0.0, 4_000_000, 1),
            (20, 400.0, 0.0, 4_000_000, 1),
            (50, 200.0, 0.0, 4_000_000, 1),
            (100, 300.0, 0.0, 20_000_000, 1),
            (200, 300.0, 0.0, 20_000_000, 1),
            (20, 400.0, 0.0, 200_000, 1),
            (200, 400.0, 0.0, 200_000, 1),
        ],
    );
}

#[test]
fn a_line_that_loses_little_bears_as_much_as_of_cubic() {
    reaches(
        0.95,
        &[
            (1, 800.0, 0.001, 4_000_000, 12),
            (20, 400.0, 0.001, 4_000_000, 12),
            (100, 300.0, 0.001, 4_000_000, 6),
            (20, 400.0, 0.001, 200_000, 40),
            (200, 400.0, 0.001, 200_000, 40),
        ],
    );
}

#[test]
fn a_line_that_loses_much_bears_more_than_of_cubic() {
    // RFC 9438, section 4.3: beyond the window before the loss the estimate of Reno's grows as Reno's does. Linux' does not.
    reaches(
        1.1,
        &[
            (1, 800.0, 0.01, 4_000_000, 6),
            (20, 400.0, 0.01, 4_000_000, 6),
            (1, 800.0, 0.03, 2_000_000, 6),
            (20, 400.0, 0.03, 1_000_000, 12),
            (100, 300.0, 0.03, 1_000_000, 12),
        ],
    );
    reaches(
        0.95,
        &[
            (100, 300.0, 0.01, 2_000_000, 6),
            (20, 400.0, 0.01, 200_000, 40),
            (100, 400.0, 0.03, 200_000, 40),
        ],
    );
}

/// Shares in percent of what `ours` flows and `theirs` of the reference got of a bottleneck in half a minute.
fn shares(rtt: u64, mbits: f64, ours: usize, theirs: usize) -> [f64; 2] {
    let config = line(Duration::from_millis(rtt), mbits, 0.0, 1);
    let end = Duration::from_secs(30);
    let many = 10_u64.pow(9);
    let mut flows: Vec<(Duration, Box<dyn Flow>)> = Vec::new();
    for index in 0..ours + theirs {
        // Nobody begins at the same time, and neither kind before the other.
        let begin = Duration::from_millis(37 * index as u64);
        let flow: Box<dyn Flow> = if index % 2 == 0 {
            Box::new(Ours::new(many, true))
        } else {
            Box::new(Reference::new(many))
        };
        flows.push((begin, flow));
    }
    let outcome = run_flows(&mut flows, config, end);
    let sum = |parity: usize| -> u64 { outcome.delivered.iter().skip(parity).step_by(2).sum() };
    let all = (sum(0) + sum(1)) as f64;
    [sum(0), sum(1)].map(|bytes| bytes as f64 / all * 100.0)
}

#[test]
fn a_bottleneck_is_shared_with_cubic() {
    for (rtt, mbits, flows) in [
        (20, 20.0, 1),
        (50, 20.0, 1),
        (20, 100.0, 1),
        (50, 100.0, 1),
        (20, 20.0, 2),
        (50, 20.0, 2),
    ] {
        let shares = shares(rtt, mbits, flows, flows);
        for share in shares {
            assert!(
                (35.0..=65.0).contains(&share),
                "{rtt} ms, {mbits} Mbit/s, {flows} each: {shares:?}%"
            );
        }
    }
}
