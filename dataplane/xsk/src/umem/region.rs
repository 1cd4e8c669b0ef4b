//! Where the frames lie in memory.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::num::NonZeroU32;
use std::ptr::NonNull;

use super::{FRAME_CAPACITY, FRAME_HEADROOM, FRAME_SIZE};

/// `frames` frames of [`FRAME_SIZE`] bytes one after the other, never unmapped.
pub(super) struct Region {
    pub(super) base: NonNull<u8>,
    pub(super) frames: u32,
    #[cfg(target_os = "linux")]
    pub(super) kernel: Option<KernelRegion>,
}

/// The kernel's view of the same memory.
#[cfg(target_os = "linux")]
pub(crate) struct KernelRegion {
    pub(crate) umem: xsk_rs::Umem,
    /// The descriptor of each frame, by index; its packet begins at [`FRAME_HEADROOM`].
    pub(crate) descriptors: Box<[xsk_rs::FrameDesc]>,
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
            #[cfg(target_os = "linux")]
            kernel: None,
        }
    }

    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    #[cfg(target_os = "linux")]
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
