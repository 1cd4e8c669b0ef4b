//! Start and stop: what `headgate dataplane` does.
//!
//! Everything that is changed on the machine is put back by the drop of the value that changed it, so that an error half
//! way through the start leaves as little behind as a regular end. What cannot be put back because the process is
//! killed, the kernel removes itself (XDP programs, the TAP device) or the next start does (sockets, the lock).

mod cores;
mod error;
mod kernel;
mod kernel_path;
mod ports;
mod report;
mod routes;
mod workers;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use headgate_xsk::Umem;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

pub use error::RunError;

use crate::control::{Announce, Applier, Control};
use crate::host::{ReservedPorts, RunDir, check_privileges};
use crate::mirror::Mirror;
use crate::options::Options;
use crate::steering::Steerer;
use crate::telemetry;
use crate::telemetry::flow_log::{self, FlowLog};
use crate::telemetry::metrics::{Detail, MetricsServer};
use crate::worker::{self, Shared};
use headgate_net::clock::Clock;
use headgate_net::ids::PortId;
use headgate_net::wire::{arp, ndp};
use kernel_path::TapPath;
use ports::OpenPort;
use report::Reporter;
use routes::Routes;

/// Questions for neighbours that may wait; a worker whose question finds no room asks again.
const QUESTIONS: usize = 1024;
/// Each worker keeps frames and rings for each port; nodes have two or four.
const MOST_PORTS: usize = 32;
/// How often the threads are looked after.
const CARE: Duration = Duration::from_millis(500);

/// Runs the dataplane until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, with what to do about it; or when one of its threads ends, which only a fault of this program
/// makes it do.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the process is the dataplane from here on: nobody needs them back"
)]
pub fn run(options: Options) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(async {
        // Installed first: a signal that comes while starting ends in order, too.
        let mut signals = Signals::install().map_err(RunError::Runtime)?;
        run_until(&options, async move { signals.next().await }).await
    })
}

/// Runs until `end` names a reason, and leaves the machine as it was.
async fn run_until(options: &Options, end: impl Future<Output = &'static str>) -> Result<(), RunError> {
    if options.on_sockets() {
        return kernel::run_until(options, end).await;
    }
    let (dataplane, routes) = Dataplane::start(options).await?;
    tokio::select! {
        reason = end => tracing::info!("{reason}: stopping"),
        never = routes.keep() => match never {},
        error = dataplane.kernel_path.drain() => match error.map_err(RunError::Runtime)? {},
        fault = thread_that_ended(&dataplane.workers, &dataplane.control) => return Err(fault),
    }
    Ok(())
}

/// What ends the process in order.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// A running dataplane. Fields are dropped in this order.
struct Dataplane {
    _server: telemetry::Server,
    _metrics: Option<MetricsServer>,
    control: Control,
    steerer: Arc<Mutex<Steerer>>,
    /// And L7 stages that have cores of their own.
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    /// After the workers: what they said last still comes into the log.
    _flows: flow_log::FlowLogService,
    shared: Arc<Shared>,
    kernel_path: Arc<TapPath>,
    _reserved: ReservedPorts,
    run_dir: RunDir,
}

fn say_that_it_runs(options: &Options, plan: &workers::Plan) {
    tracing::info!(
        ports = options.ports.join(","),
        workers = plan.workers,
        l7_stages = plan.cores.stages.len(),
        frames = plan.frames,
        "the dataplane runs"
    );
}

impl Dataplane {
    async fn start(options: &Options) -> Result<(Self, Routes), RunError> {
        check_privileges()?;
        let run_dir = RunDir::take(&options.run_dir)?;
        let mirror = Mirror::open().await?;
        let devices = ports::find(&options.ports, mirror.kernel())?;
        let plan = workers::plan(options, &devices)?;
        let reserved = ReservedPorts::reserve(options.source_ports, run_dir.file("source-ports.saved"))?;
        let umem = Umem::mapped(plan.frames, options.huge_pages)?;
        let kernel_path = Arc::new(TapPath::create()?);
        let mut opened = ports::open(options, &devices, umem)?;

        let programs = opened.iter_mut().map(OpenPort::take_steering).collect();
        let steerer = Arc::new(Mutex::new(Steerer::new(programs, options.source_ports)));
        let (wanted, questions) = mpsc::channel(QUESTIONS);
        let stages = plan.cores.stages.len().to_le_bytes()[0];
        let shared = Shared::with_stages(plan.workers, stages, wanted).map_err(RunError::Runtime)?;
        let shared = Arc::new(shared);
        let cores = plan.cores.clone();
        let reporter = Reporter::new(&shared, &steerer, umem, &kernel_path, &opened, cores)
            .map_err(RunError::Runtime)?;
        let routes = Routes::new(mirror, questions, &shared, &steerer, &devices, reporter.watched());

        let macs: Vec<_> = devices.iter().filter_map(|device| device.link.mac).collect();
        let flow_log = Arc::new(workers::flow_log(options, plan.workers, stages));
        let configs = workers::configs(options, &plan, opened, umem, &kernel_path, &flow_log)?;
        let clock = Clock::start();
        let flows = start_flow_log(options, flow_log, &shared, clock, &run_dir)?;
        let workers = start_threads(configs, &shared, clock).map_err(RunError::Runtime)?;
        let applier = Applier::new(
            Arc::clone(&shared),
            Arc::clone(&steerer),
            announcer(&shared, umem, macs),
        );
        let control = Control::start(&run_dir.file("control.sock"), applier)?;
        let answers = report::desk(reporter, &control, &flows);
        let (server, metrics) = serve_status(options, &run_dir, answers)?;
        say_that_it_runs(options, &plan);
        let dataplane = Self {
            _server: server,
            _metrics: metrics,
            control,
            steerer,
            workers,
            _flows: flows,
            shared,
            kernel_path,
            _reserved: reserved,
            run_dir,
        };
        Ok((dataplane, routes))
    }
}

