//! The status document, from everybody who knows a part of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use headgate_xsk::{Probe, Umem};

use super::kernel_path::TapPath;
use super::ports::OpenPort;
use super::routes::Watched;
use crate::control::Control;
use crate::steering::Steerer;
use crate::telemetry::flow_log::{self, FlowLogStatus};
use crate::telemetry::{
    Answers, ControlStatus, DecisionStatus, DenialStatus, FrameStatus, HeldFrames, LinkState, ListenerStatus,
    PolicyState, PortStatus, Question, QueueStatus, ServiceStatus, Status, WorkerStatus, direction,
};
use crate::worker::Shared;
use headgate_net::record::WorkerRecord;

/// Answers for the dataplane.
struct Desk {
    reporter: Reporter,
    control: Arc<Mutex<ControlStatus>>,
    flow_log: Box<dyn Fn() -> FlowLogStatus + Send + Sync>,
}

impl Answers for Desk {
    fn status(&self) -> Status {
        Status {
            flow_log: (self.flow_log)(),
            ..self.reporter.report(&self.control)
        }
    }

    fn ready(&self) -> Result<(), String> {
        self.reporter.ready(&self.control)
    }

    fn policy(&self) -> PolicyState {
        let tables = self.reporter.shared.tables.load();
        PolicyState::of(&tables.policy, tables.generation)
    }

    fn decide(&self, question: &Question) -> DecisionStatus {
        let tables = self.reporter.shared.tables.load();
        DecisionStatus::of(&tables.policy, tables.generation, question)
    }
}

/// Reads what all of them have written down.
pub(super) struct Reporter {
    started: Instant,
    shared: Arc<Shared>,
    steerer: Arc<Mutex<Steerer>>,
    umem: &'static Umem,
    kernel_path: Arc<TapPath>,
    watched: Arc<Mutex<Watched>>,
    ports: Vec<PortStatus>,
    queues: Vec<WatchedQueue>,
    /// By worker.
    cores: Vec<Option<usize>>,
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
        cores: Vec<Option<usize>>,
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
            started: Instant::now(),
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

    /// Whom the status socket asks.
    pub(super) fn answering_for(self, control: &Control, flows: &flow_log::Service) -> Arc<impl Answers> {
        Arc::new(Desk {
            reporter: self,
            control: control.status(),
            flow_log: Box::new(flows.status()),
        })
    }

    fn report(&self, control: &Mutex<ControlStatus>) -> Status {
        let control = control.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").into(),
            process: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            generation: control.generation,
            control,
            ports: self.ports.clone(),
            frames: FrameStatus {
                total: self.umem.frames(),
                free: self.umem.free_frames(),
                kernel: self.umem.kernel_frames(),
                ..FrameStatus::default()
            },
            kernel_path: self.kernel_path.status(),
            ..Status::default()
        };
        self.add_links(&mut status);
        self.add_steering(&mut status);
        self.add_state(&mut status);
        status.set_workers(self.workers());
        status
    }

    /// A state of the control plane is in force on every worker, and packets can pass every interface. A control plane
    /// that is gone again changes nothing: traffic goes on by its last state.
    fn ready(&self, control: &Mutex<ControlStatus>) -> Result<(), String> {
        let applied = control.lock().unwrap_or_else(PoisonError::into_inner).applied;
        if applied == 0 {
            return Err("no state of a control plane is in force yet".to_owned());
        }
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = self.ports.iter().zip(&watched.links);
        let mut down = ports.filter(|(_, link)| **link != LinkState::Up);
        match down.next() {
            Some((port, link)) => Err(format!("port {} is {link}", port.name)),
            None => Ok(()),
        }
    }

    fn workers(&self) -> Vec<WorkerStatus> {
        let workers = (0..).zip(&self.shared.records).zip(&self.cores);
        workers
            .map(|((number, record), core)| self.worker(number, record, *core))
            .collect()
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

    fn add_state(&self, status: &mut Status) {
        let tables = self.shared.tables.load();
        let service = |service: &headgate_net::lb::Service| {
            let source = service.source();
            ServiceStatus {
                name: source.name.clone(),
                protocol: source.frontend.protocol.to_string().to_lowercase(),
                address: (source.frontend.address, source.frontend.port).into(),
                backends: source.backends.len(),
            }
        };
        status.services = tables.services.iter().map(service).collect();
        let listener = |l: &headgate_ring::message::Listener| ListenerStatus {
            address: l.address,
            tls: l.protocol == headgate_ring::message::ListenerProtocol::Https,
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
        status
            .services
            .sort_by_key(|service| (service.address, service.protocol.clone()));
        status.listeners.sort_by_key(|listener| listener.address);
    }
}

impl WatchedQueue {
    fn status(&self) -> QueueStatus {
        let own = self.probe.statistics().unwrap_or_default();
        let kernel = own.kernel;
        let counts = [
            ("received", own.received),
            ("transmitted", own.transmitted),
            ("completed", own.completed),
            ("kicks", own.kicks),
            ("kicks_busy", own.busy),
            ("kicks_again", own.again),
            ("kicks_no_buffers", own.no_buffers),
            ("kick_errors", own.kick_errors),
            ("bad_descriptors", own.bad_descriptors),
            ("oversized", own.oversized),
            ("foreign", own.foreign),
            ("filling", own.filling),
            ("sending", own.sending),
            ("kernel_rx_dropped", kernel.rx_dropped),
            ("kernel_rx_invalid_descriptors", kernel.rx_invalid_descriptors),
            ("kernel_tx_invalid_descriptors", kernel.tx_invalid_descriptors),
            ("kernel_rx_ring_full", kernel.rx_ring_full),
            ("kernel_fill_ring_empty", kernel.fill_ring_empty),
            ("kernel_tx_ring_empty", kernel.tx_ring_empty),
        ];
        QueueStatus {
            port: self.port,
            queue: self.number,
            worker: self.worker,
            zero_copy: self.probe.zero_copy(),
            counts: counts
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        }
    }
}
