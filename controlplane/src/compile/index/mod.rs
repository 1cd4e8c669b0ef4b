//! Pods by name, namespace and labels, kept up to date object by object.

mod addresses;
mod labels;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use foldhash::HashMap;

use super::slab::{Slab, Slot};
use crate::model::{Labels, Object, ObjectName, Pod, Selector, SharedText};
use addresses::Addresses;
pub(super) use labels::{LabelMap, SelectorMap};

/// The label that every namespace carries without anybody writing it.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Names a pod as long as it is there.
pub(super) type PodId = Slot;

#[derive(Debug, Default)]
pub(super) struct Index {
    pods: Slab<PodEntry>,
    by_name: HashMap<Arc<ObjectName>, PodId>,
    /// Those with pods in them or an object of their own: one that nobody has written down exists nevertheless.
    namespaces: HashMap<SharedText, Namespace>,
    /// The pods of all namespaces.
    labelled: LabelMap<PodId>,
    addresses: Addresses,
}

#[derive(Debug)]
struct PodEntry {
    name: Arc<ObjectName>,
    /// As its manifest has it.
    written: Arc<Object>,
    /// Without the addresses that are another pod's by now.
    object: Arc<Object>,
}

#[derive(Debug, Default)]
struct Namespace {
    labels: Labels,
    /// Whether there is a Namespace object.
    written: bool,
    pods: Vec<PodId>,
    labelled: LabelMap<PodId>,
}

/// What has become of a pod.
#[derive(Debug)]
pub(super) struct PodChange {
    pub(super) name: Arc<ObjectName>,
    pub(super) id: PodId,
    old: Option<Arc<Object>>,
    new: Option<Arc<Object>>,
}

impl PodChange {
    /// The pod before.
    pub(super) fn before(&self) -> Option<&Pod> {
        self.old.as_deref().map(pod)
    }

    /// The pod now.
    pub(super) fn now(&self) -> Option<&Pod> {
        self.new.as_deref().map(pod)
    }
}

fn pod(object: &Object) -> &Pod {
    match object {
        Object::Pod(pod) => pod,
        _ => unreachable!("only pods are indexed as such"),
    }
}

impl Index {
    /// Adds, replaces or removes a pod. Gives what has become of it, and of others that have lost an address to it or
    /// got one back.
    pub(super) fn set_pod(&mut self, name: &ObjectName, new: Option<&Arc<Object>>) -> Vec<PodChange> {
        let known = self.by_name.get(name).copied();
        let old = known
            .and_then(|id| self.pods.get(id))
            .map(|entry| entry.written.clone());
        let addresses = Addresses::touched(old.as_deref().map(pod), new.map(|object| pod(object)));
        let change = match (known, new) {
            (None, None) => None,
            (None, Some(object)) => Some(self.insert(name, object)),
            (Some(id), Some(object)) => self.replace(id, object),
            (Some(id), None) => self.remove(id),
        };
        let mut changes = Vec::from_iter(change);
        for id in self.addresses.yielding(&addresses) {
            changes.extend(self.look_again(id));
        }
        changes
    }

    fn insert(&mut self, name: &ObjectName, object: &Arc<Object>) -> PodChange {
        let name = Arc::new(name.clone());
        let id = self.pods.insert(PodEntry {
            name: name.clone(),
            written: object.clone(),
            object: object.clone(),
        });
        if !self.namespaces.contains_key(&name.namespace) {
            let namespace = Namespace {
                labels: with_name(&name.namespace, Labels::default()),
                ..Namespace::default()
            };
            self.namespaces.insert(name.namespace.clone(), namespace);
        }
        if let Some(namespace) = self.namespaces.get_mut(&name.namespace) {
            namespace.pods.push(id);
        }
        self.label(&name.namespace, id, &pod(object).labels);
        self.by_name.insert(name.clone(), id);
        self.addresses.insert(id, pod(object));
        let new = self.settle(id);
        PodChange {
            name,
            id,
            old: None,
            new,
        }
    }

