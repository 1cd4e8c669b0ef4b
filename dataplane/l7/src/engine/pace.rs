//! Who is too slow: a rate over each minute, which no honest client falls below.

use std::time::Duration;

use headgate_net::clock::Nanos;

/// Over how long a rate is measured.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// How much has moved since a window began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    since: Nanos,
    before: u64,
}

impl Pace {
    /// Begins a window; `moved` has moved in all.
    pub(super) fn new(now: Nanos, moved: u64) -> Self {
        Self {
            since: now,
            before: moved,
        }
    }

    /// When to look again; `None` where less than `rate` bytes a second have moved in the window that ends.
    pub(super) fn check(&mut self, now: Nanos, moved: u64, rate: u64) -> Option<Nanos> {
        if now >= self.since.after(WINDOW) {
            // A look that comes late measures a longer window.
            let least = u128::from(rate) * now.since(self.since).as_millis() / 1_000;
            if u128::from(moved - self.before) < least {
                return None;
            }
            *self = Self::new(now, moved);
        }
        Some(self.since.after(WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, WINDOW};
    use headgate_net::clock::Nanos;

    #[test]
    fn a_rate_is_measured_over_each_window() {
        let start = Nanos(5_000_000_000);
        let at = |seconds: u64| Nanos(start.0 + seconds * 1_000_000_000);
        let mut pace = Pace::new(start, 100);
        assert_eq!(pace.check(at(59), 100, 10), Some(start.after(WINDOW)));
        assert_eq!(pace.check(at(60), 700, 10), Some(at(120)));
        // What was fast before does not count.
        assert_eq!(pace.check(at(120), 1_299, 10), None);
        assert_eq!(pace.check(at(120), 1_300, 10), Some(at(180)));
        // A look that comes late.
        assert_eq!(pace.check(at(240), 2_499, 10), None);
        assert_eq!(pace.check(at(240), 2_500, 10), Some(at(300)));
        assert_eq!(pace.check(at(400), 2_500, 0), Some(at(460)));
    }
}
