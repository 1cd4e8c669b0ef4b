//! Which source ports are in use towards which backend.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::hash::Keyed;
use crate::wire::Address;

/// What a source port must be unique for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey<A> {
    /// The address that the pod sees.
    pub source: A,
    /// The pod.
    pub backend: A,
    /// Its port.
    pub backend_port: u16,
    /// IANA number.
    pub protocol: u8,
}

/// Every source port is in use towards the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolsFull;

/// Empty pools that are kept for the next backend, so that backends that come and go do not allocate.
const SPARE: usize = 64;

/// From one beginning to the next: a prime, so that (but for a slice of that width) it is never a whole round.
const STRIDE: u64 = 7_919;

/// A pool for each backend that has flows.
#[derive(Debug)]
pub(super) struct Pools<A> {
    first: u16,
    count: u32,
    pools: HashMap<PoolKey<A>, Pool, Keyed>,
    spare: Vec<Pool>,
    /// Pools begun so far.
    begun: u16,
}

impl<A: Address> Pools<A> {
    pub(super) fn new(ports: RangeInclusive<u16>) -> Self {
        assert!(!ports.is_empty(), "no source ports");
        let count = u32::from(*ports.end()) - u32::from(*ports.start()) + 1;
        Self {
            first: *ports.start(),
            count,
            pools: HashMap::default(),
            spare: Vec::with_capacity(SPARE),
            begun: 0,
        }
    }

    /// Takes a port. The first port of a backend is anywhere, and elsewhere each time, even if `random` is the same;
    /// then they go up in order, so that one is used again as late as possible, when the pod has forgotten the
    /// connection before.
    pub(super) fn take(&mut self, key: &PoolKey<A>, random: u64) -> Result<u16, PoolsFull> {
        let Self {
            first,
            count,
            pools,
            spare,
            begun,
        } = self;
        let pool = pools.entry(*key).or_insert_with(|| {
            let mut pool = spare.pop().unwrap_or_else(|| Pool::new(*count));
            *begun = begun.wrapping_add(1);
            let start = (random >> 16).wrapping_add(u64::from(*begun) * STRIDE) % u64::from(*count);
            pool.cursor = u32::try_from(start).unwrap_or(0);
            pool
        });
        let index = pool.take().ok_or(PoolsFull)?;
        // Below `count`, which is no more than the ports from `first` on.
        u16::try_from(index)
            .map(|index| *first + index)
            .map_err(|_| PoolsFull)
    }

    pub(super) fn give_back(&mut self, key: &PoolKey<A>, port: u16) {
        let Some(pool) = self.pools.get_mut(key) else {
            return;
        };
        if let Some(index) = port.checked_sub(self.first) {
            pool.give_back(index.into());
        }
        if pool.used == 0
            && let Some(pool) = self.pools.remove(key)
            && self.spare.len() < SPARE
        {
            self.spare.push(pool);
        }
    }

    pub(super) fn in_use(&self) -> usize {
        self.pools.values().map(|p| p.used as usize).sum()
    }
}

/// A set of numbers below a limit that finds a free one in a few steps however full it is: one bit for each number,
/// and over each word of those a bit that says that it is full.
#[derive(Debug)]
struct Pool {
    words: Box<[u64]>,
    full: Box<[u64]>,
    used: u32,
    /// Where the search begins.
    cursor: u32,
}

impl Pool {
    fn new(count: u32) -> Self {
        let count = count as usize;
        let mut pool = Self {
            words: vec![0; count.div_ceil(64)].into(),
            full: vec![0; count.div_ceil(64 * 64)].into(),
            used: 0,
            cursor: 0,
        };
        // Bits beyond the limit are in use for ever.
        for index in count..pool.words.len() * 64 {
            pool.words[index / 64] |= 1 << (index % 64);
        }
        for word in pool.words.len()..pool.full.len() * 64 {
            pool.full[word / 64] |= 1 << (word % 64);
        }
        pool
    }

    fn take(&mut self) -> Option<u32> {
        let index = self
            .free_from(self.cursor as usize)
            .or_else(|| self.free_from(0))?;
        let word = &mut self.words[index / 64];
        *word |= 1 << (index % 64);
        if *word == u64::MAX {
            self.full[index / 64 / 64] |= 1 << (index / 64 % 64);
        }
        self.used += 1;
        let index = u32::try_from(index).ok()?;
        self.cursor = index + 1;
        Some(index)
    }

    fn give_back(&mut self, index: usize) {
        let bit = 1 << (index % 64);
        if self.words[index / 64] & bit != 0 {
            self.words[index / 64] &= !bit;
            self.full[index / 64 / 64] &= !(1 << (index / 64 % 64));
            self.used -= 1;
        }
    }

    /// The first free number that is not below `from`. At most 18 steps for 65,535 ports.
    fn free_from(&self, from: usize) -> Option<usize> {
        let word = from / 64;
        let free = !self.words.get(word)? & (u64::MAX << (from % 64));
        if free != 0 {
            return Some(word * 64 + free.trailing_zeros() as usize);
        }
        let word = clear_from(&self.full, word + 1)?;
        Some(word * 64 + (!self.words[word]).trailing_zeros() as usize)
    }
}

/// The first clear bit that is not below `from`.
fn clear_from(words: &[u64], from: usize) -> Option<usize> {
    let mut mask = u64::MAX << (from % 64);
    for (i, word) in words.iter().enumerate().skip(from / 64) {
        let clear = !word & mask;
        if clear != 0 {
            return Some(i * 64 + clear.trailing_zeros() as usize);
        }
        mask = u64::MAX;
    }
    None
}

#[cfg(test)]
mod tests;