/// Returns when a thread has ended that should not.
async fn thread_that_ended(threads: &[JoinHandle<std::io::Result<()>>], control: &Control) -> RunError {
    let mut care = tokio::time::interval(CARE);
    loop {
        care.tick().await;
        if let Some(thread) = threads.iter().find(|thread| thread.is_finished()) {
            return RunError::Ended(name(thread));
        }
        if control.has_ended() {
            return RunError::Ended("the control thread".into());
        }
    }
}

/// Waits for threads that were told to stop, and removes the sockets.
fn end(threads: &mut Vec<JoinHandle<std::io::Result<()>>>, run_dir: &RunDir) {
    for thread in threads.drain(..) {
        let name = name(&thread);
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("{name} had ended: {error}"),
            Err(_) => tracing::error!("{name} had panicked"),
        }
    }
    for socket in ["status.sock", "flows.sock"] {
        if let Err(error) = run_dir.clear(socket) {
            tracing::warn!("{error}");
        }
    }
}

impl Drop for Dataplane {
    /// First nothing more is steered here, then the workers end: what arrives meanwhile is the kernel's.
    fn drop(&mut self) {
        self.steerer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .detach();
        self.shared.stop();
        end(&mut self.workers, &self.run_dir);
    }
}

/// Workers, and L7 stages where they have cores of their own.
fn start_threads(
    configs: workers::Configs,
    shared: &Arc<Shared>,
    clock: Clock,
) -> std::io::Result<Vec<JoinHandle<std::io::Result<()>>>> {
    let workers = configs.workers.into_iter();
    let workers = workers.map(|config| worker::start(config, Arc::clone(shared), clock));
    let stages = configs.stages.into_iter();
    let stages = stages.map(|config| worker::start_stage(config, Arc::clone(shared), clock));
    workers.chain(stages).collect()
}

/// As tools that list threads show it.
fn name<T>(thread: &JoinHandle<T>) -> String {
    format!("thread {}", thread.thread().name().unwrap_or("without a name"))
}

/// On the status socket, and as metrics where they are asked for.
fn serve_status(
    options: &Options,
    run_dir: &RunDir,
    answers: Arc<impl telemetry::Answers>,
) -> Result<(telemetry::Server, Option<MetricsServer>), RunError> {
    let path = run_dir.clear("status.sock")?;
    let server = telemetry::Server::start(&path, Arc::clone(&answers));
    let server = server.map_err(|error| RunError::Status { path, error })?;
    let metrics = options
        .metrics
        .map(|address| start_metrics(address, answers, options.metrics_without.clone()));
    Ok((server, metrics.transpose()?))
}

fn start_metrics(
    address: SocketAddr,
    answers: Arc<impl telemetry::Answers>,
    without: Vec<Detail>,
) -> Result<MetricsServer, RunError> {
    let server = MetricsServer::start(address, answers, without);
    let server = server.map_err(|error| RunError::Metrics { address, error })?;
    tracing::info!("metrics at http://{}/metrics", server.address());
    Ok(server)
}

fn start_flow_log(
    options: &Options,
    log: Arc<FlowLog>,
    shared: &Arc<Shared>,
    clock: Clock,
    run_dir: &RunDir,
) -> Result<flow_log::FlowLogService, RunError> {
    let seen = Arc::clone(shared);
    let sources = flow_log::Sources {
        tables: Arc::clone(&shared.tables),
        all_see: Box::new(move |publication| seen.all_see(publication)),
        clock,
    };
    let socket = run_dir.clear("flows.sock")?;
    Ok(flow_log::FlowLogService::start(
        log,
        sources,
        &socket,
        options.flow_log.clone(),
    )?)
}

/// Sends a gratuitous ARP or an unsolicited neighbour advertisement on each port for each address.
fn announcer(shared: &Arc<Shared>, umem: &'static Umem, macs: Vec<[u8; 6]>) -> Announce {
    let shared = Arc::clone(shared);
    Box::new(move |addresses| {
        let mut cache = umem.cache();
        let sender = &shared.peers[0];
        for (address, (port, mac)) in addresses
            .iter()
            .flat_map(|a| (0..).map(PortId).zip(&macs).map(move |p| (a, p)))
        {
            let Some(mut frame) = cache.take() else { return };
            let copied = match address {
                IpAddr::V4(v4) => frame.copy_from(&arp::announcement(*mac, *v4)),
                IpAddr::V6(v6) => frame.copy_from(&ndp::announcement(*mac, *v6)),
            };
            // Nobody waits for announcements: one that finds no room is made up for by the first question.
            let _ = copied.map(|()| sender.send(frame, port));
        }
        sender.wake();
    })
}

/// The host's addresses that packets of others can be for.
fn local_addresses(kernel: &crate::mirror::Kernel) -> BTreeSet<IpAddr> {
    let all = kernel
        .addresses
        .iter()
        .filter(|address| address.global)
        .map(|address| address.address.addr());
    all.filter(|address| !address.is_loopback()).collect()
}
