//! The status document, from everybody who knows a part of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::control::Control;
use crate::telemetry::flow_log::{self, FlowLogStatus};
use crate::telemetry::{
    Answers, ControlStatus, DecisionStatus, DenialStatus, FlowList, FlowQuery, ListenerStatus, PolicyState,
    Question, Status, direction, traffic,
};
use crate::worker::Shared;
use headgate_net::phase::Phase;

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
            draining: self.reporter.shared().phase().is_draining(),
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
        match self.reporter.shared().phase() {
            Phase::Serving => {}
            Phase::Leaving | Phase::Closed | Phase::Parting => {
                return Err("draining: the dataplane is about to end".to_owned());
            }
            Phase::Over => return Err("the dataplane is ending".to_owned()),
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

#[cfg(test)]
mod tests;
