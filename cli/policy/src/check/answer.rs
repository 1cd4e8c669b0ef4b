//! One answer.

use std::collections::BTreeSet;
use std::net::IpAddr;

use headgate_net::policy::{self, Explanation};
use headgate_ring::message::{Action, Direction, Protocol, Tier};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::query::Query;
use crate::ends::GivenEnd;
use crate::snapshot::PolicySnapshot;
use headgate_net::policy::Question;

/// What becomes of a connection.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectionAnswer {
    pub(crate) from: String,
    pub(crate) to: String,
    #[serde(serialize_with = "display")]
    pub(crate) protocol: Protocol,
    /// The number, where the question has a name.
    pub(crate) port: u16,
    /// Whether it may be made; where the ends have several addresses, whichever of them are used.
    pub(crate) allowed: bool,
    /// The end that denies; egress where both do.
    pub(crate) denied_by: Option<&'static str>,
    /// Every policy that selects the source (egress) or the destination (ingress), sorted.
    pub(crate) policies: Vec<String>,
    pub(crate) by: Sides,
    /// Each pair of addresses, where the answer is not the same for all; the rest of the answer is about the first
    /// that is denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<OfAddresses>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
    /// Each pair of addresses, and the end that denies.
    #[serde(skip)]
    pub(crate) decided: Vec<(Question, Option<&'static str>)>,
    /// What selects the source and the destination, in the order of turns, for the text.
    #[serde(skip)]
    pub(crate) selecting: [Vec<String>; 2],
}

/// What decides at each end; nothing where no policy does, and everything is allowed.
#[derive(Debug, Serialize)]
pub(crate) struct Sides {
    pub(crate) egress: Option<By>,
    pub(crate) ingress: Option<By>,
}

/// The policy and rule that decide at an end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct By {
    pub(crate) policy: String,
    /// `Admin`, `NetworkPolicy` or `Baseline`.
    pub(crate) tier: &'static str,
    /// `Accept` or `Deny`.
    pub(crate) action: &'static str,
    /// The place in `spec.ingress` or `spec.egress`, from 0; none where a NetworkPolicy isolates the end and no rule
    /// of any matches.
    pub(crate) rule: Option<u32>,
    /// `name` of a ClusterNetworkPolicy's rule.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) rule_name: String,
}

/// The answer for one pair of addresses.
#[derive(Debug, Serialize)]
pub(crate) struct OfAddresses {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) allowed: bool,
    pub(crate) denied_by: Option<&'static str>,
}

/// Fields of an answer that a question's own cannot take the place of.
const RESERVED: [&str; 7] = [
    "allowed",
    "denied_by",
    "policies",
    "by",
    "addresses",
    "notes",
    "error",
];

fn display<S: Serializer>(protocol: &Protocol, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(protocol)
}

/// Answers a question.
pub(super) fn answer(snapshot: &PolicySnapshot, mut query: Query) -> Result<ConnectionAnswer, String> {
    let from = snapshot.end(&query.from).map_err(|e| format!("from: {e}"))?;
    let to = snapshot.end(&query.to).map_err(|e| format!("to: {e}"))?;
    let port = snapshot
        .port(&query.to, &to, &query.port, query.protocol)
        .map_err(|e| format!("port: {e}"))?;
    let mut decided = Vec::with_capacity(2);
    for (from, to) in pairs(&from, &to) {
        let connection = Question {
            from,
            to,
            protocol: query.protocol,
            port,
        };
        let explanation = snapshot.decide(connection).map_err(|e| e.to_string())?;
        decided.push((connection, explanation));
    }
    let denied = decided
        .iter()
        .position(|(_, explanation)| !explanation.is_allowed());
    let Some((_, explanation)) = decided.get(denied.unwrap_or(0)) else {
        return Err(format!(
            "{} and {} have no address of the same family: {} and {}",
            query.from,
            query.to,
            list(&from.addresses),
            list(&to.addresses)
        ));
    };
    for field in RESERVED {
        query.extra.remove(field);
    }
    Ok(ConnectionAnswer {
        protocol: query.protocol,
        port,
        allowed: denied.is_none(),
        denied_by: denied_by(explanation),
        policies: policies(explanation),
        by: Sides {
            egress: By::of(&explanation.egress),
            ingress: By::of(&explanation.ingress),
        },
        addresses: differing(&decided),
        notes: [from.note, to.note, own_node(explanation)]
            .into_iter()
            .flatten()
            .collect(),
        decided: decided
            .iter()
            .map(|(connection, e)| (*connection, denied_by(e)))
            .collect(),
        selecting: [&explanation.egress, &explanation.ingress]
            .map(|end| end.policies.iter().map(|p| p.name.clone()).collect()),
        from: query.from,
        to: query.to,
        extra: query.extra,
    })
}

