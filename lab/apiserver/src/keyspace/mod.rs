//! What etcd is for the real server: objects by table and key, one revision for all of them, and the history of changes
//! that watches read until it is compacted.

mod history;
mod object;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

pub(crate) use history::{Change, Changes};
pub(crate) use object::{Key, Object};

use history::History;

/// The revision of an empty store.
const FIRST: u64 = 1000;

/// All objects, and their history.
pub(crate) struct Keyspace {
    inner: Mutex<Inner>,
    revisions: watch::Sender<u64>,
}

struct Inner {
    revision: u64,
    tables: HashMap<String, Table>,
    history: History,
}

type Table = BTreeMap<Key, Arc<Object>>;

/// Objects of a table as they stood at one revision.
pub(crate) struct Snapshot {
    pub(crate) revision: u64,
    /// In the order of their keys.
    pub(crate) objects: Vec<Arc<Object>>,
}

/// Somebody else changed the object meanwhile.
#[derive(Debug)]
pub(crate) struct Raced;

/// The history that is asked for is compacted; `since` is the oldest revision that can still be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub(crate) since: u64,
}

impl Keyspace {
    pub(crate) fn new(history: usize) -> Self {
        let inner = Inner {
            revision: FIRST,
            tables: HashMap::new(),
            history: History::new(history, FIRST),
        };
        Keyspace {
            inner: Mutex::new(inner),
            revisions: watch::channel(FIRST).0,
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// Tells every new revision.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.revisions.subscribe()
    }

    pub(crate) fn get(&self, table: &str, key: &Key) -> Option<Arc<Object>> {
        self.lock().tables.get(table)?.get(key).cloned()
    }

    /// Puts `new` (or nothing: the object is gone) in the place of the object with that revision (None: of no object).
    /// A write that changes nothing leaves the revision as it is. Returns what stands there now, or what was removed.
    pub(crate) fn commit(
        &self,
        table: &str,
        key: &Key,
        expected: Option<u64>,
        new: Option<Value>,
    ) -> Result<Option<Arc<Object>>, Raced> {
        let mut inner = self.lock();
        let current = inner
            .tables
            .get(table)
            .and_then(|objects| objects.get(key))
            .cloned();
        if current.as_ref().map(|object| object.revision) != expected {
            return Err(Raced);
        }
        let written = inner.write(table, key, current, new);
        self.revisions.send_replace(inner.revision);
        Ok(written)
    }

    /// Writes many objects at once, each in the place of what was there.
    pub(crate) fn put_all(&self, objects: Vec<(String, Key, Value)>) {
        let mut inner = self.lock();
        for (table, key, new) in objects {
            let current = inner
                .tables
                .get(&table)
                .and_then(|objects| objects.get(&key))
                .cloned();
            inner.write(&table, &key, current, Some(new));
        }
        self.revisions.send_replace(inner.revision);
    }

    /// All objects of a table, of one namespace where one is named ("" for all), as they stand now.
    pub(crate) fn list(&self, table: &str, namespace: &str) -> Snapshot {
        let inner = self.lock();
        Snapshot {
            revision: inner.revision,
            objects: inner.list(table, namespace, None),
        }
    }

    /// The same at an older revision, from a key on.
    pub(crate) fn list_at(
        &self,
        table: &str,
        namespace: &str,
        revision: u64,
        start: Option<&Key>,
    ) -> Result<Snapshot, Compacted> {
        let inner = self.lock();
        inner.history.check(revision)?;
        let now = inner.list(table, namespace, start);
        let inside = |change: &&Change| {
            change.table.as_str() == table
                && (namespace.is_empty() || change.key.namespace == namespace)
                && start.is_none_or(|start| change.key >= *start)
        };
        let since: Vec<&Change> = inner.history.since(revision).filter(inside).collect();
        if since.is_empty() {
            return Ok(Snapshot {
                revision,
                objects: now,
            });
        }
        let mut then: BTreeMap<Key, Option<Arc<Object>>> = now
            .into_iter()
            .map(|object| (object.key(), Some(object)))
            .collect();
        // What happened since is undone, the last first: what remains of a key is what its first change found.
        for change in since.into_iter().rev() {
            then.insert(change.key.clone(), change.before.clone());
        }
        let objects = then.into_values().flatten().collect();
        Ok(Snapshot { revision, objects })
    }

    /// What happened to a table after a revision, whether the history may still be asked for or not: for watches that
    /// live already.
    pub(crate) fn changes(&self, table: &str, after: u64) -> Result<Changes, Compacted> {
        let inner = self.lock();
        inner.history.check_kept(after)?;
        let changes = inner
            .history
            .since(after)
            .filter(|change| change.table.as_str() == table)
            .cloned()
            .collect();
        Ok(Changes {
            upto: inner.revision,
            changes,
        })
    }

    /// Whether a new watch may begin after this revision.
    pub(crate) fn check(&self, revision: u64) -> Result<(), Compacted> {
        self.lock().history.check(revision)
    }

    /// Compacts the history up to now: older revisions can be asked for no more.
    pub(crate) fn compact(&self) {
        let mut inner = self.lock();
        let revision = inner.revision;
        inner.history.compact(revision);
    }

    /// Raises the revision without a change that anybody sees, as other tables of a real server do.
    pub(crate) fn advance(&self, by: u64) {
        let mut inner = self.lock();
        inner.revision += by;
        self.revisions.send_replace(inner.revision);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(
        &mut self,
        table: &str,
        key: &Key,
        current: Option<Arc<Object>>,
        new: Option<Value>,
    ) -> Option<Arc<Object>> {
        if let (Some(current), Some(new)) = (&current, &new)
            && current.is_same(new)
        {
            return Some(Arc::clone(current));
        }
        let kept = new.is_some();
        let value = new.or_else(|| current.as_ref().map(|object| object.value.clone()))?;
        self.revision += 1;
        let object = Arc::new(Object::new(value, self.revision));
        let objects = self.tables.entry(table.to_owned()).or_default();
        let _ = if kept {
            objects.insert(key.clone(), Arc::clone(&object))
        } else {
            objects.remove(key)
        };
        self.history.push(Change {
            revision: self.revision,
            table: Arc::new(table.to_owned()),
            key: key.clone(),
            before: current,
            after: kept.then(|| Arc::clone(&object)),
            last: Arc::clone(&object),
        });
        Some(object)
    }

    fn list(&self, table: &str, namespace: &str, start: Option<&Key>) -> Vec<Arc<Object>> {
        let Some(objects) = self.tables.get(table) else {
            return Vec::new();
        };
        let first = Key::new(namespace, "");
        let start = start.map_or(Bound::Included(&first), Bound::Included);
        objects
            .range((start, Bound::Unbounded))
            .take_while(|(key, _)| namespace.is_empty() || key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }
}
