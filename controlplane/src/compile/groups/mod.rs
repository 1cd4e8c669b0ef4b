//! What selectors select, as groups that endpoints are in.
//!
//! Policies name groups by what defines them ([`Definition`]); a group is there as long as a policy names it. Groups
//! that differ in nothing but the number of a named port share a [`Selection`], and those that look in the same
//! namespaces a scope. So a pod finds the groups that it is in by the scopes of its namespace and by its labels, a
//! new group its pods by the index, and neither looks at all of the others.

mod blocks;
mod definition;
mod endpoint;
mod nodes;
mod pod_set;
mod scopes;
mod selection;
mod uses;

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashMap;
use headgate_ring::message::{Endpoint, GroupId};

use super::index::{Index, PodChange, PodId};
use super::slab::{Slab, Slot};
use crate::model::{Id, Object, ObjectName, Pod};
use blocks::Blocks;
pub(super) use definition::{Definition, Scope};
use endpoint::has_address;
use nodes::Nodes;
use pod_set::PodSet;
use scopes::{Scopes, insert_sorted};
use selection::{NamedPort, Number, PortName, Selection};
pub(super) use uses::{Refs, Uses};

/// The groups that policies name, and what is in them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    scopes: Scopes,
    selections: Slab<Selection>,
    /// The selections that each pod is in, by its number, sorted.
    of_pod: Vec<Vec<Slot>>,
    in_use: HashMap<GroupId, Use>,
    blocks: Blocks,
    nodes: Nodes,
    stale: Stale,
    /// The selection whose pods were asked for last, and these; the same are asked for several times in a row.
    recent: Option<(Slot, Arc<[PodId]>)>,
}

/// A group that policies name.
#[derive(Debug)]
struct Use {
    policies: usize,
    members: Members,
}

#[derive(Clone, Debug)]
enum Members {
    Pods(Slot),
    /// Those of the pods where the port has the number.
    Numbered(Slot, PortName, u16),
    Nodes,
}

/// What may be different from when it was last asked for.
#[derive(Debug, Default)]
struct Stale {
    pods: PodSet,
    groups: BTreeSet<GroupId>,
    policies: BTreeSet<Id>,
}

impl Groups {
    /// Takes in what has become of a pod; the index has taken it in already.
    pub(super) fn pod_changed(&mut self, change: &PodChange, index: &Index) {
        let name = &*change.name;
        if self.scopes.knows(&name.namespace) != index.has_namespace(&name.namespace) {
            self.scopes.namespace_changed(&name.namespace, index);
        }
        self.select_again(name, change.id, change.before(), change.now());
        let asking = [change.before(), change.now()].into_iter().flatten();
        let asking = asking.flat_map(|pod| self.blocks.asking(pod));
        self.stale.policies.extend(asking.cloned());
    }

    /// Takes in that a namespace came, went or has other labels.
    pub(super) fn namespace_changed(&mut self, namespace: &str, index: &Index) {
        if self.scopes.namespace_changed(namespace, index) {
            for id in index.pods_of(namespace) {
                if let Some((name, pod)) = index.pod(*id) {
                    self.select_again(name, *id, Some(pod), Some(pod));
                }
            }
        }
    }

    /// Takes in a node; `None` where it is no more.
    pub(super) fn node_changed(&mut self, name: &ObjectName, new: Option<&Arc<Object>>) {
        self.nodes.set(name, new);
    }

    fn select_again(&mut self, name: &ObjectName, id: PodId, old: Option<&Pod>, new: Option<&Pod>) {
        self.recent = None;
        let before = self
            .of_pod
            .get_mut(id as usize)
            .map(std::mem::take)
            .unwrap_or_default();
        let now = new.map_or_else(Vec::new, |pod| self.selecting(name, pod));
        let (lost, gained) = (self.numbers(&before, old), self.numbers(&now, new));
        for number in lost.difference(&gained) {
            self.count(number, NamedPort::loses);
        }
        for number in gained.difference(&lost) {
            self.count(number, NamedPort::gains);
        }
        if new.is_some() {
            self.stale.pods.insert(id);
            *self.of(id) = now;
        }
    }

    fn of(&mut self, id: PodId) -> &mut Vec<Slot> {
        let place = id as usize;
        if self.of_pod.len() <= place {
            self.of_pod.resize_with(place + 1, Vec::new);
        }
        &mut self.of_pod[place]
    }

    /// The selections that select a pod, sorted.
    fn selecting(&self, name: &ObjectName, pod: &Pod) -> Vec<Slot> {
        if !has_address(pod) {
            return Vec::new();
        }
        let candidates = self.scopes.candidates(&name.namespace, &pod.labels);
        let selects = |slot: &Slot| {
            let selection = self.selections.get(*slot);
            selection.is_some_and(|s| s.pods.matches(&pod.labels))
        };
        let mut slots: Vec<Slot> = candidates.filter(selects).collect();
        slots.sort_unstable();
        slots
    }

    /// The numbers of named ports at a pod of these selections.
    fn numbers(&self, selections: &[Slot], pod: Option<&Pod>) -> BTreeSet<Number> {
        let Some(pod) = pod else {
            return BTreeSet::new();
        };
        let selections = selections.iter();
        let selections = selections.filter_map(|slot| Some((*slot, self.selections.get(*slot)?)));
        selections
            .flat_map(|(slot, selection)| selection.numbers_at(slot, pod))
            .collect()
    }

