//! Removes what is left of a process that died without doing so itself.

use std::{
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::process::spawn_from_keeper;

/// Waits for a word on its standard input, which the kernel closes when the process dies, be it of SIGKILL.
/// A session of its own, so that Ctrl-C on the terminal does not end it first.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
dir=$1; shift
read -r word
[ "$word" = done ] && exit 0
for ns in "$@"; do ip netns pids "$ns" | xargs -r kill -9; done
for ns in "$@"; do ip netns delete "$ns"; done
rm -rf "$dir"
"#;

/// The process that watches; dropping it calls it off.
#[derive(Debug)]
pub struct Watchdog {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts to watch over a directory alone.
    ///
    /// # Errors
    /// When there is no process to be had.
    pub fn over(directory: &Path) -> Result<Self> {
        Self::start(directory, &[])
    }

    /// Starts to watch over namespaces, by name, and a directory.
    pub(crate) fn start(directory: &Path, namespaces: &[String]) -> Result<Self> {
        let mut command = Command::new("setsid");
        command
            .args(["sh", "-c", SCRIPT, "headgate-lab-watchdog"])
            .arg(directory)
            .args(namespaces);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = spawn_from_keeper(command).context("starting the lab's watchdog (setsid, sh)")?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            // It can only have been killed, and then has nothing to be told.
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.child.wait();
    }
}
