//! Control planes that replace one another.
//!
//! A newer one replaces an older one at once, since that mostly is a process that hangs. Where both are alive, each comes
//! back as soon as it was replaced, and every round sends the whole state: the one that is served then keeps its place
//! for a while, the longer the more often it happens.

use std::time::{Duration, Instant};

/// Replacements that are nothing unusual, as long as they are not further apart than [`CALM`] from each other.
const FREE: u32 = 2;
/// How long the first place that is kept after one replacement too many stays taken; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(4);
/// The longest time that a place is kept.
const LONGEST: Duration = Duration::from_secs(64);
/// After so long without a replacement, earlier ones no longer count.
const CALM: Duration = Duration::from_secs(180);

/// How often control planes have replaced one another lately.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    count: u32,
    last: Option<Instant>,
    kept: Duration,
}

impl Rivals {
    /// A session is replaced by another one. Gives for how long that one now keeps its place, where that is not at the
    /// pleasure of the next.
    pub(super) fn replaced(&mut self, now: Instant) -> Option<Duration> {
        let calm = self.last.is_none_or(|last| now.duration_since(last) > CALM);
        self.count = if calm { 1 } else { self.count.saturating_add(1) };
        self.last = Some(now);
        self.kept = match self.count.saturating_sub(FREE) {
            0 => Duration::ZERO,
            more => FIRST.saturating_mul(1 << (more - 1).min(16)).min(LONGEST),
        };
        (!self.kept.is_zero()).then_some(self.kept)
    }

    /// How long the present session still keeps its place; `None` where it does not.
    pub(super) fn keeps(&self, now: Instant) -> Option<Duration> {
        let end = self.last? + self.kept;
        end.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_longer_and_longer() {
        let (mut rivals, mut now) = (Rivals::default(), Instant::now());
        assert_eq!(rivals.keeps(now), None);
        let mut kept = Vec::new();
        for _ in 0..10 {
            let place = rivals.replaced(now);
            assert_eq!(rivals.keeps(now), place);
            now += place.unwrap_or_default();
            assert_eq!(rivals.keeps(now), None);
            kept.push(place.map_or(0, |place| place.as_secs()));
        }
        assert_eq!(kept, [0, 0, 4, 8, 16, 32, 64, 64, 64, 64]);
        assert_eq!(rivals.replaced(now + CALM + FIRST), None);
    }
}
