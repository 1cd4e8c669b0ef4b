//! What answers connections, and how it is measured.

use anyhow::Result;

use super::cluster::{Cluster, Connection};

/// Connections of the busy set.
pub(crate) const BUSY: usize = 1_000;
/// Connections of the flood.
pub(crate) const FLOOD: usize = 200_000;

/// Which connections, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// The same [`BUSY`] connections in the same order, over and over: what is looked at fits the second-level cache.
    Busy,
    /// [`FLOOD`] different ones, each once: mostly what is looked at is in no cache but the last.
    Flood,
}

/// A cluster, connections to its pods, and what becomes of each.
pub(crate) struct Question {
    pub(crate) cluster: Cluster,
    /// [`FLOOD`] of them.
    pub(crate) connections: Vec<Connection>,
    /// What Headgate says of each.
    pub(crate) allowed: Vec<bool>,
}

impl Question {
    /// The connections of a pattern, and what Headgate says of them.
    pub(crate) fn of(&self, pattern: Pattern) -> (&[Connection], &[bool]) {
        let count = match pattern {
            Pattern::Busy => BUSY,
            Pattern::Flood => FLOOD,
        };
        (&self.connections[..count], &self.allowed[..count])
    }
}

/// One that answers.
pub(crate) trait Contender {
    /// Its ways to be asked, each a row of the table.
    fn ways(&self) -> Vec<String>;

    /// Nanoseconds for each connection in one round.
    ///
    /// # Errors
    ///
    /// When a verdict is another than Headgate's, or it does not run.
    fn measure(&mut self, way: usize, pattern: Pattern, question: &Question) -> Result<f64>;
}
