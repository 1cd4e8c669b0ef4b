//! One network namespace.

#[cfg(target_os = "linux")]
mod named;

use std::{ffi::OsStr, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::process::{Finished, Process};
#[cfg(target_os = "linux")]
pub(crate) use named::configure;

/// How long a command that configures something may take.
const CONFIGURE: Duration = Duration::from_secs(20);

/// A named network namespace, as `ip netns` makes them, or the one that this process is in.
///
/// Dropping it removes nothing: the [`Lab`](crate::Lab) does, after it has ended what runs inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// `None` for that of this process.
    name: Option<String>,
}

impl Namespace {
    /// The one that this process is in, which needs no privilege.
    #[must_use]
    pub const fn current() -> Self {
        Self { name: None }
    }

    /// The name, as in `ip netns exec`; empty for the one that this process is in.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// A command that will run inside, with this process's environment, and on Linux end with it. Its `/sys` is that of
    /// this process: a mount namespace of its own costs whoever begins or ends in one a grace period of the kernel, which
    /// on a busy machine takes ten seconds.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let network = |name: &String| vec!["nsenter".to_owned(), format!("--net=/run/netns/{name}")];
        self.command_by(network, program.as_ref())
    }

    /// The same, and its `/sys/class/net` shows the devices inside.
    pub fn command_with_sysfs(&self, program: impl AsRef<OsStr>) -> Command {
        let all = |name: &String| ["ip", "netns", "exec", name].map(str::to_owned).to_vec();
        self.command_by(all, program.as_ref())
    }

    /// The MAC address of an interface inside, in the usual notation.
    ///
    /// # Errors
    ///
    /// When there is no such interface, or it has none.
    pub fn mac(&self, interface: &str) -> Result<String> {
        let told = self.run_ok("ip", &["-oneline", "link", "show", "dev", interface])?;
        let after = told.split_once("link/ether ").map(|(_, after)| after);
        let address = after.and_then(|after| after.split_whitespace().next());
        address
            .map(str::to_owned)
            .with_context(|| format!("{interface} has no MAC address: {told}"))
    }

    fn command_by(&self, entering: impl FnOnce(&String) -> Vec<String>, program: &OsStr) -> Command {
        if cfg!(any(not(target_os = "linux"), feature = "portable")) && self.name.is_none() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        command.args(self.name.as_ref().map(entering).unwrap_or_default());
        command.arg(program);
        command
    }

    /// Runs a command inside to its end and returns what it printed; it is killed after `deadline`.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not end in time. A status that is not 0 is not an error here.
    pub fn run<S: AsRef<OsStr>>(&self, program: &str, args: &[S], deadline: Duration) -> Result<Finished> {
        let mut command = self.command(program);
        command.args(args);
        Process::spawn(program, command)?.finish(deadline)
    }

    /// Runs a command that configures something and must succeed.
    ///
    /// # Errors
    ///
    /// When it does not, with what it said.
    pub fn run_ok(&self, program: &str, args: &[&str]) -> Result<String> {
        let finished = self.run(program, args, CONFIGURE)?;
        ensure!(
            finished.success(),
            "`{program} {}` in {}: {}",
            args.join(" "),
            self.name(),
            finished.stderr.trim()
        );
        Ok(finished.stdout)
    }
}
