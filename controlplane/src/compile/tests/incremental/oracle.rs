//! NetworkPolicies read slowly and plainly, against what was compiled of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use headgate_ring::PackedObject;
use headgate_ring::message::{
    Direction, Endpoint, GroupId, Key, Object, Peer as RingPeer, Policy, PolicyRule, Protocol,
};

use crate::compile::State;
use crate::model::policy::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicyRule};
use crate::model::{Labels, Model, NetworkPolicy, ObjectName, Pod};

/// A connection as one rule sees it: pod or address of the other end, protocol and port.
type Other = (IpAddr, Protocol, u16);

/// Ports around those that occur.
const PORTS: std::ops::Range<u16> = 0..6;
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Compares what each policy lets through for each of its subjects, rule by rule.
pub(super) fn check(model: &Model, state: &State) {
    let cluster = Cluster::of(model);
    let compiled = Compiled::of(state);
    let endpoints: BTreeSet<String> = cluster.pods.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(
        compiled.endpoints.keys().cloned().collect::<BTreeSet<_>>(),
        endpoints
    );
    for (name, policy) in model.policies() {
        for (direction, rules) in [
            (Direction::Ingress, &policy.ingress),
            (Direction::Egress, &policy.egress),
        ] {
            let made = state
                .get(&Key::Policy(name.to_string(), direction))
                .map(PackedObject::object);
            let (rules, made) = match (rules, &made) {
                (Some(rules), Some(Object::Policy(made))) => (rules, made),
                (rules, made) => {
                    assert!(rules.is_none() && made.is_none(), "{name} {direction:?}");
                    continue;
                }
            };
            let subjects = cluster.subjects(name, policy);
            let names: BTreeSet<String> = subjects.iter().map(|(name, _)| name.to_string()).collect();
            assert_eq!(compiled.members(made.subjects), names, "subjects of {name}");
            for (subject_name, subject) in subjects {
                for (number, rule) in rules.iter().enumerate() {
                    let expected = cluster.through(name, direction, rule, subject);
                    let found = compiled.through(made, number, &subject_name.to_string(), &cluster.addresses);
                    assert_eq!(
                        found, expected,
                        "{name} {direction:?} rule {number} for {subject_name}"
                    );
                }
            }
        }
    }
}

/// The pods that policies can mean, and the addresses that connections are tried with.
struct Cluster<'a> {
    model: &'a Model,
    pods: Vec<(&'a ObjectName, Pod)>,
    addresses: BTreeSet<IpAddr>,
}

impl<'a> Cluster<'a> {
    fn of(model: &'a Model) -> Self {
        let theirs = |pod: &Pod, address: &IpAddr| {
            let other =
                |other: &Pod| !other.terminating && !other.host_network && other.addresses.contains(address);
            pod.terminating && model.pods().any(|(_, pod)| other(pod))
        };
        let meant = |(name, pod): (&'a ObjectName, &Pod)| {
            let mut pod = pod.clone();
            let yielded = pod.clone();
            pod.addresses.retain(|address| !theirs(&yielded, address));
            (!pod.host_network && !pod.addresses.is_empty()).then_some((name, pod))
        };
        let pods: Vec<_> = model.pods().filter_map(meant).collect();
        let strangers = ["10.0.0.99", "10.0.1.99", "192.0.2.99", "fd00::99"];
        let strangers = strangers.iter().map(|a| a.parse::<IpAddr>().expect("an address"));
        let addresses = pods.iter().flat_map(|(_, pod)| pod.addresses.iter().copied());
        let addresses = addresses.chain(strangers).collect();
        Self {
            model,
            pods,
            addresses,
        }
    }

    fn namespace_labels(&self, namespace: &str) -> Labels {
        let found = self.model.namespaces().find(|(name, _)| name.name == namespace);
        let labels = found.map(|(_, labels)| labels.clone()).unwrap_or_default();
        labels.with("kubernetes.io/metadata.name", namespace)
    }

    fn subjects(&self, name: &ObjectName, policy: &NetworkPolicy) -> Vec<(&ObjectName, &Pod)> {
        let pods = self.pods.iter().map(|(name, pod)| (*name, pod));
        pods.filter(|(pod, p)| pod.namespace == name.namespace && policy.subjects.matches(&p.labels))
            .collect()
    }

