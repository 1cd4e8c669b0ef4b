//! The clock that timers of tasks go by.
//!
//! What only measures takes the time that the worker told last ([`Stack::now`](crate::net::Net::now)), which costs
//! nothing. A deadline cannot: a timer fires when the worker has slept and not told the time yet.

use tokio::time::Instant;

/// The time of the runtime's timers, which stands still in tests.
pub(crate) fn now() -> Instant {
    Instant::now()
}
