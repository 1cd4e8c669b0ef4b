//! Who is at the other end of a socket: BSDs and Darwin.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Process (0 for unknown) and effective user at the other end of a Unix socket, as it was when it connected or listened
/// (getpeereid(3)). Each system tells the process in a way of its own, and it is for the log alone.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<(i32, u32)> {
    let (mut uid, mut gid) = (u32::MAX, u32::MAX);
    // SAFETY: the descriptor is open while it is borrowed; the two pointers are to integers of the types that are
    // written, and any bits are a value of those.
    let result = unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) };
    if result != 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok((0, uid))
    }
}
