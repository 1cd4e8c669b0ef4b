//! A hash table whose buckets are cache lines.
//!
//! ```text
//! key ─hash─► bucket, 64 bytes: keys k0 … kN ┊ values v0 … vN ┊ displaced
//! ```
//!
//! All keys of a bucket are compared, without a branch on which one it is. An entry whose bucket is full stands in
//! the next one with room, and every bucket that it passed counts it in `displaced`: a look-up ends at the first
//! bucket that nothing was displaced from. Values are not 0, which stands for nothing.

use std::hint::select_unpredictable;

use crate::tracked::Tracked;

/// Fewer would make collisions likely where they cost most, in small clusters.
const BUCKETS_MIN: usize = 64;

/// What a table can be keyed by.
pub(super) trait Key: Copy + Default + Eq {
    /// The upper bits count.
    fn hash(self) -> u64;
}

impl Key for u64 {
    #[inline]
    fn hash(self) -> u64 {
        // Both halves count, neither has been chosen by a stranger, and a few collisions do no harm.
        self.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

impl Key for u128 {
    #[inline]
    fn hash(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the key")]
        let (high, low) = ((self >> 64) as u64, self as u64);
        high.wrapping_mul(0xd6e8_feb8_6659_fd93)
            .wrapping_add(low.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Bucket<K, const N: usize> {
    keys: [K; N],
    values: [u32; N],
    displaced: u32,
}

/// From keys to numbers other than 0; `N` entries and a count fill a cache line.
#[derive(Clone, Debug)]
pub(super) struct Buckets<K, const N: usize> {
    buckets: Tracked<Bucket<K, N>>,
    /// 64 less the number of bits of a bucket's index.
    shift: u32,
    len: usize,
}

impl<K: Key, const N: usize> Default for Buckets<K, N> {
    fn default() -> Self {
        Self::with_buckets(BUCKETS_MIN)
    }
}

impl<K: Key, const N: usize> Buckets<K, N> {
    fn with_buckets(count: usize) -> Self {
        let empty = Bucket {
            keys: [K::default(); N],
            values: [0; N],
            displaced: 0,
        };
        Self {
            buckets: Tracked::filled(empty, count),
            shift: 64 - count.trailing_zeros(),
            len: 0,
        }
    }

    /// The value of the key, or 0.
    #[inline(always)]
    pub(super) fn get(&self, key: K) -> u32 {
        let home = self.home(key);
        let bucket = &self.buckets[home];
        let value = bucket.get(key);
        if (value == 0) & (bucket.displaced != 0) {
            return self.further(key, home);
        }
        value
    }

    #[cold]
    #[inline(never)]
    fn further(&self, key: K, home: usize) -> u32 {
        self.place(key, home)
            .map_or(0, |(at, lane)| self.buckets[at].values[lane])
    }

    /// Sets the value of the key, and returns the one before, or 0.
    pub(super) fn insert(&mut self, key: K, value: u32) -> u32 {
        let mut home = self.home(key);
        if let Some((at, lane)) = self.place(key, home) {
            return std::mem::replace(&mut self.buckets.edit(at).values[lane], value);
        }
        // A third taken: few look-ups go beyond the first bucket.
        if (self.len + 1) * 3 > self.buckets.len() * N {
            self.grow();
            home = self.home(key);
        }
        self.add(key, value, home);
        0
    }

    /// Takes the key out, and returns its value, or 0.
    pub(super) fn remove(&mut self, key: K) -> u32 {
        let home = self.home(key);
        let Some((at, lane)) = self.place(key, home) else {
            return 0;
        };
        let mut passed = home;
        while passed != at {
            self.buckets.edit(passed).displaced -= 1;
            passed = self.after(passed);
        }
        self.len -= 1;
        let bucket = self.buckets.edit(at);
        bucket.keys[lane] = K::default();
        std::mem::take(&mut bucket.values[lane])
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.buckets.memory()
    }

    /// See [`Tracked::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.buckets.catch_up(&newer.buckets);
        (self.shift, self.len) = (newer.shift, newer.len);
    }

    #[inline(always)]
    fn home(&self, key: K) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "an index of the table")]
        let home = (key.hash() >> self.shift) as usize;
        home
    }

    fn after(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }

    /// Bucket and lane of a key that is there.
    fn place(&self, key: K, home: usize) -> Option<(usize, usize)> {
        let mut at = home;
        loop {
            let bucket = &self.buckets[at];
            let lane = (0..N).find(|lane| bucket.keys[*lane] == key && bucket.values[*lane] != 0);
            if let Some(lane) = lane {
                return Some((at, lane));
            }
            if bucket.displaced == 0 {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Adds a key that is not there; there is room.
    fn add(&mut self, key: K, value: u32, home: usize) {
        let mut at = home;
        loop {
            let bucket = self.buckets.edit(at);
            if let Some(lane) = bucket.values.iter().position(|v| *v == 0) {
                bucket.keys[lane] = key;
                bucket.values[lane] = value;
                self.len += 1;
                return;
            }
            bucket.displaced += 1;
            at = self.after(at);
        }
    }

    fn grow(&mut self) {
        let mut larger = Self::with_buckets(self.buckets.len() * 2);
        for bucket in self.buckets.iter() {
            for (key, value) in bucket.keys.iter().zip(bucket.values).filter(|(_, v)| *v != 0) {
                larger.add(*key, value, larger.home(*key));
            }
        }
        *self = larger;
    }
}

impl<K: Key, const N: usize> Bucket<K, N> {
    #[inline(always)]
    fn get(&self, key: K) -> u32 {
        // A key stands in one lane at most. Whether it does in any is a coin's toss, so there is no branch on it.
        let mut found = 0;
        for (k, value) in self.keys.iter().zip(self.values) {
            found |= select_unpredictable(*k == key, value, 0);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_are_cache_lines() {
        assert_eq!(size_of::<Bucket<u64, 5>>(), 64);
        assert_eq!(size_of::<Bucket<u128, 3>>(), 64);
    }

    /// Puts every key in one of a few buckets at the end of the table, so that entries are displaced and wrap around.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    struct Crowded(u16);

    impl Key for Crowded {
        fn hash(self) -> u64 {
            u64::MAX << 57 | u64::from(self.0 & 1) << 62
        }
    }

    fn check<K: Key + std::hash::Hash + std::fmt::Debug, const N: usize>(
        operations: &[(u16, u32)],
        key: impl Fn(u16) -> K,
    ) -> Result<(), TestCaseError> {
        let mut table = Buckets::<K, N>::default();
        let mut behind = Buckets::<K, N>::default();
        let mut model = HashMap::new();
        for batch in operations.chunks(40) {
            behind.catch_up(&table);
            std::mem::swap(&mut table, &mut behind);
            for (number, value) in batch {
                if *value == 0 {
                    prop_assert_eq!(table.remove(key(*number)), model.remove(number).unwrap_or(0));
                } else {
                    let before = model.insert(*number, *value).unwrap_or(0);
                    prop_assert_eq!(table.insert(key(*number), *value), before);
                }
            }
            prop_assert_eq!(table.len(), model.len());
            for number in 0..600 {
                prop_assert_eq!(table.get(key(number)), model.get(&number).copied().unwrap_or(0));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn agrees_with_a_map(operations in proptest::collection::vec((0_u16..600, 0_u32..4), 0..1_500)) {
            check::<u64, 5>(&operations, |n| u64::from(n) << 32 | 7)?;
            check::<u128, 3>(&operations, |n| u128::from(n) << 64)?;
            check::<Crowded, 3>(&operations[..operations.len().min(200)], Crowded)?;
        }
    }
}
