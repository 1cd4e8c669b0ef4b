//! What all threads of the dataplane share.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::{Peer, StageHandle, Subscriber};
use crate::config::Tables;
use headgate_net::fib::Fib;
use headgate_net::ids::{PortId, StageId, WorkerId};
use headgate_net::phase::Phase;
use headgate_net::record::WorkerRecord;

/// A neighbour that a worker needs the link-layer address of.
pub type Wanted = (PortId, IpAddr);

/// The state that workers and stages read, and both as others see them.
pub struct Shared {
    /// The control plane's state. Its `publication` is the dataplane's own count: a control plane that
    /// was restarted may count from 1 again.
    pub tables: Arc<ArcSwap<Tables>>,
    /// The kernel's routes and neighbours.
    pub fib: Arc<ArcSwap<Fib>>,
    /// By [`WorkerId`](headgate_net::ids::WorkerId).
    pub peers: Vec<Peer>,
    /// What each worker counts, by its id, and behind them each of `stages`: for anybody to read.
    pub records: Vec<Arc<WorkerRecord>>,
    /// By [`StageId`], L7 stages with cores of their own; none where each worker has its own stage.
    pub stages: Vec<StageHandle>,
    /// Questions for the kernel.
    pub wanted: mpsc::Sender<Wanted>,
    /// The number of the last listing of flows.
    pub(super) listing: Mutex<u64>,
    phase: AtomicU8,
    observer: Mutex<Option<Thread>>,
}

impl Shared {
    /// For workers of which each has its own L7 stage.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(workers: u8, wanted: mpsc::Sender<Wanted>) -> std::io::Result<Self> {
        Self::with_stages(workers, 0, wanted)
    }

    /// For workers, and for so many L7 stages on cores of their own.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn with_stages(workers: u8, stages: u8, wanted: mpsc::Sender<Wanted>) -> std::io::Result<Self> {
        let peers = (0..workers).map(|id| Peer::new(WorkerId(id), stages > 0));
        let handles = (0..stages).map(|id| StageHandle::new(StageId(id)));
        Ok(Self {
            tables: Arc::default(),
            fib: Arc::default(),
            peers: peers.collect::<Result<_, _>>()?,
            records: (0..workers + stages).map(|_| Arc::default()).collect(),
            stages: handles.collect::<Result<_, _>>()?,
            wanted,
            listing: Mutex::default(),
            phase: AtomicU8::new(Phase::Serving as u8),
            observer: Mutex::default(),
        })
    }

    /// What one of `stages` counts.
    ///
    /// # Panics
    /// Where there is no such stage.
    #[must_use]
    pub fn stage_record(&self, stage: StageId) -> &Arc<WorkerRecord> {
        &self.records[self.peers.len() + usize::from(stage.0)]
    }

    /// Wakes all workers and stages, so that they see what was published.
    pub fn wake_all(&self) {
        self.subscribers().for_each(Subscriber::wake);
    }

    /// Has workers and stages enter a phase after their current turn.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.wake_all();
    }

    /// How far the end is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Acquire))
    }

    /// Clients and connections that would be broken off by the end of workers and stages; `None` until all of them have
    /// entered `phase`.
    #[must_use]
    pub fn held(&self, phase: Phase) -> Option<usize> {
        self.subscribers().map(|subscriber| subscriber.held(phase)).sum()
    }

    /// Ends workers and stages after their current turn.
    pub fn stop(&self) {
        self.enter(Phase::Over);
    }

    /// Whether workers and stages are to end.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.phase() == Phase::Over
    }

    /// Has the calling thread unparked whenever a worker or stage begins to work by a new publication.
    pub fn observe(&self) {
        *self.observer.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
    }

    /// Whether every worker and stage works by `publication` or a later one.
    #[must_use]
    pub fn all_see(&self, publication: u64) -> bool {
        self.subscribers()
            .all(|subscriber| subscriber.seen() >= publication)
    }

    /// All threads that work by publications.
    fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        let peers = self.peers.iter().map(|peer| &peer.subscriber);
        peers.chain(self.stages.iter().map(|stage| &stage.subscriber))
    }

    /// Who does not work by `publication` yet, as logs name them.
    #[must_use]
    pub fn late(&self, publication: u64) -> Vec<String> {
        let late = |subscriber: &Subscriber| subscriber.seen() < publication;
        let peers = self.peers.iter().filter(|peer| late(&peer.subscriber));
        let stages = self.stages.iter().filter(|stage| late(&stage.subscriber));
        let peers = peers.map(|peer| format!("worker {}", peer.id.0));
        peers
            .chain(stages.map(|stage| format!("L7 stage {}", stage.id.0)))
            .collect()
    }

    pub(super) fn saw(&self, subscriber: &Subscriber, publication: u64) {
        subscriber.set_seen(publication);
        if let Some(thread) = &*self.observer.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }
}
