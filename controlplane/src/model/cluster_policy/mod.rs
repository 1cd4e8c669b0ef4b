//! ClusterNetworkPolicies, `policy.networking.k8s.io/v1alpha2`: tiers in front of and behind NetworkPolicies.
//!
//! What the API server would refuse is refused ([`Invalid`]). What it lets through because it knows more of the API
//! than Headgate does (a peer or protocol without a field that is known here) fails closed as the API's types say:
//! of a rule with something unknown in it, Accept matches nothing, and Deny and Pass deny everything.

mod limits;
mod port;
mod rule;
#[cfg(test)]
mod tests;
mod written;

use headgate_ring::message::Protocol;
use ipnet::IpNet;
use serde_json::Value;

use super::invalid::Invalid;
use super::selector::Selector;
use super::typed::typed;
use rule::Side;
use written::{Map, Written, WrittenSpec, WrittenSubject};

/// A ClusterNetworkPolicy. Directions without rules are left alone: it isolates nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// `spec.tier`.
    pub tier: Tier,
    /// `spec.priority`, 0 to [`LAST_PRIORITY`]; the lower is asked first.
    pub priority: u16,
    /// `spec.subject`: the pods that it guards, never those of the host's network.
    pub subject: Pods,
    /// `spec.ingress`: connections to the subjects, in the order in which they are tried.
    pub ingress: Vec<ClusterPolicyRule>,
    /// `spec.egress`: connections from the subjects, in the order in which they are tried.
    pub egress: Vec<ClusterPolicyRule>,
}

/// `spec.tier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Asked before NetworkPolicies.
    Admin,
    /// Asked where no NetworkPolicy isolates the subject.
    Baseline,
}

/// Pods by the labels of their namespaces and their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pods {
    /// `namespaceSelector`, or `namespaces`.
    pub namespaces: Selector,
    /// `podSelector`; with `namespaces`, every pod.
    pub pods: Selector,
}

/// An element of `spec.ingress` or `spec.egress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPolicyRule {
    /// `name`, for people; at most 100 characters.
    pub name: Option<String>,
    /// `action`.
    pub action: Action,
    /// What it applies to.
    pub matches: Matches,
}

/// `action` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Accepts for good.
    Accept,
    /// Denies for good.
    Deny,
    /// Leaves it to the next tier.
    Pass,
}

/// The connections that a rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matches {
    /// None: an Accept with something unknown in it.
    Nothing,
    /// All, whatever the other end and the protocol.
    Everything,
    /// Those whose other end is one of `peers` and whose destination port is one of `ports`.
    Only {
        /// `from` or `to`, never empty.
        peers: Vec<ClusterPolicyPeer>,
        /// `protocols`, never empty; `None` where it is missing: every port of every protocol.
        ports: Option<Vec<ClusterPolicyPort>>,
    },
}

/// An element of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClusterPolicyPeer {
    /// `namespaces` or `pods`; never pods of the host's network, nor addresses that are no pod's.
    Pods(Pods),
    /// `nodes`: addresses of Nodes, by the Nodes' labels. Egress alone.
    Nodes(Selector),
    /// `networks`: every address in them, pods' addresses too. Egress alone.
    Networks(Vec<IpNet>),
}

/// An element of `protocols`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClusterPolicyPort {
    /// `destinationPort` of `tcp`, `udp` or `sctp`, first and last; 0 to 65535 where it is missing.
    Range(Protocol, u16, u16),
    /// `destinationNamedPort`: the containers' port of that name, whatever its protocol, which each destination pod
    /// resolves for itself.
    Named(String),
}

/// The largest `spec.priority`.
pub const LAST_PRIORITY: u16 = 1000;

/// How long the API lets lists be: rules, peers, protocols, networks.
const LIST_LIMIT: usize = 25;

