//! NetworkPolicies: selectors become groups, named ports become numbers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use headgate_ring::message::{
    Action, Direction, GroupId, Peer as RingPeer, Policy, PolicyRule, PortRange, Protocol, Tier,
};

use super::groups::{Definition, Scope, Uses};
use crate::model::policy::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicyRule};
use crate::model::{NetworkPolicy, ObjectName, Selector};

/// One object for each direction that the policy isolates.
pub(super) fn compile(name: &ObjectName, policy: &NetworkPolicy, groups: &mut Uses<'_>) -> Vec<Policy> {
    let mut compiler = NetworkPolicyCompiler { groups, name, policy };
    let mut compiled = Vec::new();
    for (direction, rules) in [
        (Direction::Ingress, &policy.ingress),
        (Direction::Egress, &policy.egress),
    ] {
        let Some(rules) = rules else { continue };
        compiled.push(Policy {
            name: name.to_string(),
            tier: Tier::NetworkPolicy,
            priority: 0,
            direction,
            subjects: compiler.groups.id(compiler.subjects(None)),
            rules: compiler.rules(direction, rules),
        });
    }
    compiled
}

struct NetworkPolicyCompiler<'w, 'u, 'a> {
    groups: &'w mut Uses<'u>,
    name: &'a ObjectName,
    policy: &'a NetworkPolicy,
}

/// Stands for missing peers where only pods matter.
static ANYONE: [NetworkPolicyPeer; 1] = [NetworkPolicyPeer::Pods {
    namespaces: Some(Selector::EVERYTHING),
    pods: Selector::EVERYTHING,
}];

/// A named port, and its number at some of the pods.
type ResolvedPort<'a> = (&'a str, Protocol, u16);

impl<'a> NetworkPolicyCompiler<'_, '_, 'a> {
    fn subjects(&self, port: Option<ResolvedPort<'a>>) -> Definition<'a> {
        Definition {
            scope: Scope::Namespace(&self.name.namespace),
            pods: &self.policy.subjects,
            port,
        }
    }

    fn rules(&mut self, direction: Direction, rules: &'a [NetworkPolicyRule]) -> Vec<PolicyRule> {
        let mut compiled = Vec::new();
        for (rule, number) in rules.iter().zip(0..) {
            let named: Vec<_> = rule.ports.iter().flatten().filter_map(named).collect();
            let numeric = rule
                .ports
                .as_ref()
                .map(|ports| ports.iter().filter_map(range).collect::<Vec<_>>());
            let peers = rule.peers.as_ref().map(|peers| self.peers(peers));
            if named.is_empty() {
                compiled.extend(part(number, None, peers, numeric));
                continue;
            }
            compiled.extend(part(number, None, peers.clone(), numeric));
            for named in named {
                match direction {
                    Direction::Ingress => self.named_here(number, peers.as_ref(), named, &mut compiled),
                    Direction::Egress => self.named_there(number, rule, named, &mut compiled),
                }
            }
        }
        compiled.shrink_to_fit();
        compiled
    }

    fn peers(&mut self, peers: &'a [NetworkPolicyPeer]) -> Vec<RingPeer> {
        let peer = |peer: &'a NetworkPolicyPeer| match peer {
            NetworkPolicyPeer::Block { block, except } => RingPeer::Block {
                block: *block,
                except: except.clone(),
            },
            NetworkPolicyPeer::Pods { namespaces, pods } => {
                RingPeer::Group(self.groups.id(self.pods(namespaces.as_ref(), pods)))
            }
        };
        peers.iter().map(peer).collect()
    }

