//! The status document, from everybody who knows a part of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use headgate_xsk::{Probe, Umem};

use super::cores::Cores;
use super::kernel_path::TapPath;
use super::ports::OpenPort;
use super::routes::Watched;
use crate::control::Control;
use crate::steering::Steerer;
use crate::telemetry::flow_log::{self, FlowLogStatus};
use crate::telemetry::{
    Answers, ControlStatus, DecisionStatus, DenialStatus, FlowList, FlowQuery, FrameStatus, HeldFrames,
    LinkState, ListenerStatus, PolicyState, PortStatus, Question, QueueStatus, StageStatus, Status,
    WorkerStatus, direction, traffic,
};
use crate::worker::{Shared, StageHandle};
use headgate_net::record::{QueueCount, Snapshot, WorkerRecord};

/// What a dataplane can tell besides the state in force.
pub(super) trait Reports: Send + Sync + 'static {
    fn shared(&self) -> &Shared;
    /// Adds what it knows to what all dataplanes know.
    fn report(&self, status: &mut Status);
    /// Whether clients can be served by the state in force, or why not.
    fn ready(&self) -> Result<(), String>;
    /// The flows that are followed now, or why there are none.
    fn flows(&self, query: &FlowQuery) -> Result<FlowList, String>;
}

/// Answers for the dataplane.
pub(super) struct Desk<R> {
    started: Instant,
    reporter: R,
    control: Arc<Mutex<ControlStatus>>,
    flow_log: Box<dyn Fn() -> FlowLogStatus + Send + Sync>,
}

/// Whom the status socket and the metrics ask.
pub(super) fn desk<R: Reports>(
    reporter: R,
    control: &Control,
    flows: &flow_log::FlowLogService,
) -> Arc<Desk<R>> {
    Arc::new(Desk {
        started: Instant::now(),
        reporter,
        control: control.status(),
        flow_log: Box::new(flows.status()),
    })
}

impl<R> Desk<R> {
    fn control(&self) -> ControlStatus {
        self.control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl<R: Reports> Answers for Desk<R> {
    fn status(&self) -> Status {
        let control = self.control();
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").into(),
            process: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            generation: control.generation,
            control,
            flow_log: (self.flow_log)(),
            ..Status::default()
        };
        add_state(&mut status, self.reporter.shared());
        self.reporter.report(&mut status);
        status
    }

    /// Whether every worker works by a state and clients can be served by it. A control plane that is gone again changes
    /// nothing: traffic goes on by its last state.
    fn ready(&self) -> Result<(), String> {
        if self.reporter.shared().stopping() {
            return Err("the dataplane is ending".to_owned());
        }
        if self.control().applied == 0 {
            return Err("no state of a control plane is in force yet".to_owned());
        }
        self.reporter.ready()
    }

    fn policy(&self) -> PolicyState {
        let tables = self.reporter.shared().tables.load();
        PolicyState::of(&tables.policy, tables.publication)
    }

    fn decide(&self, question: &Question) -> DecisionStatus {
        let tables = self.reporter.shared().tables.load();
        DecisionStatus::of(&tables.policy, tables.publication, question)
    }

    fn flows(&self, query: &FlowQuery) -> Result<FlowList, String> {
        self.reporter.flows(query)
    }
}

/// Reads what all of them have written down.
pub(super) struct Reporter {
    shared: Arc<Shared>,
    steerer: Arc<Mutex<Steerer>>,
    umem: &'static Umem,
    kernel_path: Arc<TapPath>,
    watched: Arc<Mutex<Watched>>,
    ports: Vec<PortStatus>,
    queues: Vec<WatchedQueue>,
    cores: Cores,
}

/// An AF_XDP socket of a worker's.
struct WatchedQueue {
    port: u8,
    number: u32,
    worker: u8,
    probe: Probe,
}

impl Reporter {
    pub(super) fn new(
        shared: &Arc<Shared>,
        steerer: &Arc<Mutex<Steerer>>,
        umem: &'static Umem,
        kernel_path: &Arc<TapPath>,
        ports: &[OpenPort],
        cores: Cores,
    ) -> std::io::Result<Self> {
        let port = |port: &OpenPort| PortStatus {
            name: port.name.clone(),
            mode: port.mode.to_string(),
            ..PortStatus::default()
        };
        let mut queues = Vec::new();
        for (port, open) in (0..).zip(ports) {
            for (number, queue) in &open.queues {
                queues.push(WatchedQueue {
                    port,
                    number: *number,
                    worker: super::workers::owner(*number, shared.peers.len()),
                    probe: queue.probe()?,
                });
            }
        }
        Ok(Self {
            shared: Arc::clone(shared),
            steerer: Arc::clone(steerer),
            umem,
            kernel_path: Arc::clone(kernel_path),
            watched: Arc::default(),
            ports: ports.iter().map(port).collect(),
            queues,
            cores,
        })
    }

    /// Where the keeper of routes tells how it fares.
    pub(super) fn watched(&self) -> Arc<Mutex<Watched>> {
        Arc::clone(&self.watched)
    }

    fn workers(&self) -> Vec<WorkerStatus> {
        let workers = (0..).zip(&self.shared.records).zip(&self.cores.workers);
        workers
            .map(|((number, record), core)| self.worker(number, record, *core))
            .collect()
    }

