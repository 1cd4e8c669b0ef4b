//! An L7 stage on a core of its own: workers give it packets, and it gives them those that it sends.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use headgate_l7::Limits;
use headgate_xsk::{Frame, Umem};

use super::exit::{Exit, Outlet};
use super::parked::Parked;
use super::stage::{Terminator, TerminatorConfig};
use super::work::{self, Work};
use super::{KernelPath, Shared, StageHandle, Subscriber, on_own_runtime};
use crate::options::{EstablishedFlows, Idle};
use crate::pipeline::Context;
use headgate_net::clock::{Clock, Nanos};
use headgate_net::flow::{self, Secret, SourcePorts};
use headgate_net::ids::{PortId, StageId, WorkerId};
use headgate_net::phase::Phase;
use headgate_net::record::{FlowLog, Recorder, WorkerGauge, WorkerRecord};
use headgate_net::wire::{self, Address, Headers, Parsed, Tuple};

/// Packets that go in, and packets that come out, in one turn.
const BATCH: usize = 256;
/// How old what is said of it may be.
const TICK: Duration = Duration::from_millis(100);
/// How often it looks again whether workers that had no room have some.
const RETRY: Duration = Duration::from_micros(500);
/// How long it sleeps at most.
const NOTHING_TO_DO: Duration = Duration::from_secs(1);

/// What such a stage is made of.
pub struct StageThreadConfig {
    /// Which one it is.
    pub id: StageId,
    /// Pin to this core.
    pub core: Option<usize>,
    /// Where its frames are from.
    pub umem: &'static Umem,
    /// The ports that it sends from to pods, cut for as many stages as there are.
    pub source_ports: SourcePorts,
    /// What a change of policies does to requests under way.
    pub established: EstablishedFlows,
    /// Where decisions are recorded.
    pub flow_log: Arc<FlowLog>,
    /// That of the workers' hashes.
    pub seed: [u64; 2],
    /// Largest window of a connection, in bytes.
    pub buffer: usize,
    /// Bytes of memory for data of connections.
    pub memory: usize,
    /// Timeouts and limits of HTTP.
    pub limits: Limits,
    /// The largest IP packet that it sends.
    pub mtu: usize,
    /// The host's stack.
    pub kernel: Arc<dyn KernelPath>,
    /// What to do when nothing arrives.
    pub idle: Idle,
    /// How long a frame waits for a neighbour.
    pub neighbour_timeout: Duration,
}

/// Starts a stage's thread. The thread ends after [`Shared::stop`].
///
/// # Errors
/// When there is no thread to be had.
pub fn start_stage(
    config: StageThreadConfig,
    shared: Arc<Shared>,
    clock: Clock,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let name = format!("l7-{}", config.id.0);
    on_own_runtime(&name, config.core, move || {
        let idle = config.idle;
        let stage = ApartStage::new(config, &shared);
        work::run(stage, idle, shared, clock)
    })
}

/// A stage without its clock and its sleep.
pub(super) struct ApartStage {
    id: StageId,
    shared: Arc<Shared>,
    terminator: Terminator,
    pub(super) exit: Exit<Outboxes>,
    record: Arc<WorkerRecord>,
    /// When everything was noted last.
    noted: Nanos,
}

impl ApartStage {
    pub(super) fn new(config: StageThreadConfig, shared: &Arc<Shared>) -> Self {
        let record = Arc::clone(shared.stage_record(config.id));
        let terminator = TerminatorConfig {
            id: config.id,
            source_ports: config.source_ports,
            record: Arc::clone(&record.l7),
            recorder: Recorder::of_stage(config.flow_log, config.id),
            established: config.established,
            buffer: config.buffer,
            memory: config.memory,
            limits: config.limits,
            mtu: config.mtu,
        };
        let outboxes = Outboxes {
            shared: Arc::clone(shared),
            secret: Secret::new(config.seed),
            rung: 0,
        };
        Self {
            id: config.id,
            terminator: Terminator::new(terminator, shared),
            exit: Exit::new(
                outboxes,
                config.umem.cache(),
                &record,
                config.kernel,
                shared,
                Parked::new(config.neighbour_timeout),
            ),
            shared: Arc::clone(shared),
            record,
            noted: Nanos::default(),
        }
    }

