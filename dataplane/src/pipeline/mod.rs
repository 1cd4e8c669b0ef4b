//! The stages of a packet, in order.
//!
//! ```text
//! parse ─┬─ ARP, NDP, ICMP ───────────────── host.rs     answered, translated, or the kernel's
//!        └─ TCP, UDP ── flow ──┬─ known ──── transit.rs  re-examined after a change, tracked, rewritten, sent on
//!                              └─ unknown ── arrival.rs  whose? then listener, or Service → backend → policy → NAT
//! ```
//!
//! Nothing here allocates, locks, formats or calls the system for a packet of a known flow. A new flow allocates only where its
//! backend has had none lately.

mod answer;
mod arrival;
mod host;
mod transit;

use std::net::SocketAddr;
use std::sync::Arc;

use headgate_memory::prefetch;
use headgate_xsk::Frame;

use crate::config::Tables;
use crate::options::EstablishedFlows;
use answer::limiter;
use headgate_net::bucket::TokenBucket;
use headgate_net::clock::Nanos;
use headgate_net::fib::Fib;
use headgate_net::flow::{
    FlowCopy, FlowEntry, Flows, Ownership, Secret, SourcePortOwner, SourcePorts, Termination, Timeouts,
};
use headgate_net::ids::{PortId, WorkerId};
use headgate_net::phase::Phase;
use headgate_net::record::Counters;
use headgate_net::record::{Event, FlowLog, Record, Recorder};
use headgate_net::record::{PacketCount, WorkerRecord};
use headgate_net::verdict::{Kernel, Reason, Verdict};
use headgate_net::wire::{self, Address, Headers, Malformed, Parsed, Tuple};

/// What a worker's pipeline is made of; all but `worker` is the same for every worker of a process.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Whose pipeline this is.
    pub worker: WorkerId,
    /// How many workers share the flows, at least 1.
    pub workers: u8,
    /// How they share them.
    pub ownership: Ownership,
    /// Where connections are terminated.
    pub termination: Termination,
    /// The ports that SNAT and L7 stages send from, cut for as many workers and stages.
    pub source_ports: SourcePorts,
    /// Flows of each address family that the worker's tables hold. Memory is taken at once: 171 to 342 bytes for an
    /// IPv4 flow and twice that for an IPv6 flow, by how far the capacity is from a power of two.
    pub flow_capacity: usize,
    /// Idle timeouts.
    pub timeouts: Timeouts,
    /// What becomes of answered flows that policies no longer allow.
    pub established: EstablishedFlows,
    /// Where decisions are recorded.
    pub flow_log: Arc<FlowLog>,
    /// Secret: who knows it can fill one slot of the flow table. From the system's generator.
    pub seed: [u64; 2],
}

/// What a batch is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The state in force.
    pub tables: &'a Tables,
    /// The forwarding table in force.
    pub fib: &'a Fib,
    /// When the batch was received.
    pub now: Nanos,
}

impl Context<'_> {
    /// What the flow log is told of a decision on a flow; `client` is from the client to the frontend.
    fn record<A: Address>(&self, event: Event, client: &Tuple<A>, pod: SocketAddr, protocol: u8) -> Record {
        Record {
            at: self.now,
            publication: self.tables.publication,
            client: (client.source.ip(), client.source_port).into(),
            frontend: (client.destination.ip(), client.destination_port).into(),
            pod,
            protocol,
            event,
        }
    }
}

/// The packet path of one worker: flows, counters, and what decides on packets. Does no I/O and reads no clock.
#[derive(Debug)]
pub struct Pipeline {
    v4: Flows<[u8; 4]>,
    v6: Flows<[u8; 16]>,
    common: Common,
    /// The batch at hand; kept for its memory.
    batch: Vec<Item>,
}

/// How far the flows of a pipeline were looked through.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowCursor {
    v4: usize,
    v6: usize,
}

impl FlowCursor {
    /// Whether nothing is left.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.v4 == 0 && self.v6 == 0
    }
}

/// What every stage needs besides the flows.
#[derive(Debug)]
struct Common {
    worker: WorkerId,
    workers: u8,
    ownership: Ownership,
    termination: Termination,
    source_ports: SourcePorts,
    established: EstablishedFlows,
    counters: Counters,
    recorder: Recorder,
    limiter: TokenBucket,
    phase: Phase,
}

/// A parsed packet of the batch.
#[derive(Clone, Copy, Debug)]
struct Item {
    parsed: Result<Parsed, Malformed>,
    /// Of the flow's direction; 0 where the packet is of no flow.
    hash: u64,
}

/// Whence the frames of a batch come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Received,
    HandedOver,
}