    fn stages(&self) -> Vec<StageStatus> {
        let stages = self.shared.stages.iter().zip(&self.cores.stages);
        let stage = |(handle, core): (&StageHandle, &usize)| {
            let status = StageStatus::of(self.shared.stage_record(handle.id));
            StageStatus {
                stage: handle.id.0,
                core: Some(*core),
                held: HeldFrames {
                    inbox: handle.waiting(),
                    ..status.held
                },
                ..status
            }
        };
        stages.map(stage).collect()
    }

    fn worker(&self, number: u8, record: &WorkerRecord, core: Option<usize>) -> WorkerStatus {
        let status = WorkerStatus::of(record);
        let queues = self.queues.iter().filter(|queue| queue.worker == number);
        WorkerStatus {
            worker: number,
            core,
            held: HeldFrames {
                inbox: self.shared.peers[usize::from(number)].waiting(),
                ..status.held
            },
            queues: queues.map(WatchedQueue::status).collect(),
            ..status
        }
    }

    fn add_links(&self, status: &mut Status) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        status.routes = watched.routes;
        for (port, link) in status.ports.iter_mut().zip(&watched.links) {
            port.link = *link;
        }
    }

    fn add_steering(&self, status: &mut Status) {
        let steerer = self.steerer.lock().unwrap_or_else(PoisonError::into_inner);
        status.owned_addresses = steerer.owned().collect();
        for (port, counts) in status.ports.iter_mut().zip(steerer.counts()) {
            port.steering = counts;
        }
    }
}

impl Reports for Reporter {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn report(&self, status: &mut Status) {
        status.ports.clone_from(&self.ports);
        status.frames = FrameStatus {
            total: self.umem.frames(),
            free: self.umem.free_frames(),
            kernel: self.umem.kernel_frames(),
            ..FrameStatus::default()
        };
        status.kernel_path = self.kernel_path.status();
        self.add_links(status);
        self.add_steering(status);
        status.stages = self.stages();
        status.set_workers(self.workers());
    }

    /// Packets can pass every interface.
    fn ready(&self) -> Result<(), String> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = self.ports.iter().zip(&watched.links);
        let mut down = ports.filter(|(_, link)| **link != LinkState::Up);
        match down.next() {
            Some((port, link)) => Err(format!("port {} is {link}", port.name)),
            None => Ok(()),
        }
    }

    fn flows(&self, query: &FlowQuery) -> Result<FlowList, String> {
        let tables = self.shared.tables.load_full();
        Ok(FlowList::pick(&tables.services, query, |patience, each| {
            self.shared.each_flow(patience, each)
        }))
    }
}

/// What the tables in force say.
fn add_state(status: &mut Status, shared: &Shared) {
    let tables = shared.tables.load();
    status.services = traffic::services(&tables, &shared.records);
    if let Some(l7) = tables.l7() {
        status.http_routes = traffic::routes(l7.routes(), &shared.records);
        status.upstreams = traffic::upstreams(l7.routes(), &shared.records);
    }
    let listener = |l: &headgate_ring::message::Listener| ListenerStatus {
        address: l.address,
        tls: l.protocol == headgate_ring::message::ListenerProtocol::Https,
        fault: None,
    };
    let denials = tables
        .policy
        .policies()
        .into_iter()
        .map(|(_, policy)| DenialStatus {
            policy: policy.name.clone(),
            direction: direction(policy.direction).to_owned(),
            packets: 0,
        });
    status.denials = denials.collect();
    status.listeners = tables.listeners.iter().map(listener).collect();
    status.listeners.sort_by_key(|listener| listener.address);
}

impl WatchedQueue {
    fn status(&self) -> QueueStatus {
        let own = self.probe.statistics().unwrap_or_default();
        let kernel = own.kernel;
        let counts = Snapshot::of(|count| match count {
            QueueCount::Received => own.received,
            QueueCount::Transmitted => own.transmitted,
            QueueCount::Completed => own.completed,
            QueueCount::Kicks => own.kicks,
            QueueCount::KicksBusy => own.busy,
            QueueCount::KicksAgain => own.again,
            QueueCount::KicksNoBuffers => own.no_buffers,
            QueueCount::KickErrors => own.kick_errors,
            QueueCount::BadDescriptors => own.bad_descriptors,
            QueueCount::Oversized => own.oversized,
            QueueCount::Foreign => own.foreign,
            QueueCount::Filling => own.filling,
            QueueCount::Sending => own.sending,
            QueueCount::KernelRxDropped => kernel.rx_dropped,
            QueueCount::KernelRxInvalidDescriptors => kernel.rx_invalid_descriptors,
            QueueCount::KernelTxInvalidDescriptors => kernel.tx_invalid_descriptors,
            QueueCount::KernelRxRingFull => kernel.rx_ring_full,
            QueueCount::KernelFillRingEmpty => kernel.fill_ring_empty,
            QueueCount::KernelTxRingEmpty => kernel.tx_ring_empty,
        });
        QueueStatus {
            port: self.port,
            queue: self.number,
            worker: self.worker,
            zero_copy: self.probe.zero_copy(),
            counts,
        }
    }
}

#[cfg(test)]
mod tests;
