//! Free frames of one worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::utils::CachePadded;

use super::{Frame, Umem};

/// How many frames move between a cache and the pool at once.
const BULK: usize = 64;

/// How many free frames a cache keeps to itself at most.
const LIMIT: usize = 4 * BULK;

/// One worker's free frames, in front of the pool that all share.
///
/// As long as a worker puts about as many frames as it takes, it touches no shared memory. Dropping the cache
/// puts its frames into the pool.
pub struct FrameCache {
    umem: &'static Umem,
    /// Last in, first out: the frame put last is the one still in the processor's cache.
    free: Vec<u32>,
    held: Arc<CachePadded<AtomicUsize>>,
}

impl FrameCache {
    pub(super) fn new(umem: &'static Umem, held: Arc<CachePadded<AtomicUsize>>) -> Self {
        Self {
            umem,
            free: Vec::with_capacity(LIMIT),
            held,
        }
    }

    /// The memory that the frames are from.
    #[must_use]
    pub fn umem(&self) -> &'static Umem {
        self.umem
    }

    /// A free frame of length 0, or `None` if all are in use.
    #[inline]
    pub fn take(&mut self) -> Option<Frame> {
        let index = self.take_index()?;
        self.publish();
        // SAFETY: the frame was free, and it is in this cache no more.
        Some(unsafe { Frame::own(self.umem, index, 0) })
    }

    /// Frees a frame.
    #[inline]
    pub fn put(&mut self, frame: Frame) {
        if !std::ptr::eq(frame.umem(), self.umem) {
            // Not from here: let it go back to where it is from.
            drop(frame);
            return;
        }
        self.put_index(frame.into_index());
        self.publish();
    }

    /// How many frames could be taken now, if no other worker took any.
    #[must_use]
    pub fn available(&mut self) -> usize {
        self.free.len() + self.umem.pool.len()
    }

    /// Takes a free frame by its index; [`FrameCache::publish`] is to be called after the last one.
    #[inline]
    pub(crate) fn take_index(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            self.refill();
        }
        self.free.pop()
    }

    /// Frees frame `index`, which the caller owned; [`FrameCache::publish`] is to be called after the last one.
    #[inline]
    pub(crate) fn put_index(&mut self, index: u32) {
        if self.free.len() == LIMIT {
            self.flush();
        }
        self.free.push(index);
    }

    /// Tells [`Umem::free_frames`] how many frames are here.
    #[inline]
    pub(crate) fn publish(&self) {
        self.held.store(self.free.len(), Ordering::Release);
    }

    #[cold]
    fn refill(&mut self) {
        for _ in 0..BULK {
            let Some(index) = self.umem.pool.pop() else { break };
            self.free.push(index);
        }
    }

    /// Gives the frames that were put first, and so are the coldest, to the pool.
    #[cold]
    fn flush(&mut self) {
        for index in self.free.drain(..BULK) {
            self.umem.release(index);
        }
    }
}

impl Drop for FrameCache {
    fn drop(&mut self) {
        for index in self.free.drain(..) {
            self.umem.release(index);
        }
        self.held.store(0, Ordering::Release);
    }
}

impl std::fmt::Debug for FrameCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameCache")
            .field("free", &self.free.len())
            .finish_non_exhaustive()
    }
}