/// All pairs of addresses that can speak with each other.
fn pairs(from: &GivenEnd<'_>, to: &GivenEnd<'_>) -> impl Iterator<Item = (IpAddr, IpAddr)> {
    from.addresses.iter().flat_map(|from| {
        let family = |to: &&IpAddr| to.is_ipv4() == from.is_ipv4();
        to.addresses.iter().filter(family).map(|to| (*from, *to))
    })
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// Where a NetworkPolicy selects an end and decides nothing, the other end is its node.
fn own_node(explanation: &Explanation) -> Option<String> {
    let ends = [&explanation.egress, &explanation.ingress];
    let own = |end: &&policy::End| {
        end.by.is_none()
            && end
                .policies
                .iter()
                .any(|policy| policy.tier == Tier::NetworkPolicy)
    };
    let note = "NetworkPolicies do not come between a pod and the node that it runs on";
    ends.iter().any(own).then(|| note.to_owned())
}

fn denied_by(explanation: &Explanation) -> Option<&'static str> {
    explanation.denied().map(|(direction, _)| match direction {
        Direction::Egress => "egress",
        Direction::Ingress => "ingress",
    })
}

fn policies(explanation: &Explanation) -> Vec<String> {
    let ends = [&explanation.egress, &explanation.ingress];
    let names: BTreeSet<&String> = ends
        .iter()
        .flat_map(|end| &end.policies)
        .map(|p| &p.name)
        .collect();
    names.into_iter().cloned().collect()
}

/// Each pair, if they are not all decided alike.
fn differing(decided: &[(Question, Explanation)]) -> Vec<OfAddresses> {
    if decided
        .windows(2)
        .all(|pair| denied_by(&pair[0].1) == denied_by(&pair[1].1))
    {
        return Vec::new();
    }
    let of_addresses = |(connection, explanation): &(Question, Explanation)| OfAddresses {
        from: connection.from,
        to: connection.to,
        allowed: explanation.is_allowed(),
        denied_by: denied_by(explanation),
    };
    decided.iter().map(of_addresses).collect()
}

impl By {
    /// What decided at an end.
    pub(crate) fn of(end: &policy::End) -> Option<Self> {
        let ruling = end.by.as_ref()?;
        let rule = ruling.rule.map(|index| &ruling.policy.rules[index]);
        Some(Self {
            policy: ruling.policy.name.clone(),
            tier: tier(ruling.policy.tier),
            action: match rule.map(|rule| rule.action) {
                Some(Action::Accept) => "Accept",
                Some(Action::Pass) => "Pass",
                Some(Action::Deny) | None => "Deny",
            },
            rule: rule.map(|rule| rule.number),
            rule_name: rule.map(|rule| rule.name.clone()).unwrap_or_default(),
        })
    }
}

/// As manifests spell it, where they do.
pub(crate) fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Admin => "Admin",
        Tier::NetworkPolicy => "NetworkPolicy",
        Tier::Baseline => "Baseline",
    }
}
