//! What a worker does in one turn.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use headgate_xsk::Frame;

use super::exit::{Exit, Outlet};
use super::line::Line;
use super::listing::ListingProgress;
use super::parked::Parked;
use super::place::StagePlace;
use super::stage::{Terminator, TerminatorConfig};
use super::work::Work;
use super::{Peer, Shared, Subscriber, WorkerConfig, wake_each};
use crate::pipeline::{Context, Pipeline};
use headgate_net::clock::Nanos;
use headgate_net::flow::Termination;
use headgate_net::ids::{PortId, StageId, WorkerId};
use headgate_net::phase::Phase;
use headgate_net::record::{Recorder, WorkerGauge, WorkerRecord};
use headgate_net::verdict::{Reason, Verdict};
use headgate_net::wire::Headers;

/// Frames of one port that go through the pipeline together.
const BATCH: usize = 64;
/// Packets that the L7 stage sends in one turn, before others are received again.
const L7_BATCH: usize = 256;
/// How long a round through the flow table takes that looks for idle flows.
const SWEEP: Duration = Duration::from_secs(4);
/// How many slots of the flow table are looked at in one turn at most.
const SWEEP_BUDGET: usize = 2048;
/// How often a worker that sleeps looks after idle flows, and how old what is said of its L7 stage may be.
const TICK: Duration = Duration::from_millis(100);
/// How often a worker looks again at a transmit ring that was full.
const RETRY: Duration = Duration::from_micros(500);
/// How often a worker that has no flows takes back frames that were sent.
const NOTHING_TO_DO: Duration = Duration::from_secs(1);

