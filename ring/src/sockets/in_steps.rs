//! With calls of POSIX: a program that another thread starts between two of them may inherit a socket. The planes start
//! no programs.

use std::os::fd::OwnedFd;

use rustix::event::PollFlags;
use rustix::io::{FdFlags, Result, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, socket};

/// Sending waits for nothing. That a peer that has gone is an error and no signal, the start of every Rust program sees
/// to: it ignores SIGPIPE, and Darwin has no flag for it.
pub(crate) const SEND: SendFlags = SendFlags::DONTWAIT;

/// Receiving waits for nothing.
pub(crate) const RECEIVE: RecvFlags = RecvFlags::DONTWAIT;

/// What poll(2) is asked for to learn that the other end has gone, whatever is still to be read: nothing; what it may
/// say of that, it says unasked. Whoever must know looks at a second socket of the peer's, on which nothing waits.
pub(crate) const GONE: PollFlags = PollFlags::empty();

/// A Unix stream socket that waits for nothing and is closed on exec.
pub(crate) fn new() -> Result<OwnedFd> {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// A connection that waits to be accepted, closed on exec.
pub(crate) fn accept(listener: &OwnedFd) -> Result<OwnedFd> {
    let socket = rustix::net::accept(listener)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    Ok(socket)
}

/// Has a descriptor that was received closed on exec.
pub(crate) fn received(descriptor: &OwnedFd) -> Result<()> {
    fcntl_setfd(descriptor, FdFlags::CLOEXEC)
}
