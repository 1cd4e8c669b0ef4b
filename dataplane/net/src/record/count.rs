//! Counts that one thread writes and any other may read.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Id;
use super::snapshot::Snapshot;

/// A number with one writer. Nothing is lost between its load and its store, and neither locks the bus: on the machines
/// that we know it is the plain increment that it would be without readers.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it; the writer alone may.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(more),
            Ordering::Relaxed,
        );
    }

    /// Gives it a value; the writer alone may. Where nothing changes nothing is written, so that readers keep their copy of
    /// the cache line.
    #[inline]
    pub fn set(&self, value: u64) {
        if self.0.load(Ordering::Relaxed) != value {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    /// The value, as of some moment lately.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A count for each of the `N` ids of a list, on cache lines of its own.
#[repr(align(64))]
pub struct Block<I, const N: usize> {
    counts: [Count; N],
    ids: PhantomData<fn(I)>,
}

impl<I: Id, const N: usize> Block<I, N> {
    /// Counts one.
    #[inline]
    pub fn count(&self, id: I) {
        self.add(id, 1);
    }

    /// Counts several.
    #[inline]
    pub fn add(&self, id: I, more: u64) {
        self.counts[id.index()].add(more);
    }

    /// Gives a gauge its value.
    #[inline]
    pub fn set(&self, id: I, value: u64) {
        self.counts[id.index()].set(value);
    }

    /// [`set`](Self::set) for a number of things.
    #[inline]
    pub fn set_len(&self, id: I, value: usize) {
        self.set(id, value as u64);
    }

    /// The value, as of some moment lately.
    #[must_use]
    pub fn get(&self, id: I) -> u64 {
        self.counts[id.index()].get()
    }

    /// Sets all of them to 0.
    pub fn clear(&self) {
        self.counts.iter().for_each(|count| count.set(0));
    }

    /// All values.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<I> {
        Snapshot::of(|id| self.get(id))
    }
}

impl<I, const N: usize> Default for Block<I, N> {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| Count::default()),
            ids: PhantomData,
        }
    }
}

impl<I: Id, const N: usize> fmt::Debug for Block<I, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// Durations in buckets that double: bucket `n` counts those of at most `2^n` microseconds that no smaller one counts, the
/// last one takes the rest.
#[derive(Debug)]
#[repr(align(64))]
pub struct Histogram {
    buckets: [Count; Self::BUCKETS],
    total_us: Count,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Count::default()),
            total_us: Count::default(),
        }
    }
}

impl Histogram {
    /// The last but one ends at 34 s.
    pub const BUCKETS: usize = 27;

    /// Counts a duration.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - us.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[bucket.min(Self::BUCKETS - 1)].add(1);
        self.total_us.add(us);
    }

    /// Forgets all of it.
    pub fn clear(&self) {
        self.buckets.iter().for_each(|bucket| bucket.set(0));
        self.total_us.set(0);
    }

    /// All of it.
    #[must_use]
    pub fn snapshot(&self) -> Latency {
        Latency {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].get()),
            total_us: self.total_us.get(),
        }
    }
}

/// A [`Histogram`] as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Latency {
    /// By bucket.
    pub buckets: [u64; Histogram::BUCKETS],
    /// The sum of all durations, in microseconds.
    pub total_us: u64,
}

impl Latency {
    /// Adds another thread's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.total_us += other.total_us;
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}
