//! Hosts by name, in parts that are copied when they change.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::host::Host;
use crate::hash::Keyed;

/// Parts of the map. A change copies one: of 5,000 hosts some twenty.
const PARTS: usize = 256;

type Part = HashMap<Box<str>, Arc<Host>, Keyed>;

/// A map of which a clone shares all but the parts in which one of the two changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// As many as [`PARTS`], or none at all while there is no host.
    parts: Vec<Arc<Part>>,
    hasher: Keyed,
}

impl Hosts {
    fn part(&self, name: &str) -> usize {
        // The lower bits are those by which the part itself is indexed.
        (self.hasher.hash_one(name) >> 32) as usize % PARTS
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Host>> {
        if self.parts.is_empty() {
            return None;
        }
        self.parts[self.part(name)].get(name)
    }

    pub(super) fn insert(&mut self, name: &str, host: Arc<Host>) {
        if self.parts.is_empty() {
            self.parts = (0..PARTS).map(|_| Arc::default()).collect();
        }
        let part = self.part(name);
        Arc::make_mut(&mut self.parts[part]).insert(name.into(), host);
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.get(name).is_some() {
            let part = self.part(name);
            Arc::make_mut(&mut self.parts[part]).remove(name);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.parts.iter().flat_map(|part| part.values())
    }
}
