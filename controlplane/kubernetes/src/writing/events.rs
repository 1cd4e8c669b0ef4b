//! Events: what is wrong with an object, where its owner looks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foldhash::fast::FixedState;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::hash::BuildHasher;
use tokio::time::Instant;

use headgate_controlplane::feedback::{Outcome, Standing};
use headgate_controlplane::model::Id;
use headgate_controlplane::problem::{Origin, Problem, Severity, Version};

/// What the API server takes of a message (`NoteLengthLimit`), and some room.
const LONGEST: usize = 1000;
/// Servers keep an Event for an hour; one whose cause stands is written again in time.
const AGAIN: Duration = Duration::from_secs(50 * 60);

/// What was said about which object, and what is still to be said.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// When each was written, by what makes it the same: as long as its cause stands.
    told: BTreeMap<Cause, Instant>,
    by_object: BTreeMap<Id, BTreeSet<Cause>>,
    due: BTreeSet<Cause>,
    /// What may not be written, until it is tried again.
    postponed: BTreeSet<Cause>,
    /// Seen since [`Self::ripen`], and since the one before: an Ingress and its Service come by streams of their own, and what
    /// is over when both are there is nobody's concern.
    fresh: [BTreeSet<Cause>; 2],
}

/// What makes two Events the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cause {
    pub(crate) id: Id,
    uid: String,
    resource_version: String,
    reason: &'static str,
    text: String,
}

impl Events {
    /// What became of an object.
    pub(crate) fn became(&mut self, id: &Id, outcome: &Outcome) {
        let causes = causes(id, outcome);
        let same = |a: &Cause, b: &Cause| (&a.uid, a.reason, &a.text) == (&b.uid, b.reason, &b.text);
        let before = self.by_object.remove(id).unwrap_or_default();
        let mut now = BTreeSet::new();
        for cause in causes {
            // The version in which it was first seen is as good as any later one.
            match before.iter().find(|old| same(old, &cause)) {
                Some(old) => now.insert(old.clone()),
                None => {
                    self.fresh[0].insert(cause.clone());
                    now.insert(cause)
                }
            };
        }
        for over in before.difference(&now) {
            self.told.remove(over);
            self.due.remove(over);
            self.postponed.remove(over);
            for fresh in &mut self.fresh {
                fresh.remove(over);
            }
        }
        if !now.is_empty() {
            self.by_object.insert(id.clone(), now);
        }
    }

    /// Whether something waits for [`Self::ripen`].
    pub(crate) fn has_fresh(&self) -> bool {
        self.fresh.iter().any(|fresh| !fresh.is_empty())
    }

    /// To be called now and then: what stands since the call before last is to be written.
    pub(crate) fn ripen(&mut self) {
        let [new, old] = &mut self.fresh;
        self.due.append(old);
        std::mem::swap(new, old);
    }

    /// Those that are to be written again.
    pub(crate) fn remind(&mut self, now: Instant) {
        let old = self
            .told
            .iter()
            .filter(|(_, at)| now.saturating_duration_since(**at) >= AGAIN);
        self.due.extend(old.map(|(cause, _)| cause.clone()));
    }

    /// What to write next.
    pub(crate) fn next(&mut self) -> Option<Cause> {
        self.due.pop_first()
    }

    /// It was written.
    pub(crate) fn written(&mut self, cause: Cause, now: Instant) {
        self.told.insert(cause, now);
    }

    /// It may not be written, and neither may others of its namespace, or so it seems.
    pub(crate) fn postpone(&mut self, cause: Cause) {
        let (beside, others) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|other| other.namespace() == cause.namespace());
        self.due = others;
        self.postponed.extend::<BTreeSet<_>>(beside);
        self.postponed.insert(cause);
    }

    /// What was postponed is tried again.
    pub(crate) fn resume(&mut self) {
        self.due.append(&mut self.postponed);
    }

    pub(crate) fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// It could not be written.
    pub(crate) fn again(&mut self, cause: Cause) {
        if self
            .by_object
            .get(&cause.id)
            .is_some_and(|causes| causes.contains(&cause))
        {
            self.due.insert(cause);
        }
    }
}

fn causes(id: &Id, outcome: &Outcome) -> Vec<Cause> {
    let Some(Origin::Cluster(version)) = &outcome.origin else {
        return Vec::new();
    };
    let Version {
        uid,
        resource_version,
        ..
    } = &**version;
    let cause = |reason, text: &str| Cause {
        id: id.clone(),
        uid: uid.to_string(),
        resource_version: resource_version.to_string(),
        reason,
        text: shortened(text),
    };
    let mut causes: Vec<_> = outcome
        .problems
        .iter()
        .map(|problem| cause(reason(&outcome.standing, problem), &problem.text))
        .collect();
    if let Standing::Refused { reason, consequence } = &outcome.standing {
        causes.push(cause("RefusedByDataplane", &format!("{reason}; {consequence}")));
    }
    causes
}

/// In CamelCase, as an Event's `reason` is.
fn reason(standing: &Standing, problem: &Problem) -> &'static str {
    match (problem.severity, standing) {
        (Severity::Warning, Standing::LeftOut | Standing::Foreign) => "NotServed",
        (Severity::Warning, _) => "Questionable",
        (Severity::Error, Standing::LastGood) => "LastGoodInForce",
        (Severity::Error, Standing::Closed) => "FailedClosed",
        (Severity::Error, Standing::LeftOut | Standing::Foreign | Standing::Gone) => "NotServed",
        (Severity::Error, Standing::InForce | Standing::Partly | Standing::Refused { .. }) => "PartlyInForce",
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Cause {
    /// Where Events about the object stand: cluster-wide objects have theirs in `default`.
    pub(crate) fn namespace(&self) -> &str {
        match self.id.name.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        }
    }

    /// The same for the same cause, whoever writes it: it is there once, whoever leads.
    pub(crate) fn name(&self) -> String {
        let hash = FixedState::default().hash_one((&self.uid, self.reason, &self.text));
        // An object's name may have 253 characters, and the Event's has no more.
        let name: String = self.id.name.name.chars().take(230).collect();
        format!("{}.{hash:016x}", name.trim_end_matches(['.', '-']))
    }

    /// The Event. `host` is the instance that writes it.
    pub(crate) fn event(&self, host: &str, now: Timestamp) -> Value {
        let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let namespace = Some(&self.id.name.namespace).filter(|namespace| !namespace.is_empty());
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": self.name(), "namespace": self.namespace() },
            "involvedObject": {
                "apiVersion": self.id.kind.api_version(),
                "kind": self.id.kind.as_str(),
                "namespace": namespace,
                "name": self.id.name.name,
                "uid": self.uid,
                "resourceVersion": self.resource_version,
            },
            "type": "Warning",
            "reason": self.reason,
            "message": self.text,
            "source": { "component": "headgate", "host": host },
            "reportingComponent": "headgate.dev/ingress",
            "reportingInstance": host,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        })
    }
}
