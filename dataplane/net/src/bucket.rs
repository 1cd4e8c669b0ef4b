//! A token bucket.

use std::time::Duration;

use crate::clock::Nanos;

/// Lets so much through at once, and then so much a second.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Nanoseconds from one token to the next, at least 1.
    interval: u64,
    /// The most tokens that can be saved up.
    burst: u32,
    tokens: u32,
    /// When the last token came in.
    filled: Nanos,
}

impl TokenBucket {
    /// A full bucket: `burst` tokens, and `rate` a second that come in; both at least 1.
    #[must_use]
    pub const fn new(rate: u32, burst: u32) -> Self {
        let rate = if rate == 0 { 1 } else { rate };
        let burst = if burst == 0 { 1 } else { burst };
        Self {
            interval: Duration::from_secs(1).as_nanos() as u64 / rate as u64,
            burst,
            tokens: burst,
            filled: Nanos(0),
        }
    }

    /// Takes a token, if there is one.
    #[inline]
    pub fn take(&mut self, now: Nanos) -> bool {
        let due = now.0.saturating_sub(self.filled.0) / self.interval;
        self.filled.0 += due * self.interval;
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(due).min(self.burst);
        let taken = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = TokenBucket::new(10_000, 1_000);
        let now = Nanos(5_000_000_000);
        let taken = (0..5_000).filter(|_| bucket.take(now)).count();
        assert_eq!(taken, 1_000);
        let mut taken = 0;
        for millisecond in 1..=100 {
            let now = now.after(Duration::from_millis(millisecond));
            taken += (0..100).filter(|_| bucket.take(now)).count();
        }
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn time_that_stands_still_or_goes_back_brings_nothing() {
        let mut bucket = TokenBucket::new(1, 1);
        assert!(bucket.take(Nanos(2_000_000_000)));
        assert!(!bucket.take(Nanos(2_000_000_000)));
        assert!(!bucket.take(Nanos(0)));
        assert!(bucket.take(Nanos(3_000_000_000)));
    }

    #[test]
    fn a_rate_of_nothing_is_one_a_second() {
        let mut bucket = TokenBucket::new(0, 0);
        assert!(bucket.take(Nanos(1_000_000_000)));
        assert!(!bucket.take(Nanos(1_500_000_000)));
    }
}
