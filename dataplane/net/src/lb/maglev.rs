//! Maglev's consistent hashing (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
//! Balancer", NSDI 2016, section 3.4).
//!
//! Each backend prefers the table's entries in an order of its own, a permutation drawn from its address.
//! Backends take turns; in each turn a backend takes the first entry on its list that is still free. So each
//! gets the same share, give or take one entry, and when one leaves, few entries of the others move.

use std::net::SocketAddr;

use crate::hash;

/// Sizes of tables: primes, so that every step width visits every entry. About doubling; 65,537 is the paper's.
const SIZES: [u32; 16] = [
    1, 251, 509, 1_021, 2_039, 4_093, 8_191, 16_381, 32_749, 65_537, 131_071, 262_139, 524_287, 1_048_573,
    2_097_143, 4_194_301,
];

/// Entries for each backend, at least: shares then differ by 1% at most (section 3.4: M > 100 N).
const ENTRIES_EACH: usize = 100;

/// Most backends of a table: as many as the largest size serves.
pub const MAX_BACKENDS: usize = SIZES[SIZES.len() - 1] as usize / ENTRIES_EACH;
/// The control plane goes by this: one Service above the limit must not have a whole state refused.
const _: () = assert!(MAX_BACKENDS == headgate_ring::limits::SERVICE_BACKENDS);

/// Seeds of the permutations' two numbers and of the clients' hash. Never change them: nodes of one cluster
/// must agree, also while a new version is rolled out.
const OFFSET_SEED: u64 = 0x6d61_676c_6576_0001;
const SKIP_SEED: u64 = 0x6d61_676c_6576_0002;

/// Why no table was built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaglevError {
    /// The table would need more than the largest size.
    #[error("{0} backends are more than {MAX_BACKENDS}")]
    TooManyBackends(usize),
}

/// A lookup table: entry by hash, giving the number of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maglev {
    entries: Box<[u16]>,
}

/// How many entries the table for so many backends has: a prime, at least 100 for each; `None` above the limit.
#[must_use]
pub fn table_size(backends: usize) -> Option<u32> {
    if backends <= 1 {
        return Some(SIZES[0]);
    }
    SIZES
        .into_iter()
        .find(|size| *size as usize >= backends * ENTRIES_EACH)
}

impl Maglev {
    /// Builds the table of [`table_size`] for backends in this order; the same on every machine.
    ///
    /// # Errors
    /// When there are too many backends.
    pub fn build(backends: &[SocketAddr]) -> Result<Self, MaglevError> {
        let size = table_size(backends.len()).ok_or(MaglevError::TooManyBackends(backends.len()))?;
        Ok(Self::with_size(backends, size))
    }

    /// Builds a table of `size` entries, a prime, at least as many as backends, which are at most 65,535.
    #[must_use]
    pub fn with_size(backends: &[SocketAddr], size: u32) -> Self {
        let Ok(count) = u16::try_from(backends.len()) else {
            return Self {
                entries: Box::default(),
            };
        };
        if count == 0 {
            return Self {
                entries: Box::default(),
            };
        }
        let mut entries = vec![0; size as usize].into_boxed_slice();
        let mut free = Free::new(size);
        let mut lists: Vec<Permutation> = backends.iter().map(|b| Permutation::new(*b, size)).collect();
        for (turn, backend) in (0..size).zip((0..count).cycle()) {
            debug_assert!(turn < size);
            let entry = lists[usize::from(backend)].take_first(&mut free, size);
            entries[entry as usize] = backend;
        }
        Self { entries }
    }

    /// The backend for this hash; `None` when there are no backends.
    #[inline]
    #[must_use]
    pub fn pick(&self, hash: u64) -> Option<u16> {
        // The upper 32 bits, scaled to the table: a multiplication where a remainder would divide.
        let entry = ((hash >> 32) * self.entries.len() as u64) >> 32;
        self.entries.get(entry as usize).copied()
    }

    /// The table: backends' numbers.
    #[must_use]
    pub fn entries(&self) -> &[u16] {
        &self.entries
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of_val(&*self.entries)
    }
}

/// A backend's list of preferences: `offset`, `offset + skip`, `offset + 2 skip`, ... modulo the size.
struct Permutation {
    next: u32,
    skip: u32,
}

impl Permutation {
    fn new(backend: SocketAddr, size: u32) -> Self {
        let draw = |seed, range: u32| {
            let hash = hash::mix_address(seed, backend.ip(), backend.port().into());
            u32::try_from(hash % u64::from(range.max(1))).unwrap_or(0)
        };
        Self {
            next: draw(OFFSET_SEED, size),
            skip: draw(SKIP_SEED, size - 1) + 1,
        }
    }

    /// Takes the first entry on the list that is free; there is one while fewer than `size` are taken.
    fn take_first(&mut self, free: &mut Free, size: u32) -> u32 {
        loop {
            let entry = self.next;
            let following = entry + self.skip;
            self.next = if following >= size {
                following - size
            } else {
                following
            };
            if free.take(entry) {
                return entry;
            }
        }
    }
}

/// One bit for each entry: an eighth of a byte keeps 65,537 in the first-level cache, where two bytes would not.
struct Free(Box<[u64]>);

impl Free {
    fn new(size: u32) -> Self {
        Self(vec![u64::MAX; (size as usize).div_ceil(64)].into())
    }

    #[inline]
    fn take(&mut self, entry: u32) -> bool {
        let word = &mut self.0[(entry / 64) as usize];
        let bit = 1 << (entry % 64);
        let was_free = *word & bit != 0;
        *word &= !bit;
        was_free
    }
}
