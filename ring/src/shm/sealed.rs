//! A memfd, sealed: Linux.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

/// What keeps the mapping valid: were the file to shrink, touching a page behind its end would be SIGBUS.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// So many bytes of zeros, backed with memory, of a size that cannot change.
///
/// Memory is taken now: a page that cannot be had later would be SIGBUS, here it is `ENOSPC` or `ENOMEM`.
pub(super) fn create(bytes: u64) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
    let file = match rustix::fs::memfd_create("headgate-ring", flags) {
        // Linux before 6.3 does not know NOEXEC_SEAL.
        Err(rustix::io::Errno::INVAL) => {
            rustix::fs::memfd_create("headgate-ring", flags - MemfdFlags::NOEXEC_SEAL)?
        }
        other => other?,
    };
    rustix::fs::ftruncate(&file, bytes)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    rustix::fs::fcntl_add_seals(file.as_fd(), SEALS)?;
    Ok(file)
}

/// Checks that what the peer made has this size and keeps it.
pub(super) fn check(file: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    if !rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::SHRINK) {
        return Err(io::Error::other(
            "the shared memory is not sealed against shrinking",
        ));
    }
    let size = rustix::fs::fstat(file)?.st_size;
    if u64::try_from(size).ok() != Some(bytes) {
        return Err(super::wrong_size(size, bytes));
    }
    Ok(())
}
