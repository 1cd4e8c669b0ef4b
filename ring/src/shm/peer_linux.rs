//! Who is at the other end of a socket: Linux tells its process, too.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Process (0 when it is not visible from here) and user at the other end of a Unix socket, as they were
/// when it connected or listened (`SO_PEERCRED`, unix(7)).
///
/// rustix has this too, but holds a process number in a type that must not be 0, and 0 is what the kernel says of a
/// peer in another PID namespace: the usual case of two containers in one pod.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<(i32, u32)> {
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
        Ok((credentials.pid, credentials.uid))
    }
}
