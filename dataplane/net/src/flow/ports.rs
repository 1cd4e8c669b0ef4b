//! The source ports that Headgate keeps for itself, and who of it uses which.

use std::ops::RangeInclusive;

use thiserror::Error;

use crate::verdict::WorkerId;

/// What a source port is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Client connections that Services balance.
    L4,
    /// Connections that the L7 stage opens to pods.
    L7,
}

/// Every fourth source port is the L7 stage's: it pools connections, and so needs fewer.
const L7_SHARE: u16 = 4;

/// The reserved range of source ports, cut into one slice for each worker and each slice in two parts, so that
/// the destination port of a reply names the worker and the part without any table.
///
/// ```text
/// first                                                                      last
/// | worker 0: L4 ............ | L7 .... | worker 1: L4 ............ | L7 .... | (rest: unused)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePorts {
    first: u16,
    /// Ports of a slice.
    width: u16,
    /// Of these, the first ones, for L4.
    l4: u16,
    workers: u8,
}

/// A range of source ports that cannot be cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "source ports {first}-{last} are too few for {workers} workers: each needs at least 8, and 0 is none; \
     give a wider range"
)]
pub struct InvalidSourcePorts {
    first: u16,
    last: u16,
    workers: u8,
}

impl SourcePorts {
    /// Cuts `first..=last` into slices for `workers` workers. Up to `workers - 1` ports at the end stay unused.
    ///
    /// # Errors
    /// Where a slice would have fewer than 8 ports, there is no worker, or `first` is 0.
    pub fn new(first: u16, last: u16, workers: u8) -> Result<Self, InvalidSourcePorts> {
        let invalid = InvalidSourcePorts { first, last, workers };
        let total = last.checked_sub(first).filter(|_| first > 0).ok_or(invalid)?;
        let total = u32::from(total) + 1;
        let width = total.checked_div(u32::from(workers)).ok_or(invalid)?;
        if width < 8 {
            return Err(invalid);
        }
        // `first` is at least 1, so that a slice is at most 65,535 wide.
        let width = u16::try_from(width).map_err(|_| invalid)?;
        Ok(Self {
            first,
            width,
            l4: width - width / L7_SHARE,
            workers,
        })
    }

    /// The worker whose slice `port` is in, and the part; `None` for ports that are not reserved.
    #[must_use]
    pub const fn owner(&self, port: u16) -> Option<(WorkerId, Part)> {
        let Some(offset) = port.checked_sub(self.first) else {
            return None;
        };
        let worker = offset / self.width;
        if worker >= self.workers as u16 {
            return None;
        }
        let part = if offset % self.width < self.l4 {
            Part::L4
        } else {
            Part::L7
        };
        Some((WorkerId(worker.to_le_bytes()[0]), part))
    }

    /// The ports of a worker's part.
    ///
    /// # Panics
    /// Where there is no such worker.
    #[must_use]
    pub fn slice(&self, worker: WorkerId, part: Part) -> RangeInclusive<u16> {
        assert!(worker.0 < self.workers, "{worker:?} of {} workers", self.workers);
        let first = self.first + u16::from(worker.0) * self.width;
        match part {
            Part::L4 => first..=first + (self.l4 - 1),
            Part::L7 => first + self.l4..=first + (self.width - 1),
        }
    }

    /// All that is reserved: what XDP steers to Headgate, and what the host must not use itself.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<u16> {
        self.first..=self.first + (self.width * u16::from(self.workers) - 1)
    }
}

#[cfg(test)]
mod tests;
