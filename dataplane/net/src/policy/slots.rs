//! A hash table in which most look-ups touch one slot: of eight bytes for IPv4 addresses, of 16 for cells, of 32 for IPv6.

use std::hash::{BuildHasher, RandomState};

use crate::double_buffered::DoubleBuffered;
use crate::probing::{Probed, probe};

/// Fewer would make collisions likely where they cost most, in small clusters.
const SLOTS_MIN: usize = 256;

/// A key and its value.
pub(super) trait Slot: Copy {
    type Key: Copy + Eq;
    /// Without a key; its value is 0.
    const EMPTY: Self;

    fn new(key: Self::Key, value: u32) -> Self;
    fn key(self) -> Self::Key;
    fn value(self) -> u32;
    /// The upper bits count. Without the `secret` nobody can prepare keys that collide.
    fn hash(key: Self::Key, secret: u64) -> u64;
}

/// From keys to numbers other than 0.
///
/// A quarter of the slots is taken at most.
#[derive(Clone, Debug)]
pub(super) struct Slots<S> {
    slots: DoubleBuffered<S>,
    /// 64 less the number of bits of a slot's index.
    shift: u32,
    /// There are clusters where who makes a pod chooses its address.
    secret: u64,
    len: usize,
}

impl<S: Slot> Default for Slots<S> {
    fn default() -> Self {
        Self::with_slots(SLOTS_MIN, RandomState::new().hash_one(0_u64))
    }
}

impl<S: Slot> Slots<S> {
    fn with_slots(count: usize, secret: u64) -> Self {
        Self {
            slots: DoubleBuffered::filled(S::EMPTY, count),
            shift: 64 - count.trailing_zeros(),
            secret,
            len: 0,
        }
    }

    /// The value of a key, or 0.
    #[inline(always)]
    pub(super) fn get(&self, key: S::Key) -> u32 {
        let slot = self.slots[self.home(key)];
        // One branch for both, which is mostly taken.
        if (slot.key() == key) | (slot.value() == 0) {
            return slot.value();
        }
        self.further(key)
    }

    #[inline(never)]
    fn further(&self, key: S::Key) -> u32 {
        self.slots[self.find(key)].value()
    }

    /// Sets the value of a key, which is not 0.
    pub(super) fn insert(&mut self, key: S::Key, value: u32) {
        let mut at = self.find(key);
        if self.slots[at].value() == 0 {
            if (self.len + 1) * 4 > self.slots.len() {
                self.grow();
                at = self.find(key);
            }
            self.len += 1;
        }
        *self.slots.edit(at) = S::new(key, value);
    }

    /// Takes a key out, and returns its value, or 0.
    pub(super) fn remove(&mut self, key: S::Key) -> u32 {
        let gap = self.find(key);
        let value = self.slots[gap].value();
        if value == 0 {
            return 0;
        }
        self.len -= 1;
        let free = self.close_gap(gap);
        *self.slots.edit(free) = S::EMPTY;
        value
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.slots.memory()
    }

    /// See [`DoubleBuffered::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.slots.catch_up(&newer.slots);
        (self.shift, self.secret, self.len) = (newer.shift, newer.secret, newer.len);
    }

    #[inline(always)]
    fn home(&self, key: S::Key) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "an index of the table")]
        let home = (S::hash(key, self.secret) >> self.shift) as usize;
        home
    }

    /// Where the key is, or would be.
    fn find(&self, key: S::Key) -> usize {
        probe(self.home(key), self.mask(), |at| {
            self.slots[at].value() == 0 || self.slots[at].key() == key
        })
    }

    fn grow(&mut self) {
        let mut larger = Self::with_slots(self.slots.len() * 2, self.secret);
        for slot in self.slots.iter().filter(|slot| slot.value() != 0) {
            larger.insert(slot.key(), slot.value());
        }
        *self = larger;
    }
}

impl<S: Slot> Probed for Slots<S> {
    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    fn home_at(&self, slot: usize) -> Option<usize> {
        let slot = self.slots[slot];
        (slot.value() != 0).then(|| self.home(slot.key()))
    }

    fn move_entry(&mut self, from: usize, to: usize) {
        *self.slots.edit(to) = self.slots[from];
    }
}

/// Of neighbouring numbers, the products' upper bits are spread evenly (Knuth, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// IPv4: the address, then the value.
impl Slot for u64 {
    type Key = u32;
    const EMPTY: Self = 0;

    fn new(address: u32, value: u32) -> Self {
        Self::from(address) << 32 | Self::from(value)
    }

