//! How two processes begin a session: one listens, the other connects.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::PollFlags;

use crate::bell::Deadline;
use crate::handshake::{self, HandshakeError, failed};
use crate::session::{ControlSession, DataSession, Session};
use crate::sizes::Sizes;
use crate::socket_file::{self, SocketFile};

/// Where a dataplane awaits control planes. Removes the socket file when dropped.
#[derive(Debug)]
pub struct SessionListener {
    file: SocketFile,
    sizes: Sizes,
}

impl SessionListener {
    /// Binds `path` with mode 0600, creating its directory with mode 0700 where it is missing, and replacing the
    /// socket of a process that is gone. A socket where someone answers, or a file that is no socket, is an error.
    pub fn bind(path: &Path) -> Result<Self, HandshakeError> {
        Self::bind_with(path, Sizes::default())
    }

    /// As [`SessionListener::bind`], with rings of other sizes.
    pub fn bind_with(path: &Path, sizes: Sizes) -> Result<Self, HandshakeError> {
        sizes.layout().map_err(failed("lay out the rings"))?;
        Ok(Self {
            file: SocketFile::bind(path)?,
            sizes,
        })
    }

    /// The session with the next control plane; `None` when none came in time. An error concerns the one that came:
    /// the listener goes on. A peer may hold up the handshake for half a second at most.
    pub fn accept(&self, timeout: Option<Duration>) -> Result<Option<DataSession>, HandshakeError> {
        let deadline = Deadline::after(timeout);
        loop {
            if let Some(socket) = self.file.try_accept()? {
                return handshake::answer(socket, self.sizes).map(Session::data).map(Some);
            }
            let wait = deadline.wait([(self.as_fd(), PollFlags::IN)]);
            if wait.map_err(failed("wait for a control plane"))?.is_none() {
                return Ok(None);
            }
        }
    }
}

/// Readable when a control plane knocks; [`SessionListener::accept`] with a timeout of zero then does not wait.
impl AsFd for SessionListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// For tokio's `AsyncFd`, which asks for it.
impl AsRawFd for SessionListener {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_fd().as_raw_fd()
    }
}

/// The session with the dataplane that listens at `path`. Waits half a second at most; a dataplane that is not
/// there is an error at once.
pub fn connect(path: &Path) -> Result<ControlSession, HandshakeError> {
    let socket = socket_file::connect(path).map_err(failed("connect to the dataplane"))?;
    handshake::ask(socket).map(Session::control)
}

/// Both ends in one process.
pub fn pair() -> Result<(ControlSession, DataSession), HandshakeError> {
    pair_with(Sizes::default())
}

/// As [`pair`], with rings of other sizes.
pub fn pair_with(sizes: Sizes) -> Result<(ControlSession, DataSession), HandshakeError> {
    let (control, data) = handshake::pair(sizes)?;
    Ok((Session::control(control), Session::data(data)))
}

#[cfg(test)]
mod tests;
