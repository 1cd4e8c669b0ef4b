//! What workers and the log's thread share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam::queue::ArrayQueue;
use serde::{Deserialize, Serialize};

use super::{Count, Record};

/// Records under way from one worker.
const QUEUE: usize = 4096;

/// Which decisions are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recorded {
    /// None
    None,
    /// Those that deny or cut
    #[default]
    Denied,
    /// All
    All,
}

/// What is recorded and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// While nobody follows who wants more.
    pub recorded: Recorded,
    /// One of so many allowed flows is recorded, at least 1.
    pub sample: u32,
    /// Records a second of each worker and kind, a kind being allowed or denied flows or requests; at least 1.
    pub rate: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            recorded: Recorded::default(),
            sample: 1,
            rate: 1_000,
        }
    }
}

/// The records of all workers on their way to the log.
#[derive(Debug)]
pub struct FlowLog {
    /// As [`Recorded`]; read for every new flow.
    recorded: AtomicU8,
    pub(super) settings: Settings,
    /// Of workers, and behind them of stages with cores of their own.
    channels: Vec<Channel>,
    pub(super) workers: usize,
}

/// From one worker. Only it writes the counts.
#[derive(Debug)]
pub struct Channel {
    /// Takes half a megabyte with the first record: most workers have none.
    queue: OnceLock<ArrayQueue<Record>>,
    recorded: Count,
    unsampled: Count,
    over_rate: Count,
    queue_full: Count,
}

/// What became of decisions on their way to the log. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLogStatus {
    /// Records that workers passed on.
    pub recorded: u64,
    /// Allowed flows that were not the one of `--flow-log-sample`.
    pub unsampled: u64,
    /// Left out because the worker's share of `--flow-log-rate` was used up.
    pub over_rate: u64,
    /// Left out because the log did not keep up.
    pub queue_full: u64,
    /// Lines given to the file or standard output of `--flow-log`.
    pub written: u64,
    /// Lines that it did not take: the disk is full, or whoever reads is gone or too slow.
    pub unwritten: u64,
    /// Who follows now.
    pub followers: usize,
    /// Lines that followers were too slow for.
    pub unfollowed: u64,
}

impl FlowLog {
    /// For so many workers with their L7 stages.
    #[must_use]
    pub fn new(settings: Settings, workers: u8) -> Self {
        Self::with_stages(settings, workers, 0)
    }

    /// For so many workers, and so many L7 stages on cores of their own.
    #[must_use]
    pub fn with_stages(settings: Settings, workers: u8, stages: u8) -> Self {
        let (workers, stages) = (usize::from(workers), usize::from(stages));
        let channel = |_| Channel {
            queue: OnceLock::new(),
            recorded: Count::default(),
            unsampled: Count::default(),
            over_rate: Count::default(),
            queue_full: Count::default(),
        };
        Self {
            recorded: AtomicU8::new(settings.recorded as u8),
            settings,
            channels: (0..workers + stages).map(channel).collect(),
            workers,
        }
    }

    /// Nobody records anything, ever.
    #[must_use]
    pub fn off() -> Self {
        let settings = Settings {
            recorded: Recorded::None,
            ..Settings::default()
        };
        Self::new(settings, 0)
    }

    /// As they were given.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether decisions of this kind are recorded now.
    #[inline]
    pub fn records(&self, kind: Recorded) -> bool {
        self.recorded.load(Ordering::Relaxed) >= kind as u8
    }

    /// Somebody wants more, or no longer.
    pub fn set_recorded(&self, recorded: Recorded) {
        self.recorded.store(recorded as u8, Ordering::Relaxed);
    }

    /// What workers have recorded since the last call, in the order of the workers.
    #[cfg(any(test, feature = "harness"))]
    #[must_use]
    pub fn take(&self) -> Vec<Record> {
        let taken = |channel: &Channel| std::iter::from_fn(|| channel.pop()).collect::<Vec<_>>();
        self.channels.iter().flat_map(taken).collect()
    }

    /// By worker.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The workers' part.
    pub fn status(&self) -> FlowLogStatus {
        let mut status = FlowLogStatus::default();
        for channel in &self.channels {
            status.recorded += channel.recorded.get();
            status.unsampled += channel.unsampled.get();
            status.over_rate += channel.over_rate.get();
            status.queue_full += channel.queue_full.get();
        }
        status
    }
}

impl Channel {
    /// Queues a record for the reader, or counts that there is no room.
    pub fn push(&self, record: Record) {
        match self.queue.get_or_init(|| ArrayQueue::new(QUEUE)).push(record) {
            Ok(()) => self.recorded.add(1),
            Err(_) => self.queue_full.add(1),
        }
    }

    /// Counts a decision that the sampling leaves out.
    pub fn skip_unsampled(&self) {
        self.unsampled.add(1);
    }

    /// Counts a decision above the rate.
    pub fn skip_over_rate(&self) {
        self.over_rate.add(1);
    }

    /// The oldest record that is queued.
    pub fn pop(&self) -> Option<Record> {
        self.queue.get()?.pop()
    }
}
