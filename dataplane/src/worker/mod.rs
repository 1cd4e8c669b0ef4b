//! The loop of a core: receive, decide, hand over, terminate, send; and sleep when there is nothing to do.
//!
//! A worker is one thread with a runtime of its own. Its loop is one future among the tasks of the L7 stage's connections:
//! once a turn it steps back and lets those run that have become ready. Only it does I/O and reads the clock.
//!
//! Stages may have threads and cores of their own instead, whose loop is the same. Then workers have none, and packets go
//! by queues, without being copied:
//!
//! ```text
//! worker: receive ─ decide ─┬───────────────────────────────────────── transmit
//!                           └─ inbox ─ stage: TCP, TLS, HTTP ─ outbox ─┘
//! ```

mod apart;
mod engine;
mod exit;
mod in_force;
mod line;
mod lister;
mod listing;
mod parked;
mod peer;
mod place;
mod shared;
mod sleep;
mod sockets;
mod stage;
mod stage_handle;
mod subscriber;
mod work;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use headgate_xsk::Umem;

pub use apart::{StageThreadConfig, start_stage};
pub use headgate_l7::Limits;
pub use peer::Peer;
pub use shared::{Shared, Wanted};
pub use sockets::{Inlet, SocketWorkerConfig, start_sockets};
pub use stage_handle::StageHandle;
pub use subscriber::Subscriber;

use crate::options::Idle;
use crate::pipeline::PipelineConfig;
use crate::port::Port;
use engine::Engine;
use headgate_net::clock::Clock;

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
    /// Its share of each interface, in the order of [`PortId`](headgate_net::ids::PortId).
    pub ports: Vec<Box<dyn Port>>,
    /// Where its frames are from.
    pub umem: &'static Umem,
    /// The packet path.
    pub pipeline: PipelineConfig,
    /// Largest window of a terminated connection, in bytes.
    pub l7_buffer: usize,
    /// Bytes of memory for data of terminated connections.
    pub l7_memory: usize,
    /// Timeouts and limits of HTTP.
    pub l7_limits: Limits,
    /// The largest IP packet that the L7 stage sends.
    pub l7_mtu: usize,
    /// The host's stack.
    pub kernel: Arc<dyn KernelPath>,
    /// What to do when nothing arrives.
    pub idle: Idle,
    /// How long a frame waits for a neighbour.
    pub neighbour_timeout: Duration,
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
    let name = config.pipeline.worker.0.to_string();
    on_own_runtime(&name, config.core, move || {
        let idle = config.idle;
        let engine = Engine::new(config, &shared);
        work::run(engine, idle, shared, clock)
    })
}

/// Starts a thread, pinned to `core`, with a runtime on which what `work` makes runs to its end.
fn on_own_runtime<F>(
    name: &str,
    core: Option<usize>,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let name = format!("headgate-{name}");
    let thread = name.clone();
    let body = move || {
        if let Some(core) = core
            && !core_affinity::set_for_current(core_affinity::CoreId { id: core })
        {
            tracing::warn!(
                "thread {name} could not be pinned to core {core} and runs where the kernel puts it"
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())?;
        // A task among tasks: for the future of `block_on` itself the runtime asks its driver at every wake.
        let work = async { tokio::task::spawn_local(work()).await };
        runtime
            .block_on(work)
            .unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(io::Error::other(error)),
            })
    };
    std::thread::Builder::new().name(thread).spawn(body)
}

/// Wakes those whose bits are set.
fn wake_each<'a>(rung: u64, all: impl Iterator<Item = &'a Subscriber>) {
    all.enumerate()
        .filter(|(index, _)| rung & (1 << index) != 0)
        .for_each(|(_, subscriber)| subscriber.wake());
}
