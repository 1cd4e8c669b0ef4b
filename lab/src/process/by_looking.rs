//! The end of a process, looked for again and again: where there are no pidfds.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::{Errno, Result},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, test_kill_process, waitid},
};

const PAUSE: Duration = Duration::from_millis(5);

/// A process whose end is awaited.
#[derive(Debug)]
pub(super) enum Exit {
    /// Its number is its own until its end is asked for by `Child::wait`.
    Child(Pid),
    /// Its number may be given to another after its end: what is awaited then ends later.
    Any(Pid),
}

impl Exit {
    pub(super) fn of_child(pid: Pid) -> Result<Self> {
        Ok(Self::Child(pid))
    }

    pub(super) fn of_any(pid: Pid) -> Result<Self> {
        test_kill_process(pid).map(|()| Self::Any(pid))
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let (Self::Child(pid) | Self::Any(pid)) = self;
        kill_process(*pid, signal)
    }

    /// Whether it ends within so long.
    pub(super) fn within(&self, deadline: Duration) -> Result<bool> {
        let end = Instant::now() + deadline;
        loop {
            if self.has_ended()? {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            thread::sleep(left.min(PAUSE));
        }
    }

    fn has_ended(&self) -> Result<bool> {
        match self {
            // Looks and leaves it to be waited for.
            Self::Child(pid) => {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                match waitid(WaitId::Pid(*pid), options) {
                    Err(Errno::INTR) => Ok(false),
                    // Somebody has waited for it.
                    Err(Errno::CHILD) => Ok(true),
                    other => other.map(|status| status.is_some()),
                }
            }
            Self::Any(pid) => match test_kill_process(*pid) {
                Err(Errno::SRCH) => Ok(true),
                other => other.map(|()| false),
            },
        }
    }
}