    fn replace(&mut self, id: PodId, object: &Arc<Object>) -> Option<PodChange> {
        let entry = self.pods.get_mut(id)?;
        let name = entry.name.clone();
        let written = std::mem::replace(&mut entry.written, object.clone());
        let old = entry.object.clone();
        self.addresses.remove(id, pod(&written));
        self.addresses.insert(id, pod(object));
        if pod(&written).labels != pod(object).labels {
            self.unlabel(&name.namespace, id, &pod(&written).labels);
            self.label(&name.namespace, id, &pod(object).labels);
        }
        let new = self.settle(id);
        let old = Some(old);
        Some(PodChange { name, id, old, new })
    }

    fn remove(&mut self, id: PodId) -> Option<PodChange> {
        let PodEntry {
            name,
            written,
            object,
        } = self.pods.remove(id)?;
        self.addresses.remove(id, pod(&written));
        self.by_name.remove(&*name);
        self.unlabel(&name.namespace, id, &pod(&written).labels);
        if let Some(namespace) = self.namespaces.get_mut(&name.namespace) {
            labels::remove(&mut namespace.pods, &id);
        }
        self.forget_if_empty(&name.namespace);
        Some(PodChange {
            name,
            id,
            old: Some(object),
            new: None,
        })
    }

    /// Makes the pod what it is by its manifest and by who else has its addresses.
    fn settle(&mut self, id: PodId) -> Option<Arc<Object>> {
        let entry = self.pods.get_mut(id)?;
        entry.object = match self.addresses.left(id, pod(&entry.written)) {
            None => entry.written.clone(),
            Some(addresses) => Arc::new(Object::Pod(Pod {
                addresses,
                ..pod(&entry.written).clone()
            })),
        };
        Some(entry.object.clone())
    }

    /// What has become of a pod by changes of others.
    fn look_again(&mut self, id: PodId) -> Option<PodChange> {
        let entry = self.pods.get(id)?;
        let (name, old) = (entry.name.clone(), entry.object.clone());
        let new = self.settle(id)?;
        (old != new).then_some(PodChange {
            name,
            id,
            old: Some(old),
            new: Some(new),
        })
    }

    fn label(&mut self, namespace: &str, id: PodId, labels: &Labels) {
        let namespace = self.namespaces.get_mut(namespace);
        for labelled in [&mut self.labelled]
            .into_iter()
            .chain(namespace.map(|n| &mut n.labelled))
        {
            for (key, value) in labels.iter() {
                labelled.insert(key, value, id);
            }
        }
    }

    fn unlabel(&mut self, namespace: &str, id: PodId, labels: &Labels) {
        let namespace = self.namespaces.get_mut(namespace);
        for labelled in [&mut self.labelled]
            .into_iter()
            .chain(namespace.map(|n| &mut n.labelled))
        {
            for (key, value) in labels.iter() {
                labelled.remove(key, value, &id);
            }
        }
    }

    /// Sets the labels of a namespace as its object has them, `None` where there is no object. Says whether they are
    /// others now.
    pub(super) fn set_namespace(&mut self, name: &str, labels: Option<&Labels>) -> bool {
        let written = labels.is_some();
        let labels = with_name(name, labels.cloned().unwrap_or_default());
        let changed = *self.labels(name) != labels;
        let namespace = self.namespaces.entry(name.into()).or_default();
        namespace.written = written;
        namespace.labels = labels;
        self.forget_if_empty(name);
        changed
    }

    fn forget_if_empty(&mut self, name: &str) {
        if self
            .namespaces
            .get(name)
            .is_some_and(|n| !n.written && n.pods.is_empty())
        {
            self.namespaces.remove(name);
        }
    }