    #[inline(always)]
    fn key(self) -> u32 {
        (self >> 32) as u32
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    fn value(self) -> u32 {
        self as u32
    }

    #[inline(always)]
    fn hash(address: u32, secret: u64) -> u64 {
        (u64::from(address) ^ secret).wrapping_mul(GOLDEN)
    }
}

/// A cell: guard and column, then ports.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub(super) struct Cell {
    key: u64,
    value: u32,
}

impl Slot for Cell {
    type Key = u64;
    const EMPTY: Self = Self { key: 0, value: 0 };

    fn new(key: u64, value: u32) -> Self {
        Self { key, value }
    }

    #[inline(always)]
    fn key(self) -> u64 {
        self.key
    }

    #[inline(always)]
    fn value(self) -> u32 {
        self.value
    }

    #[inline(always)]
    fn hash(key: u64, secret: u64) -> u64 {
        // Both halves count, and a few collisions do no harm.
        (key ^ secret).wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

/// IPv6.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Wide {
    address: u128,
    value: u32,
}

impl Slot for Wide {
    type Key = u128;
    const EMPTY: Self = Self { address: 0, value: 0 };

    fn new(address: u128, value: u32) -> Self {
        Self { address, value }
    }

    #[inline(always)]
    fn key(self) -> u128 {
        self.address
    }

    #[inline(always)]
    fn value(self) -> u32 {
        self.value
    }

    #[inline(always)]
    fn hash(address: u128, secret: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the address")]
        let (network, host) = ((address >> 64) as u64, address as u64);
        // Hosts of a network have numbers next to each other, or none that have anything in common.
        (network ^ secret.rotate_left(32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
            ^ (host ^ secret).wrapping_mul(GOLDEN)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn check<S: Slot + Clone>(
        operations: &[(usize, u32)],
        addresses: &[S::Key],
        few: usize,
    ) -> Result<(), TestCaseError>
    where
        S::Key: std::hash::Hash,
    {
        let (mut table, mut behind) = (Slots::<S>::default(), Slots::<S>::default());
        let mut model = HashMap::new();
        for batch in operations.chunks(40) {
            behind.catch_up(&table);
            std::mem::swap(&mut table, &mut behind);
            for (number, value) in batch {
                let address = addresses[number % few];
                if *value == 0 {
                    prop_assert_eq!(table.remove(address), model.remove(&address).unwrap_or(0));
                } else {
                    table.insert(address, *value);
                    model.insert(address, *value);
                }
            }
            prop_assert_eq!(table.len(), model.len());
            for address in addresses {
                prop_assert_eq!(table.get(*address), model.get(address).copied().unwrap_or(0));
            }
        }
        Ok(())
    }

    /// Addresses that share a few homes at the end of a small table, so that chains are long and wrap around.
    fn crowded() -> Vec<u32> {
        let table = Slots::<u64>::default();
        let last = |address: &u32| table.home(*address) >= SLOTS_MIN - 3;
        (0..20_000).filter(last).collect()
    }

    #[test]
    fn addresses_that_collide_in_one_table_do_not_in_another() {
        let known = Slots::<u64>::default();
        let prepared: Vec<u32> = (0..100_000).filter(|address| known.home(*address) < 2).collect();
        assert!(prepared.len() > 500);
        // Of random secrets, one in sixty leaves fewer than 33 homes (down to 11): so of five tables, the middle one counts.
        let mut homes: Vec<_> = std::iter::repeat_with(Slots::<u64>::default)
            .take(5)
            .map(|other| {
                let homes: std::collections::HashSet<_> = prepared.iter().map(|a| other.home(*a)).collect();
                homes.len()
            })
            .collect();
        homes.sort_unstable();
        assert!(homes[2] > 32, "{homes:?} homes");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn agrees_with_a_map(operations in proptest::collection::vec((0_usize..200, 0_u32..4), 0..1_500)) {
            let v4: Vec<u32> = (0x0a80_0000..).take(200).collect();
            check::<u64>(&operations, &v4, 200)?;
            check::<u64>(&operations, &crowded(), 60)?;
            let v6: Vec<u128> = (0..200).map(|i| 0xfd00 << 112 | (i % 7) << 64 | i).collect();
            check::<Wide>(&operations, &v6, 200)?;
            let cells: Vec<u64> = (0..200).map(|i| ((i % 9) << 32) | i).collect();
            check::<Cell>(&operations, &cells, 200)?;
        }
    }
}