    /// Counts a number of a named port; where it is a new one, or the last of its kind, policies are stale.
    fn count(&mut self, (slot, port, number): &Number, count: impl Fn(&mut NamedPort, u16) -> bool) {
        let selection = self.selections.get_mut(*slot);
        if let Some(named) = selection.and_then(|s| s.named.get_mut(port))
            && count(named, *number)
        {
            self.stale.policies.extend(named.watchers.iter().cloned());
        }
    }

    /// The selection of a definition, its port aside; a new one has no holder yet.
    fn selection(&mut self, definition: &Definition<'_>, index: &Index) -> Slot {
        let scope = self.scopes.intern(definition.scope, index);
        if let Some(slot) = self.scopes.selection(scope, definition.pods) {
            return slot;
        }
        let plain = Definition {
            port: None,
            ..*definition
        };
        let slot = self.selections.insert(Selection {
            scope,
            pods: definition.pods.clone(),
            id: plain.id(),
            in_use: false,
            named: Default::default(),
            holders: 0,
        });
        self.scopes.add_selection(scope, definition.pods, slot);
        for id in self.members(slot, index).iter() {
            insert_sorted(self.of(*id), slot);
        }
        slot
    }

    /// The pods of a selection.
    fn members(&mut self, slot: Slot, index: &Index) -> Arc<[PodId]> {
        if let Some((_, members)) = self.recent.as_ref().filter(|(recent, _)| *recent == slot) {
            return members.clone();
        }
        let selection = self.selections.get(slot);
        let selected = selection.map(|s| self.scopes.select(s.scope, &s.pods, index));
        let has_address = |id: &PodId| index.pod(*id).is_some_and(|(_, pod)| has_address(pod));
        let members: Arc<[PodId]> = selected.into_iter().flatten().filter(has_address).collect();
        self.recent = Some((slot, members.clone()));
        members
    }

    /// A policy more holds on to a selection.
    fn hold(&mut self, slot: Slot) {
        if let Some(selection) = self.selections.get_mut(slot) {
            selection.holders += 1;
        }
    }

    /// One less; a selection goes with the last one, and its scope with the last selection.
    fn let_go(&mut self, slot: Slot, index: &Index) {
        let Some(selection) = self.selections.get_mut(slot) else {
            return;
        };
        selection.holders -= 1;
        if selection.holders > 0 {
            return;
        }
        for id in self.members(slot, index).iter() {
            self.of(*id).retain(|s| *s != slot);
        }
        self.recent = None;
        if let Some(selection) = self.selections.remove(slot) {
            self.scopes
                .remove_selection(selection.scope, &selection.pods, slot);
        }
    }

    /// What a group that is in use is for people; `None` where it is not in use.
    fn text(&self, id: GroupId) -> Option<String> {
        let (slot, port) = match &self.in_use.get(&id)?.members {
            Members::Nodes => return self.nodes.selector(id).map(definition::nodes_text),
            Members::Pods(slot) => (*slot, None),
            Members::Numbered(slot, port, number) => (*slot, Some((port, *number))),
        };
        let selection = self.selections.get(slot)?;
        let definition = Definition {
            scope: self.scopes.scope(selection.scope)?,
            pods: &selection.pods,
            port: port.map(|((name, protocol), number)| (name.as_str(), *protocol, number)),
        };
        Some(definition.text())
    }

    /// The endpoint of a pod; `None` where policies cannot mean it.
    pub(super) fn endpoint(&self, id: PodId, name: &ObjectName, pod: &Pod) -> Option<Endpoint> {
        let slots = self.of_pod.get(id as usize).into_iter().flatten();
        let selections = slots.filter_map(|slot| self.selections.get(*slot));
        let groups = selections
            .flat_map(|selection| selection.groups_of(pod))
            .collect();
        has_address(pod).then(|| endpoint::of_pod(name, pod, groups))
    }

    /// Policies that have to be compiled again for what has become of pods.
    pub(super) fn take_stale_policies(&mut self) -> BTreeSet<Id> {
        std::mem::take(&mut self.stale.policies)
    }

    /// Pods whose endpoints may be others than when last asked; some of them may be gone.
    pub(super) fn take_stale_pods(&mut self) -> Vec<PodId> {
        self.stale.pods.take()
    }

    /// Groups that have come or gone, and their texts; `None` where they are gone.
    pub(super) fn take_stale_groups(&mut self) -> Vec<(GroupId, Option<String>)> {
        let stale = std::mem::take(&mut self.stale.groups);
        let text = |id| self.text(id).map(definition::readable);
        stale.into_iter().map(|id| (id, text(id))).collect()
    }

    /// Nodes whose endpoints may be others, and the endpoints; `None` where they have none.
    pub(super) fn take_stale_nodes(&mut self) -> Vec<(String, Option<Endpoint>)> {
        self.nodes.take_stale()
    }
}

#[cfg(test)]
impl Groups {
    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_empty()
            && self.selections.iter().count() == 0
            && self.of_pod.iter().all(Vec::is_empty)
            && self.in_use.is_empty()
            && self.blocks.is_empty()
            && self.nodes.is_empty()
    }
}
