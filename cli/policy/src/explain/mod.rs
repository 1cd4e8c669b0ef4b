//! `headgate policy explain`: what reaches a pod, what it reaches, and which rules say so.

mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, anyhow};
use headgate_ring::message::{Action, Direction, GroupId, Peer, Policy, PolicyRule, Tier};
use serde::Serialize;

use super::blocks::short;
use super::check::{By, Sides, tier};
use super::classes::{ClassKind, EndpointClass, classes};
use super::flags::{ExplainOptions, Format};
use super::names::Census;
use super::ports::{Cuts, PortSet};
use super::snapshot::PolicySnapshot;
use super::{CommandOutcome, print, source};
use headgate_net::policy::Question;

/// All that there is to say about one pod, node or address.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    name: String,
    addresses: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    labels: BTreeMap<String, String>,
    /// What its containers say that they listen on.
    ports: Vec<ContainerPort>,
    /// The addresses of its node, to which NetworkPolicies do not matter, unlike to other nodes'.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    node: Vec<IpAddr>,
    ingress: ExplainedSide,
    egress: ExplainedSide,
}

#[derive(Debug, Serialize)]
struct ContainerPort {
    name: String,
    protocol: String,
    port: u16,
}

/// One direction.
#[derive(Debug, Serialize)]
struct ExplainedSide {
    /// Whether a NetworkPolicy selects it, so that what no rule names is denied.
    isolated: bool,
    /// Those that select it, in the order of their turns.
    policies: Vec<PolicyText>,
    /// What becomes of connections; every peer and port stands in one of them.
    connections: Vec<Row>,
}

/// A policy, as far as it is about the pod.
#[derive(Debug, Serialize)]
struct PolicyText {
    name: String,
    tier: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    rules: Vec<RuleText>,
}

#[derive(Debug, Serialize)]
struct RuleText {
    /// The place in the manifest's list, from 0.
    rule: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    action: &'static str,
    /// In words.
    peers: Vec<String>,
    ports: PortSet,
}

/// Peers and ports for which the same rules say the same.
#[derive(Debug, Serialize)]
struct Row {
    /// Names of pods and nodes, and blocks of addresses.
    peers: Vec<String>,
    /// Likewise, in few words.
    #[serde(skip)]
    words: Vec<String>,
    ports: PortSet,
    allowed: bool,
    by: Sides,
    /// Denied to peers to whom something else is allowed.
    #[serde(skip)]
    rest: bool,
}

/// What decides, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowVerdict {
    /// Allowed ones sort first.
    denied: bool,
    egress: Option<By>,
    ingress: Option<By>,
}

/// A class of peers, or its addresses of one family where they are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PeerOf {
    class: usize,
    family: Option<&'static str>,
}

/// Prints what is known about a pod.
pub(super) fn run(options: &ExplainOptions) -> Result<CommandOutcome> {
    let explained = explain(source::snapshot(&options.source)?, &options.pod)?;
    print(&match options.format {
        Format::Text => text::render(&explained),
        Format::Json => serde_json::to_string_pretty(&explained)? + "\n",
    })?;
    Ok(CommandOutcome::Yes)
}

/// Looks at a pod, a node or an address from all sides.
fn explain(snapshot: PolicySnapshot, name: &str) -> Result<Explained> {
    let nodes = snapshot
        .endpoint(name)
        .map(|e| e.hosts.clone())
        .unwrap_or_default();
    let snapshot = &snapshot.apart_from_nodes()?;
    let end = snapshot.end(name).map_err(|reason| anyhow!(reason))?;
    let addresses = end.addresses.into_owned();
    let endpoint = snapshot.endpoint(name);
    let port = |port: &headgate_ring::message::EndpointPort| ContainerPort {
        name: port.name.clone(),
        protocol: port.protocol.to_string(),
        port: port.number,
    };
    let classes = classes(&[snapshot]);
    let side = |direction| side(snapshot, &classes, name, &addresses, direction);
    Ok(Explained {
        name: name.to_owned(),
        note: end.note,
        node: nodes,
        labels: endpoint
            .into_iter()
            .flat_map(|e| e.labels.iter().cloned())
            .collect(),
        ports: endpoint
            .into_iter()
            .flat_map(|e| e.ports.iter().map(port))
            .collect(),
        ingress: side(Direction::Ingress)?,
        egress: side(Direction::Egress)?,
        addresses,
    })
}

