//! What separates the state that a peer has from the one that it shall have.

use std::collections::BTreeMap;

use headgate_ring::message::Key;
use headgate_ring::{OperationRef, PackedObject};

use crate::compile::State;

/// Objects as they were, `None` for those that were not there.
pub(super) type Before = BTreeMap<Key, Option<PackedObject>>;

/// Follows the changes of a state and the answers of one peer, so that each transaction is the difference between what
/// the peer has acknowledged and the state as it then is. It costs what has changed, not what there is.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Whether the peer has acknowledged a whole state.
    has_state: bool,
    /// What has changed since the last transaction, as the peer has it once it has acknowledged that.
    before: Before,
    /// The transaction that is under way: what it changes, as the peer has it now.
    sent: Option<SentChanges>,
    /// Whether anything has changed since the last transaction was asked for. What a peer has refused is not
    /// offered again before that.
    nothing_new: bool,
}

#[derive(Debug)]
struct SentChanges {
    full: bool,
    before: Before,
}

/// The state that a peer shall have: the compiled one, but for what it has refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) state: &'a State,
    /// What stands in the place of objects that are refused, `None` for nothing; each is in the state.
    pub(super) instead: &'a Before,
}

impl Wanted<'_> {
    pub(super) fn get(&self, key: &Key) -> Option<&PackedObject> {
        match self.instead.get(key) {
            Some(instead) => instead.as_ref(),
            None => self.state.get(key),
        }
    }

    fn all(&self) -> impl Iterator<Item = &PackedObject> {
        self.state.keys().filter_map(|key| self.get(key))
    }
}

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Due {
    /// Whether `changes` are a whole state.
    pub(super) full: bool,
    /// First what goes, then what comes or changes, each in the order of keys.
    changes: Vec<DueChange>,
}

/// Shares the objects with the state: a whole state to be sent is no second one.
#[derive(Debug)]
enum DueChange {
    Delete(Key),
    Put(PackedObject),
}

impl Journal {
    /// The object at `key` was `old` and is to be another.
    pub(super) fn note(&mut self, key: Key, old: Option<PackedObject>) {
        self.nothing_new = false;
        self.before.entry(key).or_insert(old);
    }

    /// Begins a transaction that makes `wanted` of what the peer has; `None` where one is under way, or nothing is to
    /// be done.
    pub(super) fn begin(&mut self, wanted: Wanted<'_>) -> Option<Due> {
        if self.sent.is_some() || std::mem::replace(&mut self.nothing_new, true) {
            return None;
        }
        let mut before = std::mem::take(&mut self.before);
        let full = !self.has_state;
        let changes: Vec<_> = if full {
            before.clear();
            wanted.all().cloned().map(DueChange::Put).collect()
        } else {
            before.retain(|key, old| wanted.get(key) != old.as_ref());
            let gone = before.keys().filter(|key| wanted.get(key).is_none());
            let there = before.keys().filter_map(|key| wanted.get(key));
            let puts = there.cloned().map(DueChange::Put);
            gone.cloned().map(DueChange::Delete).chain(puts).collect()
        };
        if changes.is_empty() && !full {
            return None;
        }
        self.sent = Some(SentChanges { full, before });
        Some(Due { full, changes })
    }

    /// Whether the peer has the state, and no transaction is under way to change it. One that was refused as a whole is
    /// outstanding until something changes.
    pub(super) fn is_settled(&self) -> bool {
        self.has_state && self.sent.is_none() && self.before.is_empty()
    }

    /// The transaction under way is in force.
    pub(super) fn acknowledged(&mut self) {
        if self.sent.take().is_some() {
            self.has_state = true;
        }
    }

    /// The transaction under way has changed nothing.
    pub(super) fn refused(&mut self) {
        // What it has changed is what the peer has, whatever else has changed since.
        if let Some(SentChanges { full: false, before }) = self.sent.take() {
            self.before.extend(before);
        }
    }
}

impl Due {
    /// As the ring takes them.
    pub(super) fn operations(&self) -> impl ExactSizeIterator<Item = OperationRef<'_>> + Clone {
        self.changes.iter().map(|change| match change {
            DueChange::Put(object) => OperationRef::PutPacked(object),
            DueChange::Delete(key) => OperationRef::Delete(key),
        })
    }
}
