//! Sets of namespaces that selectors look for pods in.

use foldhash::{HashMap, HashSet};

use super::definition::Scope;
use crate::compile::index::{Index, PodId, SelectorMap};
use crate::compile::slab::{Slab, Slot};
use crate::model::{Labels, Selector};

#[derive(Debug, Default)]
pub(super) struct Scopes {
    all: Slab<ScopeEntry>,
    by_namespace: HashMap<String, Slot>,
    by_selector: HashMap<Selector, Slot>,
    /// The scopes that each namespace of the index is in, sorted.
    of: HashMap<String, Vec<Slot>>,
}

#[derive(Debug)]
struct ScopeEntry {
    scope: Owned,
    /// What is selected in it, by the selector of pods.
    by_pods: HashMap<Selector, Slot>,
    selections: SelectorMap<Slot>,
}

#[derive(Debug)]
enum Owned {
    Namespace(String),
    /// With the namespaces that it selects.
    Namespaces(Selector, HashSet<String>),
}

impl Scopes {
    /// The scope's number; a new one holds no selection yet.
    pub(super) fn intern(&mut self, scope: Scope<'_>, index: &Index) -> Slot {
        let known = match scope {
            Scope::Namespace(name) => self.by_namespace.get(name),
            Scope::Namespaces(selector) => self.by_selector.get(selector),
        };
        match known {
            Some(slot) => *slot,
            None => self.add(scope, index),
        }
    }

    fn add(&mut self, scope: Scope<'_>, index: &Index) -> Slot {
        let selected: HashSet<String> = match scope {
            Scope::Namespace(name) => HashSet::from_iter(index.has_namespace(name).then(|| name.to_owned())),
            Scope::Namespaces(selector) => {
                let matching = index.namespaces().filter(|(_, labels)| selector.matches(labels));
                matching.map(|(name, _)| name.to_owned()).collect()
            }
        };
        let namespaces: Vec<String> = selected.iter().cloned().collect();
        let slot = self.all.insert(ScopeEntry {
            scope: match scope {
                Scope::Namespace(name) => Owned::Namespace(name.to_owned()),
                Scope::Namespaces(selector) => Owned::Namespaces(selector.clone(), selected),
            },
            by_pods: HashMap::default(),
            selections: SelectorMap::default(),
        });
        match scope {
            Scope::Namespace(name) => self.by_namespace.insert(name.to_owned(), slot),
            Scope::Namespaces(selector) => self.by_selector.insert(selector.clone(), slot),
        };
        for namespace in namespaces {
            insert_sorted(self.of.entry(namespace).or_default(), slot);
        }
        slot
    }

    /// Takes in that a namespace came, went, or has other labels. Says whether it is in other scopes now.
    pub(super) fn namespace_changed(&mut self, name: &str, index: &Index) -> bool {
        let now = if index.has_namespace(name) {
            Some(self.holding(name, &index.labels(name)))
        } else {
            None
        };
        let before = match &now {
            Some(now) => self.of.insert(name.to_owned(), now.clone()),
            None => self.of.remove(name),
        };
        let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
        for slot in before.iter().filter(|slot| !now.contains(slot)) {
            if let Some(Owned::Namespaces(_, names)) = self.all.get_mut(*slot).map(|e| &mut e.scope) {
                names.remove(name);
            }
        }
        for slot in now.iter().filter(|slot| !before.contains(slot)) {
            if let Some(Owned::Namespaces(_, names)) = self.all.get_mut(*slot).map(|e| &mut e.scope) {
                names.insert(name.to_owned());
            }
        }
        before != now
    }

    /// The scopes that a namespace with these labels is in.
    fn holding(&self, name: &str, labels: &Labels) -> Vec<Slot> {
        let selecting = self
            .by_selector
            .iter()
            .filter(|(selector, _)| selector.matches(labels))
            .map(|(_, slot)| *slot);
        let mut slots: Vec<Slot> = selecting.chain(self.by_namespace.get(name).copied()).collect();
        slots.sort_unstable();
        slots
    }

    /// Whether a namespace is known as the index has it.
    pub(super) fn knows(&self, namespace: &str) -> bool {
        self.of.contains_key(namespace)
    }

    /// The pods that a selector selects in a scope, whether or not they have addresses.
    pub(super) fn select(&self, scope: Slot, pods: &Selector, index: &Index) -> Vec<PodId> {
        match self.all.get(scope).map(|entry| &entry.scope) {
            Some(Owned::Namespace(name)) => index.select(name, pods),
            Some(Owned::Namespaces(_, names)) => index.select_in(
                names.iter().map(String::as_str),
                |name| names.contains(name),
                pods,
            ),
            None => Vec::new(),
        }
    }

    /// What may select a pod with these labels, and what selects others.
    pub(super) fn candidates(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = Slot> {
        let scopes = self.of.get(namespace).into_iter().flatten();
        let entries = scopes.filter_map(|slot| self.all.get(*slot));
        entries.flat_map(|entry| entry.selections.candidates(labels).copied())
    }

    /// What the selector selects in the scope.
    pub(super) fn selection(&self, scope: Slot, pods: &Selector) -> Option<Slot> {
        self.all.get(scope)?.by_pods.get(pods).copied()
    }

    pub(super) fn add_selection(&mut self, scope: Slot, pods: &Selector, selection: Slot) {
        if let Some(entry) = self.all.get_mut(scope) {
            entry.by_pods.insert(pods.clone(), selection);
            entry.selections.insert(pods, selection);
        }
    }

    /// Removes a selection, and the scope with the last one.
    pub(super) fn remove_selection(&mut self, scope: Slot, pods: &Selector, selection: Slot) {
        let Some(entry) = self.all.get_mut(scope) else {
            return;
        };
        entry.by_pods.remove(pods);
        entry.selections.remove(pods, &selection);
        if !entry.by_pods.is_empty() {
            return;
        }
        match self.all.remove(scope).map(|entry| entry.scope) {
            Some(Owned::Namespace(name)) => {
                self.by_namespace.remove(&name);
                self.leave(&name, scope);
            }
            Some(Owned::Namespaces(selector, names)) => {
                self.by_selector.remove(&selector);
                names.iter().for_each(|name| self.leave(name, scope));
            }
            None => {}
        }
    }

    fn leave(&mut self, namespace: &str, scope: Slot) {
        if let Some(scopes) = self.of.get_mut(namespace) {
            scopes.retain(|slot| *slot != scope);
        }
    }

    /// As policies say it.
    pub(super) fn scope(&self, scope: Slot) -> Option<Scope<'_>> {
        Some(match &self.all.get(scope)?.scope {
            Owned::Namespace(name) => Scope::Namespace(name),
            Owned::Namespaces(selector, _) => Scope::Namespaces(selector),
        })
    }
}

pub(super) fn insert_sorted<T: Ord>(list: &mut Vec<T>, value: T) {
    if let Err(at) = list.binary_search(&value) {
        list.insert(at, value);
    }
}

#[cfg(test)]
impl Scopes {
    pub(super) fn is_empty(&self) -> bool {
        let names = self.by_namespace.len() + self.by_selector.len() + self.of.len();
        names == 0 && self.all.iter().count() == 0
    }
}
