//! What is counted for each holder of a number: routes, upstreams, Services.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::number::Number;

/// Counts that can begin anew.
pub trait Resettable: Default {
    /// Sets all of them to 0; the writer alone may.
    fn clear(&self);
}

/// Blocks of a part.
const PART: usize = 64;
/// Parts at most. The last is never made, so that the greatest `u16` is nobody's index.
const PARTS: usize = 1024;

/// One worker's counts of every holder of a number. The worker writes and anybody reads. When a number has another holder
/// its counts begin anew with the first thing that is counted.
///
/// Where packets are counted the worker allocates nothing: who gives out numbers [makes room](Self::make_room) before the
/// worker hears of them. An L7 stage, which allocates for its connections anyway, [makes it](Self::of_any) with the first
/// thing that it counts: most of thousands of routes rest, and take nothing.
///
/// There is room for [`Self::MOST`] numbers; those above share one block that nobody reads.
pub struct Slab<T> {
    parts: Box<[SlabPart<T>; PARTS]>,
    beyond: Numbered<T>,
}

/// Blocks that are made together.
type SlabPart<T> = OnceLock<Box<[Numbered<T>]>>;

/// What is counted of one holder.
#[derive(Default)]
pub struct Numbered<T> {
    /// Of the holder whose counts these are.
    birth: AtomicU64,
    counts: T,
}

impl<T> Deref for Numbered<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.counts
    }
}

impl<T: Resettable> Slab<T> {
    /// Numbers that there is room for.
    pub const MOST: usize = PART * (PARTS - 1);

    /// Makes room for the numbers whose index is below `end`; not for the worker to call.
    pub fn make_room(&self, end: usize) {
        let parts = end.min(Self::MOST).div_ceil(PART);
        self.parts[..parts].iter().for_each(make);
    }

    /// For the worker: the counts at an index whose present holder [`Self::of`] was asked about before.
    #[inline]
    #[must_use]
    pub fn at(&self, index: u16) -> &T {
        self.block(index.into())
    }

    /// For the worker: the counts of a holder.
    #[inline]
    #[must_use]
    pub fn of(&self, number: &Number) -> &T {
        let block = self.block(number.index());
        if block.birth.load(Ordering::Relaxed) != number.birth() {
            block.counts.clear();
            // Who sees the new birth sees nothing of the holder before.
            block.birth.store(number.birth(), Ordering::Release);
        }
        &block.counts
    }

    /// The same for a writer that may allocate: where there is no room it is made.
    #[inline]
    #[must_use]
    pub fn of_any(&self, number: &Number) -> &T {
        if number.index() < Self::MOST {
            make(&self.parts[number.index() / PART]);
        }
        self.of(number)
    }

    /// For readers: the counts of a holder that they know to be there, if anything was counted.
    #[must_use]
    pub fn read(&self, number: &Number) -> Option<&T> {
        let index = number.index();
        let block = self.parts.get(index / PART)?.get()?.get(index % PART)?;
        (block.birth.load(Ordering::Acquire) == number.birth()).then_some(&block.counts)
    }

    #[inline]
    fn block(&self, index: usize) -> &Numbered<T> {
        let part = self.parts.get(index / PART).and_then(OnceLock::get);
        part.and_then(|part| part.get(index % PART))
            .unwrap_or(&self.beyond)
    }
}

fn make<T: Default>(part: &SlabPart<T>) {
    part.get_or_init(|| (0..PART).map(|_| Numbered::default()).collect());
}

impl<T: Default> Default for Slab<T> {
    fn default() -> Self {
        Self {
            parts: Box::new([const { OnceLock::new() }; PARTS]),
            beyond: Numbered::default(),
        }
    }
}

impl<T> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.parts.iter().filter(|part| part.get().is_some()).count();
        write!(f, "Slab({made} parts)")
    }
}
