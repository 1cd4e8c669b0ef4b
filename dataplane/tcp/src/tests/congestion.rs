//! A bottleneck whose queue marks what it would drop else (RFC 3168), beside one that drops.

use std::time::Duration;

use proptest::prelude::*;

use super::line::{Flow, LineConfig, Ours, Outcome, run_flows};

const PATIENCE: Duration = Duration::from_secs(600);

/// A path whose queue holds `queue` of its bandwidth-delay products.
fn path(rtt: u64, mbits: f64, queue: f64, marks: bool) -> LineConfig {
    let (rtt, rate) = (Duration::from_millis(rtt), mbits * 1e6);
    let product = rate / 8.0 * rtt.as_secs_f64();
    LineConfig {
        rtt,
        loss: 0.0,
        rate: Some((rate, (product * queue).max(15_000.0))),
        marks,
        batch: Duration::from_micros(500),
        seed: 1,
    }
}

/// Flows of so many bytes, each with explicit congestion notification or without.
fn run(config: LineConfig, bytes: u64, asks: &[bool], end: Duration) -> Outcome {
    let flow = |(index, ask): (usize, &bool)| -> (Duration, Box<dyn Flow>) {
        let begin = Duration::from_millis(37 * index as u64);
        (begin, Box::new(Ours::with(bytes, true, *ask)))
    };
    let mut flows: Vec<_> = asks.iter().enumerate().map(flow).collect();
    run_flows(&mut flows, config, end)
}

#[test]
fn a_queue_that_marks_bears_no_less_than_one_that_drops() {
    for (rtt, mbits, queue, bytes) in [
        (5, 400.0, 0.5, 20_000_000),
        (20, 100.0, 0.25, 20_000_000),
        (20, 100.0, 1.0, 20_000_000),
        (50, 50.0, 0.5, 20_000_000),
        (100, 20.0, 1.0, 10_000_000),
        (20, 100.0, 0.25, 1_000_000),
    ] {
        let of = |marks| run(path(rtt, mbits, queue, marks), bytes, &[true], PATIENCE);
        let (marking, dropping) = (of(true), of(false));
        assert!(marking.marked > 0 && dropping.dropped > 0);
        assert_eq!((marking.dropped, marking.carried[0]), (0, bytes), "sent again");
        assert!(marking.seconds[0] <= dropping.seconds[0]);
    }
}

/// What cannot be marked is dropped: whoever does without lives beside whoever does not.
#[test]
fn a_queue_that_marks_is_shared_with_those_that_cannot_be_marked() {
    for (rtt, mbits, queue) in [(20, 20.0, 1.0), (50, 20.0, 1.0), (20, 50.0, 0.5)] {
        let outcome = run(
            path(rtt, mbits, queue, true),
            10_u64.pow(9),
            &[true, false],
            Duration::from_secs(60),
        );
        let [with, without] = outcome.delivered[..] else {
            panic!("two flows")
        };
        let share = with as f64 / (with + without) as f64 * 100.0;
        assert!(
            (30.0..=70.0).contains(&share),
            "{rtt} ms, {mbits} Mbit/s: {share:.0}%"
        );
        assert!(outcome.marked > 0 && outcome.dropped > 0);
        let window = 2.0 * mbits * 1e6 / 8.0 * rtt as f64 / 1e3 + 100_000.0;
        assert!(outcome.carried[0] as f64 <= with as f64 + window, "sent again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn marks_cost_no_byte_twice_and_no_goodput(
        rtt in 1u64..120,
        mbits in 2u32..200,
        queue in 1u32..30,
        flows in 1usize..4,
        bytes in 100_000u64..3_000_000,
    ) {
        let of = |marks| {
            let config = path(rtt, f64::from(mbits), f64::from(queue) / 10.0, marks);
            run(config, bytes, &vec![true; flows], PATIENCE)
        };
        let (marking, dropping) = (of(true), of(false));
        prop_assert_eq!(marking.dropped, 0);
        prop_assert!(marking.delivered.iter().all(|delivered| *delivered == bytes));
        // A queue that grows faster than round trips are measured looks as a lost tail, which is probed by one segment.
        prop_assert!(marking.carried.iter().all(|carried| *carried <= bytes + 1_460), "{:?}", marking);
        // One flow, but for two round trips: which segment finds the queue full is chance. Of several, who comes first is too.
        let most = dropping.seconds[0] * 1.05 + 2.0 * rtt as f64 / 1e3;
        prop_assert!(flows > 1 || marking.seconds[0] <= most, "{:?} {:?}", marking, dropping);
    }
}
