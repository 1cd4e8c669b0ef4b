//! The source ports that Headgate keeps for itself, and who of it uses which.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use thiserror::Error;

use crate::ids::{StageId, WorkerId};

/// Whose source ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourcePortOwner {
    /// Client connections that Services balance, of this worker.
    L4(WorkerId),
    /// Connections that this L7 stage opens to pods.
    L7(StageId),
}

/// Every fourth source port is for L7: it pools connections, and so needs fewer.
const L7_SHARE: u16 = 4;
/// The narrowest slices.
const LEAST_L4: u16 = 6;
const LEAST_L7: u16 = 2;

/// The first port of addresses that nobody else sends from.
const FIRST_OF_OWN: u16 = 1024;
/// All of theirs.
const ALL_OF_OWN: u16 = u16::MAX - FIRST_OF_OWN + 1;

/// The reserved range of source ports, cut into one slice for each worker and one for each L7 stage, so that the
/// destination port of a reply names its owner without any table.
///
/// ```text
/// first                                                                     last
/// | L4: worker 0 | L4: worker 1 | ... | L7: stage 0 | L7: stage 1 | ... | (rest: unused)
/// ```
///
/// And the addresses beside those of the host that L7 stages send from. Where the host has one of them too, its ports are
/// these; else all from 1024 on are the stages'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePorts {
    first: u16,
    /// Ports of a worker's slice.
    l4: u16,
    workers: u8,
    /// Ports of a stage's slice.
    l7: u16,
    stages: u8,
    more: &'static [IpAddr],
}

/// A range of source ports that cannot be cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "source ports {first}-{last} are too few for {workers} workers and {stages} L7 stages: a quarter of them is for \
     stages, of which each needs at least {LEAST_L7}, each worker needs at least {LEAST_L4} of the rest, and 0 is none; \
     give a wider range"
)]
pub struct InvalidSourcePorts {
    first: u16,
    last: u16,
    workers: u8,
    stages: u8,
}

impl SourcePorts {
    /// Cuts `first..=last` for workers of which each has an L7 stage of its own.
    ///
    /// # Errors
    /// As [`cut`](Self::cut).
    pub fn new(first: u16, last: u16, workers: u8) -> Result<Self, InvalidSourcePorts> {
        Self::cut(first, last, workers, workers)
    }

    /// Cuts `first..=last` into slices for so many workers and L7 stages. What does not come out even stays unused, at the
    /// end.
    ///
    /// # Errors
    /// Where a slice would be narrower than 6 ports of a worker or 2 of a stage, there is no worker or no stage, or `first`
    /// is 0.
    pub fn cut(first: u16, last: u16, workers: u8, stages: u8) -> Result<Self, InvalidSourcePorts> {
        let invalid = InvalidSourcePorts {
            first,
            last,
            workers,
            stages,
        };
        // `first` is at least 1, so that there are at most 65,535.
        let total = last.checked_sub(first).filter(|_| first > 0).ok_or(invalid)? + 1;
        let l7 = (total / L7_SHARE).checked_div(stages.into()).ok_or(invalid)?;
        let rest = total - l7 * u16::from(stages);
        let l4 = rest.checked_div(workers.into()).ok_or(invalid)?;
        if l7 < LEAST_L7 || l4 < LEAST_L4 {
            return Err(invalid);
        }
        Ok(Self {
            first,
            l4,
            workers,
            l7,
            stages,
            more: &[],
        })
    }

    /// The same, and these addresses.
    #[must_use]
    pub const fn with_addresses(self, more: &'static [IpAddr]) -> Self {
        Self { more, ..self }
    }

    /// These addresses.
    #[must_use]
    pub const fn addresses(&self) -> &'static [IpAddr] {
        self.more
    }

    /// Whether `address` is one of them.
    #[inline]
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.more.contains(&address)
    }

    /// Whose port it is at one of them that the host has not.
    #[must_use]
    pub fn owner_at(&self, address: IpAddr, port: u16) -> Option<StageId> {
        let offset = port
            .checked_sub(FIRST_OF_OWN)
            .filter(|_| self.has_address(address))?;
        let stage = offset / self.own_width();
        (stage < u16::from(self.stages)).then(|| StageId(stage.to_le_bytes()[0]))
    }

    /// The ports of a stage at any of them that the host has not.
    ///
    /// # Panics
    /// Where there is no such stage.
    #[must_use]
    pub fn slice_of_own(&self, StageId(stage): StageId) -> RangeInclusive<u16> {
        assert!(stage < self.stages, "stage {stage} of {}", self.stages);
        let first = FIRST_OF_OWN + u16::from(stage) * self.own_width();
        first..=first + (self.own_width() - 1)
    }

    /// A stage's share: at least a 255th of all.
    fn own_width(&self) -> u16 {
        ALL_OF_OWN / u16::from(self.stages)
    }

    /// Whose slice `port` is in; `None` for ports that are in none.
    #[must_use]
    pub const fn owner(&self, port: u16) -> Option<SourcePortOwner> {
        let Some(offset) = port.checked_sub(self.first) else {
            return None;
        };
        let Some(offset) = offset.checked_sub(self.all_l4()) else {
            return Some(SourcePortOwner::L4(WorkerId((offset / self.l4).to_le_bytes()[0])));
        };
        let stage = offset / self.l7;
        if stage >= self.stages as u16 {
            return None;
        }
        Some(SourcePortOwner::L7(StageId(stage.to_le_bytes()[0])))
    }

    /// The ports of a slice.
    ///
    /// # Panics
    /// Where there is no such worker or stage.
    #[must_use]
    pub fn slice(&self, part: SourcePortOwner) -> RangeInclusive<u16> {
        let (first, width) = match part {
            SourcePortOwner::L4(WorkerId(worker)) => {
                assert!(worker < self.workers, "worker {worker} of {}", self.workers);
                (self.first + u16::from(worker) * self.l4, self.l4)
            }
            SourcePortOwner::L7(StageId(stage)) => {
                assert!(stage < self.stages, "stage {stage} of {}", self.stages);
                (self.first + self.all_l4() + u16::from(stage) * self.l7, self.l7)
            }
        };
        first..=first + (width - 1)
    }

    /// All that is in a slice.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<u16> {
        let count = self.all_l4() + self.l7 * u16::from(self.stages);
        self.first..=self.first + (count - 1)
    }

    /// Ports of all workers together, in front of those of the stages.
    const fn all_l4(&self) -> u16 {
        self.l4 * self.workers as u16
    }
}

#[cfg(test)]
mod tests;
