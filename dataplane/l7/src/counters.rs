//! What the stage counts.

use std::cell::RefCell;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Events of a [`Stage`](super::Stage) since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct L7Counters {
    /// Requests answered, by the first digit of the status.
    pub requests: Classes,
    /// Client connections accepted, with and without TLS.
    pub connections: u64,
    /// Times that no client could be accepted for want of descriptors or memory; with the kernel's sockets only.
    #[serde(default)]
    pub accept_errors: u64,
    /// TLS handshakes finished.
    pub handshakes: u64,
    /// TLS handshakes that resumed a session.
    pub resumed: u64,
    /// TLS handshakes that failed or took too long.
    pub handshakes_failed: u64,
    /// TLS clients that asked for a host without a certificate.
    pub unknown_names: u64,
    /// Clients that spoke HTTP where TLS was due.
    pub plain_on_tls: u64,
    /// Requests answered 400, 405, 417 or 501 without a look at the routes.
    pub refused: u64,
    /// Requests that no rule matched: 404.
    pub no_route: u64,
    /// Requests that NetworkPolicy denies: 403.
    pub denied: u64,
    /// Requests and tunnels under way that a change of policies cut.
    pub cut: u64,
    /// Requests whose upstream has no ready endpoint: 503.
    pub no_endpoint: u64,
    /// Endpoints that refused a connection, or to which none could be opened.
    pub connect_failed: u64,
    /// Endpoints that did not answer a connection in time.
    pub connect_timeouts: u64,
    /// Responses that did not come in time: 504.
    pub response_timeouts: u64,
    /// Connections to pods that ended before a response came, or whose response was not HTTP: 502.
    pub bad_responses: u64,
    /// Responses that broke off.
    pub broken_responses: u64,
    /// Requests sent again: another endpoint, or the kept connection had gone stale.
    pub retries: u64,
    /// Connections opened to pods.
    pub upstream_connects: u64,
    /// Requests sent over a connection that was kept.
    pub upstream_reuses: u64,
    /// Connections that became something else (WebSocket).
    pub upgrades: u64,
    /// Client connections that ended in an error.
    pub client_errors: u64,
    /// From the end of a request's head to the end of its response.
    pub latency: Latency,
}

/// Requests by class of status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    /// 101.
    pub informational: u64,
    /// 2xx.
    pub success: u64,
    /// 3xx.
    pub redirection: u64,
    /// 4xx.
    pub client_error: u64,
    /// 5xx.
    pub server_error: u64,
}

/// Durations in buckets that double.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Bucket `n` counts durations below `2^n` microseconds that no smaller one counts; the last takes the rest.
    pub buckets: [u64; 27],
    /// The sum of all, in microseconds.
    pub total_us: u64,
}

impl Latency {
    fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        self.buckets[bucket.min(self.buckets.len() - 1)] += 1;
        self.total_us = self.total_us.saturating_add(us);
    }
}

/// Counters that tasks of one thread share.
#[derive(Debug, Default)]
pub(super) struct Tally(RefCell<L7Counters>);

impl Tally {
    pub(super) fn count(&self, count: impl FnOnce(&mut L7Counters)) {
        count(&mut self.0.borrow_mut());
    }

    pub(super) fn answered(&self, status: StatusCode) {
        let classes = &mut self.0.borrow_mut().requests;
        match status.as_u16() / 100 {
            1 => classes.informational += 1,
            2 => classes.success += 1,
            3 => classes.redirection += 1,
            4 => classes.client_error += 1,
            _ => classes.server_error += 1,
        }
    }

    pub(super) fn took(&self, duration: Duration) {
        self.0.borrow_mut().latency.record(duration);
    }

    pub(super) fn get(&self) -> L7Counters {
        self.0.borrow().clone()
    }
}
