//! The status document. Counts only grow while the process lives; a field once released keeps its name and meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use headgate_ring::message::Direction;

use super::flow_log::FlowLogStatus;
use super::traffic::{HttpRouteStatus, ServiceStatus, UpstreamStatus};
use headgate_net::record::{
    Id, L7Status, Loop, PacketCount, QueueCount, Snapshot, WorkerGauge, WorkerRecord,
};

/// Everything, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of this program.
    pub version: String,
    /// Process id.
    pub process: u32,
    /// Since the start.
    pub uptime_seconds: u64,
    /// What it stands on.
    #[serde(default)]
    pub mode: Mode,
    /// Whether it is about to end, while what is under way comes to its end.
    #[serde(default)]
    pub draining: bool,
    /// The control plane's state that every worker works by; 0 before the first.
    pub generation: u64,
    /// The session with the control plane.
    pub control: ControlStatus,
    /// Interfaces, in the order of the command line.
    pub ports: Vec<PortStatus>,
    /// Each worker's own counts.
    pub workers: Vec<WorkerStatus>,
    /// Those of each L7 stage that has a core of its own; none where each worker has its own stage.
    #[serde(default)]
    pub stages: Vec<StageStatus>,
    /// The sum of the counts of all workers and stages.
    pub totals: Counts,
    /// Flows that workers follow now.
    pub flows: usize,
    /// Packets that policies forbade: of every policy in force or that has denied, sorted by name and direction.
    pub denials: Vec<DenialStatus>,
    /// Addresses that Headgate answers ARP and NDP for.
    pub owned_addresses: Vec<IpAddr>,
    /// Services balanced at L4, by address.
    pub services: Vec<ServiceStatus>,
    /// Routes of HTTP requests.
    #[serde(default)]
    pub http_routes: Vec<HttpRouteStatus>,
    /// Where these routes lead.
    #[serde(default)]
    pub upstreams: Vec<UpstreamStatus>,
    /// Where HTTP is terminated.
    pub listeners: Vec<ListenerStatus>,
    /// Packet buffers.
    pub frames: FrameStatus,
    /// The copy of the kernel's routes and neighbours.
    pub routes: RouteStatus,
    /// Packets handed to the kernel's own stack.
    pub kernel_path: KernelPathStatus,
    /// The log of decisions.
    pub flow_log: FlowLogStatus,
}

/// What a dataplane stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The packets of interfaces.
    #[default]
    Packets,
    /// The kernel's sockets: Ingresses are served and nothing else.
    Sockets,
}

/// How the control plane fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// Whether one is connected.
    pub connected: bool,
    /// Its process id.
    pub process: Option<u32>,
    /// Sessions since the start.
    pub sessions: u64,
    /// Sessions that ended by a fault: a corrupt ring, a message that is no message.
    pub faults: u64,
    /// Attempts to connect that failed.
    pub refused: u64,
    /// The control plane's own number of the state in force.
    pub generation: u64,
    /// Transactions put in force.
    pub applied: u64,
    /// Transactions that were refused.
    pub rejected: u64,
    /// Why the last of them was refused, or the last session ended.
    pub last_error: Option<String>,
    /// From the arrival of the last transaction until every worker worked by it.
    pub last_apply_microseconds: u64,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortStatus {
    /// The interface.
    pub name: String,
    /// Whether packets can pass.
    pub link: LinkState,
    /// Where the steering program runs: `native` or `generic`.
    pub mode: String,
    /// Its queues that Headgate serves.
    pub queues: Vec<QueueStatus>,
    /// What the steering program did with packets that arrived.
    pub steering: SteeringStatus,
}

/// The state of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Up, with carrier.
    #[default]
    Up,
    /// Up, but the cable or the other end is not there.
    NoCarrier,
    /// Taken down.
    Down,
    /// Removed. An interface of the same name that comes later is another one: the dataplane must be restarted.
    Gone,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::NoCarrier => "without carrier",
            Self::Down => "down",
            Self::Gone => "gone",
        })
    }
}

/// Counts of a steering program, by outcome.
pub type SteeringStatus = BTreeMap<String, u64>;