fn side(
    snapshot: &PolicySnapshot,
    classes: &[EndpointClass],
    name: &str,
    addresses: &[IpAddr],
    direction: Direction,
) -> Result<ExplainedSide> {
    let mut policies = Vec::new();
    for address in addresses {
        for policy in snapshot.selecting(*address, direction) {
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
    }
    let groups = addresses.iter().flat_map(|a| snapshot.endpoints_at(*a));
    let groups: Vec<GroupId> = groups.flat_map(|e| e.groups.iter().copied()).collect();
    Ok(ExplainedSide {
        isolated: policies.iter().any(|policy| policy.tier == Tier::NetworkPolicy),
        policies: policies
            .iter()
            .map(|policy| policy_text(snapshot, policy, &groups))
            .collect(),
        connections: connections(snapshot, classes, name, addresses, direction)?,
    })
}

fn policy_text(snapshot: &PolicySnapshot, policy: &Policy, groups: &[GroupId]) -> PolicyText {
    let applies = |rule: &&PolicyRule| rule.only.is_none_or(|group| groups.contains(&group));
    let rule = |rule: &PolicyRule| RuleText {
        rule: rule.number,
        name: rule.name.clone(),
        action: match rule.action {
            Action::Accept => "Accept",
            Action::Deny => "Deny",
            Action::Pass => "Pass",
        },
        peers: match &rule.peers {
            None => vec!["anybody".to_owned()],
            Some(peers) => peers.iter().map(|peer| peer_text(snapshot, peer)).collect(),
        },
        ports: PortSet::of_rule(rule.ports.as_deref()),
    };
    PolicyText {
        name: policy.name.clone(),
        tier: tier(policy.tier),
        priority: (policy.tier != Tier::NetworkPolicy).then_some(policy.priority),
        rules: policy.rules.iter().filter(applies).map(rule).collect(),
    }
}

/// A rule's peer in words.
pub(super) fn peer_text(snapshot: &PolicySnapshot, peer: &Peer) -> String {
    match peer {
        Peer::Group(id) => snapshot.group(*id),
        Peer::Block { block, except } if except.is_empty() => short(block),
        Peer::Block { block, except } => {
            let except: Vec<_> = except.iter().map(short).collect();
            format!("{} except {}", short(block), except.join(", "))
        }
    }
}

/// What becomes of every connection in this direction.
fn connections(
    snapshot: &PolicySnapshot,
    classes: &[EndpointClass],
    name: &str,
    addresses: &[IpAddr],
    direction: Direction,
) -> Result<Vec<Row>> {
    let mut rows: BTreeMap<(RowVerdict, PortSet), Vec<PeerOf>> = BTreeMap::new();
    let outside = addresses
        .iter()
        .all(|a| snapshot.endpoints_at(*a).next().is_none());
    for (class, peers) in classes.iter().enumerate() {
        // What those outside say to each other does not come this way.
        if outside && peers.is_outside() {
            continue;
        }
        let mut families = BTreeMap::new();
        for (mine, theirs) in pairs(peers, addresses) {
            let verdicts = verdicts(snapshot, mine, theirs, direction)?;
            let family = if mine.is_ipv4() { "IPv4" } else { "IPv6" };
            families.insert(family, verdicts);
        }
        let alike = families
            .values()
            .collect::<Vec<_>>()
            .windows(2)
            .all(|pair| pair[0] == pair[1]);
        let families = families.into_iter().take(if alike { 1 } else { usize::MAX });
        for (family, verdicts) in families {
            let family = (!alike).then_some(family);
            for (verdict, ports) in verdicts {
                rows.entry((verdict, ports))
                    .or_default()
                    .push(PeerOf { class, family });
            }
        }
    }
    let spoken: Vec<PeerOf> = rows
        .iter()
        .filter(|((verdict, _), _)| !verdict.denied)
        .flat_map(|(_, peers)| peers.clone())
        .collect();
    let census = Census::of(snapshot).without(name);
    let row = |((verdict, ports), peers): ((RowVerdict, PortSet), Vec<PeerOf>)| {
        let rest = verdict.denied && peers.iter().all(|peer| spoken.contains(peer));
        let peers = both_families(&peers);
        Row {
            peers: names(classes, &peers),
            words: words(classes, &census, &peers),
            ports,
            allowed: !verdict.denied,
            by: Sides {
                egress: verdict.egress,
                ingress: verdict.ingress,
            },
            rest,
        }
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Names no family where both are there.
fn both_families(peers: &[PeerOf]) -> Vec<PeerOf> {
    let whole = |peer: &PeerOf| {
        let other = |p: &&PeerOf| p.class == peer.class && p.family != peer.family;
        let family = peer.family.filter(|_| !peers.iter().any(|p| other(&p)));
        PeerOf { family, ..*peer }
    };
    let mut peers: Vec<PeerOf> = peers.iter().map(whole).collect();
    peers.dedup();
    peers
}

/// Own addresses with those of one of the peers, which is not the pod itself.
fn pairs(peers: &EndpointClass, addresses: &[IpAddr]) -> Vec<(IpAddr, IpAddr)> {
    let theirs = peers.addresses_apart_from(0, addresses).unwrap_or_default();
    let pairs = addresses.iter().flat_map(|mine| {
        let family = |a: &&IpAddr| a.is_ipv4() == mine.is_ipv4();
        theirs.iter().filter(family).map(|theirs| (*mine, *theirs))
    });
    pairs.collect()
}

/// What decides about each port.
fn verdicts(
    snapshot: &PolicySnapshot,
    mine: IpAddr,
    theirs: IpAddr,
    direction: Direction,
) -> Result<BTreeMap<RowVerdict, PortSet>> {
    let (from, to) = match direction {
        Direction::Ingress => (theirs, mine),
        Direction::Egress => (mine, theirs),
    };
    let egress = snapshot.selecting(from, Direction::Egress);
    let ingress = snapshot.selecting(to, Direction::Ingress);
    let cuts = Cuts::of(egress.iter().chain(&ingress).map(AsRef::as_ref));
    let mut verdicts: BTreeMap<RowVerdict, PortSet> = BTreeMap::new();
    for (run, protocol, port) in cuts.runs() {
        let explanation = snapshot.decide(Question {
            from,
            to,
            protocol,
            port,
        })?;
        let verdict = RowVerdict {
            denied: !explanation.is_allowed(),
            egress: By::of(&explanation.egress),
            ingress: By::of(&explanation.ingress),
        };
        verdicts.entry(verdict).or_default().add(&run);
    }
    Ok(verdicts)
}

fn names(classes: &[EndpointClass], peers: &[PeerOf]) -> Vec<String> {
    let mut names = Vec::new();
    for peer in peers {
        let of_family = |name: &str| match peer.family {
            Some(family) => format!("{name} ({family})"),
            None => name.to_owned(),
        };
        match &classes[peer.class].kind {
            ClassKind::Endpoints(members) => names.extend(members.iter().map(|name| of_family(name))),
            ClassKind::Outside(outside) => names.push(outside.to_string()),
        }
    }
    names
}

fn words(classes: &[EndpointClass], census: &Census, peers: &[PeerOf]) -> Vec<String> {
    let of = |family| {
        peers
            .iter()
            .filter(move |p| p.family == family)
            .map(|p| &classes[p.class])
    };
    let mut words = census.describe_classes(of(None));
    for family in ["IPv4", "IPv6"] {
        let more = census.describe_classes(of(Some(family)));
        words.extend(more.into_iter().map(|word| format!("{word} ({family})")));
    }
    words
}
