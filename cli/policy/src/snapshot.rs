//! One state, ready to be asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use headgate_controlplane::model::Model;
use headgate_controlplane::problem::Problem;
use headgate_net::config::State;
use headgate_net::policy::{Compiled, Decision, Explanation};
use headgate_net::policy::{DecisionStatus, Question};
use headgate_ring::message::{Direction, Endpoint, EndpointPort, Group, GroupId, Object, Policy, Protocol};
use headgate_ring::{Operation, Transaction};

use crate::socket;

/// What policies are about, and the tables that the dataplane decides by.
#[derive(Debug)]
pub(super) struct PolicySnapshot {
    /// Sorted by name.
    pub(super) endpoints: Vec<Endpoint>,
    /// In the order of their turns: by direction, tier, priority and name.
    pub(super) policies: Vec<Policy>,
    /// What groups are called.
    groups: BTreeMap<GroupId, String>,
    /// Pods and nodes that policies cannot see, by name; unknown of a running gateway.
    pub(super) absent: BTreeMap<String, Absent>,
    /// Pods that do not run yet, and have an address that stands in.
    pub(super) planned: BTreeSet<String>,
    /// The manifests; unknown of a running gateway.
    pub(super) model: Option<Model>,
    /// What is wrong with the manifests, as far as it may change who reaches whom.
    pub(super) problems: Vec<Problem>,
    /// The gateway that it is of.
    pub(super) live: Option<Live>,
    tables: Arc<Compiled>,
    by_name: HashMap<String, usize>,
    by_address: HashMap<IpAddr, Vec<usize>>,
}

/// A running gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Live {
    /// Where its sockets are.
    pub(super) run_dir: PathBuf,
    /// The publication of the tables that were in force.
    pub(super) publication: u64,
}

/// Why a pod is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It has none yet, or has ended.
    NoAddress,
    /// Policies see the node.
    HostNetwork {
        /// The node's.
        addresses: Vec<IpAddr>,
        /// Those that have names.
        ports: Vec<EndpointPort>,
        /// `metadata.labels`.
        labels: Vec<(String, String)>,
    },
}

/// The compiled tables and the explanation say different things: a fault of this program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the compiled tables ({decided:?}) and the policies themselves ({explained}) disagree on {connection}: \
     this is a bug of headgate, please report it together with the manifests"
)]
pub(super) struct Disagreement {
    connection: Question,
    decided: Decision,
    explained: &'static str,
}

impl PolicySnapshot {
    /// Compiles the objects as the dataplane does.
    ///
    /// # Errors
    /// When the dataplane would refuse them.
    pub(super) fn new(objects: Vec<Object>) -> Result<Self> {
        let (mut endpoints, mut policies, mut groups) = (Vec::new(), Vec::new(), BTreeMap::new());
        for object in &objects {
            match object {
                Object::Endpoint(endpoint) => endpoints.push(endpoint.clone()),
                Object::Policy(policy) => policies.push(policy.clone()),
                Object::Group(group) => _ = groups.insert(group.id, group.text.clone()),
                _ => {}
            }
        }
        let transaction = Transaction {
            generation: 1,
            full: true,
            operations: objects.into_iter().map(Operation::Put).collect(),
        };
        let mut state = State::default();
        state.apply(transaction)?;
        let tables = Arc::clone(state.policy());
        endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        policies.sort_by(|a, b| {
            let turn = |p: &Policy| (p.direction, p.tier, p.priority);
            turn(a).cmp(&turn(b)).then_with(|| a.name.cmp(&b.name))
        });
        let by_name = endpoints
            .iter()
            .zip(0..)
            .map(|(e, i)| (e.name.clone(), i))
            .collect();
        let mut by_address: HashMap<IpAddr, Vec<usize>> = HashMap::new();
        for (endpoint, index) in endpoints.iter().zip(0..) {
            for address in &endpoint.addresses {
                by_address.entry(*address).or_default().push(index);
            }
        }
        Ok(Self {
            endpoints,
            policies,
            groups,
            absent: BTreeMap::new(),
            planned: BTreeSet::new(),
            model: None,
            problems: Vec::new(),
            live: None,
            tables,
            by_name,
            by_address,
        })
    }

