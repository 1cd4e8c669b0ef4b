//! `headgate run`: both planes as children of one supervisor.

mod arguments;
mod keeper;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::log::{LogFlags, LogFormat};
pub(crate) use arguments::RunOptions;
use keeper::{Ended, Keeper, Plane};

/// Runs until SIGINT or SIGTERM, or until a plane cannot start.
pub(crate) fn run(options: &RunOptions, log: &LogFlags) -> Result<ExitCode> {
    let program = this_program().context("finding this program's own file")?;
    let planes = [
        ("dataplane", &options.dataplane, DATAPLANE_PATIENCE),
        ("controlplane", &options.controlplane, CONTROLPLANE_PATIENCE),
    ]
    .map(|(name, own, patience)| {
        let mut arguments = vec![name.into()];
        arguments.extend(own.iter().cloned());
        arguments.extend(log_arguments(log));
        Plane {
            name,
            program: program.clone(),
            arguments,
            patience,
        }
    });
    // On this thread alone: the kernel ends the children when the thread that started them ends.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the supervisor")?;
    runtime.block_on(supervise(planes, Keeper::default()))
}

/// On Linux the very file that runs, though an upgrade may have replaced it on disk.
fn this_program() -> std::io::Result<PathBuf> {
    if cfg!(all(target_os = "linux", not(feature = "portable"))) {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}

fn log_arguments(log: &LogFlags) -> Vec<std::ffi::OsString> {
    let format = match log.log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let mut arguments = vec!["--log-format".into(), format.into()];
    if let Some(filter) = &log.log {
        arguments.extend(["--log".into(), filter.into()]);
    }
    arguments
}

/// Keeps the planes running; ends all of them at a signal, or when one of them cannot start.
async fn supervise(planes: [Plane; 2], keeper: Keeper) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let (stop, stopped) = watch::channel(false);
    let names = planes.each_ref().map(|plane| plane.name);
    let [first, second] = planes.map(|plane| keeper.keep(plane, stopped.clone()));
    let (mut first, mut second) = (Box::pin(first), Box::pin(second));
    let (ended, other) = tokio::select! {
        _ = interrupt.recv() => (None, None),
        _ = terminate.recv() => (None, None),
        ended = &mut first => (Some((names[0], ended)), Some(second.as_mut())),
        ended = &mut second => (Some((names[1], ended)), Some(first.as_mut())),
    };
    stop.send_replace(true);
    let (Some((name, ended)), Some(other)) = (ended, other) else {
        tracing::info!("stopping");
        let (first, second) = tokio::join!(first, second);
        return first.and(second).map(|_| ExitCode::SUCCESS);
    };
    if let Ok(Ended::CannotStart { code }) = ended {
        tracing::error!("the {name} cannot start and has said why (exit code {code}): stopping");
    }
    other.await?;
    ended.map(|ended| match ended {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::CannotStart { code } => ExitCode::from(code),
    })
}

/// How long the dataplane may take to put back what it has changed on the machine; then it is killed.
const DATAPLANE_PATIENCE: Duration = Duration::from_secs(5);
/// Likewise the control plane, which may have to tell the API of a cluster that it goes.
const CONTROLPLANE_PATIENCE: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests;
