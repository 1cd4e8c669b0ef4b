//! Rules, peers and ports of ClusterNetworkPolicies.

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::limits::{Strange, filled};
use super::port::ports;
use super::written::{Map, WrittenPeer, WrittenPods, WrittenProtocol, WrittenRule};
use super::{Action, ClusterPolicyPeer, ClusterPolicyRule, Matches, Pods};
use crate::model::address::plain_network;
use crate::model::invalid::{Invalid, each};
use crate::model::selector::Selector;
use crate::model::typed::typed;

/// The longest `name` of a rule, in characters.
const NAME_LIMIT: usize = 100;

/// The direction whose rules are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ingress,
    Egress,
}

impl Side {
    /// The list that its rules stand in.
    pub(super) const fn list(self) -> &'static str {
        match self {
            Self::Ingress => "spec.ingress",
            Self::Egress => "spec.egress",
        }
    }

    /// The list that a rule's peers stand in, and what the other direction calls its own.
    const fn peers(self) -> (&'static str, &'static str) {
        match self {
            Self::Ingress => ("from", "to"),
            Self::Egress => ("to", "from"),
        }
    }
}

/// Reads a rule. The second part says what is unknown in it and what becomes of it for that: the rule then fails
/// closed.
///
/// # Errors
///
/// A field that the API server would refuse; paths begin at the rule.
pub(super) fn read(value: &Value, side: Side) -> Result<(ClusterPolicyRule, Vec<Invalid>), Invalid> {
    let mut unknown = Vec::new();
    let written = typed::<Map<WrittenRule>>(value, &mut unknown)?;
    let action = action(written.action.as_deref())?;
    let name = written.name.clone().filter(|name| !name.is_empty());
    if name.as_ref().is_some_and(|n| n.chars().count() > NAME_LIMIT) {
        let reason = format!("must not be longer than {NAME_LIMIT} characters");
        return Err(Invalid::new("name", reason));
    }
    let note = |field| Invalid::new(field, "unknown field");
    let mut strange = Strange(unknown.into_iter().map(note).collect());
    let peers = peers(&written, side, &mut strange)?;
    let ports = ports(&written, &mut strange)?;
    if side == Side::Egress {
        no_names_for_nodes(&written)?;
    }
    if strange.0.is_empty() {
        let matches = Matches::Only { peers, ports };
        return Ok((
            ClusterPolicyRule {
                name,
                action,
                matches,
            },
            Vec::new(),
        ));
    }
    let (rule, consequence) = match fail_closed(name, action) {
        rule @ ClusterPolicyRule {
            action: Action::Accept,
            ..
        } => (rule, "the rule accepts nothing"),
        rule => (rule, "the rule denies everything"),
    };
    for invalid in &mut strange.0 {
        invalid.reason = format!("{}; {consequence}", invalid.reason);
    }
    Ok((rule, strange.0))
}

/// What stands in for a rule, or a list of rules, that cannot be read.
pub(super) fn closed(value: &Value) -> ClusterPolicyRule {
    let name = value["name"].as_str().filter(|name| !name.is_empty());
    let action = action(value["action"].as_str()).unwrap_or(Action::Deny);
    fail_closed(name.map(str::to_owned), action)
}

/// What becomes of a rule of which it is unknown what it matches. What a Pass would have passed on is denied with the
/// rest.
const fn fail_closed(name: Option<String>, action: Action) -> ClusterPolicyRule {
    let (action, matches) = match action {
        Action::Accept => (Action::Accept, Matches::Nothing),
        Action::Deny | Action::Pass => (Action::Deny, Matches::Everything),
    };
    ClusterPolicyRule {
        name,
        action,
        matches,
    }
}

fn action(text: Option<&str>) -> Result<Action, Invalid> {
    match text {
        Some("Accept") => Ok(Action::Accept),
        Some("Deny") => Ok(Action::Deny),
        Some("Pass") => Ok(Action::Pass),
        Some(other) => Err(Invalid::new(
            "action",
            format!("\"{other}\" is none of Accept, Deny, Pass"),
        )),
        None => Err(Invalid::new("action", "is missing")),
    }
}

fn peers(rule: &WrittenRule, side: Side, strange: &mut Strange) -> Result<Vec<ClusterPolicyPeer>, Invalid> {
    let (field, others) = side.peers();
    let (own, other) = match side {
        Side::Ingress => (&rule.from, &rule.to),
        Side::Egress => (&rule.to, &rule.from),
    };
    if other.is_some() {
        strange.0.push(Invalid::new(others, "unknown field"));
    }
    let list = own.as_deref().ok_or_else(|| Invalid::new(field, "is missing"))?;
    let mut peers = Vec::with_capacity(list.len());
    for (index, written) in filled(list, field)?.iter().enumerate() {
        let at = format!("{field}[{index}]");
        peers.extend(peer(written, side, &at, strange).map_err(|e| e.under(&at))?);
    }
    Ok(peers)
}

