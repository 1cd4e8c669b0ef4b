//! Memory shared by two processes: a file without a name, mapped.
//!
//! This module is the only one of the crate with `unsafe`; [`peer_credentials`] stands here for that reason alone.
//! What a mapping hands out is a slice of [`AtomicU64`]: the peer
//! may write any word at any time, and to read a word that someone else is writing is defined for atomics
//! alone. Everything above it is safe code that trusts no word it reads.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

pub(crate) use std::sync::atomic::{AtomicU64, fence};

use rustix::mm::{MapFlags, ProtFlags};

#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[path = "shm/sealed.rs"]
mod file;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
#[path = "shm/unnamed.rs"]
mod file;

#[cfg_attr(target_os = "linux", path = "shm/peer_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "shm/peer.rs")]
mod peer;

pub(crate) use peer::peer_credentials;

/// Bytes of a word, the unit of the mapping.
pub(crate) const WORD: usize = size_of::<AtomicU64>();

/// A mapped file of memory; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    /// In words; `words * WORD` is the size of the mapping and of the file.
    words: usize,
}

// SAFETY: the pointer is to a mapping that is not tied to a thread and lives as long as the value; access goes
// through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives nothing but `&[AtomicU64]`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Creates shared memory of `words` zeroed words and maps it.
    pub(crate) fn create(words: usize) -> io::Result<(Self, OwnedFd)> {
        let bytes = words.checked_mul(WORD).ok_or(io::ErrorKind::InvalidInput)?;
        let file = file::create(bytes as u64)?;
        Ok((Self::map(file.as_fd(), words)?, file))
    }

    /// Maps what the peer made, after checking that it has `words` words, and keeps them where the system can see to it.
    pub(crate) fn open(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        file::check(file, words as u64 * WORD as u64)?;
        Self::map(file, words)
    }

    /// `file` has `words` words.
    fn map(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let bytes = words
            .checked_mul(WORD)
            .filter(|&n| n > 0)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so no existing mapping is replaced; length and offset lie
        // within the file. Linux' seal keeps it from shrinking; elsewhere a peer, who is of the same user or root, that
        // shrinks it has the system end this process by SIGBUS, which no reference outlives.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, file, 0)? };
        let mapping = Self {
            start: NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            words,
        };
        #[cfg(target_os = "linux")]
        // SAFETY: address and length are those of the mapping just made; the advice changes no content: private
        // keys cross the ring, and they shall not be in a core dump.
        unsafe {
            rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxDontDump)?;
        };
        Ok(mapping)
    }

    /// The whole mapping.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is page-aligned, so aligned for AtomicU64; the mapping has `words` words, readable and
        // writable, until `self` is dropped; every bit pattern is an AtomicU64; this process forms no other
        // reference to it, and the peer's concurrent writes are what atomics are for.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: address and length of the mapping made in `map`; no borrow of it outlives `self`.
        // It cannot fail for a mapping that exists, and a destructor has nobody to tell.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.words * WORD) };
    }
}

/// Another size than it must have.
fn wrong_size(size: i64, bytes: u64) -> io::Error {
    let words = bytes / WORD as u64;
    io::Error::other(format!(
        "the shared memory has {size} bytes, not {words} words of 8"
    ))
}
