//! What a worker does in one turn.

use std::sync::Arc;
use std::time::Duration;

use headgate_xsk::{Frame, FrameCache};

use super::line::Line;
use super::parked::{Outcome, Parked};
use super::stage::Terminator;
use super::{Peer, Shared, WorkerConfig};
use crate::pipeline::{Context, Pipeline};
use headgate_net::clock::Nanos;
use headgate_net::fib::Lookup;
use headgate_net::record::{Loop, PacketCount, WorkerGauge, WorkerRecord};
use headgate_net::verdict::{Kernel, PortId, Reason, Verdict, WorkerId};
use headgate_net::wire::set_link;

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
    kernel: Arc<dyn super::KernelPath>,
    cache: FrameCache,
    pub(super) lines: Vec<Line>,
    pipeline: Pipeline,
    swept: Nanos,
    pub(super) l7: Terminator,
    parked: Parked,
    batch: Vec<Frame>,
    verdicts: Vec<Verdict>,
    /// Frames taken over from other workers, by port.
    taken: Vec<Vec<Frame>>,
    /// Frames from the L7 stage and where they go, between its turn and ours.
    made: Vec<(Frame, Lookup)>,
    /// Workers that were handed frames in this turn, a bit each.
    rung: u64,
    pub(super) record: Arc<WorkerRecord>,
    /// When everything was noted last.
    noted: Nanos,
}

