//! `--port kernel`: HTTP on the kernel's sockets. No interface, no packet, no privilege.

use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use headgate_l7::{DescriptorShare, HttpConfig};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::mpsc;

use super::drain::{DrainTimes, until_the_end};
use super::report::{self, Reports};
use super::{Asks, RunError, flow_log, limits, serve_status, start_flow_log, thread_that_ended};
use crate::control::{Applier, Control, Listeners, SHARES};
use crate::host::RunDir;
use crate::options::{KERNEL, Options};
use crate::telemetry::flow_log::FlowLogService;
use crate::telemetry::metrics::MetricsServer;
use crate::telemetry::{self, FlowList, FlowQuery, ListenerStatus, Mode, Status, WorkerStatus};
use crate::worker::{self, Inlet, Shared, SocketWorkerConfig};
use headgate_net::clock::Clock;
use headgate_net::ids::WorkerId;
use headgate_net::record::{Recorder, WorkerRecord};

/// How often addresses are tried again that could not be listened at.
const RETRY: Duration = Duration::from_secs(2);

/// Runs until the end is asked for and has come.
pub(super) async fn run_until(options: &Options, asks: &mut Asks) -> Result<(), RunError> {
    let interfaces: Vec<_> = options.ports.iter().filter(|port| *port != KERNEL).collect();
    if !interfaces.is_empty() {
        return Err(RunError::Mixed(interfaces.into_iter().cloned().collect()));
    }
    if options.l7_cores.is_some() {
        return Err(RunError::StagesOnSockets);
    }
    let dataplane = Dataplane::start(options)?;
    tokio::select! {
        () = until_the_end(asks, DrainTimes::of(options), &dataplane.shared) => {}
        () = dataplane.retry() => {}
        fault = thread_that_ended(&dataplane.workers, &dataplane.control) => return Err(fault),
    }
    Ok(())
}

/// A running dataplane without packets. Fields are dropped in this order.
struct Dataplane {
    _server: telemetry::Server,
    _metrics: Option<MetricsServer>,
    control: Control,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    /// After the workers: what they said last still comes into the log.
    _flows: FlowLogService,
    shared: Arc<Shared>,
    listeners: Arc<Mutex<Listeners>>,
    run_dir: RunDir,
}

impl Dataplane {
    fn start(options: &Options) -> Result<Self, RunError> {
        let run_dir = RunDir::take(&options.run_dir)?;
        let cores = cores(options)?;
        let count = u8::try_from(cores.len()).unwrap_or(u8::MAX);
        let descriptors = raise_descriptors();
        let share = share_out(descriptors, count);
        // Nobody asks for neighbours.
        let (wanted, _) = mpsc::channel(1);
        let shared = Arc::new(Shared::new(count, wanted).map_err(RunError::Runtime)?);
        let log = Arc::new(flow_log(options, count, 0));
        let clock = Clock::start();
        let flows = start_flow_log(options, Arc::clone(&log), &shared, clock, &run_dir)?;
        let inlets: Vec<Arc<Inlet>> = cores.iter().map(|_| Arc::default()).collect();
        let config = |(id, (core, inlet)): (u8, (&Option<usize>, &Arc<Inlet>))| SocketWorkerConfig {
            id: WorkerId(id),
            core: *core,
            http: HttpConfig {
                limits: limits(options),
                recorder: Recorder::new(Arc::clone(&log), WorkerId(id)),
                record: Arc::clone(&shared.records[usize::from(id)].l7),
            },
            established: options.established_flows,
            inlet: Arc::clone(inlet),
            descriptors: share,
        };
        let configs = (0..).zip(cores.iter().zip(&inlets)).map(config);
        let start =
            |config| worker::start_sockets(config, Arc::clone(&shared), clock).map_err(RunError::Runtime);
        let workers = configs.map(start).collect::<Result<Vec<_>, _>>()?;
        let listeners = Arc::new(Mutex::new(Listeners::new(&shared, inlets)));
        let applier = Applier::with_listeners(Arc::clone(&shared), Arc::clone(&listeners));
        let control = Control::start(&run_dir.file("control.sock"), applier)?;
        let reporter = SocketReporter {
            shared: Arc::clone(&shared),
            listeners: Arc::clone(&listeners),
            cores,
        };
        let answers = report::desk(reporter, &control, &flows);
        let (server, metrics) = serve_status(options, &run_dir, answers)?;
        tracing::info!(
            workers = count,
            descriptors,
            clients = share.clients() * usize::from(count),
            "the dataplane runs on the kernel's sockets: Ingresses are served; Services, steering and the flow log of \
             packets need an interface by --port"
        );
        Ok(Self {
            _server: server,
            _metrics: metrics,
            control,
            workers,
            _flows: flows,
            shared,
            listeners,
            run_dir,
        })
    }

