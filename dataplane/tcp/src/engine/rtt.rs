//! Round-trip times and the retransmission timeout (RFC 6298, with Linux' lower bound).

use std::time::Duration;

use headgate_net::clock::Nanos;

/// Linux' lower bound (`TCP_RTO_MIN`) and not the second of RFC 6298, rule 2.4: it is added to the smoothed time.
const MINIMUM_VARIATION: Duration = Duration::from_millis(200);
/// Before there is a sample: RFC 6298, rule 2.1.
const INITIAL: Duration = Duration::from_secs(1);
const MAXIMUM: Duration = Duration::from_secs(60);
/// How long the least sample counts: the path may have changed.
const MEMORY: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
    least: Option<(Duration, Nanos)>,
}

impl Rtt {
    /// RFC 6298, rules 2.2 and 2.3.
    pub(crate) fn sample(&mut self, sample: Duration, now: Nanos) {
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

    pub(crate) const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The least sample of the last minutes.
    pub(crate) fn least(&self) -> Option<Duration> {
        self.least.map(|(least, _)| least)
    }

    /// The timeout after `backoff` timeouts in a row (rule 5.5).
    pub(crate) fn timeout(&self, backoff: u8) -> Duration {
        let base = match self.smoothed {
            Some(smoothed) => smoothed + (4 * self.variation).max(MINIMUM_VARIATION),
            None => INITIAL,
        };
        base.saturating_mul(1 << backoff.min(10)).min(MAXIMUM)
    }
}