impl Pipeline {
    /// Makes a pipeline without flows.
    ///
    /// # Panics
    /// Where `worker` is not one of `workers`, or `source_ports` are cut for fewer.
    #[must_use]
    pub fn new(config: &PipelineConfig) -> Self {
        Self::counting(config, Arc::default())
    }

    /// [`new`](Self::new), and it counts in `record`, where nobody else may.
    ///
    /// # Panics
    /// Likewise.
    #[must_use]
    pub fn counting(config: &PipelineConfig, record: Arc<WorkerRecord>) -> Self {
        assert!(
            config.worker.0 < config.workers,
            "{:?} of {} workers",
            config.worker,
            config.workers
        );
        let ports = config.source_ports.slice(SourcePortOwner::L4(config.worker));
        let secret = Secret::new(config.seed);
        Self {
            v4: Flows::new(config.flow_capacity, ports.clone(), &config.timeouts, secret),
            v6: Flows::new(config.flow_capacity, ports, &config.timeouts, secret),
            common: Common {
                worker: config.worker,
                workers: config.workers,
                ownership: config.ownership,
                termination: config.termination,
                source_ports: config.source_ports,
                established: config.established,
                counters: Counters::new(record),
                recorder: Recorder::new(Arc::clone(&config.flow_log), config.worker),
                limiter: limiter(),
                phase: Phase::default(),
            },
            batch: Vec::new(),
        }
    }

    /// Decides on every frame of a batch that came in by `ingress`, rewriting in place; `verdicts` is cleared, and
    /// afterwards `verdicts[i]` belongs to `frames[i]`.
    pub fn process(
        &mut self,
        ctx: &Context<'_>,
        ingress: PortId,
        frames: &mut [Frame],
        verdicts: &mut Vec<Verdict>,
    ) {
        self.run(ctx, ingress, frames, verdicts, Origin::Received);
    }

    /// [`process`](Self::process) for frames that another thread has handed over, a worker or, as of [`PortId::KERNEL`], the
    /// reader of the TAP device: they are never handed on, so that no disagreement about who owns a flow can keep a frame
    /// going round.
    pub fn process_handed_over(
        &mut self,
        ctx: &Context<'_>,
        ingress: PortId,
        frames: &mut [Frame],
        verdicts: &mut Vec<Verdict>,
    ) {
        let count = match ingress {
            PortId::KERNEL => PacketCount::FromKernel,
            _ => PacketCount::TakenOver,
        };
        self.common.counters.add(count, frames.len());
        self.run(ctx, ingress, frames, verdicts, Origin::HandedOver);
    }

    fn run(
        &mut self,
        ctx: &Context<'_>,
        ingress: PortId,
        frames: &mut [Frame],
        verdicts: &mut Vec<Verdict>,
        origin: Origin,
    ) {
        self.common.counters.add(PacketCount::Packets, frames.len());
        self.parse_all(frames);
        verdicts.clear();
        let mac = ctx.fib.port_mac(ingress);
        for (at, frame) in frames.iter_mut().enumerate() {
            let item = self.batch[at];
            verdicts.push(self.decide(ctx, mac, frame, item, origin));
        }
    }

    /// Parses the batch and brings the flow entries near, so that their memory is there when they are decided on.
    fn parse_all(&mut self, frames: &[Frame]) {
        /// Frames ahead whose first bytes are on their way while one is parsed.
        const AHEAD: usize = 4;
        self.batch.clear();
        for (at, frame) in frames.iter().enumerate() {
            if let Some(next) = frames.get(at + AHEAD) {
                prefetch(next.data());
            }
            let parsed = wire::parse(frame.data());
            let hash = match &parsed {
                Ok(Parsed::Ip(headers)) if matches!(headers.protocol, wire::TCP | wire::UDP) => {
                    if headers.v6 {
                        hash_ahead(&self.v6, frame.data(), headers)
                    } else {
                        hash_ahead(&self.v4, frame.data(), headers)
                    }
                }
                _ => 0,
            };
            self.batch.push(Item { parsed, hash });
        }
    }

