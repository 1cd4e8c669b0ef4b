//! A dataplane on packets of interfaces.

mod answers;
mod choice;
mod cores;
mod kernel_path;
mod ports;
mod report;
mod routes;
mod tap_routes;
mod tap_settings;
mod workers;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use headgate_xsk::Umem;
use tokio::sync::mpsc;

use super::drain::{DrainTimes, until_the_end};
use super::report::desk;
use super::{Asks, RunError, end, flow_log, serve_status, start_flow_log, thread_that_ended};
use crate::control::{Announce, Applier, Control};
use crate::host::{ReservedPorts, RunDir, check_privileges};
use crate::mirror::{Device, Mirror};
use crate::options::Options;
use crate::steering::Steerer;
use crate::telemetry;
use crate::telemetry::flow_log::FlowLogService;
use crate::telemetry::metrics::MetricsServer;
use crate::worker::{self, Shared};
use answers::Answers;
use headgate_net::clock::Clock;
use headgate_net::ids::PortId;
use headgate_net::wire::{arp, ndp};
use kernel_path::TapPath;
use ports::OpenPort;
use report::Reporter;
use routes::Routes;

/// Questions for neighbours that may wait; a worker whose question finds no room asks again.
const QUESTIONS: usize = 1024;

/// Runs until the end is asked for and has come, and leaves the machine as it was.
pub(super) async fn run_until(options: &Options, asks: &mut Asks) -> Result<(), RunError> {
    let (dataplane, routes, mut answers) = Dataplane::start(options).await?;
    tokio::select! {
        () = until_the_end(asks, DrainTimes::of(options), &dataplane.shared) => Ok(()),
        never = routes.keep() => match never {},
        error = dataplane.kernel_path.serve(&mut answers) => match error.map_err(RunError::Runtime)? {},
        fault = thread_that_ended(&dataplane.workers, &dataplane.control) => Err(fault),
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
    _flows: FlowLogService,
    shared: Arc<Shared>,
    kernel_path: Arc<TapPath>,
    _reserved: ReservedPorts,
    run_dir: RunDir,
}

fn say_that_it_runs(devices: &[Device], plan: &workers::Plan) {
    let ports: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    tracing::info!(
        ports = ports.join(","),
        workers = plan.workers,
        l7_stages = plan.cores.stages.len(),
        frames = plan.frames,
        "the dataplane runs"
    );
}

impl Dataplane {
    async fn start(options: &Options) -> Result<(Self, Routes, Answers), RunError> {
        check_privileges()?;
        // Of connections to pods that only the kernel reaches each is one.
        let _ = super::kernel::raise_descriptors();
        let run_dir = RunDir::take(&options.run_dir)?;
        let mirror = Mirror::open().await?;
        let devices = choice::find(&options.ports, mirror.kernel())?;
        let plan = workers::plan(options, &devices)?;
        let reserved = ReservedPorts::reserve(options.source_ports, run_dir.file("source-ports.saved"))?;
        let umem = Umem::mapped(plan.frames, options.huge_pages)?;
        let kernel_path = Arc::new(TapPath::create(&mirror.handle(), options.tap_networks, plan.mtu).await?);
        let mut opened = ports::open(options, &devices, umem)?;

        let programs = opened.iter_mut().map(OpenPort::take_steering).collect();
        let steerer = Arc::new(Mutex::new(
            Steerer::new(programs, options.source_ports).with_addresses(plan.source_ports.addresses()),
        ));
        let (wanted, questions) = mpsc::channel(QUESTIONS);
        let stages = plan.cores.stages.len().to_le_bytes()[0];
        let shared = Shared::with_stages(plan.workers, stages, wanted).map_err(RunError::Runtime)?;
        let shared = Arc::new(shared);
        let cores = plan.cores.clone();
        let reporter = Reporter::new(&shared, &steerer, umem, &kernel_path, &opened, cores)
            .map_err(RunError::Runtime)?;
        let addresses = kernel_path.addresses();
        let from_kernel = Answers::new(&shared, umem, addresses, plan.source_ports);
        let watched = reporter.watched();
        let routes = Routes::new(mirror, questions, &shared, &steerer, &devices, addresses, watched);

        let macs: Vec<_> = devices.iter().filter_map(|device| device.link.mac).collect();
        let flow_log = Arc::new(flow_log(options, plan.workers, stages));
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
        let answers = desk(reporter, &control, &flows);
        let (server, metrics) = serve_status(options, &run_dir, answers)?;
        say_that_it_runs(&devices, &plan);
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
        Ok((dataplane, routes, from_kernel))
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
