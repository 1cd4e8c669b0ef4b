//! What policies are made of, as the dataplane has it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use headgate_ring::message::{Direction, Endpoint, Group, Policy, Protocol};
use serde::{Deserialize, Serialize};

use super::{Compiled, Decision};

/// The objects that the policy tables in force were compiled from. Whoever compiles them again gets tables that decide
/// the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyState {
    /// Of this program.
    pub version: String,
    /// The publication of the tables, which counts them.
    pub publication: u64,
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
    /// Of tables in force, with the number of their publication: copies references, not objects.
    #[must_use]
    pub fn of(compiled: &Compiled, publication: u64) -> Self {
        let policies = compiled.policies();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            publication,
            endpoints: compiled.endpoints().into_iter().cloned().collect(),
            groups: compiled.groups().into_iter().cloned().collect(),
            policies: policies
                .into_iter()
                .map(|(_, policy)| Arc::clone(policy))
                .collect(),
        }
    }
}

/// What the tables in force say of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionStatus {
    /// The publication of the tables, which counts them.
    pub publication: u64,
    /// Whether it may be made.
    pub allowed: bool,
    /// `egress` or `ingress`: whose policies deny; egress where both do.
    pub denied_by: Option<String>,
}

impl DecisionStatus {
    /// Asks the very tables that workers look into.
    #[must_use]
    pub fn of(compiled: &Compiled, publication: u64, question: &Question) -> Self {
        let decision = question.decide(compiled);
        Self {
            publication,
            allowed: decision.is_allowed(),
            denied_by: match decision {
                Decision::Allow => None,
                Decision::Deny(denial) => Some(match denial.direction {
                    Direction::Egress => "egress".to_owned(),
                    Direction::Ingress => "ingress".to_owned(),
                }),
            },
        }
    }
}

/// A connection that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The client's address.
    pub from: IpAddr,
    /// The pod's.
    pub to: IpAddr,
    /// Of the connection.
    pub protocol: Protocol,
    /// The destination's.
    pub port: u16,
}

impl Question {
    /// What these tables do with the connection.
    #[must_use]
    pub fn decide(&self, tables: &Compiled) -> Decision {
        tables.decide(self.from, self.to, self.protocol.number(), self.port)
    }
}

/// As the status socket takes it: `10.244.1.11 10.244.1.12 TCP 80`.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.from, self.to, self.protocol, self.port)
    }
}

impl FromStr for Question {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_ascii_whitespace();
        let mut word = || {
            words
                .next()
                .ok_or("it takes two addresses, a protocol and a port")
        };
        let address = |text: &str| text.parse().map_err(|_| "an address is not an IP address");
        let (from, to) = (address(word()?)?, address(word()?)?);
        let protocol = word()?;
        let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let protocol = all.into_iter().find(|known| known.to_string() == protocol);
        let port = word()?
            .parse()
            .map_err(|_| "the port is not a number from 0 to 65535")?;
        if word().is_ok() {
            return Err("there is more than two addresses, a protocol and a port");
        }
        Ok(Self {
            from,
            to,
            protocol: protocol.ok_or("the protocol is not TCP, UDP or SCTP")?,
            port,
        })
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
