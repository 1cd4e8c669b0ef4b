//! A worker without packets: HTTP on the kernel's sockets, on a thread of its own.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{future, io};

use headgate_l7::{DescriptorShare, HttpConfig, Sockets};

use super::in_force::InForce;
use super::sleep::Sleeper;
use super::{Shared, Subscriber, on_own_runtime};
use crate::options::EstablishedFlows;
use headgate_net::clock::Clock;
use headgate_net::ids::WorkerId;
use headgate_net::phase::Phase;
use headgate_net::record::{Loop, WorkerRecord};

/// How often a worker without clients looks about.
const SWEEP: Duration = Duration::from_secs(1);
/// How old what is said of its clients may be while there are any.
const TICK: Duration = Duration::from_millis(100);
/// Likewise while the end is near.
const TELL: Duration = Duration::from_millis(20);

/// What such a worker is made of.
pub struct SocketWorkerConfig {
    /// Its number.
    pub id: WorkerId,
    /// Pin to this core.
    pub core: Option<usize>,
    /// Limits of HTTP, and where decisions are recorded.
    pub http: HttpConfig,
    /// What a change of policies does to requests under way.
    pub established: EstablishedFlows,
    /// Where its listeners come from.
    pub inlet: Arc<Inlet>,
    /// The descriptors that its connections may be.
    pub descriptors: DescriptorShare,
}

/// Listeners for one worker that it has not taken yet.
#[derive(Debug, Default)]
pub struct Inlet(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    listeners: Vec<(SocketAddr, TcpListener)>,
    /// The worker takes no more.
    closed: bool,
}

impl Inlet {
    /// Puts a listener down for the worker, which knows it by `address`. Call [`Subscriber::wake`] afterwards. Where the
    /// worker takes no more, the listener is closed.
    pub fn put(&self, address: SocketAddr, socket: TcpListener) {
        let mut waiting = self.waiting();
        if !waiting.closed {
            waiting.listeners.push((address, socket));
        }
    }

    /// What the worker has not taken yet; it is the caller's then.
    pub fn take(&self) -> Vec<(SocketAddr, TcpListener)> {
        std::mem::take(&mut self.waiting().listeners)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting().listeners.is_empty()
    }

    /// Closes what waits, and whatever is put down later: in its queue, clients would wait for nobody.
    fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.listeners.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a worker's thread. The thread ends after [`Shared::stop`].
///
/// # Errors
/// When there is no thread to be had.
pub fn start_sockets(
    config: SocketWorkerConfig,
    shared: Arc<Shared>,
    clock: Clock,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let name = config.id.0.to_string();
    on_own_runtime(&name, config.core, move || run(config, shared, clock))
}

struct Worker {
    config: SocketWorkerConfig,
    shared: Arc<Shared>,
    sockets: Sockets,
    in_force: InForce,
    record: Arc<WorkerRecord>,
    phase: Phase,
}

async fn run(config: SocketWorkerConfig, shared: Arc<Shared>, clock: Clock) -> io::Result<()> {
    let mut worker = Worker {
        sockets: Sockets::new(config.http.clone(), clock, config.descriptors),
        in_force: InForce::new(config.established),
        record: Arc::clone(&shared.records[usize::from(config.id.0)]),
        config,
        shared,
        phase: Phase::default(),
    };
    let sleeper = Sleeper::new([worker.subscriber().as_fd()].into_iter())?;
    loop {
        let phase = worker.shared.phase();
        if phase == Phase::Over {
            worker.config.inlet.close();
            return Ok(());
        }
        worker.turn(phase)?;
        worker.sleep(&sleeper).await;
    }
}

impl Worker {
    fn subscriber(&self) -> &Subscriber {
        &self.shared.peers[usize::from(self.config.id.0)].subscriber
    }

    fn turn(&mut self, phase: Phase) -> io::Result<()> {
        self.record.turns.count(Loop::Turns);
        // What it holds is told a turn after it has entered, when tasks have accepted those who were waiting.
        if phase.is_draining() && phase == self.phase {
            self.subscriber().set_held(phase, self.sockets.clients());
        }
        self.enter(phase);
        let tables = self.shared.tables.load();
        self.in_force.take_over(&tables, &mut self.sockets);
        // Listeners are put down after the tables that name them were published.
        for (address, socket) in self.config.inlet.take() {
            self.sockets.listen(address, socket)?;
        }
        self.sockets.note();
        if self.subscriber().seen() != tables.publication {
            self.shared.saw(self.subscriber(), tables.publication);
        }
        Ok(())
    }

    /// Until somebody wakes it; the tasks of HTTP go on meanwhile.
    async fn sleep(&mut self, sleeper: &Sleeper) {
        self.record.turns.count(Loop::Sleeps);
        let look = || {
            self.subscriber().fall_asleep();
            let seen = self.subscriber().seen();
            self.shared.phase() != self.phase
                || self.shared.tables.load().publication != seen
                || !self.config.inlet.is_empty()
        };
        let pause = match self.sockets.clients() {
            _ if self.phase.is_draining() => TELL,
            0 => SWEEP,
            _ => TICK,
        };
        let deadline = Instant::now() + pause;
        sleeper.wait(deadline.into(), future::pending(), look).await;
        self.subscriber().wake_up();
    }

    fn enter(&mut self, phase: Phase) {
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        if phase.is_closed() {
            self.config.inlet.close();
        }
        self.sockets.enter(phase);
    }
}

#[cfg(test)]
mod tests;
