//! What policies are made of, as the dataplane has it.

use std::sync::Arc;

use headgate_ring::message::{Endpoint, Group, Policy};
use serde::{Deserialize, Serialize};

use crate::config::Tables;

/// The objects that the policy tables in force were compiled from. Whoever compiles them again gets tables that decide
/// the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyState {
    /// Of this program.
    pub version: String,
    /// The publication of the tables, as [`Tables::generation`].
    pub generation: u64,
    /// Pods and nodes, sorted by name.
    #[serde(with = "arcs")]
    pub endpoints: Vec<Arc<Endpoint>>,
    /// What selectors select.
    #[serde(with = "arcs")]
    pub groups: Vec<Arc<Group>>,
    /// Sorted by name and direction.
    #[serde(with = "arcs")]
    pub policies: Vec<Arc<Policy>>,
}

impl PolicyState {
    /// Of tables in force: copies references, not objects.
    #[must_use]
    pub fn of(tables: &Tables) -> Self {
        let policies = tables.policy.policies();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            generation: tables.generation,
            endpoints: tables.policy.endpoints().into_iter().cloned().collect(),
            groups: tables.policy.groups().into_iter().cloned().collect(),
            policies: policies
                .into_iter()
                .map(|(_, policy)| Arc::clone(policy))
                .collect(),
        }
    }
}

/// Shared objects, written and read as if they were not.
mod arcs {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(all: &[Arc<T>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(all.iter().map(AsRef::as_ref))
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        let all = Vec::deserialize(d)?;
        Ok(all.into_iter().map(Arc::new).collect())
    }
}
