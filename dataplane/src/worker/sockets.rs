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
use headgate_net::record::{Loop, WorkerRecord};

/// How often kept connections to pods are looked after.
const SWEEP: Duration = Duration::from_secs(1);
/// How old what is said of its clients may be while there are any.
const TICK: Duration = Duration::from_millis(100);
/// How long requests under way may take to end at the stop; whoever stops the process is patient for longer.
const DRAIN: Duration = Duration::from_secs(3);
/// How often it is looked whether they have.
const DRAINED: Duration = Duration::from_millis(20);

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

/// Starts a worker's thread. The thread ends after [`Shared::stop`], when the requests under way have ended.
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
}

async fn run(config: SocketWorkerConfig, shared: Arc<Shared>, clock: Clock) -> io::Result<()> {
    let mut worker = Worker {
        sockets: Sockets::new(config.http.clone(), clock, config.descriptors),
        in_force: InForce::new(config.established),
        record: Arc::clone(&shared.records[usize::from(config.id.0)]),
        config,
        shared,
    };
    let sleeper = Sleeper::new([worker.subscriber().as_fd()].into_iter())?;
    while !worker.shared.stopping() {
        worker.turn()?;
        worker.sleep(&sleeper).await;
    }
    worker.drain().await;
    Ok(())
}

impl Worker {
    fn subscriber(&self) -> &Subscriber {
        &self.shared.peers[usize::from(self.config.id.0)].subscriber
    }

    fn turn(&mut self) -> io::Result<()> {
        self.record.turns.count(Loop::Turns);
        let tables = self.shared.tables.load();
        self.in_force.take_over(&tables, &mut self.sockets);
        // Listeners are put down after the tables that name them were published.
        for (address, socket) in self.config.inlet.take() {
            self.sockets.listen(address, socket)?;
        }
        self.sockets.sweep();
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
            self.shared.stopping()
                || self.shared.tables.load().publication != seen
                || !self.config.inlet.is_empty()
        };
        let pause = if self.sockets.clients() > 0 { TICK } else { SWEEP };
        let deadline = Instant::now() + pause;
        sleeper.wait(deadline.into(), future::pending(), look).await;
        self.subscriber().wake_up();
    }

    /// Refuses new clients, and lets requests that are being answered come to their end.
    async fn drain(&mut self) {
        self.config.inlet.close();
        self.sockets.close();
        let until = Instant::now() + DRAIN;
        while self.sockets.busy() > 0 && Instant::now() < until {
            tokio::time::sleep(DRAINED).await;
        }
    }
}

#[cfg(test)]
mod tests;
