//! A pair of sockets: where there are no eventfds.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

#[derive(Debug)]
pub(super) struct SocketPair {
    rung: UnixStream,
    heard: UnixStream,
}

impl SocketPair {
    pub(super) fn new() -> io::Result<Self> {
        let (rung, heard) = UnixStream::pair()?;
        rung.set_nonblocking(true)?;
        heard.set_nonblocking(true)?;
        Ok(Self { rung, heard })
    }

    pub(super) fn ring(&self) {
        // The only error is that there is no room, and then the bell rings already.
        let _ = (&self.rung).write(&[1]);
    }

    /// Reads all that is there: one silence is for all rings before it.
    pub(super) fn silence(&self) {
        let mut bytes = [0; 256];
        while matches!((&self.heard).read(&mut bytes), Ok(read) if read == bytes.len()) {}
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}
