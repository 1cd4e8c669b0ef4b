//! A frame in user space.

use std::fmt;
use std::ptr::NonNull;

use super::{FRAME_CAPACITY, FRAME_HEADROOM, FRAME_SIZE, Umem};

/// One packet's memory, owned.
///
/// There is one `Frame` at most for each frame of a [`Umem`]: it is made when a free frame is taken or when the
/// kernel hands one back, and ends when it is put back, sent, or dropped. Dropping one puts it into the
/// shared pool; [`super::FrameCache::put`] is the faster way.
pub struct Frame {
    packet: NonNull<u8>,
    umem: &'static Umem,
    index: u32,
    /// `len <= FRAME_CAPACITY`
    len: u32,
}

// SAFETY: a Frame is the only way to its bytes, which nothing ties to a thread.
unsafe impl Send for Frame {}
// SAFETY: `&Frame` gives `&[u8]` alone.
unsafe impl Sync for Frame {}

impl Frame {
    /// Makes the owner of frame `index`, holding a packet of `len` bytes.
    ///
    /// # Safety
    ///
    /// The frame must be in user space and have no owner: neither a `Frame`, nor a place in a cache or the pool.
    ///
    /// # Panics
    ///
    /// Panics if there is no such frame, or if `len` is above [`FRAME_CAPACITY`].
    pub(crate) unsafe fn own(umem: &'static Umem, index: u32, len: usize) -> Self {
        assert!(
            len <= FRAME_CAPACITY,
            "a packet of {len} bytes in a frame of {FRAME_CAPACITY}"
        );
        Self {
            packet: umem.region.packet(index),
            umem,
            index,
            len: len as u32,
        }
    }

    /// Ends the ownership without freeing the frame: the caller has it now, by its index.
    pub(crate) fn into_index(self) -> u32 {
        let index = self.index;
        std::mem::forget(self);
        index
    }

    /// Moves a packet of this frame's length from `offset` in the frame to where packets begin.
    ///
    /// # Panics
    ///
    /// Panics if the packet would end behind the frame.
    pub(crate) fn move_from(&mut self, offset: usize) {
        assert!(
            offset + self.len() <= FRAME_SIZE,
            "a packet that ends behind its frame"
        );
        // SAFETY: `packet` is FRAME_HEADROOM into a frame of FRAME_SIZE bytes, all of them this Frame's own;
        // both places are within, by the assertion and by `len <= FRAME_CAPACITY`. `copy` allows overlap.
        unsafe {
            let from = self.packet.sub(FRAME_HEADROOM).add(offset);
            from.copy_to(self.packet, self.len());
        }
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The memory that the frame is part of.
    #[must_use]
    pub fn umem(&self) -> &'static Umem {
        self.umem
    }

    /// The packet, from its link-layer header on.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        // SAFETY: `packet` points to FRAME_CAPACITY initialised bytes that live for ever and that only
        // this Frame reaches, and `len` is no more than that.
        unsafe { std::slice::from_raw_parts(self.packet.as_ptr(), self.len as usize) }
    }

    /// The packet, to be changed in place.
    #[inline]
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`, and `&mut self` is the only borrow.
        unsafe { std::slice::from_raw_parts_mut(self.packet.as_ptr(), self.len as usize) }
    }

    /// Bytes of the packet: `0 <= len <= capacity`.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the packet has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the packet shorter or longer; bytes that appear at its end are whatever was there before.
    ///
    /// # Panics
    ///
    /// Panics if `len` is above [`Frame::capacity`].
    #[inline]
    pub fn set_len(&mut self, len: usize) {
        assert!(
            len <= FRAME_CAPACITY,
            "a packet of {len} bytes in a frame of {FRAME_CAPACITY}"
        );
        self.len = len as u32;
    }

    /// The longest packet that fits.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        FRAME_CAPACITY
    }

    /// Makes `packet` the frame's packet.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if it does not fit; the frame is then as it was.
    pub fn copy_from(&mut self, packet: &[u8]) -> Result<(), TooLong> {
        if packet.len() > FRAME_CAPACITY {
            return Err(TooLong { len: packet.len() });
        }
        self.set_len(packet.len());
        self.data_mut().copy_from_slice(packet);
        Ok(())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.umem.release(self.index);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("index", &self.index)
            .field("len", &self.len)
            .finish()
    }
}

/// A packet does not fit a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {len} bytes does not fit a frame of {FRAME_CAPACITY}")]
pub struct TooLong {
    /// The packet's length.
    pub len: usize,
}
