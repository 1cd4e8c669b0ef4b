//! The lines of the log, one JSON object each. `docs/flow-log.md` describes them; a field once released keeps its name
//! and meaning.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{Direction, Tier};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A line, as readers take it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Line {
    /// A decision.
    Flow(Box<Flow>),
    /// Decisions that are not in this log.
    Lost(Lost),
    /// The end of the log, and why; on `flows.sock` alone.
    Error {
        /// What is wrong with the question.
        message: String,
    },
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

/// A decision about a flow or request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "flow")]
pub struct Flow {
    /// RFC 3339, UTC, microseconds.
    pub time: String,
    /// What was decided.
    pub verdict: Verdict,
    /// When in a flow's life.
    pub event: Occasion,
    /// `L4`: a flow of packets; `L7`: an HTTP request.
    pub layer: Layer,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// Who opened it.
    pub source: End,
    /// Where the source connected to.
    pub frontend: Place,
    /// The pod that it is for.
    pub destination: End,
    /// The end whose policies deny; where both do, egress.
    pub denied_by: Option<Side>,
    /// The policies that decided, `namespace/name` or the name of a ClusterNetworkPolicy.
    pub policies: Vec<String>,
    /// Why it was decided so.
    pub reason: Reason,
    /// What the source's policies say; `None` where none selects it or none has a word on this.
    pub egress: Option<Word>,
    /// The same of the destination's.
    pub ingress: Option<Word>,
    /// The policies had changed again before this line was made: what `egress` and `ingress` say is of a later state.
    pub policies_changed: bool,
    /// The dataplane's number of the state that decided.
    pub publication: u64,
    /// Who decided.
    pub worker: u8,
    /// How many decisions this line stands for.
    pub count: u64,
    /// One of so many decisions of this kind is recorded.
    pub sample: u32,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Let through.
    Allowed,
    /// Dropped, answered 403, or cut.
    Denied,
}

/// When it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// At the beginning.
    New,
    /// While it was under way, after a change of policies.
    Cut,
}

/// What it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layer {
    /// Packets.
    L4,
    /// HTTP.
    L7,
}

/// An end of a connection, as far as policies know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Of the pod; `None` where the address is no pod's.
    pub namespace: Option<String>,
    /// The pod; the first by name where several have the address.
    pub pod: Option<String>,
    /// The node, where the address is a node's and no pod's.
    pub node: Option<String>,
    /// How many other pods and nodes have the same address, as those on the host's network do.
    pub others: usize,
    /// Of the pod or node.
    pub labels: Labels,
}

/// An address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// `metadata.labels`, sorted by key: a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub Arc<[(String, String)]>);

/// An end whose policies were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The source's.
    Egress,
    /// The destination's.
    Ingress,
}

/// Why a decision came out as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Allowed: no policy has a word on it.
    NoPolicy,
    /// Allowed: each end that policies guard has a rule that accepts.
    AcceptRule,
    /// Denied: a NetworkPolicy isolates the end, and no rule of any accepts.
    NoRuleMatches,
    /// Denied: the rule of a ClusterNetworkPolicy says so.
    DenyRule,
    /// The policies changed again before this line was made, and would decide otherwise now.
    PoliciesChanged,
}

/// The policy that decided for one end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Whether it allows the connection.
    pub allowed: bool,
    /// `namespace/name`, or the name of a ClusterNetworkPolicy. Of the NetworkPolicies that isolate an end, the first
    /// by name.
    pub policy: String,
    /// `Admin`, `NetworkPolicy` or `Baseline`.
    pub tier: Tier,
    /// The place in `spec.ingress` or `spec.egress` of the rule that matches, from 0; `None` where none does.
    pub rule: Option<u32>,
    /// That rule's name, where it has one.
    pub rule_name: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Decisions that this log has no lines for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "lost")]
pub struct Lost {
    /// When this was noticed.
    pub time: String,
    /// Why.
    pub reason: Loss,
    /// How many since the line before of this reason.
    pub count: u64,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// More than `--flow-log-rate`.
    Rate,
    /// The log did not keep up with the workers.
    QueueFull,
    /// The reader did not keep up with the log.
    SlowReader,
}

impl From<Direction> for Side {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Egress => Self::Egress,
            Direction::Ingress => Self::Ingress,
        }
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Labels(pairs.into()))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
