//! The virtual network of a measurement, and what runs on it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use headgate_lab::{Lab, LabOptions, Process, wait_until};
use serde_json::Value;

/// How long something may take to start.
const START: Duration = Duration::from_secs(20);

/// The core that clients and generators run on.
pub(crate) const CLIENT_CORE: usize = 0;
/// The core that the gateway under measurement runs on.
pub(crate) const GATEWAY_CORE: usize = 1;

/// A lab, and the program under measurement.
pub(crate) struct Bed {
    /// The network.
    pub(crate) lab: Lab,
    /// The `headgate` program.
    pub(crate) headgate: PathBuf,
}

impl Bed {
    /// Builds a lab.
    ///
    /// # Errors
    ///
    /// When `headgate` is not there, or without privileges.
    pub(crate) fn new(headgate: &Path) -> Result<Self> {
        let headgate = fs::canonicalize(headgate)
            .with_context(|| format!("{}: build it with `cargo build --release`", headgate.display()))?;
        let lab = Lab::build(LabOptions::new(&headgate, &["lab", "pod"]))?;
        Ok(Self { lab, headgate })
    }

    /// Starts Headgate on the lab's interfaces with these manifests, and waits until it has them.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub(crate) fn start_headgate(&self, manifests: &str, more: &[&str]) -> Result<Gateway<'_>> {
        self.start_headgate_on(&Lab::PORTS, manifests, more)
    }

    /// The same on these ports.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub(crate) fn start_headgate_on(
        &self,
        ports: &[&str],
        manifests: &str,
        more: &[&str],
    ) -> Result<Gateway<'_>> {
        let directory = self.lab.directory().join("manifests");
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("bench.yaml"), manifests)?;
        let run_dir = self.lab.directory().join("run");
        let log = self.lab.directory().join("headgate.log");
        let mut command = self.lab.gateway.command_with_sysfs(&self.headgate);
        command
            .arg("run")
            .arg("--manifests")
            .arg(&directory)
            .arg("--run-dir")
            .arg(&run_dir);
        for port in ports {
            command.args(["--port", port]);
        }
        command.args(more);
        let process = Process::spawn_logged("headgate", command, &log)?;
        let gateway = Gateway {
            bed: self,
            process,
            run_dir,
        };
        let ready = || {
            gateway
                .status()
                .is_ok_and(|status| status["generation"].as_u64().is_some_and(|g| g > 0))
        };
        if wait_until("headgate has its first state", START, ready).is_err() {
            bail!(
                "headgate did not come up:\n{}",
                fs::read_to_string(log).unwrap_or_default()
            );
        }
        Ok(gateway)
    }
}

/// A running Headgate; ends when dropped.
pub(crate) struct Gateway<'a> {
    bed: &'a Bed,
    process: Process,
    run_dir: PathBuf,
}

impl Gateway<'_> {
    /// What `headgate status --json` says.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) fn status(&self) -> Result<Value> {
        let mut command = Command::new(&self.bed.headgate);
        command.args(["status", "--json", "--run-dir"]).arg(&self.run_dir);
        let output = command.output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The process that supervises the others.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Stops it in order.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub(crate) fn stop(self) -> Result<()> {
        self.process.signal(rustix::process::Signal::TERM)?;
        if !self.process.wait_for_end(START)? {
            bail!("headgate did not end on SIGTERM");
        }
        Ok(())
    }
}

/// User and system time of a process and its descendants (`proc_pid_stat(5)`, fields 14 and 15).
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn cpu_of_tree(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .collect();
    let ticks = |field: usize| {
        fields
            .get(field - 3)
            .and_then(|f| f.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let mut sum =
        Duration::from_millis((ticks(14) + ticks(15)) * 1000 / rustix::param::clock_ticks_per_second());
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_ascii_whitespace() {
        sum += cpu_of_tree(child.parse()?).unwrap_or_default();
    }
    Ok(sum)
}

/// Time that a core has not been idle (`proc_stat(5)`).
///
/// # Errors
///
/// When there is no such core.
pub(crate) fn busy(core: usize) -> Result<Duration> {
    const IDLE: [usize; 2] = [3, 4];
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core}");
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
    let fields = line
        .with_context(|| format!("no {name} in /proc/stat"))?
        .split_ascii_whitespace();
    // The first eight: guest time is part of user time already.
    let ticks = fields.take(8).enumerate().filter(|(i, _)| !IDLE.contains(i));
    let ticks: u64 = ticks.filter_map(|(_, field)| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}
