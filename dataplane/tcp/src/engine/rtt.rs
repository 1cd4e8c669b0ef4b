//! Round-trip times and the retransmission timeout (RFC 6298, with Linux' lower bound).

use std::time::Duration;

use headgate_net::clock::Nanos;

/// Linux' lower bound (`TCP_RTO_MIN`) and not the second of RFC 6298, rule 2.4: it is added to the smoothed time.
const MINIMUM_VARIATION: u64 = 200_000_000;
/// Before there is a sample: RFC 6298, rule 2.1.
const INITIAL: u64 = 1_000_000_000;
const MAXIMUM: u64 = 60_000_000_000;
/// How long the least sample counts: the path may have changed.
const MEMORY: Duration = Duration::from_secs(300);

/// Times in nanoseconds: this is asked for each segment, and a `Duration` has two halves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    smoothed: Option<u64>,
    variation: u64,
    least: Option<(u64, Nanos)>,
}

impl Rtt {
    /// RFC 6298, rules 2.2 and 2.3.
    pub(crate) fn sample(&mut self, sample: Duration, now: Nanos) {
        let sample = u64::try_from(sample.as_nanos()).unwrap_or(MAXIMUM).min(MAXIMUM);
        match &mut self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                *smoothed = (*smoothed * 7 + sample) / 8;
            }
        }
        if self
            .least
            .is_none_or(|(least, at)| sample <= least || now.since(at) > MEMORY)
        {
            self.least = Some((sample, now));
        }
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(Duration::from_nanos)
    }

    /// The least sample of the last minutes.
    pub(crate) fn least(&self) -> Option<Duration> {
        self.least.map(|(least, _)| Duration::from_nanos(least))
    }

    /// The timeout after `backoff` timeouts in a row (rule 5.5).
    pub(crate) fn timeout(&self, backoff: u8) -> Duration {
        let base = match self.smoothed {
            Some(smoothed) => smoothed + (4 * self.variation).max(MINIMUM_VARIATION),
            None => INITIAL,
        };
        Duration::from_nanos((base << backoff.min(10)).min(MAXIMUM))
    }
}
