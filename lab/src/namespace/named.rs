//! Namespaces that the lab makes, enters and removes.

use std::{fs, io, os::fd::AsFd, path::PathBuf, process::Command, thread};

use anyhow::{Context, Result, bail};
use rustix::thread::LinkNameSpaceType;

use super::{CONFIGURE, Namespace};
use crate::process::Process;

impl Namespace {
    /// Makes a namespace with its loopback up, without IPv6 autoconfiguration and duplicate address detection
    /// (addresses are usable at once), and without forwarding.
    ///
    /// # Errors
    ///
    /// Without privileges, or when the name is taken.
    pub(crate) fn create(name: &str) -> Result<Self> {
        configure(Command::new("ip").args(["netns", "add", name]))?;
        let namespace = Self::existing(name);
        for (key, value) in [
            ("ipv4/ip_forward", "0"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv6/conf/all/forwarding", "0"),
            ("ipv6/conf/all/accept_ra", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            ("ipv6/conf/default/autoconf", "0"),
            ("ipv6/conf/all/accept_dad", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
        ] {
            namespace.sysctl(key, value)?;
        }
        namespace.ip(&["link set lo up"])?;
        Ok(namespace)
    }

    /// Sets a value below `/proc/sys/net`.
    pub(crate) fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = PathBuf::from("/proc/sys/net").join(key);
        self.enter(|| fs::write(&path, value))?
            .with_context(|| format!("writing {value} to {} in {}", path.display(), self.name()))
    }

    /// Names a namespace that is there already.
    pub(crate) fn existing(name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
        }
    }

    /// Runs lines of `ip`, such as `link set lo up`, inside; stops at the first that fails.
    ///
    /// # Errors
    ///
    /// With the line that failed and what `ip` said.
    pub fn ip<S: AsRef<str>>(&self, lines: &[S]) -> Result<()> {
        for line in lines {
            let line = line.as_ref();
            configure(
                Command::new("ip")
                    .args(self.name.iter().flat_map(|name| ["-n", name]))
                    .args(line.split_ascii_whitespace()),
            )?;
        }
        Ok(())
    }

    /// Runs a closure on a thread inside: what it opens (sockets, netlink) belongs to the namespace and may be
    /// used outside of it afterwards.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered.
    ///
    /// # Panics
    ///
    /// When the closure does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let file = self.name.as_ref().map(|_| fs::File::open(self.path()));
        let file = file.transpose()?;
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                if let Some(file) = &file {
                    rustix::thread::move_into_link_name_space(
                        file.as_fd(),
                        Some(LinkNameSpaceType::Network),
                    )?;
                }
                Ok(work())
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The file that holds the namespace.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match &self.name {
            Some(name) => PathBuf::from("/run/netns").join(name),
            None => PathBuf::from("/proc/self/ns/net"),
        }
    }

    /// Kills every process inside and waits until none is left.
    pub(crate) fn kill_processes(&self) -> Result<()> {
        let listing = configure(Command::new("ip").args(["netns", "pids", self.name()]))?;
        for pid in listing
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            crate::process::kill_and_wait(pid)?;
        }
        Ok(())
    }

    pub(crate) fn delete(&self) -> Result<()> {
        configure(Command::new("ip").args(["netns", "delete", self.name()])).map(drop)
    }
}

/// Runs a command outside of any namespace that must succeed; returns its output.
pub(crate) fn configure(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}").replace('"', "");
    let mut owned = Command::new(command.get_program());
    owned.args(command.get_args());
    let finished = Process::spawn(&shown, owned)?.finish(CONFIGURE)?;
    if !finished.success() {
        bail!("`{shown}` failed: {}", finished.stderr.trim());
    }
    Ok(finished.stdout)
}
