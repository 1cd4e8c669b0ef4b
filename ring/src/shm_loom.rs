//! Stands in for `shm` where loom explores interleavings: memory of its own atomics, in one process.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

pub(crate) use loom::sync::atomic::{AtomicU64, fence};

pub(crate) const WORD: usize = 8;

#[derive(Debug)]
pub(crate) struct Mapping(Vec<AtomicU64>);

impl Mapping {
    pub(crate) fn heap(words: usize) -> Self {
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn create(_words: usize) -> io::Result<(Self, OwnedFd)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn open(_file: BorrowedFd<'_>, _words: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        &self.0
    }
}

pub(crate) fn peer_credentials(_socket: BorrowedFd<'_>) -> io::Result<(i32, u32)> {
    Err(io::ErrorKind::Unsupported.into())
}
