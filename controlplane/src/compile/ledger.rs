//! The state, and what has changed in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_ring::message::{Key, Object};

use super::{Changes, State};

/// Notes the changes of a state as they are made; what is put again as it was is no change.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: State,
    changes: Changes,
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

    pub(super) fn put_at(&mut self, key: Key, object: Object) {
        if self.state.get(&key).is_some_and(|old| **old == object) {
            return;
        }
        let object = Arc::new(object);
        self.changes.insert(key.clone(), Some(object.clone()));
        self.state.insert(key, object);
    }

    pub(super) fn delete(&mut self, key: &Key) {
        if self.state.remove(key).is_some() {
            self.changes.insert(key.clone(), None);
        }
    }

    /// Puts these objects, and removes all others of the kinds that come before those of policies.
    pub(super) fn replace_traffic(&mut self, objects: BTreeMap<Key, Object>) {
        // The empty name is the smallest of a kind.
        let others = self.state.range(..Key::Endpoint(String::new()));
        let gone: Vec<Key> = others
            .filter(|(key, _)| !objects.contains_key(key))
            .map(|(key, _)| key.clone())
            .collect();
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
