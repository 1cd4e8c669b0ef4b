//! What decides in this process: Headgate's tables, and the linear list.

use std::{hint::black_box, time::Instant};

use anyhow::{Result, ensure};
use headgate_net::policy::Compiled;

use super::{
    cluster::Connection,
    contender::{Contender, Pattern, Question},
    linear::Linear,
};

/// Decisions between two readings of the clock.
const CHUNK: usize = 1_000;
/// Such in one round.
const CHUNKS: usize = 200;
/// The list's: it takes microseconds for each decision.
const LIST_CHUNKS: usize = 11;

/// Headgate's compiled tables.
pub(super) struct Headgate<'a>(pub(super) &'a Compiled);

/// Every policy, one after another.
pub(super) struct List(pub(super) Linear);

impl Contender for Headgate<'_> {
    fn ways(&self) -> Vec<String> {
        vec!["Headgate, one at a time".into()]
    }

    fn measure(&mut self, _way: usize, pattern: Pattern, question: &Question) -> Result<f64> {
        round(question.of(pattern), CHUNKS, |c| {
            self.0.decide(c.src, c.dst, c.protocol, c.dst_port).is_allowed()
        })
    }
}

impl Contender for List {
    fn ways(&self) -> Vec<String> {
        vec!["linear list".into()]
    }

    fn measure(&mut self, _way: usize, pattern: Pattern, question: &Question) -> Result<f64> {
        round(question.of(pattern), LIST_CHUNKS, |c| self.0.allows(*c))
    }
}

/// Decides on the connections, over and over; nanoseconds for each, the median of the chunks: where other programs share the
/// core, most run undisturbed.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn round(
    (connections, expected): (&[Connection], &[bool]),
    chunks: usize,
    decide: impl Fn(&Connection) -> bool,
) -> Result<f64> {
    let chunk = |(connections, expected): (&[Connection], &[bool])| {
        let mut allowed = 0;
        let start = Instant::now();
        for connection in connections {
            allowed += usize::from(decide(black_box(connection)));
        }
        let elapsed = start.elapsed();
        let should = expected.iter().filter(|allowed| **allowed).count();
        ensure!(
            allowed == should,
            "{allowed} connections are allowed, and {should} should be"
        );
        Ok(elapsed.as_secs_f64() * 1e9 / connections.len() as f64)
    };
    let parts = connections.chunks(CHUNK).zip(expected.chunks(CHUNK));
    let mut nanos: Vec<f64> = parts.cycle().take(chunks).map(chunk).collect::<Result<_>>()?;
    nanos.sort_by(f64::total_cmp);
    Ok(nanos[nanos.len() / 2])
}
