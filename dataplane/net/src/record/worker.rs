//! All that one worker or L7 stage counts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::EnumCount;

use super::denials::DenialRecord;
use super::slab::{Resettable, Slab};
use super::table::{
    Class, HttpCount, HttpGauge, Loop, PacketCount, RouteCount, ServiceCount, TcpCount, TcpGauge,
    UpstreamCount, UpstreamGauge, WorkerGauge,
};
use super::{Block, Count, Histogram, Latency, Snapshot};
use crate::verdict::{Answer, Kernel, Reason};

/// Of a worker. It alone writes; whoever wants to know reads, and it does not notice.
#[derive(Debug, Default)]
pub struct WorkerRecord {
    /// Packets and flows.
    pub packets: Block<PacketCount, { PacketCount::COUNT }>,
    /// Packets dropped.
    pub drops: Block<Reason, { Reason::COUNT }>,
    /// Packets for the kernel.
    pub kernel: Block<Kernel, { Kernel::COUNT }>,
    /// Packets answered.
    pub answers: Block<Answer, { Answer::COUNT }>,
    /// Its loop.
    pub turns: Block<Loop, { Loop::COUNT }>,
    /// What it holds now.
    pub now: Block<WorkerGauge, { WorkerGauge::COUNT }>,
    /// Packets that policies forbade.
    pub denials: Arc<DenialRecord>,
    /// Of each Service's port.
    pub services: Slab<ServiceRecord>,
    /// Its L7 stage.
    pub l7: Arc<L7Record>,
}

/// Of one Service's port at one address.
pub type ServiceRecord = Block<ServiceCount, { ServiceCount::COUNT }>;

impl Resettable for ServiceRecord {
    fn clear(&self) {
        Block::clear(self);
    }
}

/// Of an L7 stage.
#[derive(Debug, Default)]
pub struct L7Record {
    /// Requests answered.
    pub requests: Block<Class, { Class::COUNT }>,
    /// Events.
    pub events: Block<HttpCount, { HttpCount::COUNT }>,
    /// What it holds now.
    pub now: Block<HttpGauge, { HttpGauge::COUNT }>,
    /// From the end of a request's head to the end of its response.
    pub latency: Histogram,
    /// Of each route.
    pub routes: Slab<RouteRecord>,
    /// Of each upstream.
    pub upstreams: Slab<UpstreamRecord>,
    /// Its TCP stack, where that is ours.
    pub tcp: Arc<TcpRecord>,
}

/// Of one route: requests that have ended.
#[derive(Debug, Default)]
pub struct RouteRecord {
    /// Requests, by class of the status.
    pub requests: Block<Class, { Class::COUNT }>,
    /// Bytes.
    pub counts: Block<RouteCount, { RouteCount::COUNT }>,
    /// From the end of each request's head to the end of its response, all together.
    pub total_us: Count,
}

impl Resettable for RouteRecord {
    fn clear(&self) {
        self.requests.clear();
        self.counts.clear();
        self.total_us.set(0);
    }
}

/// Of one upstream.
#[derive(Debug, Default)]
pub struct UpstreamRecord {
    /// Events.
    pub counts: Block<UpstreamCount, { UpstreamCount::COUNT }>,
    /// What goes on now.
    pub now: Block<UpstreamGauge, { UpstreamGauge::COUNT }>,
    /// From the end of a request's head to the head of the pod's response.
    pub latency: Histogram,
}

impl Resettable for UpstreamRecord {
    fn clear(&self) {
        self.counts.clear();
        self.now.clear();
        self.latency.clear();
    }
}

/// Of a TCP stack.
#[derive(Debug, Default)]
pub struct TcpRecord {
    /// Events.
    pub events: Block<TcpCount, { TcpCount::COUNT }>,
    /// What it holds now.
    pub now: Block<TcpGauge, { TcpGauge::COUNT }>,
}

impl TcpRecord {
    /// All of it.
    #[must_use]
    pub fn status(&self) -> TcpStatus {
        TcpStatus {
            now: self.now.snapshot(),
            counters: self.events.snapshot(),
        }
    }
}

impl L7Record {
    /// All of it.
    #[must_use]
    pub fn status(&self) -> L7Status {
        L7Status {
            tcp: self.tcp.status(),
            now: self.now.snapshot(),
            counters: L7Counters {
                requests: self.requests.snapshot(),
                events: self.events.snapshot(),
                latency: self.latency.snapshot(),
            },
        }
    }
}

/// A [`TcpRecord`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpStatus {
    /// What it held.
    #[serde(flatten)]
    pub now: Snapshot<TcpGauge>,
    /// Event counters.
    #[serde(default)]
    pub counters: Snapshot<TcpCount>,
}

/// An [`L7Record`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct L7Status {
    /// TCP connections and counters.
    #[serde(default)]
    pub tcp: TcpStatus,
    /// What it held.
    #[serde(flatten)]
    pub now: Snapshot<HttpGauge>,
    /// Event counters.
    #[serde(default)]
    pub counters: L7Counters,
}

/// What an L7 stage had counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct L7Counters {
    /// Requests answered, by class of the status.
    #[serde(default)]
    pub requests: Snapshot<Class>,
    /// The other events.
    #[serde(flatten)]
    pub events: Snapshot<HttpCount>,
    /// From the end of a request's head to the end of its response.
    #[serde(default)]
    pub latency: Latency,
}

impl TcpStatus {
    /// Source ports in use towards the fullest destination, and how many there are towards it.
    #[must_use]
    pub fn source_ports(&self) -> (u64, u64) {
        (
            self.now[TcpGauge::SourcePortsUsed],
            self.now[TcpGauge::SourcePortsLimit],
        )
    }

    /// The share of them, of a million; none where nothing is known.
    fn source_ports_use(&self) -> Option<u64> {
        let (used, limit) = self.source_ports();
        (used * 1_000_000).checked_div(limit)
    }
}

impl L7Status {
    /// Adds another stage's. Of source ports those count that are nearest to their limit.
    pub fn add(&mut self, other: &Self) {
        let ports = if self.tcp.source_ports_use() < other.tcp.source_ports_use() {
            other.tcp.source_ports()
        } else {
            self.tcp.source_ports()
        };
        self.tcp.now.add(&other.tcp.now);
        self.tcp.now[TcpGauge::SourcePortsUsed] = ports.0;
        self.tcp.now[TcpGauge::SourcePortsLimit] = ports.1;
        self.tcp.counters.add(&other.tcp.counters);
        self.now.add(&other.now);
        self.counters.requests.add(&other.counters.requests);
        self.counters.events.add(&other.counters.events);
        self.counters.latency.add(&other.counters.latency);
    }
}