/// An AF_XDP socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Index of the port.
    pub port: u8,
    /// The interface's queue.
    pub queue: u32,
    /// The worker that serves it.
    pub worker: u8,
    /// Whether the driver hands over its own buffers.
    pub zero_copy: bool,
    /// Counts of the socket, Headgate's and the kernel's.
    #[serde(default)]
    pub counts: Snapshot<QueueCount>,
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its number.
    pub worker: u8,
    /// The core that it is pinned to.
    pub core: Option<usize>,
    /// Flows that it follows now.
    pub flows: usize,
    /// Its packets.
    pub counts: Counts,
    /// Packets that policies forbade: of those that have denied here.
    pub denials: Vec<DenialStatus>,
    /// Frames that it holds now.
    pub held: HeldFrames,
    /// Turns of its loop, and how often it slept.
    #[serde(flatten)]
    pub turns: Snapshot<Loop>,
    /// Its queues.
    pub queues: Vec<QueueStatus>,
    /// Its L7 stage, where it has one.
    pub l7: L7Status,
}

/// An L7 stage with a core of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Its number.
    pub stage: u8,
    /// The core that it is pinned to.
    pub core: Option<usize>,
    /// What became of the packets that it sent.
    pub counts: Counts,
    /// Frames that it holds now.
    pub held: HeldFrames,
    /// Turns of its loop, and how often it slept.
    #[serde(flatten)]
    pub turns: Snapshot<Loop>,
    /// HTTP, and TCP below it.
    pub l7: L7Status,
}

/// Packets by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Packets and flows, by what happened to them.
    #[serde(flatten)]
    pub events: Snapshot<PacketCount>,
    /// Packets dropped, by reason; reasons that never occurred are left out.
    pub drops: BTreeMap<String, u64>,
    /// Packets for the kernel, by cause.
    pub kernel: BTreeMap<String, u64>,
    /// Packets answered, by answer.
    pub answers: BTreeMap<String, u64>,
}

/// Packets that one policy forbade.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DenialStatus {
    /// `namespace/name`, or the name of a ClusterNetworkPolicy.
    pub policy: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// Packets.
    pub packets: u64,
}

/// An address where HTTP is terminated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Whether they speak TLS.
    pub tls: bool,
    /// Why nobody listens there; with the kernel's sockets only.
    #[serde(default)]
    pub fault: Option<String>,
}

/// Where the packet buffers are. `total = free + kernel + held + unaccounted`, exactly while no packet moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameStatus {
    /// All of them.
    pub total: usize,
    /// Free.
    pub free: usize,
    /// With the kernel, to be filled or to be sent.
    pub kernel: usize,
    /// With workers, as [`WorkerStatus::held`] says.
    pub held: usize,
    /// The rest: in motion, or leaked if it stays above 0 when no packet moves.
    pub unaccounted: i64,
}

/// Frames that a worker holds between two turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFrames {
    /// Waiting for a neighbour's address.
    pub parked: usize,
    /// Waiting for room in a transmit ring.
    pub unsent: usize,
    /// Handed over to it and not yet taken.
    pub inbox: usize,
}

/// How the copy of the kernel's network state fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Counts the copies that workers were given.
    pub publication: u64,
    /// Routes of the kernel's main table.
    pub routes: usize,
    /// Neighbours of all links.
    pub neighbours: usize,
    /// How it is kept.
    pub mirror: MirrorStatistics,
    /// Questions to the kernel for a neighbour's address.
    pub asked: u64,
    /// Questions that it refused.
    pub refused: u64,
}

/// How the copy of the kernel's network state is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatistics {
    /// Notifications taken.
    pub events: u64,
    /// Times that the tables were read because something had changed.
    pub reads: u64,
    /// Times that notifications were lost and everything was read again.
    pub overruns: u64,
    /// Times that the socket broke and was opened anew.
    pub reopened: u64,
}

/// The TAP device to the kernel's own stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelPathStatus {
    /// The device.
    pub name: String,
    /// Addresses of Headgate's that the kernel has routes to by it: what pods see whose devices are no ports.
    pub addresses: Vec<IpAddr>,
    /// Packets from the kernel that came by it and were no answers: most are its own announcements.
    pub ignored: u64,
    /// Answers of pods that were dropped because their worker, or everybody, does not keep up.
    pub lost: u64,
}

