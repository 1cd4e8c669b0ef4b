//! Headgate at work in a lab.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[path = "gateway/children_of_proc.rs"]
mod children;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
#[path = "gateway/children_of_ps.rs"]
mod children;

use std::{
    fs,
    io::Read,
    net::{IpAddr, Shutdown},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::Lab;
use crate::{Namespace, process::Process, wait_until};

/// How long Headgate may take until its first state is in force; attaching in the driver alone takes a while.
const START: Duration = Duration::from_secs(30);
/// How long it may take to end when asked to; its own patience is `--drain-time`, which is 20 s, and 11 s with its planes.
const STOP: Duration = Duration::from_secs(35);

/// Where the objects are that Headgate serves.
#[derive(Clone, Debug)]
pub enum Objects {
    /// In a directory: its `--manifests`.
    Directory(PathBuf),
    /// In the cluster of this `--kubeconfig`.
    Cluster(PathBuf),
}

/// How to start Headgate.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// The program `headgate`.
    pub program: PathBuf,
    /// Its `--port`s: as a rule `Lab::PORTS`.
    pub ports: Vec<String>,
    /// What it serves.
    pub objects: Objects,
    /// Its `--ingress-address`es.
    pub ingress: Vec<IpAddr>,
    /// Its `--log`.
    pub log: String,
    /// Further arguments.
    pub arguments: Vec<String>,
}

/// A `headgate run` in a lab's gateway; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    run_dir: PathBuf,
    log: PathBuf,
}

impl Gateway {
    /// Starts Headgate and waits until its first state is in force.
    ///
    /// # Errors
    ///
    /// When it ends or is not ready in time, with what it logged.
    #[cfg(target_os = "linux")]
    pub fn start(lab: &Lab, options: &GatewayOptions) -> Result<Self> {
        Self::start_in(&lab.gateway, lab.directory(), options)
    }

    /// The same in any namespace; sockets and log are in `directory`.
    ///
    /// # Errors
    ///
    /// As of [`Self::start`].
    pub fn start_in(namespace: &Namespace, directory: &Path, options: &GatewayOptions) -> Result<Self> {
        let gateway = Self::spawn_in(namespace, directory, options)?;
        gateway.wait_until_ready()?;
        Ok(gateway)
    }

    /// Starts Headgate and does not wait.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    #[cfg(target_os = "linux")]
    pub fn spawn(lab: &Lab, options: &GatewayOptions) -> Result<Self> {
        Self::spawn_in(&lab.gateway, lab.directory(), options)
    }

    fn spawn_in(namespace: &Namespace, directory: &Path, options: &GatewayOptions) -> Result<Self> {
        let (run_dir, log) = (directory.join("run"), directory.join("headgate.log"));
        let mut command = namespace.command_with_sysfs(&options.program);
        command.args(["--log", &options.log, "run"]);
        match &options.objects {
            Objects::Directory(manifests) => command.arg("--manifests").arg(manifests),
            Objects::Cluster(kubeconfig) => command.arg("--kubeconfig").arg(kubeconfig),
        };
        command.arg("--run-dir").arg(&run_dir);
        for port in &options.ports {
            command.args(["--port", port]);
        }
        for address in &options.ingress {
            command.args(["--ingress-address", &address.to_string()]);
        }
        command.args(&options.arguments);
        let process = Process::spawn_logged("headgate run", command, &log)?;
        Ok(Self {
            process,
            run_dir,
            log,
        })
    }

    /// Waits until the first state is in force.
    ///
    /// # Errors
    ///
    /// When Headgate ends or is not ready in time, with what it logged.
    pub fn wait_until_ready(&self) -> Result<()> {
        let mut ended = false;
        let ready = wait_until("Headgate has its first state", START, || {
            ended = self.process.wait_for_end(Duration::ZERO).unwrap_or(false);
            ended || self.generation() > 0
        });
        if ended {
            bail!("`headgate run` ended; it said:\n{}", self.log());
        }
        ready.with_context(|| format!("Headgate said:\n{}", self.log()))
    }

    /// Headgate's status document.
    ///
    /// # Errors
    ///
    /// When the dataplane does not answer.
    pub fn status(&self) -> Result<Value> {
        let path = self.run_dir.join("status.sock");
        let mut socket =
            UnixStream::connect(&path).with_context(|| format!("connecting to {}", path.display()))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        // Says that no request follows: the status is what then comes, without a wait for one.
        socket.shutdown(Shutdown::Write)?;
        let mut document = String::new();
        socket
            .read_to_string(&mut document)
            .context("reading the status")?;
        serde_json::from_str(&document).with_context(|| format!("the status is {document:?}"))
    }

    /// The state in force; 0 when there is none, or no dataplane.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.status()
            .ok()
            .and_then(|status| status["generation"].as_u64())
            .unwrap_or(0)
    }

    /// A number in the status, by JSON pointer (RFC 6901); 0 where it is missing, as counters that never counted are.
    ///
    /// # Errors
    ///
    /// When the dataplane does not answer.
    pub fn count(&self, pointer: &str) -> Result<u64> {
        Ok(self
            .status()?
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or(0))
    }

    /// Packets that a policy (`namespace/name`) has denied.
    ///
    /// # Errors
    ///
    /// When the dataplane does not answer.
    pub fn denied_by(&self, policy: &str) -> Result<u64> {
        let status = self.status()?;
        let denials = status["denials"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(denials
            .iter()
            .filter(|d| d["policy"] == policy)
            .filter_map(|d| d["packets"].as_u64())
            .sum())
    }

    /// Process id of the supervisor.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Process ids of its planes, dataplane and control plane, as the kernel tells them.
    ///
    /// # Errors
    ///
    /// When one of them is not running.
    pub fn planes(&self) -> Result<(u32, u32)> {
        let children =
            children::of(self.process.id()).context("looking for the children of `headgate run`")?;
        let id_of = |plane: &str| {
            let child = children.iter().find(|(_, first)| first == plane);
            child
                .map(|(id, _)| *id)
                .with_context(|| format!("no {plane} runs"))
        };
        Ok((id_of("dataplane")?, id_of("controlplane")?))
    }

    /// Where its sockets are.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal to the supervisor, and does not wait.
    ///
    /// # Errors
    ///
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Whether it has ended, or does within this time.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn ends_within(&self, time: Duration) -> Result<bool> {
        self.process.wait_for_end(time)
    }

    /// Asks it to end, as systemd and the kubelet do, and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn stop(self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        let log = self.log.clone();
        let said = || fs::read_to_string(&log).unwrap_or_default();
        ensure!(
            self.process.wait_for_end(STOP)?,
            "`headgate run` did not end within {STOP:?}; it said:\n{}",
            said()
        );
        Ok(self.process.finish(STOP)?.status)
    }
}
