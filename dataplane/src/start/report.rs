//! The status document, from everybody who knows a part of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headgate_xsk::Umem;

use super::kernel_path::TapPath;
use super::ports::OpenPort;
use super::routes::Watched;
use crate::control::Control;
use crate::steering::Steerer;
use crate::telemetry::flow_log::{self, FlowLogStatus};
use crate::telemetry::{
    Answers, ControlStatus, DecisionStatus, DenialStatus, FrameStatus, ListenerStatus, PolicyState,
    PortStatus, Question, ServiceStatus, Status,
};
use crate::worker::{Peer, Shared};

/// A worker that does not report within this is busy with one packet, or stuck.
const PATIENCE: Duration = Duration::from_millis(500);

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

    fn policy(&self) -> PolicyState {
        {
            let tables = self.reporter.shared.tables.load();
            PolicyState::of(&tables.policy, tables.generation)
        }
    }

    fn decide(&self, question: &Question) -> DecisionStatus {
        {
            let tables = self.reporter.shared.tables.load();
            DecisionStatus::of(&tables.policy, tables.generation, question)
        }
    }
}

/// Asks all of them.
pub(super) struct Reporter {
    started: Instant,
    shared: Arc<Shared>,
    steerer: Arc<Mutex<Steerer>>,
    umem: &'static Umem,
    kernel_path: Arc<TapPath>,
    watched: Arc<Mutex<Watched>>,
    ports: Vec<PortStatus>,
}

impl Reporter {
    pub(super) fn new(
        shared: &Arc<Shared>,
        steerer: &Arc<Mutex<Steerer>>,
        umem: &'static Umem,
        kernel_path: &Arc<TapPath>,
        ports: &[OpenPort],
    ) -> Self {
        let port = |port: &OpenPort| PortStatus {
            name: port.name.clone(),
            mode: port.mode.to_string(),
            ..PortStatus::default()
        };
        Self {
            started: Instant::now(),
            shared: Arc::clone(shared),
            steerer: Arc::clone(steerer),
            umem,
            kernel_path: Arc::clone(kernel_path),
            watched: Arc::default(),
            ports: ports.iter().map(port).collect(),
        }
    }

    /// Where the keeper of routes tells how it fares.
    pub(super) fn watched(&self) -> Arc<Mutex<Watched>> {
        Arc::clone(&self.watched)
    }

    /// Whom the status socket asks.
    pub(super) fn answering_for(self, control: &Control, flows: &flow_log::Service) -> impl Answers {
        Desk {
            reporter: self,
            control: control.status(),
            flow_log: Box::new(flows.status()),
        }
    }

    fn report(&self, control: &Mutex<ControlStatus>) -> Status {
        let control = control.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let workers = self
            .shared
            .peers
            .iter()
            .filter_map(|peer: &Peer| peer.report(PATIENCE))
            .collect();
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
        status.set_workers(workers);
        status
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
                protocol: format!("{:?}", source.frontend.protocol).to_lowercase(),
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
                direction: format!("{:?}", policy.direction).to_lowercase(),
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
