//! Where the connections are terminated whose packets a worker gets.

use super::stage::Terminator;
use crate::config::Tables;
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;

/// Here, or on cores of their own.
pub(super) enum StagePlace {
    /// On the worker itself, which has a stage.
    Here(Box<Terminator>),
    /// On stages that all workers give packets to.
    There {
        /// Those that were given packets in this turn, a bit each.
        rung: u64,
    },
}

impl StagePlace {
    /// Takes over a publication that is new to it. Stages with cores of their own do so themselves.
    pub(super) fn configure(&mut self, tables: &Tables) {
        if let Self::Here(terminator) = self {
            terminator.configure(tables);
        }
    }

    /// The dataplane is so far with its end. Stages with cores of their own know.
    pub(super) fn enter(&mut self, phase: Phase) {
        if let Self::Here(terminator) = self {
            terminator.enter(phase);
        }
    }

    /// What would be broken off here by the end of the thread.
    pub(super) fn held(&self) -> usize {
        self.here().map_or(0, Terminator::held)
    }

    /// Whether packets wait to be sent though nothing happens.
    pub(super) fn blocked(&self) -> bool {
        self.here().is_some_and(Terminator::blocked)
    }

    /// When there may be packets to be sent though nothing happens.
    pub(super) fn next_timer(&self) -> Option<Nanos> {
        self.here()?.next_timer()
    }

    /// Ready when tasks have made packets.
    pub(super) async fn woken(&self) {
        match self.here() {
            Some(terminator) => terminator.wake().notified().await,
            None => std::future::pending().await,
        }
    }

    /// Writes down what is held here now.
    pub(super) fn note(&self) {
        if let Some(terminator) = self.here() {
            terminator.note();
        }
    }

    fn here(&self) -> Option<&Terminator> {
        match self {
            Self::Here(terminator) => Some(terminator),
            Self::There { .. } => None,
        }
    }
}