    /// The same state, as if nobody knew on which node pods run. NetworkPolicies do not come between a pod and its node;
    /// but for this, pods in the same groups are alike, which whoever looks at kinds of pods builds on.
    ///
    /// # Errors
    /// None that the state itself did not have.
    pub(super) fn apart_from_nodes(self) -> Result<Self> {
        if self.endpoints.iter().all(|endpoint| endpoint.hosts.is_empty()) {
            return Ok(self);
        }
        let endpoint = |endpoint| {
            Object::Endpoint(Endpoint {
                hosts: Vec::new(),
                ..endpoint
            })
        };
        let endpoints = self.endpoints.into_iter().map(endpoint);
        let groups = self
            .groups
            .into_iter()
            .map(|(id, text)| Object::Group(Group { id, text }));
        let policies = self.policies.into_iter().map(Object::Policy);
        let mut apart = Self::new(endpoints.chain(groups).chain(policies).collect())?;
        (apart.absent, apart.planned) = (self.absent, self.planned);
        (apart.model, apart.problems, apart.live) = (self.model, self.problems, self.live);
        Ok(apart)
    }

    /// What the dataplane does with the connection, and why.
    ///
    /// # Errors
    /// When the tables and the policies disagree.
    pub(super) fn decide(&self, connection: Question) -> Result<Explanation, Disagreement> {
        let decided = connection.decide(&self.tables);
        let Question { from, to, port, .. } = connection;
        let explanation = self.tables.explain(from, to, connection.protocol.number(), port);
        let denier = match decided {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial.direction),
        };
        if denier == explanation.denied().map(|(direction, _)| direction) {
            return Ok(explanation);
        }
        let explained = match explanation.denied() {
            None => "allowed",
            Some((Direction::Egress, _)) => "denied by egress",
            Some((Direction::Ingress, _)) => "denied by ingress",
        };
        Err(Disagreement {
            connection,
            decided,
            explained,
        })
    }

    /// Asks a running gateway's own tables, which have changed by changes and may be older than a compile from nothing, and
    /// compares. A state that changed meanwhile is nothing to compare with.
    ///
    /// # Errors
    /// When they say something else, or the gateway does not answer.
    pub(super) fn confirm(&self, connection: Question, denied_by: Option<&str>) -> Result<()> {
        let Some(live) = &self.live else { return Ok(()) };
        let answer: DecisionStatus =
            serde_json::from_str(&socket::ask(&live.run_dir, &format!("decide {connection}"))?)?;
        ensure!(
            answer.publication != live.publication || answer.denied_by.as_deref() == denied_by,
            "the tables in force ({answer:?}) and a compile of the same objects (denied by {denied_by:?}) disagree on \
             {connection}: this is a bug of headgate, please report it together with the answer to `policy` of its status \
             socket"
        );
        Ok(())
    }

    /// Whether the dataplane allows the connection, without a reason.
    pub(super) fn allows(&self, connection: Question) -> bool {
        connection.decide(&self.tables).is_allowed()
    }

    /// The policies of a direction that select an address, in the order of their turns.
    pub(super) fn selecting(&self, address: IpAddr, direction: Direction) -> Vec<Arc<Policy>> {
        // Anybody but itself will do for the other end: it does not matter for who is selected.
        let other = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let number = Protocol::Tcp.number();
        match direction {
            Direction::Egress => self.tables.explain(address, other, number, 1).egress.policies,
            Direction::Ingress => self.tables.explain(other, address, number, 1).ingress.policies,
        }
    }

    /// What a group is called.
    pub(super) fn group(&self, id: GroupId) -> String {
        self.groups
            .get(&id)
            .cloned()
            .unwrap_or_else(|| format!("group {id}"))
    }

    /// The pod or node of this name.
    pub(super) fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.by_name.get(name).map(|i| &self.endpoints[*i])
    }

    /// The pods and nodes with this address.
    pub(super) fn endpoints_at(&self, address: IpAddr) -> impl Iterator<Item = &Endpoint> {
        let indices = self.by_address.get(&address).into_iter().flatten();
        indices.map(|i| &self.endpoints[*i])
    }
}
