//! The end of a process, told by a pidfd: Linux.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Result,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// A process whose end is awaited. It stays this one though its number is given to another.
#[derive(Debug)]
pub(super) struct Exit(OwnedFd);

impl Exit {
    pub(super) fn of_child(pid: Pid) -> Result<Self> {
        pidfd_open(pid, PidfdFlags::empty()).map(Self)
    }

    pub(super) fn of_any(pid: Pid) -> Result<Self> {
        Self::of_child(pid)
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.0, signal)
    }

    /// Whether it ends within so long.
    pub(super) fn within(&self, deadline: Duration) -> Result<bool> {
        readable(&self.0, deadline)
    }
}

fn readable(fd: &OwnedFd, deadline: Duration) -> Result<bool> {
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: i64::MAX,
            tv_nsec: 0,
        });
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}
