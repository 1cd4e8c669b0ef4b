//! A POSIX shared memory object whose name is taken away at once: where there are no sealed memfds.
//!
//! Two things are weaker than on Linux. Nothing keeps a peer from shrinking the object, and then touching what was cut
//! off is SIGBUS: peers are of one user or root (`PeerProcess::admit`), who could as well send the signal. And memory
//! is taken page by page as it is touched, so that running out of it is for the system to handle, and no error.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::Mode;
use rustix::shm::{self, OFlags};

/// Names that may be taken, by chance or by somebody else's intent.
const ATTEMPTS: u32 = 16;

/// So many bytes of zeros, without a name.
pub(super) fn create(bytes: u64) -> io::Result<OwnedFd> {
    let mut attempts = 0;
    let (name, file) = loop {
        attempts += 1;
        // Darwin allows 31 bytes.
        let name = format!("/headgate-{:016x}", getrandom::u64().map_err(io::Error::other)?);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        // Closed on exec on all systems (shm_open(3)).
        match shm::open(&name, flags, Mode::RUSR | Mode::WUSR) {
            Err(rustix::io::Errno::EXIST) if attempts < ATTEMPTS => {}
            other => break (name, other?),
        }
    };
    shm::unlink(&name)?;
    rustix::fs::ftruncate(&file, bytes)?;
    Ok(file)
}

/// Checks that what the peer made has this size, rounded up to pages at most: Darwin tells that size.
pub(super) fn check(file: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    let size = rustix::fs::fstat(file)?.st_size;
    let page = rustix::param::page_size() as u64;
    match u64::try_from(size) {
        Ok(size) if size == bytes || size == bytes.next_multiple_of(page) => Ok(()),
        _ => Err(super::wrong_size(size, bytes)),
    }
}
