//! With flags of the calls themselves: no other thread can start a program between a socket and its flag.

use std::os::fd::OwnedFd;

use rustix::event::PollFlags;
use rustix::io::Result;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, socket_with};

/// Sending waits for nothing, and a peer that has gone is an error and no signal.
pub(crate) const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Receiving waits for nothing; descriptors that come along are closed on exec.
pub(crate) const RECEIVE: RecvFlags = RecvFlags::DONTWAIT.union(RecvFlags::CMSG_CLOEXEC);

/// What poll(2) is asked for to learn that the other end has gone, whatever is still to be read.
pub(crate) const GONE: PollFlags = PollFlags::RDHUP;

/// A Unix stream socket that waits for nothing and is closed on exec.
pub(crate) fn new() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// A connection that waits to be accepted, closed on exec.
pub(crate) fn accept(listener: &OwnedFd) -> Result<OwnedFd> {
    accept_with(listener, SocketFlags::CLOEXEC)
}

/// Nothing is left to be done with a descriptor that was received.
#[expect(
    clippy::unnecessary_wraps,
    reason = "as where there is something to do, which may fail"
)]
pub(crate) fn received(_: &OwnedFd) -> Result<()> {
    Ok(())
}