impl Counts {
    /// What a worker has counted.
    #[must_use]
    pub fn of(record: &WorkerRecord) -> Self {
        Self {
            events: record.packets.snapshot(),
            drops: occurred(&record.drops.snapshot()),
            kernel: occurred(&record.kernel.snapshot()),
            answers: occurred(&record.answers.snapshot()),
        }
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        self.events.add(&other.events);
        add_maps(&mut self.drops, &other.drops);
        add_maps(&mut self.kernel, &other.kernel);
        add_maps(&mut self.answers, &other.answers);
    }
}

/// By name, what is not 0.
fn occurred<I: Id>(snapshot: &Snapshot<I>) -> BTreeMap<String, u64> {
    let named = snapshot.iter().filter(|(_, count)| *count > 0);
    named.map(|(id, count)| (id.name().to_owned(), count)).collect()
}

impl WorkerStatus {
    /// What a worker has written down. Its number, core, queues and inbox are known elsewhere.
    #[must_use]
    pub fn of(record: &WorkerRecord) -> Self {
        let count = |gauge| usize::try_from(record.now.get(gauge)).unwrap_or(usize::MAX);
        let mut denials = Vec::new();
        record.denials.each(|denied| {
            denials.push(DenialStatus {
                policy: denied.policy.clone(),
                direction: direction(denied.direction).to_owned(),
                packets: denied.packets.get(),
            });
        });
        Self {
            flows: count(WorkerGauge::Flows),
            counts: Counts::of(record),
            denials,
            held: HeldFrames {
                parked: count(WorkerGauge::Parked),
                unsent: count(WorkerGauge::Unsent),
                inbox: 0,
            },
            turns: record.turns.snapshot(),
            l7: record.l7.status(),
            ..Self::default()
        }
    }
}

impl StageStatus {
    /// What a stage has written down. Its number, core and inbox are known elsewhere.
    #[must_use]
    pub fn of(record: &WorkerRecord) -> Self {
        let WorkerStatus {
            counts,
            held,
            turns,
            l7,
            ..
        } = WorkerStatus::of(record);
        Self {
            counts,
            held,
            turns,
            l7,
            ..Self::default()
        }
    }
}

/// As the status spells it.
pub(crate) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn add_maps(sum: &mut BTreeMap<String, u64>, other: &BTreeMap<String, u64>) {
    for (name, count) in other {
        *sum.entry(name.clone()).or_default() += count;
    }
}

impl HeldFrames {
    /// All of them.
    #[must_use]
    pub fn sum(self) -> usize {
        self.parked + self.unsent + self.inbox
    }
}

impl Status {
    /// What all L7 stages hold and have counted, wherever they are.
    #[must_use]
    pub fn l7(&self) -> L7Status {
        let mut sum = L7Status::default();
        let workers = self.workers.iter().map(|worker| &worker.l7);
        let stages = self.stages.iter().map(|stage| &stage.l7);
        workers.chain(stages).for_each(|l7| sum.add(l7));
        sum
    }

    /// Takes the workers' reports and sums them up, and those of `stages` that are there. Denials are added to those that
    /// are there.
    pub fn set_workers(&mut self, workers: Vec<WorkerStatus>) {
        for stage in &self.stages {
            self.totals.add(&stage.counts);
            self.frames.held += stage.held.sum();
        }
        let known = std::mem::take(&mut self.denials).into_iter();
        let mut denials: BTreeMap<(String, String), u64> =
            known.map(|d| ((d.policy, d.direction), d.packets)).collect();
        for worker in &workers {
            self.totals.add(&worker.counts);
            self.flows += worker.flows;
            self.frames.held += worker.held.sum();
            for denial in &worker.denials {
                *denials
                    .entry((denial.policy.clone(), denial.direction.clone()))
                    .or_default() += denial.packets;
            }
            for queue in &worker.queues {
                if let Some(port) = self.ports.get_mut(usize::from(queue.port)) {
                    port.queues.push(queue.clone());
                }
            }
        }
        let denial = |((policy, direction), packets)| DenialStatus {
            policy,
            direction,
            packets,
        };
        self.denials = denials.into_iter().map(denial).collect();
        self.ports
            .iter_mut()
            .for_each(|port| port.queues.sort_by_key(|queue| queue.queue));
        self.workers = workers;
        let known = self.frames.free + self.frames.kernel + self.frames.held;
        self.frames.unaccounted = self.frames.total as i64 - known as i64;
    }
}
