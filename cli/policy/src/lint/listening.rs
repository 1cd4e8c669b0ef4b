//! Ports of rules that no container has.

use std::collections::BTreeSet;

use headgate_ring::message::{Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange};

use super::{Facts, Finding, Severity, rules};
use crate::ports::PortSet;

/// Finds ports that are accepted, and that nobody listens on as far as manifests say. Containers need not name
/// their ports: where one of the destinations names none, nothing is said.
pub(super) fn check(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    for policy in facts.policies() {
        for (number, parts) in rules(policy).filter(|(_, parts)| parts[0].action == Action::Accept) {
            let mut told = BTreeSet::new();
            for part in parts {
                let Some(ports) = &part.ports else { continue };
                let Some(destinations) = destinations(facts, policy, part) else {
                    continue;
                };
                told.extend(
                    ports
                        .iter()
                        .filter(|range| unused(range, &destinations))
                        .map(text),
                );
            }
            for port in told {
                let who = match policy.direction {
                    Direction::Ingress => "the pods that the policy selects",
                    Direction::Egress => "the pods that the rule names",
                };
                let text = format!("{port}: no container of {who} has such a port");
                findings.push(Finding::of_rule(
                    Severity::Warning,
                    policy,
                    number,
                    ".ports",
                    "unused-port",
                    text,
                ));
            }
        }
    }
}

/// All destinations of a rule; none where they are not known: blocks have others than pods in them.
fn destinations<'a>(facts: &Facts<'a>, policy: &Policy, rule: &PolicyRule) -> Option<Vec<&'a Endpoint>> {
    let groups: Vec<GroupId> = match policy.direction {
        Direction::Ingress => vec![rule.only.unwrap_or(policy.subjects)],
        Direction::Egress => {
            let group = |peer: &Peer| match peer {
                Peer::Group(group) => Some(*group),
                Peer::Block { .. } => None,
            };
            rule.peers.as_ref()?.iter().map(group).collect::<Option<_>>()?
        }
    };
    let members: BTreeSet<usize> = groups
        .iter()
        .flat_map(|group| facts.members(*group))
        .copied()
        .collect();
    let destinations: Vec<&Endpoint> = members
        .into_iter()
        .map(|i| &facts.snapshot.endpoints[i])
        .collect();
    let told = !destinations.is_empty() && destinations.iter().all(|endpoint| !endpoint.ports.is_empty());
    told.then_some(destinations)
}

fn unused(range: &PortRange, destinations: &[&Endpoint]) -> bool {
    let ports = destinations.iter().flat_map(|endpoint| &endpoint.ports);
    let mut listening = ports.filter(|port| port.protocol == range.protocol);
    !listening.any(|port| (range.first..=range.last).contains(&port.number))
}

fn text(range: &PortRange) -> String {
    PortSet::of_rule(Some(&[*range])).to_string()
}
