//! Which connections are allowed: NetworkPolicy and ClusterNetworkPolicy.
//!
//! [`Compiled`] decides in nanoseconds, at a cost that does not grow with the number of policies.
//! `reference` says the same, slowly and obviously; property tests compare the two.
//!
//! The rules (Kubernetes API, `networking.k8s.io/v1` NetworkPolicy and `policy.networking.k8s.io/v1alpha2`
//! ClusterNetworkPolicy), at each end of a connection for itself:
//! - in the tier Admin the first rule that matches decides, unless it passes;
//! - otherwise, an address that some NetworkPolicy of the direction selects is isolated: it takes (ingress) or opens
//!   (egress) what at least one rule of its policies names, and nothing else;
//! - otherwise, in the tier Baseline the first rule that matches decides; without one, everything is allowed.
//!
//! Both ends must allow a connection. An address always reaches itself, and NetworkPolicies do not come between a pod
//! and the node that it runs on.

#[cfg(any(test, feature = "harness"))]
pub mod reference;

mod build;
mod compiled;
mod explain;
#[cfg(any(test, feature = "harness"))]
mod fuzz;
mod hosts;
mod ports;
mod ranges;
mod remote;
mod slots;

use std::sync::Arc;

use headgate_ring::message::Policy;

pub use build::{Classifier, MEMORY_LIMIT, PolicyChanges, PolicyKey, TooLarge};
pub use compiled::{Compiled, Size};
#[cfg(any(test, feature = "harness"))]
pub use fuzz::fuzz;
pub use headgate_ring::message::Direction;
pub use remote::{DecisionStatus, PolicyState, Question};

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Both ends allow it.
    Allow,
    /// One end does not; where both deny, egress is named.
    Deny(Denial),
}

impl Decision {
    /// Whether the connection may be made.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        self == Self::Allow
    }
}

/// Who denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The policy whose rule denies; in the tier NetworkPolicy, of the policies that isolate the end, the first by
    /// name.
    pub policy: PolicyId,
    /// `Egress`: the source's policies deny; `Ingress`: the destination's.
    pub direction: Direction,
}

/// A policy by its place in one [`Compiled`], which it keeps until it is gone; see [`Compiled::policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyId(pub u32);

/// How a decision comes about, at both ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// What the source's policies say.
    pub egress: End,
    /// What the destination's policies say.
    pub ingress: End,
}

/// What the policies of one end and direction say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether they allow the connection.
    pub allowed: bool,
    /// What decided; `None` where nothing did and everything is allowed.
    pub by: Option<Ruling>,
    /// All policies of the direction that select this end, in the order of their turns.
    pub policies: Vec<Arc<Policy>>,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whose word it is.
    pub policy: Arc<Policy>,
    /// The place in [`Policy::rules`] of the first rule that matches; `None` where a NetworkPolicy isolates the end
    /// and no rule of any matches.
    pub rule: Option<usize>,
}

impl Default for End {
    fn default() -> Self {
        Self {
            allowed: true,
            by: None,
            policies: Vec::new(),
        }
    }
}

impl Explanation {
    /// Whether the connection may be made.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }

    /// The end that denies; where both do, egress.
    #[must_use]
    pub fn denied(&self) -> Option<(Direction, &End)> {
        let ends = [
            (Direction::Egress, &self.egress),
            (Direction::Ingress, &self.ingress),
        ];
        ends.into_iter().find(|(_, end)| !end.allowed)
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod churn;

#[cfg(test)]
mod property;
