//! Both planes behind the API of a large cluster: until all is in force, until a change is, and what it takes of memory.
//!
//! Nothing here needs privileges or a lab: the API server is the stand-in of the tests, in this process, and the dataplane
//! is on the kernel's sockets.

mod cluster;
mod probe;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use headgate_apiserver::{ApiServer, Entry, Settings};
use headgate_lab::free_port;
use serde_json::json;

use crate::report::{Row, table};
use cluster::Size;
use probe::Probe;

/// Where the gateway serves, whatever else is on this machine's loopback.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 61);
/// How long all of it may take to be in force.
const PATIENCE: Duration = Duration::from_secs(120);

/// Options of the measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct KubernetesOptions {
    /// The program under measurement
    #[arg(long, default_value = "target/release/headgate")]
    headgate: PathBuf,
    /// Starts of both planes, of which each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Changes of a route, and as many of an endpoint, in each round
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Ingresses, and as many Services
    #[arg(long, default_value_t = 5_000)]
    ingresses: usize,
    /// Pods, each an endpoint of one of the Services
    #[arg(long, default_value_t = 50_000)]
    endpoints: usize,
    /// NetworkPolicies
    #[arg(long, default_value_t = 10_000)]
    policies: usize,
}

/// Measures, and prints tables.
///
/// # Errors
///
/// When the server or Headgate does not run.
pub(crate) fn run(options: &KubernetesOptions) -> Result<()> {
    let size = Size {
        ingresses: options.ingresses,
        endpoints: options.endpoints,
        policies: options.policies,
    };
    let server = ApiServer::start(Settings::default()).context("the API server")?;
    let objects = cluster::objects(&size);
    server.store().apply_all(&objects)?;
    let mut sync = Row::new("ms from the control plane's start until the dataplane has acknowledged");
    let mut routes = Changes::new("an Ingress");
    let mut endpoints = Changes::new("an EndpointSlice");
    let mut memory = [
        Row::new("MiB of the control plane"),
        Row::new("the most that it ever had"),
        Row::new("its part, what it shares divided by who shares it"),
        Row::new("MiB of the dataplane"),
        Row::new("the most that it ever had"),
        Row::new("its part"),
        Row::new("both together, what they share counted once"),
    ];
    let mut idle = Row::new("transactions by 1,000 heartbeats of nodes and conditions of pods");
    let mut written = Row::new("s from then until the status of each Ingress is written, the first time");
    for round in 0..options.rounds {
        let gateway = Planes::start(&options.headgate, &server)?;
        sync.push(gateway.sync.as_secs_f64() * 1e3);
        if round == 0 {
            written.push(statuses(&server, size.ingresses)?.as_secs_f64());
        }
        let mut probe = Probe::open(gateway.http, gateway.metrics)?;
        for _ in 0..options.changes {
            routes.push(probe.route(&server)?);
            endpoints.push(probe.endpoint(&server)?);
        }
        idle.push(probe.heartbeats(&server)? as f64);
        for (row, mib) in memory.iter_mut().zip(gateway.memory()?) {
            row.push(mib);
        }
    }
    let title = format!(
        "{} Ingresses and Services, {} pods and endpoints, {} NetworkPolicies; {} starts; API server, both planes and clients \
         share {} cores",
        size.ingresses,
        size.endpoints,
        size.policies,
        options.rounds,
        std::thread::available_parallelism()?
    );
    table(&title, &[sync, written]);
    for changes in [routes, endpoints] {
        changes.print();
    }
    table("Resident at the end of each round", &memory);
    table("What does not count", &[idle]);
    Ok(())
}

/// How long it takes from now until so many statuses of Ingresses are written.
fn statuses(server: &ApiServer, count: usize) -> Result<Duration> {
    let begun = Instant::now();
    let written = |entry: &Entry| entry.resource == "ingresses/status" && entry.status == 200;
    if !server.journal().wait(count, PATIENCE, written) {
        bail!("not all {count} statuses are written after {PATIENCE:?}");
    }
    Ok(begun.elapsed())
}