    pub(super) fn handle(&self) -> &StageHandle {
        &self.shared.stages[usize::from(self.id.0)]
    }
}

impl Work for ApartStage {
    fn receive(&mut self, ctx: &Context<'_>) -> usize {
        self.terminator.configure(ctx.tables);
        let mut moved = 0;
        while moved < BATCH
            && let Some((frame, headers)) = self.handle().take()
        {
            self.terminator.ingress(frame.data(), &headers, ctx.now);
            self.exit.cache.put(frame);
            moved += 1;
        }
        moved + self.exit.settle_parked(ctx)
    }

    fn send(&mut self, ctx: &Context<'_>) -> usize {
        let room = self.exit.outlet.room().min(BATCH);
        let sent = self.exit.send_from(&mut self.terminator, ctx, room);
        self.exit.outlet.wake_the_rung();
        sent
    }

    fn note(&mut self, now: Nanos, all: bool) {
        self.record
            .now
            .set_len(WorkerGauge::Parked, self.exit.parked.len());
        if all || now.since(self.noted) >= TICK {
            self.noted = now;
            self.terminator.note();
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.terminator.enter(phase);
    }

    fn held(&self) -> usize {
        self.terminator.held()
    }

    /// Workers take back what they sent.
    fn reap(&mut self) {}

    fn ready(&self) -> bool {
        self.handle().waiting() > 0
    }

    fn deadline(&self, now: Nanos) -> Nanos {
        let pause = if self.terminator.blocked() {
            RETRY
        } else {
            NOTHING_TO_DO
        };
        let timers = [self.terminator.next_timer(), self.exit.parked.deadline()];
        timers.into_iter().flatten().fold(now.after(pause), Nanos::min)
    }

    fn woken(&self) -> impl Future<Output = ()> {
        self.terminator.wake().notified()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn subscriber(&self) -> &Subscriber {
        &self.handle().subscriber
    }

    fn record(&self) -> &WorkerRecord {
        &self.record
    }
}

/// The workers, for whom every worker's queues of a port are as good as another's.
pub(super) struct Outboxes {
    shared: Arc<Shared>,
    secret: Secret,
    /// Workers that were given frames in this turn, a bit each.
    rung: u64,
}

impl Outlet for Outboxes {
    fn send(&mut self, frame: Frame, port: PortId) -> Result<(), Frame> {
        let index = usize::from(self.worker_for(frame.data()).0);
        self.shared.peers[index].send(frame, port)?;
        self.rung |= 1 << index;
        Ok(())
    }
}

impl Outboxes {
    /// Who sends a packet: the packets of a connection leave by one worker, and so in order. Where hashes decide, it is the
    /// worker that they would name for what comes back.
    fn worker_for(&self, frame: &[u8]) -> WorkerId {
        // There are at most 64.
        let workers = self.shared.peers.len().to_le_bytes()[0];
        if workers == 1 {
            return WorkerId(0);
        }
        match wire::parse(frame) {
            Ok(Parsed::Ip(headers)) => {
                let hash = if headers.v6 {
                    self.hash_of_answers::<[u8; 16]>(frame, &headers)
                } else {
                    self.hash_of_answers::<[u8; 4]>(frame, &headers)
                };
                flow::worker(hash, workers)
            }
            _ => WorkerId(0),
        }
    }

    fn hash_of_answers<A: Address>(&self, frame: &[u8], headers: &Headers) -> u64 {
        let tuple = Tuple::<A>::of(frame, headers).reversed();
        self.secret.hash(&tuple, headers.protocol)
    }

    /// This stage's share of the room that there is with every worker.
    fn room(&self) -> usize {
        let rooms = self.shared.peers.iter().map(super::Peer::room);
        rooms.min().unwrap_or_default() / self.shared.stages.len().max(1)
    }

    fn wake_the_rung(&mut self) {
        let rung = std::mem::take(&mut self.rung);
        super::wake_each(rung, self.shared.peers.iter().map(|peer| &peer.subscriber));
    }
}
