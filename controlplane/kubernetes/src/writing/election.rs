//! Who of several gateways writes: the one that holds a Lease.
//!
//! As client-go's `leaderelection` does it, so that the clocks of two nodes need not agree: a Lease of somebody else counts
//! as given up once it has not changed for as long as it says, by our own clock. Who holds it stops before that time is
//! over when it cannot renew it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

/// How long a Lease lasts, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// After this time without a change it is given up.
    pub(crate) lease: Duration,
}

impl Terms {
    /// Who could not renew it for so long writes no more.
    fn deadline(self) -> Duration {
        self.lease / 2
    }

    /// Between attempts.
    pub(crate) fn retry(self) -> Duration {
        self.lease / 4
    }
}

/// One candidate.
#[derive(Debug)]
pub(crate) struct Election {
    me: String,
    terms: Terms,
    /// The Lease as it was seen last, and since when it has been so.
    observed: Option<(Observed, Instant)>,
    /// When it was ours last.
    renewed: Option<Instant>,
}

/// What changes with every renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Observed {
    holder: String,
    renewed: String,
    lease: Duration,
}

/// What to do about a Lease.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// Make it.
    Create(Value),
    /// Put this in its place, if it is still the one that was seen.
    Replace(Value),
    /// Somebody else holds it.
    Wait,
}

impl Election {
    pub(crate) fn new(me: String, terms: Terms) -> Self {
        Self {
            me,
            terms,
            observed: None,
            renewed: None,
        }
    }

    /// Whether this candidate may write.
    pub(crate) fn leads(&self, now: Instant) -> bool {
        self.renewed
            .is_some_and(|at| now.saturating_duration_since(at) < self.terms.deadline())
    }

    /// What to do about the Lease as it is now; `None` where there is none.
    pub(crate) fn consider(&mut self, lease: Option<&Value>, now: Instant, clock: Timestamp) -> Act {
        let Some(lease) = lease else {
            self.observed = None;
            return Act::Create(self.claim(None, clock));
        };
        let observed = Observed::of(lease, self.terms.lease);
        let since = match &self.observed {
            Some((before, since)) if *before == observed => *since,
            _ => now,
        };
        let free = observed.holder.is_empty() || observed.holder == self.me;
        let lapsed = now.saturating_duration_since(since) >= observed.lease;
        self.observed = Some((observed, since));
        if free || lapsed {
            return Act::Replace(self.claim(Some(lease), clock));
        }
        self.renewed = None;
        Act::Wait
    }

    /// The server has taken what [`Self::consider`] said; the attempt began at `begun`.
    pub(crate) fn won(&mut self, begun: Instant) {
        self.renewed = Some(begun);
    }

    /// The Lease as it is to be when it is given back, so that the next one need not wait.
    pub(crate) fn release(&mut self, lease: &Value) -> Option<Value> {
        self.renewed = None;
        if lease["spec"]["holderIdentity"].as_str() != Some(&self.me) {
            return None;
        }
        let mut lease = lease.clone();
        lease["spec"]["holderIdentity"] = json!("");
        // `leaderelection` does so: with 0 it would not be valid.
        lease["spec"]["leaseDurationSeconds"] = json!(1);
        Some(lease)
    }

    fn claim(&self, before: Option<&Value>, clock: Timestamp) -> Value {
        let time = clock.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let mut lease = before.cloned().unwrap_or_else(|| json!({}));
        let spec = &lease["spec"];
        let mine = spec["holderIdentity"].as_str() == Some(&self.me);
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
        let (acquired, transitions) = match before {
            Some(_) if mine => (spec["acquireTime"].clone(), transitions),
            Some(_) => (json!(time), transitions.saturating_add(1)),
            None => (json!(time), 0),
        };
        lease["spec"] = json!({
            "holderIdentity": self.me,
            "leaseDurationSeconds": self.terms.lease.as_secs(),
            "acquireTime": acquired,
            "renewTime": time,
            "leaseTransitions": transitions,
        });
        lease
    }
}

impl Observed {
    fn of(lease: &Value, default: Duration) -> Self {
        let spec = &lease["spec"];
        let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
        Self {
            holder: text("holderIdentity"),
            renewed: text("renewTime"),
            lease: spec["leaseDurationSeconds"]
                .as_u64()
                .map_or(default, Duration::from_secs),
        }
    }
}
