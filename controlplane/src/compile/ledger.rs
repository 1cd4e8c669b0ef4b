//! The state, and what has changed in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_ring::message::{Key, Object};

use super::fit::fit;
use super::{Changes, State};
use crate::problem::Problem;

/// Notes the changes of a state as they are made; what is put again as it was is no change.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: State,
    changes: Changes,
    /// Of objects that are too large to be told as they are.
    oversized: BTreeMap<Key, Problem>,
}

impl Ledger {
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn into_state(self) -> State {
        self.state
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.state.get(key)
    }

    pub(super) fn put(&mut self, object: Object) {
        self.put_at(object.key(), object);
    }

    fn put_at(&mut self, key: Key, object: Object) {
        if !self.oversized.contains_key(&key) && self.state.get(&key).is_some_and(|old| **old == object) {
            return;
        }
        let (object, problem) = fit(object);
        match problem {
            Some(problem) => drop(self.oversized.insert(key.clone(), problem)),
            None => drop(self.oversized.remove(&key)),
        }
        match object {
            Some(object) => self.change(key, object),
            None => self.remove(&key),
        }
    }

    fn change(&mut self, key: Key, object: Object) {
        if self.state.get(&key).is_some_and(|old| **old == object) {
            return;
        }
        let object = Arc::new(object);
        self.changes.insert(key.clone(), Some(object.clone()));
        self.state.insert(key, object);
    }

    pub(super) fn delete(&mut self, key: &Key) {
        self.oversized.remove(key);
        self.remove(key);
    }

    fn remove(&mut self, key: &Key) {
        if self.state.remove(key).is_some() {
            self.changes.insert(key.clone(), None);
        }
    }

    /// What is too large.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.oversized.values()
    }

    /// Puts these objects, and removes all others of the kinds that come before those of policies.
    pub(super) fn replace_traffic(&mut self, objects: BTreeMap<Key, Object>) {
        // The empty name is the smallest of a kind.
        let first = Key::Endpoint(String::new());
        let told = self.state.range(..&first).map(|(key, _)| key);
        let others = told.chain(self.oversized.range(..&first).map(|(key, _)| key));
        let gone: Vec<Key> = others.filter(|key| !objects.contains_key(key)).cloned().collect();
        gone.iter().for_each(|key| self.delete(key));
        for (key, object) in objects {
            self.put_at(key, object);
        }
    }

    /// What has changed since this was last asked.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }
}
