//! Memory shared by two processes: a sealed memfd, mapped.
//!
//! This is the only file of the crate with `unsafe`; [`peer_credentials`] stands here for that reason alone.
//! What a mapping hands out is a slice of [`AtomicU64`]: the peer
//! may write any word at any time, and to read a word that someone else is writing is defined for atomics
//! alone. Everything above it is safe code that trusts no word it reads.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

pub(crate) use std::sync::atomic::{AtomicU64, fence};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Bytes of a word, the unit of the mapping.
pub(crate) const WORD: usize = size_of::<AtomicU64>();

/// What keeps the mapping valid: were the file to shrink, touching a page behind its end would be SIGBUS.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// A mapped memfd whose size cannot change; unmapped when dropped.
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
    /// Creates a memfd of `words` zeroed words, backs it with memory, seals its size and maps it.
    ///
    /// Memory is taken now: a page that cannot be had later would be SIGBUS, here it is `ENOSPC` or `ENOMEM`.
    pub(crate) fn create(words: usize) -> io::Result<(Self, OwnedFd)> {
        let bytes = words.checked_mul(WORD).ok_or(io::ErrorKind::InvalidInput)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
        let file = match rustix::fs::memfd_create("headgate-ring", flags) {
            // Linux before 6.3 does not know NOEXEC_SEAL.
            Err(rustix::io::Errno::INVAL) => {
                rustix::fs::memfd_create("headgate-ring", flags - MemfdFlags::NOEXEC_SEAL)?
            }
            other => other?,
        };
        rustix::fs::ftruncate(&file, bytes as u64)?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes as u64)?;
        rustix::fs::fcntl_add_seals(&file, SEALS)?;
        Ok((Self::map(file.as_fd(), words)?, file))
    }

    /// Maps a memfd that the peer made, after checking that its size is `words` and cannot change.
    pub(crate) fn open(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(file)?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(io::Error::other(
                "the shared memory is not sealed against shrinking",
            ));
        }
        let size = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
        if size != words as u64 * WORD as u64 {
            return Err(io::Error::other(format!(
                "the shared memory has {size} bytes, not {words} words of 8"
            )));
        }
        Self::map(file, words)
    }

    /// `file` is sealed and has `words` words.
    fn map(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let bytes = words
            .checked_mul(WORD)
            .filter(|&n| n > 0)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so no existing mapping is replaced; length and offset lie
        // within the file, which the seal keeps from shrinking.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, file, 0)? };
        let mapping = Self {
            start: NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            words,
        };
        // SAFETY: address and length are those of the mapping just made; the advice changes no content: private
        // keys cross the ring, and they shall not be in a core dump.
        unsafe { rustix::mm::madvise(start, bytes, Advice::LinuxDontDump)? };
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

/// Process (0 when it is not visible from here), user and group at the other end of a Unix socket, as they were
/// when it connected or listened (`SO_PEERCRED`, unix(7)).
///
/// rustix has this too, but holds a process number in a type that must not be 0, and 0 is what the kernel says of a
/// peer in another PID namespace: the usual case of two containers in one pod.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `size` bytes, which is the
    // size of `credentials`, and every bit pattern of its integers is valid.
    let result = unsafe {
        let target = (&raw mut credentials).cast();
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            target,
            &raw mut size,
        )
    };
    if result != 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(credentials)
    }
}
