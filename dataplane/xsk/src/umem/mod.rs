//! Packet memory: frames of a fixed size, and who owns each.

mod cache;
mod frame;
mod owner;
mod region;
#[cfg(target_os = "linux")]
mod registered;
#[cfg(test)]
mod tests;

use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

pub use cache::FrameCache;
pub use frame::{Frame, TooLong};
#[cfg(target_os = "linux")]
pub(crate) use owner::Holder;
pub(crate) use owner::Owners;
#[cfg(target_os = "linux")]
pub(crate) use region::KernelRegion;
use region::Region;

/// Bytes of a frame, headroom included.
pub const FRAME_SIZE: usize = 2048;

/// Bytes in front of each packet that the kernel keeps for XDP programs (`XDP_PACKET_HEADROOM`).
pub const FRAME_HEADROOM: usize = 256;

/// The longest packet that a frame holds, link-layer header included.
pub const FRAME_CAPACITY: usize = FRAME_SIZE - FRAME_HEADROOM;

/// Entries of the fill and completion rings of every queue; fixed when the memory is registered.
pub(crate) const KERNEL_RING_SIZE: u32 = 2048;

/// Packet memory, shared by all ports and workers, that lives as long as the process.
///
/// Free frames are in one lock-free pool, behind a [`FrameCache`] for each worker. The others are owned
/// by [`Frame`]s, or by the kernel through a queue's rings.
pub struct Umem {
    region: Region,
    pool: ArrayQueue<u32>,
    owners: Owners,
    /// How many frames each cache holds; written by its owner alone.
    caches: Mutex<Vec<Arc<CachePadded<AtomicUsize>>>>,
    /// How many queues have been bound to it.
    bound: Mutex<usize>,
}

impl Umem {
    /// Memory that no kernel knows of: for tests, benches and captures. Needs no privilege.
    ///
    /// The memory is never given back, so make one for each test and not one for each packet.
    ///
    /// # Panics
    ///
    /// Panics if `frames` is zero or if the memory is not to be had.
    #[must_use]
    pub fn heap(frames: u32) -> &'static Umem {
        let count = NonZeroU32::new(frames).expect("a Umem of no frames");
        Self::leak(Region::heap(count))
    }

    /// Memory registered with the kernel for AF_XDP: `frames` times [`FRAME_SIZE`] bytes, pinned.
    ///
    /// `huge_pages` asks for pages of 2 MiB, which an administrator must have reserved.
    ///
    /// To be called in the network namespace of the interfaces: the memory is registered with a socket, which stays in the
    /// namespace that it was made in, and [`Queue::bind`](crate::Queue::bind) from another one would take the interface
    /// with the same index over there, or none.
    ///
    /// # Errors
    ///
    /// Tells a missing privilege, a memory lock limit that is too low, and missing huge pages apart.
    #[cfg(target_os = "linux")]
    pub fn mapped(frames: u32, huge_pages: bool) -> Result<&'static Umem, UmemError> {
        let count = NonZeroU32::new(frames).ok_or(UmemError::NoFrames)?;
        Ok(Self::leak(Region::mapped(count, huge_pages)?))
    }

    fn leak(region: Region) -> &'static Umem {
        let frames = region.frames();
        let pool = ArrayQueue::new(frames as usize);
        for index in 0..frames {
            pool.push(index).expect("the pool has room for every frame");
        }
        Box::leak(Box::new(Umem {
            region,
            pool,
            owners: Owners::new(frames),
            caches: Mutex::new(Vec::new()),
            bound: Mutex::new(0),
        }))
    }

    /// How many frames there are, free or not.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.region.frames() as usize
    }

    /// A cache of free frames for one worker.
    #[must_use]
    pub fn cache(&'static self) -> FrameCache {
        let held = Arc::new(CachePadded::new(AtomicUsize::new(0)));
        self.caches().push(Arc::clone(&held));
        FrameCache::new(self, held)
    }

    /// How many frames are free, in the pool or in a cache.
    ///
    /// Exact while no worker is taking or putting frames; an approximation otherwise.
    pub fn free_frames(&self) -> usize {
        let mut caches = self.caches();
        // A cache that is gone has put its frames back into the pool.
        caches.retain(|held| Arc::strong_count(held) > 1);
        let cached: usize = caches.iter().map(|held| held.load(Ordering::Acquire)).sum();
        cached + self.pool.len()
    }

    /// How many frames are the kernel's at this moment: waiting to be filled, filled, or being sent.
    #[must_use]
    pub fn kernel_frames(&self) -> usize {
        self.owners.kernel()
    }

    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// The memory as the kernel knows it, if it does.
    #[cfg(target_os = "linux")]
    pub(crate) fn kernel(&self) -> Option<&KernelRegion> {
        self.region.kernel()
    }

    /// How many queues have been bound to it; whoever binds another keeps this locked meanwhile.
    pub(crate) fn bound(&self) -> MutexGuard<'_, usize> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caches(&self) -> MutexGuard<'_, Vec<Arc<CachePadded<AtomicUsize>>>> {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a free frame into the pool.
    fn release(&self, index: u32) {
        // The pool has a place for every frame, and each frame has one owner; so it cannot be full.
        let full = self.pool.push(index).is_err();
        debug_assert!(!full, "frame {index} was released twice");
    }
}

impl std::fmt::Debug for Umem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Umem")
            .field("frames", &self.frames())
            .field("free", &self.free_frames())
            .field("kernel", &self.kernel_frames())
            .finish()
    }
}

/// Why packet memory could not be registered with the kernel.
#[derive(Debug, thiserror::Error)]
pub enum UmemError {
    /// The number of frames was zero.
    #[error("packet memory of no frames: ask for at least one")]
    NoFrames,
    /// `socket(AF_XDP)` was refused.
    #[error(
        "not allowed to open an AF_XDP socket: run as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF \
         (in a container: add these capabilities)"
    )]
    Privilege(#[source] io::Error),
    /// The kernel was built without AF_XDP.
    #[error("this kernel has no AF_XDP sockets: it needs CONFIG_XDP_SOCKETS=y and Linux 5.10 or newer")]
    Unsupported(#[source] io::Error),
    /// More memory than the process may lock.
    #[error(
        "may not lock {bytes} bytes of packet memory: raise the limit (ulimit -l unlimited, or LimitMEMLOCK=infinity \
         in a systemd unit), run with CAP_IPC_LOCK, or ask for fewer frames"
    )]
    MemoryLock {
        /// Bytes asked for.
        bytes: usize,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Fewer huge pages are reserved than needed.
    #[error(
        "no {bytes} bytes of huge pages: reserve them (sysctl -w vm.nr_hugepages={pages}) or do without huge pages"
    )]
    HugePages {
        /// Bytes asked for.
        bytes: usize,
        /// As many pages of 2 MiB.
        pages: usize,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot register {bytes} bytes of packet memory with the kernel")]
    Kernel {
        /// Bytes asked for.
        bytes: usize,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
