//! An L7 stage on its thread, a worker or its own: whole IP packets on its side, frames on ours.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use headgate_xsk::{Frame, FrameCache};
use tokio::sync::Notify;

use super::Shared;
use super::in_force::InForce;
use crate::config::Tables;
use crate::options::EstablishedFlows;
use headgate_l7::{ByKernel, Limits, Stage, StageConfig};
use headgate_net::clock::Nanos;
use headgate_net::fib::{Fib, Lookup};
use headgate_net::flow::{SourcePortOwner, SourcePorts};
use headgate_net::ids::StageId;
use headgate_net::phase::Phase;
use headgate_net::record::{L7Record, Recorder};
use headgate_net::wire::ethernet::{self, HEADER};
use headgate_net::wire::{Headers, ip};
use headgate_tcp::{MoreSources, StackConfig};

/// What a [`Terminator`] is made of.
pub(super) struct TerminatorConfig {
    /// Which one it is.
    pub(super) id: StageId,
    /// What all send from to pods.
    pub(super) source_ports: SourcePorts,
    /// Where it counts.
    pub(super) record: Arc<L7Record>,
    /// Where decisions are recorded.
    pub(super) recorder: Recorder,
    /// What a change of policies does to requests under way.
    pub(super) established: EstablishedFlows,
    /// Largest window of a connection, in bytes.
    pub(super) buffer: usize,
    /// Bytes of memory for data of connections.
    pub(super) memory: usize,
    /// The largest IP packet that it sends.
    pub(super) mtu: usize,
    /// Timeouts and limits of HTTP.
    pub(super) limits: Limits,
}

/// The stage, and what joins it to its thread.
pub(super) struct Terminator {
    stage: Stage,
    wake: Arc<Notify>,
    /// The stage has packets that found no frame or no room.
    blocked: bool,
    in_force: InForce,
}

impl Terminator {
    pub(super) fn new(config: TerminatorConfig, shared: &Arc<Shared>) -> Self {
        // Connections to pods are rare next to packets: a load of the pointer each is cheap enough.
        let routes = Arc::clone(shared);
        let source = Rc::new(move |to: IpAddr| routes.fib.load().source_address(to));
        let routes = Arc::clone(shared);
        let by_kernel =
            ByKernel::new(move |to| matches!(routes.fib.load().lookup(to), Lookup::Kernel | Lookup::Local));
        let tcp = StackConfig {
            buffer: config.buffer,
            memory: config.memory,
            mtu: config.mtu,
            record: Arc::clone(&config.record.tcp),
            more_sources: more_sources(config.id, config.source_ports, shared),
            ..StackConfig::new(config.source_ports.slice(SourcePortOwner::L7(config.id)), source)
        };
        let stage = Stage::new(StageConfig {
            limits: config.limits,
            recorder: config.recorder,
            record: config.record,
            by_kernel,
            ..StageConfig::new(tcp)
        });
        Self {
            wake: stage.wake(),
            stage,
            blocked: false,
            in_force: InForce::new(config.established),
        }
    }

    /// Takes over a publication that is new to it.
    pub(super) fn configure(&mut self, tables: &Tables) {
        self.in_force.take_over(tables, &mut self.stage);
    }

    /// The dataplane is so far with its end.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.stage.enter(phase);
    }

    /// What would be broken off by the end of the thread.
    pub(super) fn held(&self) -> usize {
        self.stage.held()
    }

    pub(super) fn ingress(&mut self, frame: &[u8], headers: &Headers, now: Nanos) {
        self.stage.ingress(frame, headers, now);
    }

    /// Puts up to `room` packets that the stage sends into `out`, in frames whose Ethernet header has its type only.
    pub(super) fn egress(
        &mut self,
        now: Nanos,
        cache: &mut FrameCache,
        fib: &Fib,
        room: usize,
        out: &mut Vec<(Frame, Lookup)>,
    ) -> usize {
        let blocked = &mut self.blocked;
        *blocked = false;
        let routes = LastRoute::default();
        self.stage.egress(now, &mut |length, fill| {
            let Some(mut frame) = (out.len() < room).then(|| cache.take()).flatten() else {
                *blocked = true;
                return false;
            };
            frame.set_len(HEADER + length);
            let (header, packet) = frame.data_mut().split_at_mut(HEADER);
            fill(packet);
            let ip = ip::IpHeader::of(packet).expect("our own stack writes whole headers");
            ethernet::set_type(header, ip.ether_type());
            let lookup = routes.lookup(fib, ip.destination());
            out.push((frame, lookup));
            true
        });
        out.len()
    }

    /// Whether [`Terminator::egress`] is to be called again soon though nothing happens.
    pub(super) fn blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn next_timer(&self) -> Option<Nanos> {
        self.stage.next_timer()
    }

    /// Notified when tasks have made packets.
    pub(super) fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// Writes down what the stage holds now.
    pub(super) fn note(&self) {
        self.stage.note();
    }
}

/// The addresses that are given to send from, besides the one of the route.
fn more_sources(stage: StageId, ports: SourcePorts, shared: &Arc<Shared>) -> MoreSources {
    let routes = Arc::clone(shared);
    Rc::new(move |to, number| {
        let fib = routes.fib.load();
        let first = fib.source_address(to);
        let suits = |address: &&IpAddr| address.is_ipv4() == to.is_ipv4() && Some(**address) != first;
        let address = *ports.addresses().iter().filter(suits).nth(number)?;
        let range = if fib.is_local(address) {
            ports.slice(SourcePortOwner::L7(stage))
        } else {
            ports.slice_of_own(stage)
        };
        Some((address, range))
    })
}

/// A response goes to one client in many packets: the route of the last one is remembered for a turn.
#[derive(Default)]
struct LastRoute(Cell<Option<(IpAddr, Lookup)>>);

impl LastRoute {
    fn lookup(&self, fib: &Fib, to: IpAddr) -> Lookup {
        match self.0.get() {
            Some((last, lookup)) if last == to => lookup,
            _ => {
                let lookup = fib.lookup(to);
                self.0.set(Some((to, lookup)));
                lookup
            }
        }
    }
}
