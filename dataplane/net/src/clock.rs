//! Time as the packet path sees it.

use std::time::Duration;

/// Nanoseconds of the monotonic clock (`CLOCK_MONOTONIC`) since an arbitrary start.
///
/// Workers read the clock once a batch and hand the reading down; tests hand down what they like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time from `earlier` to this, zero if `earlier` is later.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `duration`, saturating after 584 years.
    #[inline]
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        // Not by `as_nanos`, whose 128 bits the packet path would pay for.
        let whole = duration.as_secs().saturating_mul(1_000_000_000);
        let nanos = whole.saturating_add(duration.subsec_nanos() as u64);
        Self(self.0.saturating_add(nanos))
    }
}

/// Reads the monotonic clock. Copies read the same time, so that workers agree on it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// Starts at 1 s, so that times shortly before the start can be told from none.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is what workers read the clock by")]
    pub fn start() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Nanos {
        Nanos(1_000_000_000).after(self.start.elapsed())
    }

    /// The instant that `at` stands for, for the timers of the runtime.
    #[must_use]
    pub fn instant(&self, at: Nanos) -> std::time::Instant {
        self.start + at.since(Nanos(1_000_000_000))
    }
}