/// The pipeline's way for frames that were received, or that for frames that were handed over.
type Decide = fn(&mut Pipeline, &Context<'_>, PortId, &mut [Frame], &mut Vec<Verdict>);

/// A worker without its clock and its sleep.
pub(super) struct Engine {
    id: WorkerId,
    shared: Arc<Shared>,
    pub(super) exit: Exit<Lines>,
    pipeline: Pipeline,
    swept: Nanos,
    listing: ListingProgress,
    l7: StagePlace,
    batch: Vec<Frame>,
    verdicts: Vec<Verdict>,
    /// Frames taken over from other workers, by port, and behind them those from the kernel.
    taken: Vec<Vec<Frame>>,
    /// Workers that were handed frames in this turn, a bit each.
    rung: u64,
    pub(super) record: Arc<WorkerRecord>,
    /// When everything was noted last.
    noted: Nanos,
}

/// The ports of a worker, by number.
pub(super) struct Lines(Vec<Line>);

impl Outlet for Lines {
    fn send(&mut self, frame: Frame, port: PortId) -> Result<(), Frame> {
        match self.0.get_mut(usize::from(port.0)) {
            Some(line) => line.send(frame),
            None => Err(frame),
        }
    }
}

impl Lines {
    /// How many frames may still be queued, whatever port they are for.
    fn room(&self) -> usize {
        self.0.iter().map(Line::room).min().unwrap_or_default()
    }

    /// Frames that wait for room in a transmit ring.
    fn unsent(&self) -> usize {
        self.0.iter().map(Line::unsent).sum()
    }
}

impl Engine {
    pub(super) fn new(config: WorkerConfig, shared: &Arc<Shared>) -> Self {
        let id = config.pipeline.worker;
        let record = Arc::clone(&shared.records[usize::from(id.0)]);
        let l7 = place(&config, shared);
        let lines: Vec<_> = config.ports.into_iter().map(Line::new).collect();
        Self {
            id,
            shared: Arc::clone(shared),
            taken: (0..=lines.len()).map(|_| Vec::new()).collect(),
            exit: Exit::new(
                Lines(lines),
                config.umem.cache(),
                &record,
                config.kernel,
                shared,
                Parked::new(config.neighbour_timeout),
            ),
            pipeline: Pipeline::counting(&config.pipeline, Arc::clone(&record)),
            swept: Nanos::default(),
            listing: ListingProgress::default(),
            l7,
            batch: Vec::with_capacity(BATCH),
            verdicts: Vec::with_capacity(BATCH),
            rung: 0,
            record,
            noted: Nanos::default(),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.shared.peers[usize::from(self.id.0)]
    }

    fn process(&mut self, ctx: &Context<'_>, ingress: PortId, decide: Decide) -> usize {
        if self.batch.is_empty() {
            return 0;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let mut verdicts = std::mem::take(&mut self.verdicts);
        decide(&mut self.pipeline, ctx, ingress, &mut batch, &mut verdicts);
        let count = batch.len();
        for (frame, verdict) in batch.drain(..).zip(verdicts.drain(..)) {
            self.dispose(ctx, ingress, frame, verdict);
        }
        (self.batch, self.verdicts) = (batch, verdicts);
        count
    }

    fn dispose(&mut self, ctx: &Context<'_>, ingress: PortId, frame: Frame, verdict: Verdict) {
        match verdict {
            Verdict::Forward(port) => self.exit.transmit(frame, port),
            Verdict::Reply if ingress == PortId::KERNEL => self.exit.give_to_kernel(frame),
            Verdict::Reply => self.exit.transmit(frame, ingress),
            Verdict::ToL7 { stage, headers } => self.give(ctx.now, frame, stage, headers),
            Verdict::HandOver(worker) => self.hand_over(frame, ingress, worker),
            Verdict::Resolve { port, neighbour } => self.exit.park(ctx.now, frame, (port, neighbour)),
            Verdict::ToKernel => self.exit.give_to_kernel(frame),
            Verdict::Drop(_) => self.exit.cache.put(frame),
        }
    }

    /// Gives a packet to the stage of its connection.
    fn give(&mut self, now: Nanos, frame: Frame, stage: StageId, headers: Headers) {
        match &mut self.l7 {
            StagePlace::Here(terminator) => {
                terminator.ingress(frame.data(), &headers, now);
                self.exit.cache.put(frame);
            }
            StagePlace::There { rung } => {
                let index = usize::from(stage.0);
                match self.shared.stages[index].give(frame, headers) {
                    Ok(()) => *rung |= 1 << index,
                    Err(frame) => self.exit.discard(frame, Reason::StageFull),
                }
            }
        }
    }

    fn hand_over(&mut self, frame: Frame, ingress: PortId, worker: WorkerId) {
        let index = usize::from(worker.0);
        match self.shared.peers[index].hand_over(frame, ingress) {
            Ok(()) => self.rung |= 1 << index,
            Err(frame) => self.exit.discard(frame, Reason::HandOverFull),
        }
    }

    fn take_handed_over(&mut self, ctx: &Context<'_>) -> usize {
        for _ in 0..BATCH {
            let Some((frame, ingress)) = self.peer().take_handed_over() else {
                break;
            };
            let ports = self.taken.len() - 1;
            self.taken[usize::from(ingress.0).min(ports)].push(frame);
        }
        let mut moved = 0;
        let ports = (0..self.taken.len() - 1).map(port);
        for (index, ingress) in ports.chain([PortId::KERNEL]).enumerate() {
            std::mem::swap(&mut self.batch, &mut self.taken[index]);
            moved += self.process(ctx, ingress, Pipeline::process_handed_over);
        }
        moved
    }

    /// Looks at as much of the flow table as the time since the last look asks for.
    fn sweep(&mut self, ctx: &Context<'_>) {
        let share = ctx.now.since(self.swept).as_secs_f64() / SWEEP.as_secs_f64();
        // Small shares add up until they are worth a slot.
        let budget = (share * self.pipeline.slots() as f64) as usize;
        if budget > 0 {
            self.pipeline.sweep(ctx, budget.min(SWEEP_BUDGET));
            self.swept = ctx.now;
        }
    }

    /// Copies a portion of the flows where somebody lists them. Returns whether there is more to do at once.
    fn list(&mut self, ctx: &Context<'_>) -> bool {
        let tap = &self.shared.peers[usize::from(self.id.0)].flows;
        self.listing.go_on(tap, &self.pipeline, ctx.now)
    }

    /// Packets of our L7 stage: in one turn no more than find room. Those that find none later are lost, and TCP would
    /// send them again.
    fn egress(&mut self, ctx: &Context<'_>) -> usize {
        let room = self.room();
        match &mut self.l7 {
            StagePlace::Here(terminator) => self.exit.send_from(terminator, ctx, room),
            StagePlace::There { .. } => 0,
        }
    }

    /// Frames that other threads have us send: in one turn no more than find room, for a stage makes no more than find
    /// room here.
    fn send_for_others(&mut self) -> usize {
        let room = self.room();
        let mut moved = 0;
        while moved < room
            && let Some((frame, port)) = self.peer().take_to_send()
        {
            moved += 1;
            self.exit.transmit(frame, port);
        }
        moved
    }

    /// How many frames of our own stack, here or there, may be queued in this turn.
    fn room(&self) -> usize {
        self.exit.outlet.room().min(L7_BATCH)
    }

    fn wake_the_rung(&mut self) {
        let peers = self.shared.peers.iter().map(|peer| &peer.subscriber);
        wake_each(std::mem::take(&mut self.rung), peers);
        if let StagePlace::There { rung } = &mut self.l7 {
            let stages = self.shared.stages.iter().map(|stage| &stage.subscriber);
            wake_each(std::mem::take(rung), stages);
        }
    }
}

impl Work for Engine {
    fn receive(&mut self, ctx: &Context<'_>) -> usize {
        self.l7.configure(ctx.tables);
        let mut moved = 0;
        for index in 0..self.exit.outlet.0.len() {
            self.exit.outlet.0[index].receive(&mut self.exit.cache, &mut self.batch, BATCH);
            moved += self.process(ctx, port(index), Pipeline::process);
        }
        moved += self.take_handed_over(ctx);
        moved += self.exit.settle_parked(ctx);
        self.sweep(ctx);
        moved + usize::from(self.list(ctx))
    }

    fn send(&mut self, ctx: &Context<'_>) -> usize {
        // First: they work while we send.
        self.wake_the_rung();
        let mut moved = self.egress(ctx);
        moved += self.send_for_others();
        for line in &mut self.exit.outlet.0 {
            moved += line.flush(&mut self.exit.cache);
        }
        moved
    }

    fn note(&mut self, now: Nanos, all: bool) {
        let record = &self.record.now;
        record.set_len(WorkerGauge::Flows, self.pipeline.flows());
        record.set_len(WorkerGauge::Parked, self.exit.parked.len());
        record.set_len(WorkerGauge::Unsent, self.exit.outlet.unsent());
        if all || now.since(self.noted) >= TICK {
            self.noted = now;
            self.l7.note();
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.pipeline.enter(phase);
        self.l7.enter(phase);
    }

    fn held(&self) -> usize {
        self.l7.held() + self.exit.outlet.unsent() + self.exit.parked.len()
    }

    fn reap(&mut self) {
        let lines = self.exit.outlet.0.iter_mut();
        lines.for_each(|line| line.reap(&mut self.exit.cache));
    }

    fn ready(&self) -> bool {
        let peer = self.peer();
        let given =
            peer.has_handed_over() || peer.flows.has_work() || (peer.has_to_send() && self.room() > 0);
        given || self.exit.outlet.0.iter().any(|line| line.port().ready())
    }

    fn deadline(&self, now: Nanos) -> Nanos {
        let pause = match self.pipeline.flows() {
            _ if self.l7.blocked() || self.exit.outlet.0.iter().any(Line::pending) => RETRY,
            0 => NOTHING_TO_DO,
            _ => TICK,
        };
        let timers = [self.l7.next_timer(), self.exit.parked.deadline()];
        timers.into_iter().flatten().fold(now.after(pause), Nanos::min)
    }

    fn woken(&self) -> impl Future<Output = ()> {
        self.l7.woken()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        let lines = self.exit.outlet.0.iter();
        lines.flat_map(|line| line.port().wakers()).collect()
    }

    fn subscriber(&self) -> &Subscriber {
        &self.peer().subscriber
    }

    fn record(&self) -> &WorkerRecord {
        &self.record
    }
}

fn place(config: &WorkerConfig, shared: &Arc<Shared>) -> StagePlace {
    let pipeline = &config.pipeline;
    match pipeline.termination {
        Termination::Inline => {
            let id = pipeline.worker;
            let terminator = TerminatorConfig {
                id: StageId(id.0),
                source_ports: pipeline.source_ports,
                record: Arc::clone(&shared.records[usize::from(id.0)].l7),
                recorder: Recorder::new(Arc::clone(&pipeline.flow_log), id),
                established: pipeline.established,
                buffer: config.l7_buffer,
                memory: config.l7_memory,
                limits: config.l7_limits.clone(),
                mtu: config.l7_mtu,
            };
            StagePlace::Here(Box::new(Terminator::new(terminator, shared)))
        }
        Termination::Apart(_) => StagePlace::There { rung: 0 },
    }
}

/// There are at most 256 ports, which the start-up checks.
fn port(index: usize) -> PortId {
    PortId(index.to_le_bytes()[0])
}
