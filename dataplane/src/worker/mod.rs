//! The loop of a core: receive, decide, hand over, terminate, send; and sleep when there is nothing to do.
//!
//! A worker is one thread with a runtime of its own. Its loop is one future among the tasks of the L7 stage's connections:
//! once a turn it steps back and lets those run that have become ready. Only it does I/O and reads the clock.

mod engine;
mod line;
mod parked;
mod peer;
mod shared;
mod sleep;
mod stage;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use headgate_xsk::Umem;

pub use peer::Peer;
pub use shared::{Shared, Wanted};

use crate::config::Tables;
use crate::options::Idle;
use crate::pipeline::{Context, PipelineConfig};
use crate::port::Port;
use engine::Engine;
use headgate_net::clock::Clock;
use headgate_net::fib::Fib;
use sleep::Sleeper;

/// Turns without work before the worker sleeps: a short look-out saves the system call where packets come in a
/// steady stream.
const IDLE_TURNS: u32 = 8;
/// Turns with work on end after which a worker is no longer about to sleep, and what would end its sleep is let go:
/// while a socket is registered with epoll, the kernel looks there for a sleeper for every packet received or sent, some
/// 100 ns each.
const BUSY_TURNS: u32 = 256;
/// Where packets for the host's own stack go.
pub trait KernelPath: Send + Sync {
    /// Hands over an Ethernet frame; its link-layer addresses may be overwritten. False when the kernel does not
    /// take it now.
    fn send(&self, frame: &mut [u8]) -> bool;
}

/// What a worker is made of.
pub struct WorkerConfig {
    /// Pin to this core.
    pub core: Option<usize>,
    /// Its share of each interface, in the order of [`PortId`](headgate_net::verdict::PortId).
    pub ports: Vec<Box<dyn Port>>,
    /// Where its frames are from.
    pub umem: &'static Umem,
    /// The packet path.
    pub pipeline: PipelineConfig,
    /// Bytes of each buffer of a terminated connection.
    pub l7_buffer: usize,
    /// The largest IP packet that the L7 stage sends.
    pub l7_mtu: usize,
    /// The host's stack.
    pub kernel: Arc<dyn KernelPath>,
    /// What to do when nothing arrives.
    pub idle: Idle,
    /// How long a frame waits for a neighbour.
    pub neighbour_timeout: Duration,
}

/// A worker, on its own thread from the start: its L7 stage never leaves it.
struct Worker {
    shared: Arc<Shared>,
    clock: Clock,
    tables: Cache<Arc<ArcSwap<Tables>>, Arc<Tables>>,
    fib: Cache<Arc<ArcSwap<Fib>>, Arc<Fib>>,
    /// Generations of the last turn's tables and routes.
    seen: Option<(u64, u64)>,
    engine: Engine,
}

/// Starts a worker's thread. The thread ends after [`Shared::stop`].
///
/// # Errors
/// When there is no thread to be had.
pub fn start(
    config: WorkerConfig,
    shared: Arc<Shared>,
    clock: Clock,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let name = format!("headgate-{}", config.pipeline.worker.0);
    let body = move || {
        let id = config.pipeline.worker.0;
        if let Some(core) = config.core
            && !core_affinity::set_for_current(core_affinity::CoreId { id: core })
        {
            tracing::warn!(
                "worker {id} could not be pinned to core {core} and runs where the kernel puts it"
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())?;
        // A task among tasks: for the future of `block_on` itself the runtime asks its driver at every wake.
        let work = async { tokio::task::spawn_local(run(config, shared, clock)).await };
        runtime
            .block_on(work)
            .unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(io::Error::other(error)),
            })
    };
    std::thread::Builder::new().name(name).spawn(body)
}

async fn run(config: WorkerConfig, shared: Arc<Shared>, clock: Clock) -> io::Result<()> {
    let idle = config.idle;
    let mut worker = Worker::new(config, shared, clock);
    let mut sleeper = Some(worker.sleeper()?);
    let (mut idle_turns, mut busy_turns) = (0_u32, 0_u32);
    while !worker.shared.stopping() {
        if worker.turn().await > 0 {
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
    Ok(())
}

impl Worker {
    fn new(config: WorkerConfig, shared: Arc<Shared>, clock: Clock) -> Self {
        Self {
            tables: Cache::new(Arc::clone(&shared.tables)),
            fib: Cache::new(Arc::clone(&shared.fib)),
            engine: Engine::new(config, &shared),
            seen: None,
            shared,
            clock,
        }
    }

    fn sleeper(&self) -> io::Result<Sleeper> {
        let ports = self.engine.lines.iter().flat_map(|line| line.port().wakers());
        Sleeper::new(ports.chain([self.engine.peer().as_fd()]))
    }

    /// One turn; returns how many frames moved.
    async fn turn(&mut self) -> usize {
        let (tables, fib) = (self.tables.load(), self.fib.load());
        let ctx = Context {
            tables,
            fib,
            now: self.clock.now(),
        };
        let mut moved = self.engine.receive(&ctx);
        step_back().await;
        moved += self.engine.send(&ctx);
        let generations = (tables.generation, fib.generation);
        if self.seen.replace(generations) != Some(generations) {
            self.shared.saw(self.engine.peer(), tables.generation);
        }
        self.engine.note(ctx.now, false);
        moved
    }

    async fn sleep(&mut self, sleeper: &Sleeper) {
        self.engine.reap();
        self.engine.note(self.clock.now(), true);
        self.engine.sleeps();
        let (engine, shared, seen) = (&self.engine, &self.shared, self.seen);
        let look = || {
            engine.peer().fall_asleep();
            let published = (shared.tables.load().generation, shared.fib.load().generation);
            engine.ready() || seen != Some(published) || shared.stopping()
        };
        let deadline = self.clock.instant(engine.deadline(self.clock.now()));
        sleeper
            .wait(deadline.into(), engine.l7.wake().notified(), look)
            .await;
        self.engine.peer().wake_up();
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
