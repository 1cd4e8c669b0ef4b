//! NetworkPolicies: selectors become groups, named ports become numbers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use headgate_ring::message::{
    Action, Direction, GroupId, Object, Peer as RingPeer, Policy, PolicyRule, PortRange, Protocol, Tier,
};

use super::Compiled;
use super::groups::{Definition, Groups, Scope};
use super::world::World;
use crate::model::policy::{Peer, Port, Rule};
use crate::model::{NetworkPolicy, ObjectName, Pod, Selector};

/// Puts one object for each policy and direction.
pub(super) fn compile<'a>(world: &World<'a>, groups: &mut Groups<'a>, out: &mut Compiled) {
    for (name, policy) in world.model.policies() {
        for (direction, rules) in [
            (Direction::Ingress, &policy.ingress),
            (Direction::Egress, &policy.egress),
        ] {
            let Some(rules) = rules else { continue };
            let mut compiler = Compiler {
                world,
                groups,
                name,
                policy,
            };
            let policy = Policy {
                name: name.to_string(),
                tier: Tier::NetworkPolicy,
                priority: 0,
                direction,
                subjects: compiler.own(&policy.subjects),
                rules: compiler.rules(direction, rules),
            };
            out.put(Object::Policy(policy));
        }
    }
}

struct Compiler<'w, 'a> {
    world: &'w World<'a>,
    groups: &'w mut Groups<'a>,
    name: &'a ObjectName,
    policy: &'a NetworkPolicy,
}

/// Stands for missing peers where only pods matter.
static ANYONE: [Peer; 1] = [Peer::Pods {
    namespaces: Some(Selector::EVERYTHING),
    pods: Selector::EVERYTHING,
}];

/// A named port, and its number at some of the pods.
type Resolved<'a> = (&'a str, Protocol, u16);

impl<'a> Compiler<'_, 'a> {
    fn own(&mut self, pods: &'a Selector) -> GroupId {
        let scope = Scope::Namespace(&self.name.namespace);
        self.groups.id(Definition {
            scope,
            pods,
            port: None,
        })
    }

    fn rules(&mut self, direction: Direction, rules: &'a [Rule]) -> Vec<PolicyRule> {
        let mut compiled = Vec::new();
        for (rule, number) in rules.iter().zip(0..) {
            let numeric = rule
                .ports
                .as_ref()
                .map(|ports| ports.iter().filter_map(range).collect());
            let peers = rule.peers.as_ref().map(|peers| self.peers(peers, None));
            compiled.extend(part(number, None, peers.clone(), numeric));
            for named in rule.ports.iter().flatten().filter_map(named) {
                match direction {
                    Direction::Ingress => self.named_here(number, peers.as_ref(), named, &mut compiled),
                    Direction::Egress => self.named_there(number, rule, named, &mut compiled),
                }
            }
        }
        compiled
    }

    /// The destination of an ingress rule is the subject: a rule for the subjects of each number.
    fn named_here(
        &mut self,
        rule: u32,
        peers: Option<&Vec<RingPeer>>,
        named: (&'a str, Protocol),
        out: &mut Vec<PolicyRule>,
    ) {
        let (name, protocol) = named;
        let definition = |port| Definition {
            scope: Scope::Namespace(&self.name.namespace),
            pods: &self.policy.subjects,
            port,
        };
        let subjects = definition(None).members(self.world).into_iter();
        let numbers: BTreeSet<u16> = subjects.filter_map(|(_, pod)| pod.port(name, protocol)).collect();
        for number in numbers {
            let resolved = (name, protocol, number);
            let only = self.groups.id(definition(Some(resolved)));
            out.extend(part(
                rule,
                Some(only),
                peers.cloned(),
                Some(vec![single(resolved)]),
            ));
        }
    }

    /// The destination of an egress rule is the peer: a rule for the peers of each number.
    fn named_there(
        &mut self,
        rule: u32,
        source: &'a Rule,
        (name, protocol): (&'a str, Protocol),
        out: &mut Vec<PolicyRule>,
    ) {
        let peers = source.peers.as_deref().unwrap_or(&ANYONE);
        let pods = peers.iter().flat_map(|peer| self.pods(peer));
        let numbers: BTreeSet<u16> = pods.filter_map(|(_, pod)| pod.port(name, protocol)).collect();
        for number in numbers {
            let resolved = (name, protocol, number);
            let peers = self.peers(peers, Some(resolved));
            out.extend(part(rule, None, Some(peers), Some(vec![single(resolved)])));
        }
    }

    /// The peers; with `port`, only pods where it resolves so. What is no pod has no named ports.
    fn peers(&mut self, peers: &'a [Peer], port: Option<Resolved<'a>>) -> Vec<RingPeer> {
        let mut all = Vec::new();
        for peer in peers {
            match (peer, port) {
                (Peer::Block { block, except }, None) => all.push(RingPeer::Block {
                    block: *block,
                    except: except.clone(),
                }),
                (Peer::Block { .. }, Some((name, protocol, number))) => {
                    let pods = self.pods(peer).into_iter();
                    let resolving = pods.filter(|(_, pod)| pod.port(name, protocol) == Some(number));
                    all.extend(resolving.map(|(address, _)| RingPeer::Block {
                        block: address.into(),
                        except: Vec::new(),
                    }));
                }
                (Peer::Pods { namespaces, pods }, port) => {
                    let scope = scope(self.name, namespaces.as_ref());
                    all.push(RingPeer::Group(self.groups.id(Definition { scope, pods, port })));
                }
            }
        }
        all
    }

    /// The pods that a peer means, by address.
    fn pods(&self, peer: &'a Peer) -> Vec<(IpAddr, &'a Pod)> {
        let addresses = |(_, pod): (_, &'a Pod)| pod.addresses.iter().map(move |address| (*address, pod));
        match peer {
            Peer::Block { block, except } => {
                let holds = |(address, _): &(IpAddr, _)| {
                    block.contains(address) && !except.iter().any(|e| e.contains(address))
                };
                let pods = self.world.all_pods().filter(|(_, pod)| !pod.host_network);
                pods.flat_map(addresses).filter(holds).collect()
            }
            Peer::Pods { namespaces, pods } => {
                let scope = scope(self.name, namespaces.as_ref());
                let definition = Definition {
                    scope,
                    pods,
                    port: None,
                };
                definition
                    .members(self.world)
                    .into_iter()
                    .flat_map(addresses)
                    .collect()
            }
        }
    }
}

fn scope<'a>(policy: &'a ObjectName, namespaces: Option<&'a Selector>) -> Scope<'a> {
    namespaces.map_or(Scope::Namespace(&policy.namespace), Scope::Namespaces)
}

fn range(port: &Port) -> Option<PortRange> {
    match port {
        Port::Range(protocol, first, last) => Some(PortRange {
            protocol: *protocol,
            first: *first,
            last: *last,
        }),
        Port::Named(..) => None,
    }
}

fn named(port: &Port) -> Option<(&str, Protocol)> {
    match port {
        Port::Named(protocol, name) => Some((name, *protocol)),
        Port::Range(..) => None,
    }
}

fn single((_, protocol, number): Resolved<'_>) -> PortRange {
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
