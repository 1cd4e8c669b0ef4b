//! What the stage counts: the writer's end of its record.

use std::sync::Arc;
use std::time::Duration;

use headgate_net::number::Number;
use headgate_net::record::{Class, HttpCount, L7Record, RouteRecord, UpstreamRecord};

/// Counts of the tasks of one thread.
#[derive(Debug)]
pub(super) struct Tally(Arc<L7Record>);

impl Tally {
    pub(super) fn new(record: Arc<L7Record>) -> Self {
        Self(record)
    }

    /// What is written to.
    pub(super) fn record(&self) -> &L7Record {
        &self.0
    }

    /// Something happened.
    pub(super) fn count(&self, event: HttpCount) {
        self.0.events.count(event);
    }

    /// What is counted of an upstream.
    pub(super) fn upstream(&self, upstream: &Number) -> &UpstreamRecord {
        self.0.upstreams.of_any(upstream)
    }

    /// What is counted of a route.
    pub(super) fn route(&self, route: &Number) -> &RouteRecord {
        self.0.routes.of_any(route)
    }

    /// A request was answered.
    pub(super) fn answered(&self, status: u16) {
        self.0.requests.count(Class::of(status));
    }

    /// A response has ended so long after the head of its request.
    pub(super) fn took(&self, duration: Duration) {
        self.0.latency.record(duration);
    }
}
