//! Open addressing over whole cache lines.

use headgate_memory::{prefer_huge_pages, prefetch};

use super::{FlowEntry, Secret};
use crate::probing::{Probed, probe};
use crate::wire::{Address, Tuple};

/// Entries by key, probed one slot after another from the one that the hash names. At most three quarters of the slots
/// are taken, and removal moves later entries up instead of leaving marks, so that a look-up that finds touches
/// mostly one slot, and one that does not touches few, however long the table has been in use.
pub(super) struct FlowTable<A> {
    slots: Box<[FlowEntry<A>]>,
    secret: Secret,
    len: usize,
}

impl<A> std::fmt::Debug for FlowTable<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({} of {} slots)", self.len, self.slots.len())
    }
}

impl<A: Address> FlowTable<A> {
    /// Makes a table that can hold `entries`.
    pub(super) fn new(entries: usize, secret: Secret) -> Self {
        let size = (entries + entries.div_ceil(3)).next_power_of_two();
        let mut slots = Vec::with_capacity(size);
        prefer_huge_pages(&mut slots);
        slots.resize(size, FlowEntry::default());
        Self {
            slots: slots.into(),
            secret,
            len: 0,
        }
    }

    pub(super) const fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn slots(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to the size of the table")]
    const fn home(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&self.slots[self.home(hash)]);
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &Tuple<A>, protocol: u8) -> Option<usize> {
        let slot = probe(self.home(hash), self.mask(), |slot| {
            let entry = &self.slots[slot];
            (entry.key == *key && entry.protocol == protocol) || entry.is_free()
        });
        (!self.slots[slot].is_free()).then_some(slot)
    }

    pub(super) fn at(&self, slot: usize) -> &FlowEntry<A> {
        &self.slots[slot]
    }

    pub(super) fn at_mut(&mut self, slot: usize) -> &mut FlowEntry<A> {
        &mut self.slots[slot]
    }

    /// Inserts an entry whose key is not there; the caller keeps to the number of entries of `new`.
    pub(super) fn insert(&mut self, entry: FlowEntry<A>) -> usize {
        debug_assert!(self.len < self.slots.len() - 1);
        let home = self.home(self.secret.hash(&entry.key, entry.protocol));
        let slot = probe(home, self.mask(), |slot| self.slots[slot].is_free());
        self.slots[slot] = entry;
        self.len += 1;
        slot
    }

    /// Removes the entry of a slot, and moves up those behind it that would not be found any more.
    pub(super) fn remove(&mut self, slot: usize) {
        let free = self.close_gap(slot);
        self.slots[free] = FlowEntry::default();
        self.len -= 1;
    }

    /// Removes two entries; the second is found anew, since removing the first may have moved it.
    pub(super) fn remove_two(&mut self, one: usize, other: usize) {
        let (key, protocol) = (self.slots[other].key, self.slots[other].protocol);
        self.remove(one);
        if let Some(other) = self.find(self.secret.hash(&key, protocol), &key, protocol) {
            self.remove(other);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &FlowEntry<A>> {
        self.slots.iter().filter(|e| !e.is_free())
    }
}

impl<A: Address> Probed for FlowTable<A> {
    #[inline]
    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    fn home_at(&self, slot: usize) -> Option<usize> {
        let entry = &self.slots[slot];
        (!entry.is_free()).then(|| self.home(self.secret.hash(&entry.key, entry.protocol)))
    }

    fn move_entry(&mut self, from: usize, to: usize) {
        self.slots[to] = self.slots[from];
    }
}