impl Engine {
    pub(super) fn new(config: WorkerConfig, shared: &Arc<Shared>) -> Self {
        let id = config.pipeline.worker;
        let record = Arc::clone(&shared.records[usize::from(id.0)]);
        let l7 = Terminator::new(&config.pipeline, config.l7_buffer, config.l7_mtu, shared);
        let lines: Vec<_> = config.ports.into_iter().map(Line::new).collect();
        Self {
            id,
            shared: Arc::clone(shared),
            kernel: config.kernel,
            cache: config.umem.cache(),
            taken: lines.iter().map(|_| Vec::new()).collect(),
            lines,
            pipeline: Pipeline::counting(&config.pipeline, Arc::clone(&record)),
            swept: Nanos::default(),
            l7,
            parked: Parked::new(config.neighbour_timeout),
            batch: Vec::with_capacity(BATCH),
            verdicts: Vec::with_capacity(BATCH),
            made: Vec::new(),
            rung: 0,
            record,
            noted: Nanos::default(),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.shared.peers[usize::from(self.id.0)]
    }

    /// Everything up to where the tasks of the L7 stage get their turn. Returns how many frames moved.
    pub(super) fn receive(&mut self, ctx: &Context<'_>) -> usize {
        self.record.turns.count(Loop::Turns);
        self.l7.configure(ctx.tables);
        let mut moved = 0;
        for index in 0..self.lines.len() {
            self.lines[index].receive(&mut self.cache, &mut self.batch, BATCH);
            moved += self.process(ctx, port(index), Pipeline::process);
        }
        moved += self.take_handed_over(ctx);
        moved += self.settle_parked(ctx);
        self.sweep(ctx);
        moved
    }

    /// Everything after it. Returns how many frames moved.
    pub(super) fn send(&mut self, ctx: &Context<'_>) -> usize {
        let mut moved = self.egress(ctx);
        while let Some((frame, port)) = self.peer().take_to_send() {
            moved += 1;
            self.transmit(frame, port);
        }
        for line in &mut self.lines {
            moved += line.flush(&mut self.cache);
        }
        let rung = std::mem::take(&mut self.rung);
        self.shared
            .peers
            .iter()
            .enumerate()
            .filter(|(i, _)| rung & (1 << i) != 0)
            .for_each(|(_, peer)| peer.wake());
        moved
    }

    /// Counts a sleep.
    pub(super) fn sleeps(&self) {
        self.record.turns.count(Loop::Sleeps);
    }

    /// Takes back frames that were sent, before a sleep.
    pub(super) fn reap(&mut self) {
        self.lines.iter_mut().for_each(|line| line.reap(&mut self.cache));
    }

    /// Whether somebody has put something down for this worker since its last turn.
    pub(super) fn ready(&self) -> bool {
        let peer = self.peer();
        !peer.is_idle() || self.lines.iter().any(|line| line.port().ready())
    }

    /// When to look again though nothing happens.
    pub(super) fn deadline(&self, now: Nanos) -> Nanos {
        let pause = match self.pipeline.flows() {
            _ if self.l7.blocked() || self.lines.iter().any(Line::pending) => RETRY,
            0 => NOTHING_TO_DO,
            _ => TICK,
        };
        let timers = [self.l7.next_timer(), self.parked.deadline()];
        timers.into_iter().flatten().fold(now.after(pause), Nanos::min)
    }

    /// Frames that wait for room in a transmit ring.
    fn unsent(&self) -> usize {
        self.lines.iter().map(Line::unsent).sum()
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

    fn dispose(&mut self, ctx: &Context<'_>, ingress: PortId, frame: Frame, verdict: Verdict) {
        match verdict {
            Verdict::Forward(port) => self.transmit(frame, port),
            Verdict::Reply => self.transmit(frame, ingress),
            Verdict::ToL7 { headers, .. } => {
                self.l7.ingress(frame.data(), &headers, ctx.now);
                self.cache.put(frame);
            }
            Verdict::HandOver(worker) => self.hand_over(frame, ingress, worker),
            Verdict::Resolve { port, neighbour } => self.park(ctx.now, frame, (port, neighbour)),
            Verdict::ToKernel => self.give_to_kernel(frame),
            Verdict::Drop(_) => self.cache.put(frame),
        }
    }

    fn transmit(&mut self, frame: Frame, port: PortId) {
        let sent = match self.lines.get_mut(usize::from(port.0)) {
            Some(line) => line.send(frame),
            None => Err(frame),
        };
        if let Err(frame) = sent {
            self.drop(frame, Reason::TransmitFull);
        }
    }

    fn drop(&mut self, frame: Frame, reason: Reason) {
        self.pipeline.counters_mut().drop(reason);
        self.cache.put(frame);
    }

    fn hand_over(&mut self, frame: Frame, ingress: PortId, worker: WorkerId) {
        let index = usize::from(worker.0);
        match self.shared.peers[index].hand_over(frame, ingress) {
            Ok(()) => self.rung |= 1 << index,
            Err(frame) => self.drop(frame, Reason::HandOverFull),
        }
    }

    fn take_handed_over(&mut self, ctx: &Context<'_>) -> usize {
        for _ in 0..BATCH {
            let Some((frame, ingress)) = self.peer().take_handed_over() else {
                break;
            };
            self.taken[usize::from(ingress.0)].push(frame);
        }
        let mut moved = 0;
        for index in 0..self.taken.len() {
            std::mem::swap(&mut self.batch, &mut self.taken[index]);
            moved += self.process(ctx, port(index), Pipeline::process_handed_over);
        }
        moved
    }

    fn park(&mut self, now: Nanos, frame: Frame, to: super::Wanted) {
        match self.parked.park(frame, to, now) {
            // A full queue of questions is asked again when the next frame for this neighbour comes.
            Ok(ask) => drop(ask.then(|| self.shared.wanted.try_send(to))),
            Err(frame) => self.drop(frame, Reason::ResolveFull),
        }
    }

    fn settle_parked(&mut self, ctx: &Context<'_>) -> usize {
        let mut settled = Vec::new();
        self.parked
            .settle(ctx.fib, ctx.now, |outcome| settled.push(outcome));
        let count = settled.len();
        for outcome in settled {
            match outcome {
                Outcome::Send(port, frame) => self.transmit(frame, port),
                Outcome::TimedOut(frame) => self.drop(frame, Reason::Unresolved),
            }
        }
        count
    }

    fn give_to_kernel(&mut self, mut frame: Frame) {
        if self.kernel.send(frame.data_mut()) {
            self.cache.put(frame);
        } else {
            self.drop(frame, Reason::KernelFull);
        }
    }

    /// How many packets the L7 stage may make in this turn: those that find no room later are lost, and TCP would send
    /// them again.
    fn room(&self) -> usize {
        self.lines
            .iter()
            .map(Line::room)
            .min()
            .map_or(0, |room| room.min(L7_BATCH))
    }

    fn egress(&mut self, ctx: &Context<'_>) -> usize {
        let mut made = std::mem::take(&mut self.made);
        let room = self.room();
        let sent = self.l7.egress(ctx.now, &mut self.cache, ctx.fib, room, &mut made);
        self.record.packets.add(PacketCount::FromL7, sent as u64);
        for (frame, lookup) in made.drain(..) {
            self.route(ctx, frame, lookup);
        }
        self.made = made;
        sent
    }

    /// Sends a packet of our own stack.
    fn route(&mut self, ctx: &Context<'_>, mut frame: Frame, lookup: Lookup) {
        match lookup {
            Lookup::Hop(id) => {
                let hop = ctx.fib.hop(id);
                set_link(frame.data_mut(), hop.source_mac, hop.destination_mac);
                self.transmit(frame, hop.port);
            }
            Lookup::Unresolved { port, neighbour } => self.park(ctx.now, frame, (port, neighbour)),
            Lookup::Kernel | Lookup::Local => {
                self.pipeline.counters_mut().kernel(Kernel::OtherDevice);
                self.give_to_kernel(frame);
            }
            Lookup::Unreachable => self.drop(frame, Reason::NoRoute),
        }
    }

    /// Writes down what it holds now: at the end of a turn what costs nothing to know, and once in a while, and before a
    /// sleep, the rest.
    pub(super) fn note(&mut self, now: Nanos, all: bool) {
        let record = &self.record.now;
        record.set_len(WorkerGauge::Flows, self.pipeline.flows());
        record.set_len(WorkerGauge::Parked, self.parked.len());
        record.set_len(WorkerGauge::Unsent, self.unsent());
        if all || now.since(self.noted) >= TICK {
            self.noted = now;
            self.l7.note();
        }
    }
}

/// There are at most 256 ports, which the start-up checks.
fn port(index: usize) -> PortId {
    PortId(index.to_le_bytes()[0])
}
