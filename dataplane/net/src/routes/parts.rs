//! A map by name, in parts that are copied when they change.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::hash::Keyed;

/// Parts of the map. A change copies one: of 5,000 hosts some twenty.
const PARTS: usize = 256;

type Part<V> = HashMap<Box<str>, Arc<V>, Keyed>;

/// A map of which a clone shares all but the parts in which one of the two changes.
#[derive(Debug)]
pub struct Parts<V> {
    /// As many as [`PARTS`], or none at all while the map is empty.
    parts: Vec<Arc<Part<V>>>,
    hasher: Keyed,
}

impl<V> Clone for Parts<V> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            hasher: self.hasher.clone(),
        }
    }
}

impl<V> Default for Parts<V> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            hasher: Keyed::default(),
        }
    }
}

impl<V> Parts<V> {
    fn part(&self, name: &str) -> usize {
        // The lower bits are those by which the part itself is indexed.
        (self.hasher.hash_one(name) >> 32) as usize % PARTS
    }

    /// What stands at a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<V>> {
        if self.parts.is_empty() {
            return None;
        }
        self.parts[self.part(name)].get(name)
    }

    /// Puts something in the place of what stands at a name.
    pub fn insert(&mut self, name: &str, value: Arc<V>) {
        if self.parts.is_empty() {
            self.parts = (0..PARTS).map(|_| Arc::default()).collect();
        }
        let part = self.part(name);
        Arc::make_mut(&mut self.parts[part]).insert(name.into(), value);
    }

    /// Removes what stands at a name.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_some() {
            let part = self.part(name);
            Arc::make_mut(&mut self.parts[part]).remove(name);
        }
    }

    /// All that is there, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<V>> {
        self.parts.iter().flat_map(|part| part.values())
    }
}
