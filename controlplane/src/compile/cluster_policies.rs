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
use crate::model::cluster_policy::{
    Action, ClusterPolicyPeer, ClusterPolicyPort, ClusterPolicyRule, Matches, Pods, Tier,
};
use crate::model::{ClusterPolicy, ObjectName};

/// One object for each direction that has rules. A direction without rules is left alone.
pub(super) fn compile(name: &ObjectName, policy: &ClusterPolicy, groups: &mut Uses<'_>) -> Vec<Policy> {
    let mut compiler = ClusterPolicyCompiler { groups, policy };
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

struct ClusterPolicyCompiler<'w, 'u, 'a> {
    groups: &'w mut Uses<'u>,
    policy: &'a ClusterPolicy,
}

/// A named port, and its number at some of the pods.
type ResolvedPort<'a> = (&'a str, Protocol, u16);

/// A part of a rule: for whom, with whom, where to.
type RulePart = (Option<GroupId>, Option<Vec<RingPeer>>, Option<Vec<PortRange>>);

impl<'a> ClusterPolicyCompiler<'_, '_, 'a> {
    fn rule(&mut self, direction: Direction, rule: &'a ClusterPolicyRule, number: u32) -> Vec<PolicyRule> {
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
    fn parts(
        &mut self,
        direction: Direction,
        peers: &'a [ClusterPolicyPeer],
        ports: &'a [ClusterPolicyPort],
    ) -> Vec<RulePart> {
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
    fn resolve(
        &mut self,
        direction: Direction,
        peers: &'a [ClusterPolicyPeer],
        name: &'a str,
    ) -> Vec<ResolvedPort<'a>> {
        let of_peers = peers.iter().filter_map(|peer| match peer {
            ClusterPolicyPeer::Pods(pods) => Some(pods),
            ClusterPolicyPeer::Nodes(_) | ClusterPolicyPeer::Networks(_) => None,
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
    fn peers(&mut self, peers: &'a [ClusterPolicyPeer], port: Option<ResolvedPort<'a>>) -> Vec<RingPeer> {
        let mut all = Vec::new();
        for peer in peers {
            match peer {
                ClusterPolicyPeer::Pods(pods) => all.push(RingPeer::Group(self.group(pods, port))),
                ClusterPolicyPeer::Nodes(_) | ClusterPolicyPeer::Networks(_) if port.is_some() => {}
                ClusterPolicyPeer::Nodes(labels) => all.push(RingPeer::Group(self.groups.nodes(labels))),
                ClusterPolicyPeer::Networks(networks) => {
                    all.extend(networks.iter().map(|network| RingPeer::Block {
                        block: *network,
                        except: Vec::new(),
                    }));
                }
            }
        }
        all
    }

    fn group(&mut self, pods: &'a Pods, port: Option<ResolvedPort<'a>>) -> GroupId {
        self.groups.id(definition(pods, port))
    }
}

fn definition<'a>(pods: &'a Pods, port: Option<ResolvedPort<'a>>) -> Definition<'a> {
    Definition {
        scope: Scope::Namespaces(&pods.namespaces),
        pods: &pods.pods,
        port,
    }
}

fn range(port: &ClusterPolicyPort) -> Option<PortRange> {
    match port {
        ClusterPolicyPort::Range(protocol, first, last) => Some(PortRange {
            protocol: *protocol,
            first: *first,
            last: *last,
        }),
        ClusterPolicyPort::Named(_) => None,
    }
}

fn named(port: &ClusterPolicyPort) -> Option<&str> {
    match port {
        ClusterPolicyPort::Named(name) => Some(name),
        ClusterPolicyPort::Range(..) => None,
    }
}

const fn single((_, protocol, number): ResolvedPort<'_>) -> PortRange {
    PortRange {
        protocol,
        first: number,
        last: number,
    }
}
