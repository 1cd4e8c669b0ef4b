//! Pauses between attempts, so that a server that comes back is not met by all its clients at once.

use std::time::Duration;

/// Twice as long after each failure, of which a random half is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn between((first, longest): (Duration, Duration)) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        self.spread(pause)
    }

    /// Between the half of a time and the whole.
    pub(crate) fn spread(&self, time: Duration) -> Duration {
        // Without random numbers all clients would wait equally long, no more.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        time.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
    }

    /// An attempt has gone well.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}