/// Times of changes, from the API server's taking one until each worker answers by it.
struct Changes {
    what: &'static str,
    times: Vec<Duration>,
}

impl Changes {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            times: Vec::new(),
        }
    }

    fn push(&mut self, time: Duration) {
        self.times.push(time);
    }

    fn print(mut self) {
        self.times.sort_unstable();
        let at = |share: f64| {
            let index = (self.times.len() as f64 * share) as usize;
            let time = self.times.get(index.min(self.times.len().saturating_sub(1)));
            time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        let row = |name: &str, share: f64| {
            let mut row = Row::new(name);
            row.push(at(share));
            row
        };
        let title = format!(
            "ms from a change of {} in the API until every worker answers by it, {} changes",
            self.what,
            self.times.len()
        );
        let rows = [
            row("median", 0.5),
            row("99th percentile", 0.99),
            row("longest", 1.0),
        ];
        table(&title, &rows);
    }
}

/// Ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both planes, which serve what the cluster says. Fields are dropped in this order.
struct Planes {
    controlplane: Ended,
    dataplane: Ended,
    http: SocketAddr,
    metrics: SocketAddr,
    /// From the control plane's start until all was in force.
    sync: Duration,
    _directory: tempfile::TempDir,
}

impl Planes {
    fn start(program: &Path, server: &ApiServer) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig())?;
        let http = free_port(&[ADDRESS], 8080)?;
        let metrics = free_port(&[ADDRESS], 9710)?;
        let start = |arguments: &[String]| -> Result<Ended> {
            let child = Command::new(program)
                .args(arguments)
                .arg("--run-dir")
                .arg(directory.path())
                .args(["--log", "warn"])
                .stdin(Stdio::null())
                .spawn()
                .with_context(|| format!("starting {}", program.display()))?;
            Ok(Ended(child))
        };
        let metrics = SocketAddr::from((ADDRESS, metrics));
        let dataplane = start(&[
            "dataplane".to_owned(),
            "--port=kernel".to_owned(),
            format!("--metrics={metrics}"),
        ])?;
        probe::wait_for(metrics, "/healthz", PATIENCE)?;
        let begun = Instant::now();
        let controlplane = start(&[
            "controlplane".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--ingress-address={ADDRESS}"),
            format!("--http-port={http}"),
            "--https-port=0".to_owned(),
            "--loopback-endpoints".to_owned(),
        ])?;
        probe::wait_for(metrics, "/readyz", PATIENCE)?;
        Ok(Self {
            controlplane,
            dataplane,
            http: SocketAddr::from((ADDRESS, http)),
            metrics,
            sync: begun.elapsed(),
            _directory: directory,
        })
    }

    /// MiB of the control plane: resident, the most that ever was, and its part; of the dataplane; and of both together.
    fn memory(&self) -> Result<[f64; 7]> {
        let of = |plane: &Ended| -> Result<[f64; 3]> {
            let fields = [
                ("status", "VmRSS:"),
                ("status", "VmHWM:"),
                ("smaps_rollup", "Pss:"),
            ];
            let mut mib = [0.0; 3];
            for (mib, (file, field)) in mib.iter_mut().zip(fields) {
                *mib = kib(plane.0.id(), file, field)? / 1024.0;
            }
            Ok(mib)
        };
        let [[a, b, c], [d, e, f]] = [of(&self.controlplane)?, of(&self.dataplane)?];
        Ok([a, b, c, d, e, f, c + f])
    }
}

/// KiB that a field of a file of proc(5) says. Of `status`, `VmRSS:` is what a process has resident, `VmHWM:` the most it
/// ever had; of `smaps_rollup`, `Pss:` counts each page by the share that the process has of it.
fn kib(process: u32, file: &str, field: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    match line.and_then(|line| line.trim().split(' ').next()?.parse().ok()) {
        Some(kib) => Ok(kib),
        None => bail!("{file} of process {process} has no {field}"),
    }
}

/// A heartbeat of a node.
fn heartbeat(n: usize) -> serde_json::Value {
    json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": format!("2026-11-22T00:{:02}:{:02}Z", n / 60 % 60, n % 60)}])
}
