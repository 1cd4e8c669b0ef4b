//! NetworkPolicy: which connections are allowed.
//!
//! [`Compiled`] decides in nanoseconds, at a cost that does not grow with the number of policies.
//! [`reference`](mod@reference) says the same, slowly and obviously; property tests compare the two.
//!
//! The rules (Kubernetes API, `networking.k8s.io/v1` NetworkPolicy):
//! - an address that no policy of a direction selects is not isolated in it, and everything is allowed there;
//! - an isolated address takes (ingress) or opens (egress) what at least one rule of its policies names;
//! - both ends must allow a connection;
//! - an address always reaches itself.

pub mod reference;

mod build;
mod compiled;

pub use compiled::{Compiled, MEMORY_LIMIT, Size, TooLarge};
pub use headgate_ring::message::Direction;

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Both ends allow it.
    Allow,
    /// One end is isolated and none of its policies has a rule for it; where both ends deny, egress is named.
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
    /// Of the policies that isolate the denying end, the first by name.
    pub policy: PolicyId,
    /// `Egress`: the source's policies deny; `Ingress`: the destination's.
    pub direction: Direction,
}

/// A policy by its place in one [`Compiled`]; see [`Compiled::policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyId(pub u32);

#[cfg(test)]
mod tests;

#[cfg(test)]
mod property;