    #[inline]
    fn decide(
        &mut self,
        ctx: &Context<'_>,
        mac: Option<[u8; 6]>,
        frame: &mut Frame,
        item: Item,
        origin: Origin,
    ) -> Verdict {
        let headers = match item.parsed {
            Ok(Parsed::Ip(headers)) => headers,
            Ok(Parsed::Arp(l3)) => return self.common.arp(ctx, frame, l3, mac),
            Ok(Parsed::Fragment(fragment)) => return self.common.fragment(ctx, frame, &fragment),
            Ok(Parsed::Routed) => return self.common.counters.kernel(Kernel::Routed),
            Ok(Parsed::NotIp) => return self.common.counters.kernel(Kernel::NotIp),
            Err(malformed) => return self.common.counters.drop(malformed.into()),
        };
        if mac.is_some_and(|mac| frame.data()[..6] != mac)
            && let Some(verdict) = self.common.misdirected(ctx, frame, &headers, mac)
        {
            return verdict;
        }
        let common = &mut self.common;
        if headers.v6 {
            Packet {
                flows: &mut self.v6,
                common,
                ctx,
                frame,
                headers,
                origin,
            }
            .decide(item.hash)
        } else {
            Packet {
                flows: &mut self.v4,
                common,
                ctx,
                frame,
                headers,
                origin,
            }
            .decide(item.hash)
        }
    }

    /// The dataplane is so far with its end: neighbours are no longer answered, and later on what opens a flow or a connection
    /// is dropped without an answer, so that it is tried again where others have taken over.
    pub const fn enter(&mut self, phase: Phase) {
        self.common.phase = phase;
    }

    /// Looks at the next `budget` slots of the flow tables and removes what has been idle for too long; to be called once a
    /// batch or tick. [`slots`](Self::slots) is the budget of a whole round.
    pub fn sweep(&mut self, ctx: &Context<'_>, budget: usize) {
        let expired = self.v4.sweep(ctx.now, budget) + self.v6.sweep(ctx.now, budget);
        self.common.counters.add(PacketCount::FlowsExpired, expired);
    }

    /// Before the first of [`copy_flows`](Self::copy_flows).
    #[must_use]
    pub fn flow_cursor(&self) -> FlowCursor {
        FlowCursor {
            v4: self.v4.slots(),
            v6: self.v6.slots(),
        }
    }

    /// Looks at no more than `budget` slots of the flow tables from the cursor on, and gives `take` a copy of each flow there
    /// until it returns false; see [`Flows::copy`].
    pub fn copy_flows(
        &self,
        cursor: &mut FlowCursor,
        budget: usize,
        now: Nanos,
        take: impl FnMut(FlowCopy) -> bool,
    ) {
        if cursor.v4 > 0 {
            self.v4.copy(&mut cursor.v4, budget, now, take);
        } else {
            self.v6.copy(&mut cursor.v6, budget, now, take);
        }
    }

    /// Slots of each flow table.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.v4.slots()
    }

    /// Flows in the tables.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Source ports in use, each counted for every backend that it is in use for. The same as [`flows`](Self::flows),
    /// unless one was lost.
    #[must_use]
    pub fn source_ports_in_use(&self) -> usize {
        self.v4.source_ports_in_use() + self.v6.source_ports_in_use()
    }

    /// The IPv4 flows, each by its direction from the client. Walks the whole table.
    pub fn flows_v4(&self) -> impl Iterator<Item = &FlowEntry<[u8; 4]>> {
        self.v4.iter()
    }

    /// The IPv6 flows, each by its direction from the client. Walks the whole table.
    pub fn flows_v6(&self) -> impl Iterator<Item = &FlowEntry<[u8; 16]>> {
        self.v6.iter()
    }

    /// What has become of the packets so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.common.counters
    }

    /// For the worker to count what it drops itself, see [`Counters::drop`].
    pub const fn counters_mut(&mut self) -> &mut Counters {
        &mut self.common.counters
    }
}

#[inline]
fn hash_ahead<A: Address>(flows: &Flows<A>, frame: &[u8], headers: &Headers) -> u64 {
    let hash = flows.hash(&Tuple::of(frame, headers), headers.protocol);
    flows.prefetch(hash);
    hash
}

/// An IP packet on its way.
struct Packet<'a, A> {
    flows: &'a mut Flows<A>,
    common: &'a mut Common,
    ctx: &'a Context<'a>,
    frame: &'a mut Frame,
    headers: Headers,
    origin: Origin,
}

impl<A: Address> Packet<'_, A> {
    #[inline]
    fn decide(mut self, hash: u64) -> Verdict {
        let protocol = self.headers.protocol;
        if !matches!(protocol, wire::TCP | wire::UDP) {
            return self.host();
        }
        let tuple = Tuple::of(self.frame.data(), &self.headers);
        if let Some(slot) = self.flows.find(hash, &tuple, protocol)
            && let Some(verdict) = self.transit(slot)
        {
            return verdict;
        }
        self.arrive(&tuple, hash)
    }

    fn drop(&mut self, reason: Reason) -> Verdict {
        self.common.counters.drop(reason)
    }

    fn kernel(&mut self, cause: Kernel) -> Verdict {
        self.common.counters.kernel(cause)
    }
}

#[cfg(test)]
mod tests;
