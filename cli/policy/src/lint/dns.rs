//! Pods that isolation has cut off from DNS: the most frequent accident with egress policies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use headgate_ring::message::{Direction, Endpoint, Protocol, Tier};

use super::{Facts, Finding, Severity};
use crate::classes::{EndpointClass, classes};
use crate::names::{Census, namespace};
use crate::snapshot::PolicySnapshot;
use headgate_net::policy::Question;

/// The port that resolvers ask at (RFC 1035, section 4.2).
const PORT: u16 = 53;

/// Labels by which clusters' DNS servers are known.
const SERVERS: [(&str, &str); 5] = [
    ("k8s-app", "kube-dns"),
    ("k8s-app", "coredns"),
    ("app.kubernetes.io/name", "coredns"),
    ("app.kubernetes.io/name", "kube-dns"),
    ("dns.operator.openshift.io/daemonset-dns", "default"),
];

/// Where DNS is answered.
struct NameServer {
    addresses: Vec<IpAddr>,
    /// Of UDP and of TCP, which are others than the Service's where containers say so.
    ports: [u16; 2],
}

/// Finds pods that a NetworkPolicy isolates for egress and that reach no DNS server; where none is known, that reach
/// nobody at all by the port.
pub(super) fn check(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let snapshot = facts.snapshot;
    let servers: Vec<NameServer> = snapshot.endpoints.iter().filter_map(server).collect();
    let classes = classes(&[snapshot]);
    let mut lost: BTreeMap<(Severity, String, &str), BTreeSet<&str>> = BTreeMap::new();
    for class in &classes {
        let Some(pod) = class.names().first().filter(|name| !namespace(name).is_empty()) else {
            continue;
        };
        let Some(endpoint) = snapshot.endpoint(pod) else {
            continue;
        };
        let isolating = endpoint
            .addresses
            .iter()
            .flat_map(|a| snapshot.selecting(*a, Direction::Egress));
        let isolating = isolating
            .into_iter()
            .find(|policy| policy.tier == Tier::NetworkPolicy);
        let Some(policy) = isolating else { continue };
        let reached = [Protocol::Udp, Protocol::Tcp].map(|protocol| {
            if servers.is_empty() {
                reaches_anybody(snapshot, &classes, class, protocol)
            } else {
                servers
                    .iter()
                    .any(|server| reaches(snapshot, endpoint, server, protocol))
            }
        });
        let finding = match reached {
            [true, true] => continue,
            [true, false] => (
                Severity::Info,
                "TCP 53; answers that are too long for UDP are lost to",
            ),
            [false, _] => (Severity::Warning, "UDP 53; names are not resolved by"),
        };
        let pods = lost
            .entry((finding.0, policy.name.clone(), finding.1))
            .or_default();
        pods.extend(class.names().iter().map(String::as_str));
    }
    let whom = if servers.is_empty() {
        "nobody"
    } else {
        "no DNS server of the cluster"
    };
    for ((severity, policy, what), pods) in lost {
        let pods = Census::of(snapshot).describe(pods).join(", ");
        findings.push(Finding {
            severity,
            policy: Some(policy),
            rule: None,
            field: "spec.egress".to_owned(),
            check: "no-dns",
            text: format!("{whom} is reached by {what} {pods}"),
        });
    }
}

fn server(endpoint: &Endpoint) -> Option<NameServer> {
    let known = |(key, value): &(String, String)| SERVERS.contains(&(key.as_str(), value.as_str()));
    if !endpoint.labels.iter().any(known) {
        return None;
    }
    let port = |protocol, names: [&str; 2]| {
        let named = endpoint
            .ports
            .iter()
            .find(|p| p.protocol == protocol && names.contains(&p.name.as_str()));
        named.map_or(PORT, |port| port.number)
    };
    Some(NameServer {
        addresses: endpoint.addresses.clone(),
        ports: [
            port(Protocol::Udp, ["dns", "dns-udp"]),
            port(Protocol::Tcp, ["dns-tcp", "dns"]),
        ],
    })
}

fn reaches(snapshot: &PolicySnapshot, endpoint: &Endpoint, server: &NameServer, protocol: Protocol) -> bool {
    let port = server.ports[usize::from(protocol == Protocol::Tcp)];
    let pairs = endpoint
        .addresses
        .iter()
        .flat_map(|from| server.addresses.iter().map(move |to| (*from, *to)));
    let mut connections = pairs
        .filter(|(from, to)| from.is_ipv4() == to.is_ipv4())
        .map(|(from, to)| Question {
            from,
            to,
            protocol,
            port,
        });
    connections.any(|connection| snapshot.allows(connection))
}

fn reaches_anybody(
    snapshot: &PolicySnapshot,
    classes: &[EndpointClass],
    class: &EndpointClass,
    protocol: Protocol,
) -> bool {
    let asked = [(protocol, PORT)];
    let mut spoken = classes
        .iter()
        .flat_map(|to| class.speaks(snapshot, 0, to, &asked));
    spoken.any(|spoken| !spoken.ports.is_empty())
}