    /// The destination of an ingress rule is the subject: a rule for the subjects of each number.
    fn named_here(
        &mut self,
        rule: u32,
        peers: Option<&Vec<RingPeer>>,
        (name, protocol): (&'a str, Protocol),
        out: &mut Vec<PolicyRule>,
    ) {
        for number in self.groups.numbers(self.subjects(None), name, protocol) {
            let resolved = (name, protocol, number);
            let only = self.groups.id(self.subjects(Some(resolved)));
            out.extend(part(
                rule,
                Some(only),
                peers.cloned(),
                Some(vec![single(resolved)]),
            ));
        }
    }

    /// The destination of an egress rule is the peer: a rule for the peers of each number. What is no pod has no named
    /// ports.
    fn named_there(
        &mut self,
        rule: u32,
        source: &'a NetworkPolicyRule,
        (name, protocol): (&'a str, Protocol),
        out: &mut Vec<PolicyRule>,
    ) {
        let peers = source.peers.as_deref().unwrap_or(&ANYONE);
        let targets: Vec<PeerTarget<'a>> = peers
            .iter()
            .map(|peer| self.target(peer, name, protocol))
            .collect();
        let numbers: BTreeSet<u16> = targets.iter().flat_map(PeerTarget::numbers).collect();
        for number in numbers {
            let resolved = (name, protocol, number);
            let mut peers = Vec::new();
            for target in &targets {
                match target {
                    PeerTarget::Pods(definition, _) => {
                        let port = Some(resolved);
                        let id = self.groups.id(Definition { port, ..*definition });
                        peers.push(RingPeer::Group(id));
                    }
                    PeerTarget::Addresses(addresses) => {
                        let resolving = addresses.iter().filter(|(_, n)| *n == number);
                        peers.extend(resolving.map(|(address, _)| RingPeer::Block {
                            block: (*address).into(),
                            except: Vec::new(),
                        }));
                    }
                }
            }
            out.extend(part(rule, None, Some(peers), Some(vec![single(resolved)])));
        }
    }

    fn target(&mut self, peer: &'a NetworkPolicyPeer, name: &str, protocol: Protocol) -> PeerTarget<'a> {
        match peer {
            NetworkPolicyPeer::Block { block, except } => {
                PeerTarget::Addresses(self.groups.in_block(*block, except, name, protocol))
            }
            NetworkPolicyPeer::Pods { namespaces, pods } => {
                let definition = self.pods(namespaces.as_ref(), pods);
                PeerTarget::Pods(definition, self.groups.numbers(definition, name, protocol))
            }
        }
    }

    fn pods(&self, namespaces: Option<&'a Selector>, pods: &'a Selector) -> Definition<'a> {
        Definition {
            scope: namespaces.map_or(Scope::Namespace(&self.name.namespace), Scope::Namespaces),
            pods,
            port: None,
        }
    }
}

/// The pods that a peer means, and the numbers that a port has at them.
enum PeerTarget<'a> {
    Pods(Definition<'a>, BTreeSet<u16>),
    Addresses(Vec<(IpAddr, u16)>),
}

impl PeerTarget<'_> {
    fn numbers(&self) -> BTreeSet<u16> {
        match self {
            Self::Pods(_, numbers) => numbers.clone(),
            Self::Addresses(addresses) => addresses.iter().map(|(_, number)| *number).collect(),
        }
    }
}

fn range(port: &NetworkPolicyPort) -> Option<PortRange> {
    match port {
        NetworkPolicyPort::Range(protocol, first, last) => Some(PortRange {
            protocol: *protocol,
            first: *first,
            last: *last,
        }),
        NetworkPolicyPort::Named(..) => None,
    }
}

fn named(port: &NetworkPolicyPort) -> Option<(&str, Protocol)> {
    match port {
        NetworkPolicyPort::Named(protocol, name) => Some((name, *protocol)),
        NetworkPolicyPort::Range(..) => None,
    }
}

fn single((_, protocol, number): ResolvedPort<'_>) -> PortRange {
    PortRange {
        protocol,
        first: number,
        last: number,
    }
}

/// A rule, or a part of one; none where it names no peer or no port: an empty list (which is not a missing one)
/// allows nothing.
fn part(
    number: u32,
    only: Option<GroupId>,
    peers: Option<Vec<RingPeer>>,
    ports: Option<Vec<PortRange>>,
) -> Option<PolicyRule> {
    let nothing = peers.as_ref().is_some_and(Vec::is_empty) || ports.as_ref().is_some_and(Vec::is_empty);
    (!nothing).then(|| PolicyRule {
        number,
        name: String::new(),
        action: Action::Accept,
        only,
        peers,
        ports,
    })
}