    /// Never ends.
    async fn retry(&self) {
        let mut due = tokio::time::interval(RETRY);
        loop {
            due.tick().await;
            self.listeners
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retry();
        }
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        self.shared.stop();
        super::end(&mut self.workers, &self.run_dir);
    }
}

/// One for each worker, to pin it to; `None` where the kernel chooses.
fn cores(options: &Options) -> Result<Vec<Option<usize>>, RunError> {
    let given = options.cores.as_ref().map(|cores| &cores.0);
    let parallel = std::thread::available_parallelism().map_or(1, NonZero::get);
    let available = if SHARES { parallel.min(64) } else { 1 };
    let count = options
        .workers
        .map_or(given.map_or(available, |cores| cores.len().min(64)), usize::from);
    match given {
        Some(cores) if cores.len() < count => Err(RunError::Cores {
            workers: count,
            cores: cores.len(),
        }),
        Some(cores) => Ok(cores.iter().take(count).copied().map(Some).collect()),
        None => {
            // More workers than cores are left to the kernel, which else could not share the cores out.
            let ids = core_affinity::get_core_ids().unwrap_or_default();
            let fits = ids.len() >= count;
            Ok((0..count)
                .map(|index| ids.get(index).filter(|_| fits).map(|core| core.id))
                .collect())
        }
    }
}

/// Descriptors that are for no connection of HTTP: those of sockets for status, metrics and the flow log and of whom they
/// serve, of files, and of the ring.
const KEPT: usize = 128;
/// Likewise those that each worker has for itself and for its listeners.
const KEPT_FOR_A_WORKER: usize = 16;

/// What each of the workers may have of `descriptors`; without any limit where there is none.
fn share_out(descriptors: Option<u64>, workers: u8) -> DescriptorShare {
    let workers = usize::from(workers).max(1);
    let all = descriptors.map_or(usize::MAX, |all| usize::try_from(all).unwrap_or(usize::MAX));
    let left = all.saturating_sub(KEPT + KEPT_FOR_A_WORKER * workers);
    let share = DescriptorShare::of(left / workers);
    if all < ENOUGH {
        tracing::warn!(
            "there may be {all} descriptors, and so {} clients at a time: give more, by `ulimit -n`, LimitNOFILE= of a systemd \
             unit, or `--ulimit nofile` of a container",
            share.clients() * workers
        );
    }
    share
}

/// With fewer descriptors, who starts it is told.
const ENOUGH: usize = 4096;

/// Each connection is a descriptor, and the usual 1,024 are soon gone. Returns how many there may be, if the system says.
pub(super) fn raise_descriptors() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is not allowed, what there is must do; accept errors are counted.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// Reads what workers and listeners have written down.
struct SocketReporter {
    shared: Arc<Shared>,
    listeners: Arc<Mutex<Listeners>>,
    /// By worker.
    cores: Vec<Option<usize>>,
}

impl SocketReporter {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reports for SocketReporter {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn report(&self, status: &mut Status) {
        status.mode = Mode::Sockets;
        let listeners = self.listeners();
        for ListenerStatus { address, fault, .. } in &mut status.listeners {
            *fault = listeners.fault(*address).map(str::to_owned);
        }
        drop(listeners);
        let workers = (0..).zip(&self.shared.records).zip(&self.cores);
        let worker = |((worker, record), core): ((u8, &Arc<WorkerRecord>), &Option<usize>)| WorkerStatus {
            worker,
            core: *core,
            ..WorkerStatus::of(record)
        };
        status.set_workers(workers.map(worker).collect());
    }

    /// All addresses that are wanted are listened at.
    fn ready(&self) -> Result<(), String> {
        match self.listeners().first_fault() {
            Some((address, reason)) => Err(format!("nobody listens at {address}: {reason}")),
            None => Ok(()),
        }
    }

    fn flows(&self, _: &FlowQuery) -> Result<FlowList, String> {
        Err("on the kernel's sockets it follows no flows of packets".to_owned())
    }
}

#[cfg(test)]
mod tests;
