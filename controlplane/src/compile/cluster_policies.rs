//! ClusterNetworkPolicies: selectors become groups, named ports become numbers, rules keep their order.
//!
//! The first rule that matches decides, so what one rule of a manifest becomes stands together, in its place and with
//! its action.

use std::collections::BTreeSet;

use headgate_ring::message::{
    Action as RingAction, Direction, GroupId, Peer as RingPeer, Policy, PolicyRule, PortRange, Protocol,
    Tier as RingTier,
};

use super::groups::{Definition, Scope, Uses};
use crate::model::cluster_policy::{Action, Matches, Peer, Pods, Port, Rule, Tier};
use crate::model::{ClusterPolicy, ObjectName};

/// One object for each direction that has rules. A direction without rules is left alone.
pub(super) fn compile(name: &ObjectName, policy: &ClusterPolicy, groups: &mut Uses<'_>) -> Vec<Policy> {
    let mut compiler = Compiler { groups, policy };
    let mut compiled = Vec::new();
    for (direction, rules) in [
        (Direction::Ingress, &policy.ingress),
        (Direction::Egress, &policy.egress),
    ] {
        if rules.is_empty() {
            continue;
        }
        let numbered = rules.iter().zip(0..);
        compiled.push(Policy {
            name: name.to_string(),
            tier: match policy.tier {
                Tier::Admin => RingTier::Admin,
                Tier::Baseline => RingTier::Baseline,
            },
            priority: policy.priority,
            direction,
            subjects: compiler.group(&policy.subject, None),
            rules: numbered
                .flat_map(|(rule, number)| compiler.rule(direction, rule, number))
                .collect(),
        });
    }
    compiled
}

struct Compiler<'w, 'u, 'a> {
    groups: &'w mut Uses<'u>,
    policy: &'a ClusterPolicy,
}

/// A named port, and its number at some of the pods.
type Resolved<'a> = (&'a str, Protocol, u16);

/// A part of a rule: for whom, with whom, where to.
type Part = (Option<GroupId>, Option<Vec<RingPeer>>, Option<Vec<PortRange>>);

impl<'a> Compiler<'_, '_, 'a> {
    fn rule(&mut self, direction: Direction, rule: &'a Rule, number: u32) -> Vec<PolicyRule> {
        let action = match rule.action {
            Action::Accept => RingAction::Accept,
            Action::Deny => RingAction::Deny,
            Action::Pass => RingAction::Pass,
        };
        let parts = match &rule.matches {
            Matches::Nothing => Vec::new(),
            Matches::Everything => vec![(None, None, None)],
            Matches::Only { peers, ports: None } => vec![(None, Some(self.peers(peers, None)), None)],
            Matches::Only {
                peers,
                ports: Some(ports),
            } => self.parts(direction, peers, ports),
        };
        let whole = |(only, peers, ports)| PolicyRule {
            number,
            name: rule.name.clone().unwrap_or_default(),
            action,
            only,
            peers,
            ports,
        };
        parts.into_iter().map(whole).collect()
    }

    /// One part for all numeric ports, and one for each number of each named port.
    fn parts(&mut self, direction: Direction, peers: &'a [Peer], ports: &'a [Port]) -> Vec<Part> {
        let mut parts = Vec::new();
        let ranges: Vec<PortRange> = ports.iter().filter_map(range).collect();
        if !ranges.is_empty() {
            parts.push((None, Some(self.peers(peers, None)), Some(ranges)));
        }
        let named = ports.iter().filter_map(named);
        let resolved: Vec<_> = named
            .flat_map(|name| self.resolve(direction, peers, name))
            .collect();
        for resolved in resolved {
            let port = Some(vec![single(resolved)]);
            match direction {
                // The destination is the subject, and so it is the subject that resolves the name.
                Direction::Ingress => {
                    let only = self.group(&self.policy.subject, Some(resolved));
                    parts.push((Some(only), Some(self.peers(peers, None)), port));
                }
                Direction::Egress => parts.push((None, Some(self.peers(peers, Some(resolved))), port)),
            }
        }
        parts
    }

    /// What the name is at the pods that can be the destination, whatever the protocol; sorted.
    fn resolve(&mut self, direction: Direction, peers: &'a [Peer], name: &'a str) -> Vec<Resolved<'a>> {
        let of_peers = peers.iter().filter_map(|peer| match peer {
            Peer::Pods(pods) => Some(pods),
            Peer::Nodes(_) | Peer::Networks(_) => None,
        });
        let destinations: Vec<&Pods> = match direction {
            Direction::Ingress => vec![&self.policy.subject],
            Direction::Egress => of_peers.collect(),
        };
        let mut resolved = BTreeSet::new();
        for pods in destinations {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                let numbers = self.groups.numbers(definition(pods, None), name, protocol);
                resolved.extend(numbers.into_iter().map(|number| (name, protocol, number)));
            }
        }
        resolved.into_iter().collect()
    }

    /// The peers; with `port`, only pods where it resolves so: what is no pod has no named ports.
    fn peers(&mut self, peers: &'a [Peer], port: Option<Resolved<'a>>) -> Vec<RingPeer> {
        let mut all = Vec::new();
        for peer in peers {
            match peer {
                Peer::Pods(pods) => all.push(RingPeer::Group(self.group(pods, port))),
                Peer::Nodes(_) | Peer::Networks(_) if port.is_some() => {}
                Peer::Nodes(labels) => all.push(RingPeer::Group(self.groups.nodes(labels))),
                Peer::Networks(networks) => all.extend(networks.iter().map(|network| RingPeer::Block {
                    block: *network,
                    except: Vec::new(),
                })),
            }
        }
        all
    }

    fn group(&mut self, pods: &'a Pods, port: Option<Resolved<'a>>) -> GroupId {
        self.groups.id(definition(pods, port))
    }
}

fn definition<'a>(pods: &'a Pods, port: Option<Resolved<'a>>) -> Definition<'a> {
    Definition {
        scope: Scope::Namespaces(&pods.namespaces),
        pods: &pods.pods,
        port,
    }
}

fn range(port: &Port) -> Option<PortRange> {
    match port {
        Port::Range(protocol, first, last) => Some(PortRange {
            protocol: *protocol,
            first: *first,
            last: *last,
        }),
        Port::Named(_) => None,
    }
}

fn named(port: &Port) -> Option<&str> {
    match port {
        Port::Named(name) => Some(name),
        Port::Range(..) => None,
    }
}

const fn single((_, protocol, number): Resolved<'_>) -> PortRange {
    PortRange {
        protocol,
        first: number,
        last: number,
    }
}