    /// What a rule lets through to, or from, a subject.
    fn through(
        &self,
        policy: &ObjectName,
        direction: Direction,
        rule: &NetworkPolicyRule,
        subject: &Pod,
    ) -> BTreeSet<Other> {
        let mut through = BTreeSet::new();
        for address in &self.addresses {
            let others: Vec<Option<_>> = self.ends(address);
            for protocol in PROTOCOLS {
                for port in PORTS {
                    let lets = others.iter().any(|other| {
                        let destination = match direction {
                            Direction::Ingress => Some(subject),
                            Direction::Egress => other.map(|(_, pod)| pod),
                        };
                        self.is_peer(policy, rule, *address, *other)
                            && rule.ports.as_ref().is_none_or(|ports| {
                                ports.iter().any(|p| is_port(p, destination, protocol, port))
                            })
                    });
                    if lets {
                        through.insert((*address, protocol, port));
                    }
                }
            }
        }
        through
    }

    /// The pods that have an address; `None` stands for what has it and is no pod.
    fn ends(&self, address: &IpAddr) -> Vec<Option<(&ObjectName, &Pod)>> {
        let holding = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.addresses.contains(address));
        holding
            .map(|(name, pod)| Some((*name, pod)))
            .chain([None])
            .collect()
    }

    fn is_peer(
        &self,
        policy: &ObjectName,
        rule: &NetworkPolicyRule,
        address: IpAddr,
        pod: Option<(&ObjectName, &Pod)>,
    ) -> bool {
        let is = |peer: &NetworkPolicyPeer| match peer {
            NetworkPolicyPeer::Block { block, except } => {
                block.contains(&address) && !except.iter().any(|e| e.contains(&address))
            }
            NetworkPolicyPeer::Pods { namespaces, pods } => pod.is_some_and(|(name, pod)| {
                let there = match namespaces {
                    None => name.namespace == policy.namespace,
                    Some(selector) => selector.matches(&self.namespace_labels(&name.namespace)),
                };
                there && pods.matches(&pod.labels)
            }),
        };
        rule.peers.as_ref().is_none_or(|peers| peers.iter().any(is))
    }
}

fn is_port(port: &NetworkPolicyPort, destination: Option<&Pod>, protocol: Protocol, number: u16) -> bool {
    match port {
        NetworkPolicyPort::Range(p, first, last) => *p == protocol && (*first..=*last).contains(&number),
        NetworkPolicyPort::Named(p, name) => {
            *p == protocol && destination.is_some_and(|pod| pod.port(name, protocol) == Some(number))
        }
    }
}

/// The state, as the contract says it is read.
struct Compiled {
    endpoints: BTreeMap<String, Endpoint>,
    groups: BTreeSet<GroupId>,
}

impl Compiled {
    fn of(state: &State) -> Self {
        let mut compiled = Self {
            endpoints: BTreeMap::new(),
            groups: BTreeSet::new(),
        };
        for object in state.values() {
            match object.object() {
                Object::Endpoint(endpoint) => {
                    compiled.endpoints.insert(endpoint.name.clone(), endpoint);
                }
                Object::Group(group) => {
                    compiled.groups.insert(group.id);
                }
                _ => {}
            }
        }
        compiled
    }

    fn members(&self, group: GroupId) -> BTreeSet<String> {
        assert!(self.groups.contains(&group), "{group} is told of");
        let inside = self.endpoints.iter().filter(|(_, e)| e.groups.contains(&group));
        inside.map(|(name, _)| name.clone()).collect()
    }

    fn through(
        &self,
        policy: &Policy,
        number: usize,
        subject: &str,
        addresses: &BTreeSet<IpAddr>,
    ) -> BTreeSet<Other> {
        let mut through = BTreeSet::new();
        for rule in policy.rules.iter().filter(|rule| rule.number as usize == number) {
            if rule
                .only
                .is_some_and(|only| !self.members(only).contains(subject))
            {
                continue;
            }
            for address in addresses.iter().filter(|address| self.is_peer(rule, **address)) {
                for protocol in PROTOCOLS {
                    let ports = PORTS.filter(|port| is_in(rule, protocol, *port));
                    through.extend(ports.map(|port| (*address, protocol, port)));
                }
            }
        }
        through
    }

    fn is_peer(&self, rule: &PolicyRule, address: IpAddr) -> bool {
        let is = |peer: &RingPeer| match peer {
            RingPeer::Block { block, except } => {
                block.contains(&address) && !except.iter().any(|e| e.contains(&address))
            }
            RingPeer::Group(group) => self
                .members(*group)
                .iter()
                .any(|name| self.endpoints[name].addresses.contains(&address)),
        };
        rule.peers.as_ref().is_none_or(|peers| peers.iter().any(is))
    }
}

fn is_in(rule: &PolicyRule, protocol: Protocol, port: u16) -> bool {
    rule.ports.as_ref().is_none_or(|ranges| {
        ranges
            .iter()
            .any(|range| range.protocol == protocol && (range.first..=range.last).contains(&port))
    })
}
