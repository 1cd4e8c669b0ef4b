//! The end of a parent, told by the kernel: Linux.

use std::io;

use rustix::process::{Pid, Signal, set_parent_process_death_signal};

/// Has the kernel send `signal` to this process when its parent, `_supervisor`, dies.
pub(super) fn end_with(_supervisor: Pid, signal: Signal) -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(signal))?)
}
