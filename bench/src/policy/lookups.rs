//! What decides in this process: Headgate's tables, and the linear list.

use std::{hint::black_box, time::Instant};

use anyhow::{Result, ensure};
use headgate_dataplane::policy::Compiled;

use super::{
    cluster::Connection,
    contender::{Contender, Pattern, Question},
    linear::Linear,
};

/// Decisions in one round.
const DECISIONS: usize = 200_000;
/// Decisions of the list in one round: it takes microseconds for each.
const LIST_DECISIONS: usize = 2_000;

/// Headgate's compiled tables.
pub(super) struct Headgate<'a>(pub(super) &'a Compiled);

/// Every policy, one after another.
pub(super) struct List(pub(super) Linear);

impl Contender for Headgate<'_> {
    fn ways(&self) -> Vec<String> {
        vec!["Headgate, one at a time".into()]
    }

    fn measure(&mut self, _way: usize, pattern: Pattern, question: &Question) -> Result<f64> {
        round(question.of(pattern), DECISIONS, |c| {
            self.0.decide(c.src, c.dst, c.protocol, c.dst_port).is_allowed()
        })
    }
}

impl Contender for List {
    fn ways(&self) -> Vec<String> {
        vec!["linear list".into()]
    }

    fn measure(&mut self, _way: usize, pattern: Pattern, question: &Question) -> Result<f64> {
        round(question.of(pattern), LIST_DECISIONS, |c| self.0.allows(*c))
    }
}

/// Decides on `count` connections, the given ones over and over; nanoseconds for each.
fn round(
    (connections, expected): (&[Connection], &[bool]),
    count: usize,
    decide: impl Fn(&Connection) -> bool,
) -> Result<f64> {
    let mut allowed = 0;
    let start = Instant::now();
    for connection in connections.iter().cycle().take(count) {
        allowed += usize::from(decide(black_box(connection)));
    }
    let elapsed = start.elapsed();
    let should = expected
        .iter()
        .cycle()
        .take(count)
        .filter(|allowed| **allowed)
        .count();
    ensure!(
        allowed == should,
        "{allowed} connections are allowed, and {should} should be"
    );
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = elapsed.as_secs_f64() * 1e9 / count as f64;
    Ok(each)
}
