//! Memory that the kernel knows of: what AF_XDP sockets share with it.

use std::error::Error as _;
use std::io;
use std::num::NonZeroU32;
use std::ptr::{self, NonNull};

use xsk_rs::config::{FrameSize, QueueSize, UmemConfig};

use super::region::{KernelRegion, Region};
use super::{FRAME_HEADROOM, FRAME_SIZE, KERNEL_RING_SIZE, UmemError};

impl Region {
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
}

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
