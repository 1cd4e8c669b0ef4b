//! Nodes, and the groups that selectors make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headgate_ring::message::{Endpoint, GroupId};

use super::endpoint;
use crate::model::{Node, Object, ObjectName, Selector};

/// There are few nodes and fewer selectors of nodes: each change looks at all of one kind.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    all: BTreeMap<String, Arc<Object>>,
    /// The selectors of the groups in use.
    groups: BTreeMap<GroupId, Selector>,
    stale: BTreeSet<String>,
}

fn node(object: &Object) -> &Node {
    match object {
        Object::Node(node) => node,
        _ => unreachable!("only nodes are kept as such"),
    }
}

impl Nodes {
    pub(super) fn set(&mut self, name: &ObjectName, new: Option<&Arc<Object>>) {
        match new {
            Some(object) => self.all.insert(name.to_string(), object.clone()),
            None => self.all.remove(&name.to_string()),
        };
        self.stale.insert(name.to_string());
    }

    pub(super) fn use_group(&mut self, id: GroupId, labels: &Selector) {
        self.members_are_stale(labels);
        self.groups.insert(id, labels.clone());
    }

    pub(super) fn drop_group(&mut self, id: GroupId) {
        if let Some(labels) = self.groups.remove(&id) {
            self.members_are_stale(&labels);
        }
    }

    fn members_are_stale(&mut self, labels: &Selector) {
        let selected = self
            .all
            .iter()
            .filter(|(_, object)| labels.matches(&node(object).labels));
        self.stale.extend(selected.map(|(name, _)| name.clone()));
    }

    pub(super) fn selector(&self, id: GroupId) -> Option<&Selector> {
        self.groups.get(&id)
    }

    /// The nodes that may have another endpoint than when last asked, and what it is; `None` where it has none.
    pub(super) fn take_stale(&mut self) -> Vec<(String, Option<Endpoint>)> {
        let stale = std::mem::take(&mut self.stale);
        let with_endpoint = |name: String| {
            let endpoint = self.endpoint(&name);
            (name, endpoint)
        };
        stale.into_iter().map(with_endpoint).collect()
    }

    fn endpoint(&self, name: &str) -> Option<Endpoint> {
        let node = node(self.all.get(name)?);
        let selecting = self
            .groups
            .iter()
            .filter(|(_, labels)| labels.matches(&node.labels));
        let groups = selecting.map(|(id, _)| *id).collect();
        endpoint::of_node(name, node, groups)
    }
}

#[cfg(test)]
impl Nodes {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.groups.is_empty() && self.stale.is_empty()
    }
}
