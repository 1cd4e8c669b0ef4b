//! The worker's side: what is written down and what is left out.

use std::sync::Arc;

use super::channel::Channel;
use super::{FlowLog, Record, Recorded};
use crate::bucket::TokenBucket;
use crate::ids::{StageId, WorkerId};

/// Takes the decisions of one worker's packet path or L7 stage. Nothing here allocates, locks or calls the system; while
/// a kind of decision is not recorded, it costs a load and a branch.
#[derive(Clone, Debug)]
pub struct Recorder {
    log: Arc<FlowLog>,
    channel: usize,
    /// Allowed flows until one is recorded.
    until_sample: u32,
    allowed: TokenBucket,
    denied: TokenBucket,
}

impl Recorder {
    /// For a worker of `log`, or its stage.
    #[must_use]
    pub fn new(log: Arc<FlowLog>, worker: WorkerId) -> Self {
        Self::on(log, worker.0.into())
    }

    /// For a stage of `log` that has a core of its own.
    #[must_use]
    pub fn of_stage(log: Arc<FlowLog>, stage: StageId) -> Self {
        let channel = log.workers + usize::from(stage.0);
        Self::on(log, channel)
    }

    fn on(log: Arc<FlowLog>, channel: usize) -> Self {
        // A second's worth of records at once, and then so many a second.
        let bucket = TokenBucket::new(log.settings.rate, log.settings.rate);
        Self {
            log,
            channel,
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
            let Some(channel) = self.log.channels().get(self.channel) else {
                return;
            };
            pass(channel, &mut self.denied, record);
        }
    }

    #[cold]
    fn sample(&mut self, record: Record) {
        let Some(channel) = self.log.channels().get(self.channel) else {
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
fn pass(channel: &Channel, bucket: &mut TokenBucket, record: Record) {
    if bucket.take(record.at) {
        channel.push(record);
    } else {
        channel.skip_over_rate();
    }
}
