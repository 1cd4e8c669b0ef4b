//! What selectors select, as groups that endpoints are in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use headgate_ring::message::{Endpoint, EndpointPort, Group, GroupId, Object, Protocol};

use super::Compiled;
use super::world::World;
use crate::model::{Labels, Node, ObjectName, Pod, Selector};

/// What defines a group: pods of some namespaces, by their labels, and the number of a named port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Definition<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) pods: &'a Selector,
    /// Only pods whose port of this name and protocol has this number.
    pub(super) port: Option<(&'a str, Protocol, u16)>,
}

/// The first byte of what is hashed for an id.
const PODS_OF_NAMESPACE: u8 = 0;
const PODS_OF_NAMESPACES: u8 = 1;
const NODES: u8 = 2;

/// Namespaces, by name or by label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope<'a> {
    Namespace(&'a str),
    Namespaces(&'a Selector),
}

/// The groups that policies name.
#[derive(Debug, Default)]
pub(super) struct Groups<'a> {
    used: BTreeMap<GroupId, Definition<'a>>,
    /// Groups of nodes, by the labels of nodes.
    nodes: BTreeMap<GroupId, &'a Selector>,
}

impl<'a> Groups<'a> {
    /// The name of a group, which from now on is in use.
    pub(super) fn id(&mut self, definition: Definition<'a>) -> GroupId {
        let id = definition.id();
        self.used.entry(id).or_insert(definition);
        id
    }

    /// The name of the group of nodes with such labels, which from now on is in use.
    pub(super) fn nodes(&mut self, labels: &'a Selector) -> GroupId {
        let mut bytes = vec![NODES];
        labels.encode(&mut |text| push(&mut bytes, text));
        let id = hash(&bytes);
        self.nodes.insert(id, labels);
        id
    }

    /// Puts the groups, and every endpoint with the groups that it is in.
    pub(super) fn finish(self, world: &World<'a>, out: &mut Compiled) {
        let mut of_pod: BTreeMap<&ObjectName, BTreeSet<GroupId>> = BTreeMap::new();
        for (id, definition) in &self.used {
            for (name, _) in definition.members(world) {
                of_pod.entry(name).or_default().insert(*id);
            }
            out.put(Object::Group(Group {
                id: *id,
                text: definition.text(),
            }));
        }
        for (name, pod) in world.all_pods().filter(|(_, pod)| has_address(pod)) {
            let groups = of_pod.remove(name).unwrap_or_default();
            out.put(Object::Endpoint(endpoint(name, pod, groups)));
        }
        self.finish_nodes(world, out);
    }

    fn finish_nodes(&self, world: &World<'a>, out: &mut Compiled) {
        for (id, labels) in &self.nodes {
            let text = if labels.is_everything() {
                "all nodes".to_owned()
            } else {
                format!("nodes with {labels}")
            };
            out.put(Object::Group(Group { id: *id, text }));
        }
        for (name, node) in world.model.nodes().filter(|(_, node)| !node.addresses.is_empty()) {
            let selecting = self
                .nodes
                .iter()
                .filter(|(_, labels)| labels.matches(&node.labels));
            let groups = selecting.map(|(id, _)| *id).collect();
            out.put(Object::Endpoint(node_endpoint(name, node, groups)));
        }
    }
}

/// Pods of the host's network are left out: their addresses are the node's, and Kubernetes says that selectors do
/// not mean them.
fn has_address(pod: &Pod) -> bool {
    !pod.host_network && !pod.addresses.is_empty()
}

fn endpoint(name: &ObjectName, pod: &Pod, groups: BTreeSet<GroupId>) -> Endpoint {
    let addresses: BTreeSet<_> = pod.addresses.iter().copied().collect();
    Endpoint {
        name: name.to_string(),
        addresses: addresses.into_iter().collect(),
        labels: pairs(&pod.labels),
        ports: pod.ports.iter().map(port).collect(),
        groups: groups.into_iter().collect(),
    }
}

fn node_endpoint(name: &ObjectName, node: &Node, groups: BTreeSet<GroupId>) -> Endpoint {
    let addresses: BTreeSet<_> = node.addresses.iter().copied().collect();
    Endpoint {
        name: name.to_string(),
        addresses: addresses.into_iter().collect(),
        labels: pairs(&node.labels),
        ports: Vec::new(),
        groups: groups.into_iter().collect(),
    }
}

fn pairs(labels: &Labels) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn port((name, protocol, number): &(String, Protocol, u16)) -> EndpointPort {
    EndpointPort {
        name: name.clone(),
        protocol: *protocol,
        number: *number,
    }
}

impl<'a> Definition<'a> {
    /// The pods in it.
    pub(super) fn members(&self, world: &World<'a>) -> Vec<(&'a ObjectName, &'a Pod)> {
        let mut pods = match self.scope {
            Scope::Namespace(namespace) => world.select(namespace, self.pods),
            Scope::Namespaces(selector) => world
                .namespaces(selector)
                .flat_map(|namespace| world.select(namespace, self.pods))
                .collect(),
        };
        pods.retain(|(_, pod)| {
            let resolves =
                |(name, protocol, number): &(&str, _, _)| pod.port(name, *protocol) == Some(*number);
            has_address(pod) && self.port.as_ref().is_none_or(resolves)
        });
        pods
    }

    fn id(&self) -> GroupId {
        let mut bytes = Vec::new();
        match self.scope {
            Scope::Namespace(name) => {
                bytes.push(PODS_OF_NAMESPACE);
                push(&mut bytes, name);
            }
            Scope::Namespaces(selector) => {
                bytes.push(PODS_OF_NAMESPACES);
                selector.encode(&mut |text| push(&mut bytes, text));
            }
        }
        // No field's text can be mistaken for another's: each has its length in front, and lists end with one that
        // no field can have.
        bytes.extend(u64::MAX.to_le_bytes());
        self.pods.encode(&mut |text| push(&mut bytes, text));
        bytes.extend(u64::MAX.to_le_bytes());
        if let Some((name, protocol, number)) = self.port {
            push(&mut bytes, name);
            bytes.push(protocol.number());
            bytes.extend(number.to_le_bytes());
        }
        hash(&bytes)
    }

    /// For people.
    fn text(&self) -> String {
        let mut text = if self.pods.is_everything() {
            "all pods".to_owned()
        } else {
            format!("pods with {}", self.pods)
        };
        let _infallible = match self.scope {
            Scope::Namespace(name) => write!(text, " in namespace {name}"),
            Scope::Namespaces(selector) if selector.is_everything() => write!(text, " in all namespaces"),
            Scope::Namespaces(selector) => write!(text, " in namespaces with {selector}"),
        };
        if let Some((name, protocol, number)) = self.port {
            let _infallible = write!(text, " whose port {name}/{protocol} is {number}");
        }
        text
    }
}

fn hash(bytes: &[u8]) -> GroupId {
    let mut id = [0; 16];
    id.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..16]);
    GroupId(u128::from_le_bytes(id))
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
