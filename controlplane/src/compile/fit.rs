//! What is too large for a message of the ring. One such object would hold up every later change; so it is made
//! smaller, or left out, and gets a line.

use headgate_ring::limits::MESSAGE_BYTES;
use headgate_ring::message::{Action, Endpoint, Object, Policy, PolicyRule, Tier};
use headgate_ring::{PackedObject, put_bytes};

use super::origins;
use crate::problem::{Problem, Severity};

/// The object as it can be sent, `None` where it cannot; and what is wrong with it, if anything is.
pub(super) fn fit(object: Object) -> (Option<PackedObject>, Option<Problem>) {
    if let Ok(packed) = PackedObject::of(&object) {
        return (Some(packed), None);
    }
    let bytes = put_bytes(&object);
    let id = origins(&object).pop_first();
    let (smaller, consequence) = match object {
        Object::Policy(policy) => {
            let closed = closed(policy);
            let consequence = match (closed.tier, closed.rules.is_empty()) {
                (Tier::NetworkPolicy, _) => "it allows nothing to the pods that it selects",
                (_, true) => "it accepts nothing",
                (_, false) => "it denies everything to the pods that it selects",
            };
            (Some(Object::Policy(closed)), consequence)
        }
        Object::Endpoint(endpoint) => (
            Some(Object::Endpoint(bare(endpoint))),
            "policies know it, but its labels and ports are not told",
        ),
        _ => (None, "it is left out"),
    };
    let smaller = smaller.and_then(|object| PackedObject::of(&object).ok());
    let consequence = if smaller.is_some() {
        consequence
    } else {
        "it is left out"
    };
    let text = format!(
        "takes {bytes} bytes, and the dataplane can be told of an object in {MESSAGE_BYTES} at most; {consequence}"
    );
    let problem = Problem {
        severity: Severity::Error,
        origin: None,
        object: id,
        text,
    };
    (smaller, Some(problem))
}

/// What can be told instead of an object that the dataplane refuses; `None` where it is to be left out.
pub(crate) fn stand_in(object: &Object) -> Option<Object> {
    let Object::Policy(policy) = object else {
        return None;
    };
    Some(Object::Policy(closed(policy.clone()))).filter(|closed| closed != object)
}

/// What stands in for a policy of which not everything can be told: nothing of what it says is allowed, and where a
/// rule of it denies, or passes over a rule that does, everything is denied.
fn closed(policy: Policy) -> Policy {
    let denies = policy.rules.iter().any(|rule| rule.action != Action::Accept);
    let everything = PolicyRule {
        number: 0,
        name: String::new(),
        action: Action::Deny,
        only: None,
        peers: None,
        ports: None,
    };
    Policy {
        rules: denies.then_some(everything).into_iter().collect(),
        ..policy
    }
}

/// Without what is for people alone.
fn bare(endpoint: Endpoint) -> Endpoint {
    Endpoint {
        labels: Vec::new(),
        ports: Vec::new(),
        ..endpoint
    }
}
