//! NetworkPolicies: selectors become addresses, named ports become numbers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use foldhash::HashMap;
use headgate_ring::message::{Direction, Object, Peer as Block, Policy, PolicyRule, PortRange, Protocol};
use ipnet::IpNet;

use super::Compiled;
use super::world::World;
use crate::model::policy::{Peer, Port, Rule};
use crate::model::{ObjectName, Pod, Selector};

/// The policy's namespace, empty where it does not matter, and a rule's `from` or `to`.
type Asked<'a> = (&'a str, &'a [Peer]);

/// Who the peers of rules are. Policies of a cluster mostly name the same few (the own namespace, the monitoring, the
/// ingress), so each answer is kept.
struct Peers<'w, 'a> {
    world: &'w World<'a>,
    known: RefCell<HashMap<Asked<'a>, Vec<Block>>>,
}

/// Puts one object for each policy and direction, or several where pods resolve a named port differently.
pub(super) fn compile(world: &World<'_>, out: &mut Compiled) {
    let peers = Peers {
        world,
        known: RefCell::default(),
    };
    for (name, policy) in world.model.policies() {
        let subjects = select(world, &name.namespace, &policy.subjects);
        if let Some(rules) = &policy.ingress {
            ingress(&peers, name, &subjects, rules, out);
        }
        if let Some(rules) = &policy.egress {
            let rules = rules
                .iter()
                .flat_map(|rule| peers.egress_rules(name, rule))
                .collect();
            put(
                name.to_string(),
                Direction::Egress,
                addresses(&subjects),
                rules,
                out,
            );
        }
    }
}

fn put(
    name: String,
    direction: Direction,
    subjects: Vec<IpAddr>,
    rules: Vec<PolicyRule>,
    out: &mut Compiled,
) {
    out.put(Object::Policy(Policy {
        name,
        direction,
        subjects,
        rules,
    }));
}

/// Pods of the host's network are left out: their addresses are the node's, and Kubernetes says that selectors do
/// not mean them.
fn select<'a>(world: &World<'a>, namespace: &str, selector: &Selector) -> Vec<&'a Pod> {
    let mut pods = world.select(namespace, selector);
    pods.retain(|p| !p.host_network && !p.addresses.is_empty());
    pods
}

/// Sorted, without duplicates.
fn addresses(pods: &[&Pod]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = pods.iter().flat_map(|p| p.addresses.iter().copied()).collect();
    sort(&mut addresses);
    addresses
}

fn sort(addresses: &mut Vec<IpAddr>) {
    addresses.sort_unstable();
    addresses.dedup();
}

