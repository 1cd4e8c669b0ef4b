//! `headgate run`: both planes as children of one supervisor.

mod arguments;
mod keeper;

use std::{path::PathBuf, pin::pin, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::{
    signal::unix::SignalKind,
    sync::{mpsc, watch},
};

use crate::log::{LogFlags, LogFormat};
pub(crate) use arguments::RunOptions;
use keeper::{Ended, Keeper, Plane};

/// Runs until SIGINT, SIGTERM or SIGQUIT, or until a plane cannot start.
pub(crate) fn run(options: &RunOptions, log: &LogFlags) -> Result<ExitCode> {
    let program = this_program().context("finding this program's own file")?;
    let planes = [
        (
            "dataplane",
            &options.dataplane,
            &[][..],
            options.drain_time + DATAPLANE_PATIENCE,
        ),
        (
            "controlplane",
            &options.controlplane,
            &CONTROLPLANE_ENVIRONMENT[..],
            CONTROLPLANE_PATIENCE,
        ),
    ]
    .map(|(name, own, environment, patience)| {
        let mut arguments = vec![name.into()];
        arguments.extend(own.iter().cloned());
        arguments.extend(log_arguments(log));
        Plane {
            name,
            program: program.clone(),
            arguments,
            environment,
            patience,
        }
    });
    // On this thread alone: the kernel ends the children when the thread that started them ends.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the supervisor")?;
    runtime.block_on(async { supervise(planes, Keeper::default(), signals()?).await })
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

/// Signals that ask for the end, as they come.
fn signals() -> Result<mpsc::UnboundedReceiver<Signal>> {
    let kinds = [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::quit(), Signal::QUIT),
    ];
    let (sender, signals) = mpsc::unbounded_channel();
    for (kind, signal) in kinds {
        let mut source = tokio::signal::unix::signal(kind).context("listening for signals")?;
        let sender = sender.clone();
        tokio::spawn(async move { while source.recv().await.is_some() && sender.send(signal).is_ok() {} });
    }
    Ok(signals)
}

/// Keeps the planes running; ends both at a signal, or when one of them cannot start.
///
/// Signals are the dataplane's, which drains. Until it has ended, the control plane goes on: pods come and go meanwhile.
async fn supervise(
    [dataplane, controlplane]: [Plane; 2],
    keeper: Keeper,
    mut signals: mpsc::UnboundedReceiver<Signal>,
) -> Result<ExitCode> {
    let (ask_dataplane, asked) = watch::channel(Vec::new());
    let mut keeps_dataplane = pin!(keeper.keep(dataplane, asked));
    let (ask_controlplane, asked) = watch::channel(Vec::new());
    let mut keeps_controlplane = pin!(keeper.keep(controlplane, asked));
    loop {
        tokio::select! {
            Some(signal) = signals.recv() => {
                tracing::info!("stopping");
                ask_dataplane.send_modify(|asked| asked.push(signal));
            }
            ended = &mut keeps_dataplane => {
                ask_controlplane.send_replace(vec![Signal::TERM]);
                return exit("dataplane", ended, keeps_controlplane).await;
            }
            ended = &mut keeps_controlplane => {
                // It has never had anything to serve.
                ask_dataplane.send_modify(|asked| asked.push(Signal::QUIT));
                return exit("controlplane", ended, keeps_dataplane).await;
            }
        }
    }
}

/// What follows from the end of a plane, once the other has ended, too.
async fn exit(
    name: &str,
    ended: Result<Ended>,
    other: impl Future<Output = Result<Ended>>,
) -> Result<ExitCode> {
    if let Ok(Ended::CannotStart { code }) = ended {
        tracing::error!("the {name} cannot start and has said why (exit code {code}): stopping");
    }
    other.await?;
    ended.map(|ended| match ended {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::CannotStart { code } => ExitCode::from(code),
    })
}

/// How long the dataplane may take, after `--drain-time`, to put back what it has changed on the machine; then it is killed.
const DATAPLANE_PATIENCE: Duration = Duration::from_secs(5);
/// Likewise the control plane, which may have to tell the API of a cluster that it goes.
const CONTROLPLANE_PATIENCE: Duration = Duration::from_secs(6);
/// One thread of the control plane makes objects of what the API says, another takes them apart: with one heap for both,
/// what one gives back the other has again. Of a cluster with 50,000 pods that is 400 MB.
const CONTROLPLANE_ENVIRONMENT: [(&str, &str); 1] = [("MALLOC_ARENA_MAX", "1")];

#[cfg(test)]
mod tests;
