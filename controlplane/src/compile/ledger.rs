//! What an update changes in a state that somebody else keeps.

use std::collections::BTreeMap;

use headgate_ring::PackedObject;
use headgate_ring::message::{Key, Object};

use super::fit::fit;
use super::{Changes, State};
use crate::problem::Problem;

/// Objects that are too large to be sent as they are, each with its line.
pub(super) type Oversized = BTreeMap<Key, Problem>;

/// Notes the changes of a state as they are made, and answers as if they were made already; what is put again as it
/// was is no change.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    state: &'a State,
    changes: Changes,
    oversized: &'a mut Oversized,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(state: &'a State, oversized: &'a mut Oversized) -> Self {
        Self {
            state,
            changes: Changes::new(),
            oversized,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&PackedObject> {
        match self.changes.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.state.get(key),
        }
    }

    pub(super) fn put(&mut self, object: Object) {
        let key = object.key();
        let (object, problem) = fit(object);
        match problem {
            Some(problem) => {
                self.oversized.insert(key.clone(), problem);
            }
            None => {
                self.oversized.remove(&key);
            }
        }
        match object {
            Some(object) if self.get(&key) == Some(&object) => {}
            Some(object) => self.change(key, Some(object)),
            None => self.remove(&key),
        }
    }

    /// What an update changes and changes back is no change either.
    fn change(&mut self, key: Key, object: Option<PackedObject>) {
        if self.state.get(&key) == object.as_ref() {
            self.changes.remove(&key);
        } else {
            self.changes.insert(key, object);
        }
    }

    pub(super) fn delete(&mut self, key: &Key) {
        self.oversized.remove(key);
        self.remove(key);
    }

    fn remove(&mut self, key: &Key) {
        if self.get(key).is_some() {
            self.change(key.clone(), None);
        }
    }

    /// What is to be changed in the state.
    pub(super) fn into_changes(self) -> Changes {
        self.changes
    }
}
