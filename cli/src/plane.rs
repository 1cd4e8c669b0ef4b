//! One plane in this process.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Names the supervisor's process id to a plane that `headgate run` starts.
pub(crate) const SUPERVISOR: &str = "HEADGATE_SUPERVISOR";

pub(crate) fn dataplane(options: headgate_dataplane::Options) -> Result<()> {
    end_with_supervisor()?;
    Ok(headgate_dataplane::run(options)?)
}

pub(crate) fn controlplane(options: headgate_controlplane::Options) -> Result<()> {
    end_with_supervisor()?;
    Ok(headgate_controlplane::run(options)?)
}

/// Has the kernel end this process when its supervisor dies, even of SIGKILL; without a supervisor does nothing.
fn end_with_supervisor() -> Result<()> {
    let Some(value) = std::env::var_os(SUPERVISOR) else {
        return Ok(());
    };
    let supervisor = value
        .to_str()
        .and_then(|pid| Pid::from_raw(pid.parse().ok()?))
        .with_context(|| format!("{SUPERVISOR}={} is no process id", value.display()))?;
    set_parent_process_death_signal(Some(Signal::TERM))
        .context("asking for a signal when the supervisor dies")?;
    // It may have died before the line above took effect.
    ensure!(
        getppid() == Some(supervisor),
        "the supervisor, process {supervisor}, is gone"
    );
    Ok(())
}
