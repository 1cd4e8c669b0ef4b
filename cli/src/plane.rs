//! One plane in this process.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[path = "plane/by_signal.rs"]
mod supervisor;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
#[path = "plane/by_looking.rs"]
mod supervisor;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, getppid};

/// Names the supervisor's process id to a plane that `headgate run` starts.
pub(crate) const SUPERVISOR: &str = "HEADGATE_SUPERVISOR";

pub(crate) fn dataplane(options: headgate_dataplane::Options) -> Result<()> {
    // Nobody has promised anybody anything: whoever starts the supervisor again must find no dataplane that drains.
    end_with_supervisor(Signal::QUIT)?;
    Ok(headgate_dataplane::run(options)?)
}

pub(crate) fn controlplane(options: headgate_kubernetes::PlaneOptions) -> Result<()> {
    end_with_supervisor(Signal::TERM)?;
    Ok(headgate_kubernetes::run(options)?)
}

/// Has this process get `signal` when its supervisor dies, even of SIGKILL; without a supervisor does nothing.
fn end_with_supervisor(signal: Signal) -> Result<()> {
    let Some(value) = std::env::var_os(SUPERVISOR) else {
        return Ok(());
    };
    let supervisor = value
        .to_str()
        .and_then(|pid| Pid::from_raw(pid.parse().ok()?))
        .with_context(|| format!("{SUPERVISOR}={} is no process id", value.display()))?;
    supervisor::end_with(supervisor, signal).context("asking for the end of the supervisor")?;
    // It may have died before the line above took effect.
    ensure!(
        getppid() == Some(supervisor),
        "the supervisor, process {supervisor}, is gone"
    );
    Ok(())
}
