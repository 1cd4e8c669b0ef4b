//! Where the frames lie in memory.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::error::Error as _;
use std::io;
use std::num::NonZeroU32;
use std::ptr::{self, NonNull};

use xsk_rs::FrameDesc;
use xsk_rs::config::{FrameSize, QueueSize, UmemConfig};

use super::{FRAME_CAPACITY, FRAME_HEADROOM, FRAME_SIZE, KERNEL_RING_SIZE, UmemError};

/// `frames` frames of [`FRAME_SIZE`] bytes one after the other, never unmapped.
pub(super) struct Region {
    base: NonNull<u8>,
    frames: u32,
    kernel: Option<KernelRegion>,
}

/// The kernel's view of the same memory.
pub(crate) struct KernelRegion {
    pub(crate) umem: xsk_rs::Umem,
    /// The descriptor of each frame, by index; its packet begins at [`FRAME_HEADROOM`].
    pub(crate) descriptors: Box<[FrameDesc]>,
}

// SAFETY: a Region only hands out pointers. Who may follow the pointer of a frame is decided by `Frame`,
// which exists once for each frame that is in user space.
unsafe impl Send for Region {}
// SAFETY: as above; the Region itself is never written after it was made.
unsafe impl Sync for Region {}

impl Region {
    pub(super) fn heap(frames: NonZeroU32) -> Self {
        let layout = Layout::from_size_align(frames.get() as usize * FRAME_SIZE, 4096)
            .expect("fewer than 2^32 frames fit the address space");
        // SAFETY: the size is not zero, as neither factor is.
        let memory = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout));
        Self {
            base,
            frames: frames.get(),
            kernel: None,
        }
    }

    pub(super) fn mapped(frames: NonZeroU32, huge_pages: bool) -> Result<Self, UmemError> {
        let bytes = frames.get() as usize * FRAME_SIZE;
        let (umem, descriptors) = xsk_rs::Umem::new(configuration(), frames, huge_pages)
            .map_err(|error| classify(&error, bytes, huge_pages))?;
        // SAFETY: the descriptor is of this Umem's first frame, which nobody else uses yet.
        let first = unsafe { umem.data(&descriptors[0]) }.contents().as_ptr();
        // The whole mapping was made by mmap(2); a pointer to any of it must not be confined to the
        // first frame's slice, from which its address was read.
        let base = ptr::with_exposed_provenance_mut(first.expose_provenance() - FRAME_HEADROOM);
        Ok(Self {
            base: NonNull::new(base).expect("mmap(2) gives no null pointer"),
            frames: frames.get(),
            kernel: Some(KernelRegion {
                umem,
                descriptors: descriptors.into_boxed_slice(),
            }),
        })
    }

    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    pub(super) fn kernel(&self) -> Option<&KernelRegion> {
        self.kernel.as_ref()
    }

    /// Where the packet of frame `index` begins; [`FRAME_CAPACITY`] bytes follow that are the frame's.
    ///
    /// # Panics
    ///
    /// Panics if there is no such frame.
    pub(super) fn packet(&self, index: u32) -> NonNull<u8> {
        assert!(index < self.frames, "frame {index} of {}", self.frames);
        // SAFETY: `index` is below `frames`, so the offset and FRAME_CAPACITY bytes after it are within
        // the region's one allocation.
        unsafe { self.base.add(index as usize * FRAME_SIZE + FRAME_HEADROOM) }
    }
}

const _: () = assert!(FRAME_HEADROOM + FRAME_CAPACITY == FRAME_SIZE);

fn configuration() -> UmemConfig {
    let ring = QueueSize::new(KERNEL_RING_SIZE).expect("the ring size is a power of two");
    UmemConfig::builder()
        .frame_size(
            FrameSize::new(FRAME_SIZE as u32).expect("frames are no smaller than the kernel's smallest"),
        )
        .fill_queue_size(ring)
        .comp_queue_size(ring)
        .build()
        .expect("a frame is larger than its headroom and a power of two")
}

fn classify(error: &xsk_rs::umem::UmemCreateError, bytes: usize, huge_pages: bool) -> UmemError {
    let source = match error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
    {
        Some(source) => source.raw_os_error().map_or_else(
            || io::Error::other(source.to_string()),
            io::Error::from_raw_os_error,
        ),
        None => io::Error::other(error.to_string()),
    };
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => UmemError::Privilege(source),
        Some(libc::EAFNOSUPPORT) => UmemError::Unsupported(source),
        Some(libc::ENOBUFS) => UmemError::MemoryLock { bytes, source },
        Some(libc::ENOMEM | libc::EINVAL) if huge_pages => UmemError::HugePages {
            bytes,
            pages: bytes.div_ceil(2 << 20),
            source,
        },
        _ => UmemError::Kernel { bytes, source },
    }
}