/// `None` where it is unknown who is meant; `strange` then says so.
fn peer(
    peer: &WrittenPeer,
    side: Side,
    at: &str,
    strange: &mut Strange,
) -> Result<Option<ClusterPolicyPeer>, Invalid> {
    let fields = [
        ("namespaces", peer.namespaces.is_some()),
        ("pods", peer.pods.is_some()),
        ("nodes", peer.nodes.is_some()),
        ("networks", peer.networks.is_some()),
        ("domainNames", peer.domain_names.is_some()),
    ];
    let known = if side == Side::Ingress {
        &fields[..2]
    } else {
        &fields[..]
    };
    let mut set = fields.iter().filter(|(_, set)| *set).map(|(name, _)| *name);
    let (first, second) = (set.next(), set.next());
    if second.is_some() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        return Err(Invalid::new(
            "",
            format!("must have only one of {}", names.join(", ")),
        ));
    }
    let Some(field) = first else {
        strange.empty(at, "names no peer that is known");
        return Ok(None);
    };
    if !known.iter().any(|(name, _)| *name == field) {
        strange
            .0
            .push(Invalid::new(format!("{at}.{field}"), "unknown field"));
        return Ok(None);
    }
    if let Some(names) = &peer.domain_names {
        filled(names, "domainNames")?;
        strange
            .0
            .push(Invalid::new(format!("{at}.domainNames"), "is not supported"));
        return Ok(None);
    }
    selected(peer).transpose()
}

/// Whom the field of a peer names that is there.
fn selected(peer: &WrittenPeer) -> Option<Result<ClusterPolicyPeer, Invalid>> {
    use ClusterPolicyPeer::{Networks, Nodes, Pods};
    if let Some(written) = &peer.namespaces {
        Some(namespaces(written).map(Pods))
    } else if let Some(written) = &peer.pods {
        Some(pods(written).map(Pods))
    } else if let Some(written) = &peer.nodes {
        Some(selector(written, "nodes").map(Nodes))
    } else {
        let written = peer.networks.as_ref()?;
        Some(networks(written).map(Networks))
    }
}

fn selector(written: &LabelSelector, field: &str) -> Result<Selector, Invalid> {
    Selector::parse(written).map_err(|e| e.under(field))
}

/// `namespaces` of a subject or a peer: all pods in them.
pub(super) fn namespaces(written: &LabelSelector) -> Result<Pods, Invalid> {
    Ok(Pods {
        namespaces: selector(written, "namespaces")?,
        pods: Selector::default(),
    })
}

/// `pods` of a subject or a peer; a missing `namespaceSelector` is an empty one.
pub(super) fn pods(written: &WrittenPods) -> Result<Pods, Invalid> {
    let namespaces = written.namespace_selector.as_ref();
    let namespaces = namespaces.map_or(Ok(Selector::default()), |s| selector(s, "pods.namespaceSelector"))?;
    let pods = written.pod_selector.as_ref();
    let pods = pods.ok_or_else(|| Invalid::new("pods.podSelector", "is missing"))?;
    Ok(Pods {
        namespaces,
        pods: selector(pods, "pods.podSelector")?,
    })
}

fn networks(list: &[String]) -> Result<Vec<IpNet>, Invalid> {
    for (index, text) in filled(list, "networks")?.iter().enumerate() {
        if list[..index].contains(text) {
            let reason = format!("\"{text}\" stands there twice");
            return Err(Invalid::new(format!("networks[{index}]"), reason));
        }
    }
    each("networks", list, |text| match plain_network("", text)? {
        // Packets never carry such an address, so nobody can have meant it.
        IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some() => {
            let reason = format!("\"{text}\" must not be an IPv4 network in IPv6 notation");
            Err(Invalid::new("", reason))
        }
        net => Ok(net),
    })
}

/// Named ports are pods'; beside peers that have none the API refuses them.
fn no_names_for_nodes(rule: &WrittenRule) -> Result<(), Invalid> {
    let unnamed =
        |p: &Map<WrittenPeer>| p.nodes.is_some() || p.networks.is_some() || p.domain_names.is_some();
    let named = |p: &Map<WrittenProtocol>| p.destination_named_port.is_some();
    let peer = rule.to.as_deref().unwrap_or_default().iter().position(unnamed);
    let port = rule
        .protocols
        .as_deref()
        .unwrap_or_default()
        .iter()
        .position(named);
    let (Some(peer), Some(port)) = (peer, port) else {
        return Ok(());
    };
    let reason =
        format!("must not be given beside to[{peer}]: nodes, networks and domain names have no named ports");
    Err(Invalid::new(
        format!("protocols[{port}].destinationNamedPort"),
        reason,
    ))
}
