//! What the program counts.

use headgate_abi::Outcome;

/// Packets by outcome, over all CPUs, since the program was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteeringCounters([u64; Outcome::ALL.len()]);

impl SteeringCounters {
    /// Packets that ended with `outcome`.
    #[must_use]
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// All outcomes, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.iter().map(|&outcome| (outcome, self.get(outcome)))
    }

    pub(super) fn set(&mut self, outcome: Outcome, count: u64) {
        self.0[outcome as usize] = count;
    }
}
