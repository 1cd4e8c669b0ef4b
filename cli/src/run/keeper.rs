//! Keeps one plane running.

use std::{
    convert::Infallible,
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::{sleep, timeout},
};

use crate::plane::SUPERVISOR;

/// What to run.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// How long it may take to end when asked to; then it is killed.
    pub(super) patience: Duration,
}

/// The signals that a plane is asked to end with, in the order in which they came; it is asked once there is one.
pub(super) type Asked = watch::Receiver<Vec<Signal>>;

/// When a plane is started again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeper {
    /// Pause before the first restart; doubled each time.
    pub(super) shortest: Duration,
    /// The pause grows no longer than this.
    pub(super) longest: Duration,
    /// A plane that lived so long has been well: what ended it is not its configuration, and pauses are short again.
    pub(super) settled: Duration,
}

impl Default for Keeper {
    fn default() -> Self {
        Self {
            shortest: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            settled: Duration::from_secs(10),
        }
    }
}

/// Why a plane is not kept any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// It gave up by itself soon after its first start and said why: starting it again would not help.
    CannotStart { code: u8 },
}

impl Keeper {
    /// Runs `plane`, again and again, until it is asked to end or cannot start.
    pub(super) async fn keep(self, plane: Plane, mut asked: Asked) -> Result<Ended> {
        let mut restarts: u32 = 0;
        let mut failures: u32 = 0;
        loop {
            let started = Instant::now();
            let mut child = start(&plane)?;
            let status = tokio::select! {
                status = child.wait() => status.with_context(|| format!("waiting for the {}", plane.name))?,
                () = is_asked(&mut asked) => {
                    end(&plane, child, asked).await?;
                    return Ok(Ended::Stopped);
                }
            };
            let settled = started.elapsed() >= self.settled;
            if restarts == 0
                && !settled
                && let Some(code) = gave_up(status)
            {
                return Ok(Ended::CannotStart { code });
            }
            failures = if settled { 0 } else { failures + 1 };
            restarts += 1;
            let pause = self.pause(failures);
            tracing::warn!(plane = plane.name, %status, ?pause, restarts, "a plane ended; starting it again");
            tokio::select! {
                () = sleep(pause) => {}
                () = is_asked(&mut asked) => return Ok(Ended::Stopped),
            }
        }
    }

    /// The pause after so many failures in a row.
    fn pause(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.shortest.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// Waits until there is a signal, or nobody is left to give one.
async fn is_asked(asked: &mut Asked) {
    // Either outcome means the same.
    let _ = asked.wait_for(|signals| !signals.is_empty()).await;
}

fn start(plane: &Plane) -> Result<Child> {
    Command::new(&plane.program)
        .args(&plane.arguments)
        .env(SUPERVISOR, std::process::id().to_string())
        .envs(plane.environment.iter().copied())
        // Ctrl-C is for the supervisor, which ends the planes in its own way.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting the {} ({})", plane.name, plane.program.display()))
}

/// Hands a plane the signals that it is asked to end with, and kills it when it does not.
async fn end(plane: &Plane, mut child: Child, asked: Asked) -> Result<()> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let ended = tokio::select! {
        ended = timeout(plane.patience, child.wait()) => ended,
        never = hand_on(pid, asked) => match never {},
    };
    match ended {
        Ok(status) => {
            let status = status.with_context(|| format!("waiting for the {}", plane.name))?;
            if !ended_as_asked(status) {
                tracing::warn!(plane = plane.name, %status, "a plane did not end well");
            }
        }
        Err(_) => {
            tracing::warn!(plane = plane.name, patience = ?plane.patience, "a plane did not end when asked: killing it");
            child
                .kill()
                .await
                .with_context(|| format!("killing the {}", plane.name))?;
        }
    }
    Ok(())
}

/// Sends a process each signal as it comes.
async fn hand_on(to: Option<Pid>, mut asked: Asked) -> Infallible {
    let mut sent = 0;
    loop {
        let mut signals = asked.borrow_and_update().clone();
        if signals.is_empty() {
            // Nobody is left who could say how.
            signals.push(Signal::TERM);
        }
        for signal in signals.iter().skip(sent) {
            if let Some(pid) = to {
                // It may just have ended.
                let _ = kill_process(pid, *signal);
            }
        }
        sent = signals.len();
        if asked.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether a process that was asked to end did so by itself, or was ended by a signal that asks: one that has only
/// just begun has no handler yet.
fn ended_as_asked(status: ExitStatus) -> bool {
    let asked = [Signal::TERM, Signal::INT, Signal::QUIT].map(Signal::as_raw);
    status.success() || status.signal().is_some_and(|signal| asked.contains(&signal))
}

/// The exit code of a process that ended by itself with an error, as opposed to one that was killed.
fn gave_up(status: ExitStatus) -> Option<u8> {
    let code = status.code().filter(|&code| code != 0)?;
    // A panic's 101 is a fault of the program, not of its configuration.
    (code != 101).then(|| u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const QUICK: Keeper = Keeper {
        shortest: Duration::from_millis(1),
        longest: Duration::from_millis(4),
        settled: Duration::from_secs(3600),
    };

    fn shell(script: &str, argument: &Path) -> Plane {
        let arguments = vec!["-c".into(), script.into(), "plane".into(), argument.into()];
        Plane {
            name: "plane",
            program: "/bin/sh".into(),
            arguments,
            environment: &[],
            patience: Duration::from_secs(20),
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<u128> = [1, 2, 3, 4, 90].map(|n| QUICK.pause(n).as_millis()).into();
        assert_eq!(pauses, [1, 2, 4, 4, 4]);
    }

    #[tokio::test]
    async fn an_error_at_the_first_start_is_final() {
        let (_stop, stopped) = watch::channel(Vec::new());
        let ended = QUICK.keep(shell("exit 2", Path::new("")), stopped).await.unwrap();
        assert_eq!(ended, Ended::CannotStart { code: 2 });
    }

    #[tokio::test]
    async fn a_killed_plane_is_started_again_until_told_to_stop() {
        let directory = tempfile::tempdir().unwrap();
        let (stop, stopped) = watch::channel(Vec::new());
        // Dies of SIGKILL twice, then says so and stays.
        let script = "echo x >> $1/starts; [ $(wc -l < $1/starts) -lt 3 ] && kill -9 $$; \
                      touch $1/up; exec tail -f /dev/null";
        let plane = shell(script, directory.path());
        let keeping = tokio::spawn(QUICK.keep(plane, stopped));
        let up = directory.path().join("up");
        timeout(Duration::from_secs(20), async {
            while !up.exists() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the plane's third start");
        stop.send_replace(vec![Signal::TERM]);
        assert_eq!(keeping.await.unwrap().unwrap(), Ended::Stopped);
    }

    #[test]
    fn a_plane_without_a_handler_yet_ends_as_asked() {
        // As waitpid(2) has them: signals below, exit codes above.
        let as_asked = |raw| ended_as_asked(ExitStatus::from_raw(raw));
        assert!(as_asked(0) && as_asked(15));
        assert!(!as_asked(9) && !as_asked(1 << 8));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let (_stop, stopped) = watch::channel(Vec::new());
        let plane = Plane {
            name: "dataplane",
            program: "/nonexistent/headgate".into(),
            arguments: Vec::new(),
            environment: &[],
            patience: Duration::ZERO,
        };
        let error = QUICK.keep(plane, stopped).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("starting the dataplane (/nonexistent/headgate)"),
            "{error:#}"
        );
    }
}
