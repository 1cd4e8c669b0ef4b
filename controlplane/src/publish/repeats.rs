//! Log lines that would come with each change.

use std::time::{Duration, Instant};

/// Such a line comes at most so often: one for each change of a large cluster would be thousands an hour.
const QUIET: Duration = Duration::from_secs(10);

/// When the line came last.
#[derive(Debug, Default)]
pub(super) struct Repeats(Option<Instant>);

impl Repeats {
    /// Whether the line is to come now.
    pub(super) fn is_news(&mut self, now: Instant) -> bool {
        let news = self.0.is_none_or(|at| now.saturating_duration_since(at) >= QUIET);
        if news {
            self.0 = Some(now);
        }
        news
    }
}
