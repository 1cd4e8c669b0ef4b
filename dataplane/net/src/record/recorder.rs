//! The worker's side: what is written down and what is left out.

use std::sync::Arc;

use super::channel::Channel;
use super::{FlowLog, Record, Recorded};
use crate::clock::Nanos;
use crate::verdict::WorkerId;

/// Takes the decisions of one worker's packet path or L7 stage. Nothing here allocates, locks or calls the system; while
/// a kind of decision is not recorded, it costs a load and a branch.
#[derive(Clone, Debug)]
pub struct Recorder {
    log: Arc<FlowLog>,
    worker: usize,
    /// Allowed flows until one is recorded.
    until_sample: u32,
    allowed: Bucket,
    denied: Bucket,
}

impl Recorder {
    /// For a worker of `log`.
    #[must_use]
    pub fn new(log: Arc<FlowLog>, worker: WorkerId) -> Self {
        let bucket = Bucket::new(log.settings.rate);
        Self {
            log,
            worker: worker.0.into(),
            until_sample: 0,
            allowed: bucket,
            denied: bucket,
        }
    }

    /// Records nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::new(Arc::new(FlowLog::off()), WorkerId(0))
    }

    /// Whether allowed flows are recorded now.
    #[inline]
    #[must_use]
    pub fn wants_allowed(&self) -> bool {
        self.log.records(Recorded::All)
    }

    /// A decision that lets something be.
    #[inline]
    pub fn allowed(&mut self, record: impl FnOnce() -> Record) {
        if self.wants_allowed() {
            self.sample(record());
        }
    }

    /// A decision that denies or cuts.
    #[inline]
    pub fn denied(&mut self, record: impl FnOnce() -> Record) {
        if self.log.records(Recorded::Denied) {
            let record = record();
            let Some(channel) = self.log.channels().get(self.worker) else {
                return;
            };
            pass(channel, &mut self.denied, record);
        }
    }

    #[cold]
    fn sample(&mut self, record: Record) {
        let Some(channel) = self.log.channels().get(self.worker) else {
            return;
        };
        if self.until_sample > 0 {
            self.until_sample -= 1;
            return channel.skip_unsampled();
        }
        self.until_sample = self.log.settings.sample.saturating_sub(1);
        pass(channel, &mut self.allowed, record);
    }
}

#[cold]
fn pass(channel: &Channel, bucket: &mut Bucket, record: Record) {
    if bucket.take(record.at) {
        channel.push(record);
    } else {
        channel.skip_over_rate();
    }
}

/// A second's worth of records at once, and then so many a second.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: u32,
    tokens: u32,
    /// When the last token came in.
    filled: Nanos,
}

impl Bucket {
    fn new(rate: u32) -> Self {
        Self {
            rate: rate.max(1),
            tokens: rate.max(1),
            filled: Nanos(0),
        }
    }

    fn take(&mut self, now: Nanos) -> bool {
        let interval = 1_000_000_000 / u64::from(self.rate);
        let due = now.0.saturating_sub(self.filled.0) / interval.max(1);
        self.filled.0 += due * interval.max(1);
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(due).min(self.rate);
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}