impl ClusterPolicy {
    /// Reads a ClusterNetworkPolicy. `unknown` gets the fields that make no difference; `closed` what is unknown in
    /// which rule, and what becomes of the rule.
    ///
    /// # Errors
    ///
    /// A field that the API server would refuse, or an unknown one that makes it impossible to tell whom the policy
    /// guards.
    pub fn parse(
        value: &Value,
        unknown: &mut Vec<String>,
        closed: &mut Vec<Invalid>,
    ) -> Result<Self, Invalid> {
        let written = typed::<Written>(value, unknown)?;
        let spec = written.spec.ok_or_else(|| Invalid::new("spec", "is missing"))?;
        let mut rules = |side: Side, list: &Option<Vec<Value>>| {
            let list = list.as_deref().unwrap_or_default();
            limits::within_limit(list, side.list()).and_then(|()| {
                let read = list.iter().enumerate().map(|(index, value)| {
                    let at = format!("{}[{index}]", side.list());
                    let (rule, strange) = rule::read(value, side).map_err(|e| e.under(&at))?;
                    closed.extend(strange.into_iter().map(|e| e.under(&at)));
                    Ok(rule)
                });
                read.collect()
            })
        };
        Ok(Self {
            tier: tier(&spec)?,
            priority: priority(&spec)?,
            subject: subject(&spec.subject).map_err(|e| e.under("spec.subject"))?,
            ingress: rules(Side::Ingress, &spec.ingress)?,
            egress: rules(Side::Egress, &spec.egress)?,
        })
    }

    /// What stands in for a policy that is refused and never was good: what can be read of it, with rules that cannot
    /// be read failing closed. `None` where it cannot be read whom it guards: it could be anybody in the cluster.
    #[must_use]
    pub fn closed(value: &Value) -> Option<Self> {
        let part = |name: &str| Some(value["spec"][name].clone()).filter(|v| !v.is_null());
        let text = |name: &str| part(name).and_then(|v| v.as_str().map(str::to_owned));
        let spec = WrittenSpec {
            tier: text("tier"),
            priority: part("priority").and_then(|v| v.as_i64()),
            subject: part("subject"),
            ..WrittenSpec::default()
        };
        // What cannot be placed stands last, where it overrides nobody.
        let (tier, priority) = match (tier(&spec), priority(&spec)) {
            (Ok(tier), Ok(priority)) => (tier, priority),
            (tier, _) => (tier.unwrap_or(Tier::Baseline), LAST_PRIORITY),
        };
        let rules = |side: Side, name: &str| match part(name) {
            None => Vec::new(),
            Some(Value::Array(list)) if limits::within_limit(&list, name).is_ok() => {
                let read = |v| rule::read(v, side).map_or_else(|_| rule::closed(v), |(rule, _)| rule);
                list.iter().map(read).collect()
            }
            Some(list) => vec![rule::closed(&list)],
        };
        Some(Self {
            tier,
            priority,
            subject: subject(&spec.subject).ok()?,
            ingress: rules(Side::Ingress, "ingress"),
            egress: rules(Side::Egress, "egress"),
        })
    }
}

fn tier(spec: &WrittenSpec) -> Result<Tier, Invalid> {
    match spec.tier.as_deref() {
        Some("Admin") => Ok(Tier::Admin),
        Some("Baseline") => Ok(Tier::Baseline),
        Some(other) => Err(Invalid::new(
            "spec.tier",
            format!("\"{other}\" is none of Admin, Baseline"),
        )),
        None => Err(Invalid::new("spec.tier", "is missing")),
    }
}

fn priority(spec: &WrittenSpec) -> Result<u16, Invalid> {
    let number = spec
        .priority
        .ok_or_else(|| Invalid::new("spec.priority", "is missing"))?;
    match u16::try_from(number) {
        Ok(priority) if priority <= LAST_PRIORITY => Ok(priority),
        _ => Err(Invalid::new(
            "spec.priority",
            format!("must be 0 to {LAST_PRIORITY}, is {number}"),
        )),
    }
}

/// Something unknown in it is an error: what a policy with a part of its subject does nobody has asked for.
fn subject(subject: &Option<Value>) -> Result<Pods, Invalid> {
    let value = subject.as_ref().ok_or_else(|| Invalid::new("", "is missing"))?;
    let mut unknown = Vec::new();
    let written = typed::<Map<WrittenSubject>>(value, &mut unknown)?;
    if let Some(field) = unknown.into_iter().next() {
        return Err(Invalid::new(
            field,
            "unknown field: it cannot be told whom the policy guards",
        ));
    }
    match (&written.namespaces, &written.pods) {
        (Some(namespaces), None) => rule::namespaces(namespaces),
        (None, Some(pods)) => rule::pods(pods),
        _ => Err(Invalid::new("", "must have one of namespaces, pods")),
    }
}