    /// The labels of a namespace, its name among them, also of one that does not exist.
    pub(super) fn labels(&self, namespace: &str) -> std::borrow::Cow<'_, Labels> {
        match self.namespaces.get(namespace) {
            Some(namespace) => std::borrow::Cow::Borrowed(&namespace.labels),
            None => std::borrow::Cow::Owned(with_name(namespace, Labels::default())),
        }
    }

    /// Whether a namespace has pods in it or an object of its own.
    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name)
    }

    /// All namespaces and their labels, in no order.
    pub(super) fn namespaces(&self) -> impl ExactSizeIterator<Item = (&str, &Labels)> {
        self.namespaces
            .iter()
            .map(|(name, namespace)| (name.as_str(), &namespace.labels))
    }

    /// A pod and its name.
    pub(super) fn pod(&self, id: PodId) -> Option<(&ObjectName, &Pod)> {
        self.pods.get(id).map(|entry| (&*entry.name, pod(&entry.object)))
    }

    /// The number of a pod.
    pub(super) fn pod_named(&self, name: &ObjectName) -> Option<PodId> {
        self.by_name.get(name).copied()
    }

    /// The pods of all namespaces.
    pub(super) fn pods(&self) -> impl Iterator<Item = (PodId, &Pod)> {
        self.pods.iter().map(|(id, entry)| (id, pod(&entry.object)))
    }

    /// The pods of a namespace.
    pub(super) fn pods_of(&self, namespace: &str) -> &[PodId] {
        self.namespaces.get(namespace).map_or(&[], |n| n.pods.as_slice())
    }

    /// The pods of a namespace that a selector selects, in no order.
    pub(super) fn select(&self, namespace: &str, selector: &Selector) -> Vec<PodId> {
        let Some(namespace) = self.namespaces.get(namespace) else {
            return Vec::new();
        };
        match rarest(&namespace.labelled, selector) {
            Some(pods) if selector.only_label().is_some() => pods.to_vec(),
            pods => self.matching(pods.unwrap_or(&namespace.pods), selector).collect(),
        }
    }

    /// Likewise of those namespaces of all that `contains` says.
    pub(super) fn select_in<'a>(
        &self,
        namespaces: impl ExactSizeIterator<Item = &'a str>,
        contains: impl Fn(&str) -> bool,
        selector: &Selector,
    ) -> Vec<PodId> {
        match rarest(&self.labelled, selector) {
            // Fewer than it would take to ask each namespace.
            Some(pods) if pods.len() <= namespaces.len() => {
                let inside = |id: &PodId| self.pods.get(*id).is_some_and(|e| contains(&e.name.namespace));
                self.matching(pods, selector).filter(inside).collect()
            }
            _ => namespaces
                .flat_map(|namespace| self.select(namespace, selector))
                .collect(),
        }
    }

    fn matching<'a>(&'a self, pods: &'a [PodId], selector: &'a Selector) -> impl Iterator<Item = PodId> + 'a {
        let selected = |id: &PodId| {
            self.pod(*id)
                .is_some_and(|(_, pod)| selector.matches(&pod.labels))
        };
        pods.iter().copied().filter(selected)
    }
}

/// The things that have the rarest of the labels that the selector asks for: Services and policies mostly ask for one
/// that few pods have, and for nothing else. `None` where it asks for none.
fn rarest<'a>(labelled: &'a LabelMap<PodId>, selector: &Selector) -> Option<&'a [PodId]> {
    let with = selector.labels().map(|(key, value)| labelled.get(key, value));
    with.min_by_key(|pods| pods.len())
}

fn with_name(name: &str, labels: Labels) -> Labels {
    match labels.get(NAMESPACE_NAME_LABEL) {
        Some(value) if value == name => labels,
        _ => labels.with(NAMESPACE_NAME_LABEL, name),
    }
}

#[cfg(test)]
impl Index {
    pub(super) fn is_empty(&self) -> bool {
        let pods = self.pods.iter().count() + self.by_name.len();
        pods == 0 && self.addresses.is_empty() && self.namespaces.is_empty() && self.labelled.is_empty()
    }
}
