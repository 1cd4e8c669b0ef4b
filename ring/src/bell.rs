//! A doorbell: one end of a pair of connected Unix stream sockets. A byte means "look again", the end of the stream
//! means that the peer is gone.
//!
//! Why not an eventfd: its status flags belong to the open file, which both processes share. A peer could
//! clear `O_NONBLOCK`, fill the counter, and this side's next `write` would never return. Each end of a socket
//! pair is an open file of its own, and `MSG_DONTWAIT` holds for each call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, send};

use crate::sockets;

/// Whether the peer still holds its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connected {
    Open,
    HungUp,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Both ends.
    pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
        let (one, other) = UnixStream::pair()?;
        Ok((one.into(), other.into()))
    }

    /// Wakes the peer, or leaves it to the bytes that it has not yet read.
    pub(crate) fn ring(&self) -> io::Result<Connected> {
        match send(&self.0, &[1], sockets::SEND) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(Connected::Open),
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(Connected::HungUp),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the bytes that are there; to be followed by a look at the ring. A peer that sends without end costs
    /// a few calls, what is left then wakes this side once too often.
    pub(crate) fn drain(&self) -> io::Result<Connected> {
        let mut bytes = [0u8; 256];
        for _ in 0..4 {
            match recv(&self.0, &mut bytes[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(Connected::HungUp),
                Ok((_, n)) if n == bytes.len() => {}
                Ok(_) | Err(Errno::AGAIN) => return Ok(Connected::Open),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Connected::Open)
    }

    /// Ends the line for both sides.
    pub(crate) fn hang_up(&self) {
        // The peer may have done so already, which is an error of no consequence.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// When to stop waiting; `None` for never, as for a timeout too long for the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Waits until a descriptor has one of the events it is paired with, or hangs up, and gives each one's
    /// events. `None` when the deadline passed without.
    pub(crate) fn wait<const N: usize>(
        self,
        on: [(BorrowedFd<'_>, PollFlags); N],
    ) -> io::Result<Option<[PollFlags; N]>> {
        let mut descriptors = on.map(|(fd, events)| PollFd::from_borrowed_fd(fd, events));
        loop {
            let left = self.0.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut descriptors, timeout.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(descriptors.map(|descriptor| descriptor.revents()))),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
