//! Whether the congestion window is used: one that is not says nothing about the path, and does not grow (RFC 7661).

use super::cubic::Cubic;
use crate::sequence::Seq;

/// What was under way when nothing more could be sent, over the last round trip. What is under way when an acknowledgement
/// arrives says less: many arrive before anything is sent for the first of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// Whether the window was full.
    full: bool,
    /// The most that was under way, in bytes.
    most: u32,
    /// Acknowledged, it ends the round trip.
    end: Seq,
}

impl Load {
    /// Takes note of what is under way, and whether the window lets nothing more go, between what is acknowledged and what is
    /// sent next.
    pub(super) fn note(&mut self, full: bool, flying: u32, (una, next): (Seq, Seq)) {
        if full || self.end.at_most(una) || (!self.full && flying > self.most) {
            *self = Self {
                full,
                most: flying,
                end: next,
            };
        }
    }

    /// Slow start doubles the window in a round trip: it may while half of it is used.
    pub(super) const fn allows_growth(&self, cubic: &Cubic) -> bool {
        self.full || (cubic.in_slow_start() && cubic.window() < self.most.saturating_mul(2))
    }
}
