//! The end of a parent, looked for again and again.

use std::{io, thread, time::Duration};

use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

/// A plane that goes on alone for so long does no harm.
const PAUSE: Duration = Duration::from_millis(200);

/// Has a thread send `signal` to this process once its parent is another than `supervisor`: a process whose parent dies
/// gets another one.
pub(super) fn end_with(supervisor: Pid, signal: Signal) -> io::Result<()> {
    let watch = move || {
        while getppid() == Some(supervisor) {
            thread::sleep(PAUSE);
        }
        // A signal to oneself is always allowed.
        let _ = kill_process(getpid(), signal);
    };
    let thread = thread::Builder::new().name("headgate-parent".into());
    thread.spawn(watch).map(drop)
}