/// The destination of an ingress rule is the subject, so each subject resolves its named ports. Subjects that
/// resolve them alike make one policy; the first such group carries the name, the others `name#2` and so on.
fn ingress<'a>(
    peers: &Peers<'_, 'a>,
    name: &'a ObjectName,
    subjects: &[&Pod],
    rules: &'a [Rule],
    out: &mut Compiled,
) {
    let named: BTreeSet<(&str, Protocol)> = rules
        .iter()
        .filter_map(|r| r.ports.as_ref())
        .flatten()
        .filter_map(named)
        .collect();
    let mut groups: BTreeMap<Vec<Option<u16>>, Vec<IpAddr>> = BTreeMap::new();
    for pod in subjects {
        let resolved = named
            .iter()
            .map(|(name, protocol)| pod.port(name, *protocol))
            .collect();
        groups.entry(resolved).or_default().extend(&pod.addresses);
    }
    if groups.is_empty() {
        groups.insert(vec![None; named.len()], Vec::new());
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.iter_mut().for_each(|(_, subjects)| sort(subjects));
    // By the smallest address: the name of a group shall not change when another pod's ports do.
    groups.sort_by(|a, b| a.1.first().cmp(&b.1.first()));
    for (index, (resolved, subjects)) in groups.into_iter().enumerate() {
        let numbers: BTreeMap<_, _> = named.iter().copied().zip(resolved).collect();
        let lookup = |name: &str, protocol| numbers.get(&(name, protocol)).copied().flatten();
        let rules = rules
            .iter()
            .filter_map(|rule| peers.ingress_rule(name, rule, &lookup))
            .collect();
        let name = if index == 0 {
            name.to_string()
        } else {
            format!("{name}#{}", index + 1)
        };
        put(name, Direction::Ingress, subjects, rules, out);
    }
}

fn named(port: &Port) -> Option<(&str, Protocol)> {
    match port {
        Port::Named(protocol, name) => Some((name, *protocol)),
        Port::Range(..) => None,
    }
}

/// A rule with an empty list (which is not a missing one) allows nothing.
fn non_empty(peers: Option<Vec<Block>>, ports: Option<Vec<PortRange>>) -> Option<PolicyRule> {
    let nothing = peers.as_ref().is_some_and(Vec::is_empty) || ports.as_ref().is_some_and(Vec::is_empty);
    (!nothing).then_some(PolicyRule { peers, ports })
}

fn single(protocol: Protocol, number: u16) -> PortRange {
    PortRange {
        protocol,
        first: number,
        last: number,
    }
}

fn host_block(address: IpAddr) -> Block {
    Block {
        block: IpNet::from(address),
        except: Vec::new(),
    }
}

impl<'a> Peers<'_, 'a> {
    /// `None` where the rule allows nothing.
    fn ingress_rule(
        &self,
        policy: &'a ObjectName,
        rule: &'a Rule,
        lookup: &impl Fn(&str, Protocol) -> Option<u16>,
    ) -> Option<PolicyRule> {
        let ports = rule.ports.as_ref().map(|ports| {
            ports.iter().filter_map(|port| match port {
                Port::Range(protocol, first, last) => Some(PortRange {
                    protocol: *protocol,
                    first: *first,
                    last: *last,
                }),
                Port::Named(protocol, name) => {
                    lookup(name, *protocol).map(|number| single(*protocol, number))
                }
            })
        });
        non_empty(
            rule.peers.as_ref().map(|p| self.blocks(policy, p)),
            ports.map(Iterator::collect),
        )
    }

    /// The destination of an egress rule is the peer, so each pod among the peers resolves the named ports; addresses
    /// that are no pod's have none.
    fn egress_rules(&self, policy: &'a ObjectName, rule: &'a Rule) -> Vec<PolicyRule> {
        let peers = || rule.peers.as_ref().map(|p| self.blocks(policy, p));
        let Some(ports) = &rule.ports else {
            return non_empty(peers(), None).into_iter().collect();
        };
        let ranges: Vec<PortRange> = ports
            .iter()
            .filter_map(|port| match port {
                Port::Range(protocol, first, last) => Some(PortRange {
                    protocol: *protocol,
                    first: *first,
                    last: *last,
                }),
                Port::Named(..) => None,
            })
            .collect();
        let mut rules: Vec<PolicyRule> = non_empty(peers(), Some(ranges)).into_iter().collect();
        for (name, protocol) in ports.iter().filter_map(named) {
            let mut by_number: BTreeMap<u16, BTreeSet<IpAddr>> = BTreeMap::new();
            for pod in self.pods(policy, rule.peers.as_deref()) {
                if let Some(number) = pod.port(name, protocol) {
                    by_number.entry(number).or_default().extend(&pod.addresses);
                }
            }
            rules.extend(by_number.into_iter().map(|(number, addresses)| PolicyRule {
                peers: Some(addresses.into_iter().map(host_block).collect()),
                ports: Some(vec![single(protocol, number)]),
            }));
        }
        rules
    }

    /// `ipBlock`s as they are written, then the selected pods' addresses, sorted, without duplicates.
    fn blocks(&self, policy: &'a ObjectName, peers: &'a [Peer]) -> Vec<Block> {
        let own = peers
            .iter()
            .any(|p| matches!(p, Peer::Pods { namespaces: None, .. }));
        let key = (if own { policy.namespace.as_str() } else { "" }, peers);
        if let Some(blocks) = self.known.borrow().get(&key) {
            return blocks.clone();
        }
        let written = peers.iter().filter_map(|peer| match peer {
            Peer::Block { block, except } => Some(Block {
                block: *block,
                except: except.clone(),
            }),
            Peer::Pods { .. } => None,
        });
        let pods = addresses(&self.pods(policy, Some(peers)));
        let blocks: Vec<Block> = written.chain(pods.into_iter().map(host_block)).collect();
        self.known.borrow_mut().insert(key, blocks.clone());
        blocks
    }

    /// The pods among the peers; all pods where there is no list of peers.
    fn pods(&self, policy: &ObjectName, peers: Option<&[Peer]>) -> Vec<&'a Pod> {
        let Some(peers) = peers else {
            return self.world.all_pods().filter(|p| !p.host_network).collect();
        };
        let mut pods = Vec::new();
        for peer in peers {
            match peer {
                Peer::Block { .. } => {}
                Peer::Pods {
                    namespaces: None,
                    pods: selector,
                } => {
                    pods.extend(select(self.world, &policy.namespace, selector));
                }
                Peer::Pods {
                    namespaces: Some(namespaces),
                    pods: selector,
                } => {
                    for namespace in self.world.namespaces(namespaces) {
                        pods.extend(select(self.world, namespace, selector));
                    }
                }
            }
        }
        pods
    }
}
