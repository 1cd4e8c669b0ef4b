//! The loop of a thread: its turns while there is work, its sleep when there is none.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};

use super::sleep::Sleeper;
use super::{Shared, Subscriber};
use crate::config::Tables;
use crate::options::Idle;
use crate::pipeline::Context;
use headgate_net::clock::{Clock, Nanos};
use headgate_net::fib::Fib;
use headgate_net::phase::Phase;
use headgate_net::record::{Loop, WorkerRecord};

/// Turns without work before the thread sleeps: a short look-out saves the system call where packets come in a
/// steady stream.
const IDLE_TURNS: u32 = 8;
/// Turns with work on end after which a thread is no longer about to sleep, and what would end its sleep is let go:
/// while a socket is registered with epoll, the kernel looks there for a sleeper for every packet received or sent, some
/// 100 ns each.
const BUSY_TURNS: u32 = 256;

/// What a thread does in one turn, without its clock and its sleep.
pub(super) trait Work {
    /// Everything up to where the tasks of connections get their turn. Returns how many frames moved.
    fn receive(&mut self, ctx: &Context<'_>) -> usize;

    /// Everything after it. Returns how many frames moved.
    fn send(&mut self, ctx: &Context<'_>) -> usize;

    /// Writes down what it holds now: at the end of a turn what costs nothing to know, and once in a while, and if `all`,
    /// which is before a sleep, the rest.
    fn note(&mut self, now: Nanos, all: bool);

    /// The dataplane is so far with its end.
    fn enter(&mut self, phase: Phase);

    /// Clients and connections that would be broken off by the end of the thread.
    fn held(&self) -> usize;

    /// Takes back frames that were sent, before a sleep.
    fn reap(&mut self);

    /// Whether somebody has put something down for it since its last turn.
    fn ready(&self) -> bool;

    /// When to look again though nothing happens.
    fn deadline(&self, now: Nanos) -> Nanos;

    /// Ready when tasks have made work for [`Work::send`].
    fn woken(&self) -> impl Future<Output = ()>;

    /// What ends its sleep, besides its own bell.
    fn wakers(&self) -> Vec<BorrowedFd<'_>>;

    /// The thread as others see it.
    fn subscriber(&self) -> &Subscriber;

    /// Where it counts.
    fn record(&self) -> &WorkerRecord;
}

/// A thread at work.
struct Worker<W> {
    shared: Arc<Shared>,
    clock: Clock,
    tables: Cache<Arc<ArcSwap<Tables>>, Arc<Tables>>,
    fib: Cache<Arc<ArcSwap<Fib>>, Arc<Fib>>,
    /// Generations of the last turn's tables and routes.
    seen: Option<(u64, u64)>,
    phase: Phase,
    /// When it was told last what is held, while the end is near.
    told: Nanos,
    work: W,
}

/// How old what is held may be.
const TELL: Duration = Duration::from_millis(20);

/// Works until [`Shared::stop`].
pub(super) async fn run(work: impl Work, idle: Idle, shared: Arc<Shared>, clock: Clock) -> io::Result<()> {
    let mut worker = Worker {
        tables: Cache::new(Arc::clone(&shared.tables)),
        fib: Cache::new(Arc::clone(&shared.fib)),
        work,
        seen: None,
        phase: Phase::default(),
        told: Nanos::default(),
        shared,
        clock,
    };
    let mut sleeper = Some(worker.sleeper()?);
    let (mut idle_turns, mut busy_turns) = (0_u32, 0_u32);
    loop {
        let phase = worker.shared.phase();
        if phase == Phase::Over {
            return Ok(());
        }
        if worker.turn(phase).await > 0 {
            idle_turns = 0;
            busy_turns = busy_turns.saturating_add(1);
            if busy_turns == BUSY_TURNS {
                sleeper = None;
            }
            continue;
        }
        busy_turns = 0;
        idle_turns += 1;
        if idle == Idle::Sleep && idle_turns > IDLE_TURNS {
            let sleeper = match &mut sleeper {
                Some(sleeper) => sleeper,
                gone => gone.insert(worker.sleeper()?),
            };
            worker.sleep(sleeper).await;
            idle_turns = 0;
        }
    }
}

impl<W: Work> Worker<W> {
    fn sleeper(&self) -> io::Result<Sleeper> {
        let wakers = self.work.wakers().into_iter();
        Sleeper::new(wakers.chain([self.work.subscriber().as_fd()]))
    }

    /// One turn; returns how many frames moved.
    async fn turn(&mut self, phase: Phase) -> usize {
        if phase != self.phase {
            self.phase = phase;
            self.told = Nanos::default();
            self.work.enter(phase);
        }
        let (tables, fib) = (self.tables.load(), self.fib.load());
        let ctx = Context {
            tables,
            fib,
            now: self.clock.now(),
        };
        self.work.record().turns.count(Loop::Turns);
        let mut moved = self.work.receive(&ctx);
        step_back().await;
        moved += self.work.send(&ctx);
        let publications = (tables.publication, fib.publication);
        if self.seen.replace(publications) != Some(publications) {
            self.shared.saw(self.work.subscriber(), tables.publication);
        }
        self.work.note(ctx.now, false);
        if phase.is_draining() && ctx.now.since(self.told) >= TELL {
            self.told = ctx.now;
            self.work.subscriber().set_held(phase, self.work.held());
        }
        moved
    }

    async fn sleep(&mut self, sleeper: &Sleeper) {
        self.work.reap();
        self.work.note(self.clock.now(), true);
        self.work.record().turns.count(Loop::Sleeps);
        let (work, shared, seen, phase) = (&self.work, &self.shared, self.seen, self.phase);
        let look = || {
            work.subscriber().fall_asleep();
            let published = (shared.tables.load().publication, shared.fib.load().publication);
            work.ready() || seen != Some(published) || shared.phase() != phase
        };
        let now = self.clock.now();
        let due = work.deadline(now);
        // What is held is to be told again soon, though nothing happens.
        let due = if phase.is_draining() {
            due.min(now.after(TELL))
        } else {
            due
        };
        let deadline = self.clock.instant(due);
        sleeper.wait(deadline.into(), work.woken(), look).await;
        self.work.subscriber().wake_up();
    }
}

/// Lets every task run that is ready now. Unlike `tokio::task::yield_now` it asks the runtime's driver for nothing: a system
/// call each turn.
async fn step_back() {
    let mut stepped_back = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut stepped_back, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
