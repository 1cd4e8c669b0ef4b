//! What all threads of the dataplane share.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::{Peer, Subscriber};
use crate::config::Tables;
use headgate_net::fib::Fib;
use headgate_net::ids::PortId;
use headgate_net::record::WorkerRecord;

/// A neighbour that a worker needs the link-layer address of.
pub type Wanted = (PortId, IpAddr);

/// The state that workers read, and the workers as others see them.
pub struct Shared {
    /// The control plane's state. Its `publication` is the dataplane's own count: a control plane that
    /// was restarted may count from 1 again.
    pub tables: Arc<ArcSwap<Tables>>,
    /// The kernel's routes and neighbours.
    pub fib: Arc<ArcSwap<Fib>>,
    /// By [`WorkerId`](headgate_net::ids::WorkerId).
    pub peers: Vec<Peer>,
    /// What each worker counts, by its id: for anybody to read.
    pub records: Vec<Arc<WorkerRecord>>,
    /// Questions for the kernel.
    pub wanted: mpsc::Sender<Wanted>,
    stop: AtomicBool,
    observer: Mutex<Option<Thread>>,
}

impl Shared {
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(workers: u8, wanted: mpsc::Sender<Wanted>) -> std::io::Result<Self> {
        let peers = (0..workers).map(|id| Peer::new(headgate_net::ids::WorkerId(id)));
        Ok(Self {
            tables: Arc::default(),
            fib: Arc::default(),
            peers: peers.collect::<Result<_, _>>()?,
            records: (0..workers).map(|_| Arc::default()).collect(),
            wanted,
            stop: AtomicBool::new(false),
            observer: Mutex::default(),
        })
    }

    /// Wakes all workers, so that they see what was published.
    pub fn wake_all(&self) {
        self.subscribers().for_each(Subscriber::wake);
    }

    /// Ends the workers after their current turn.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Whether the workers are to end.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Has the calling thread unparked whenever a worker begins to work by a new publication.
    pub fn observe(&self) {
        *self.observer.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
    }

    /// Whether every worker that runs works by `publication` or a later one.
    #[must_use]
    pub fn all_see(&self, publication: u64) -> bool {
        self.subscribers()
            .all(|subscriber| subscriber.seen() >= publication)
    }

    /// All threads that work by publications.
    fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.peers.iter().map(|peer| &peer.subscriber)
    }

    pub(super) fn saw(&self, subscriber: &Subscriber, publication: u64) {
        subscriber.set_seen(publication);
        if let Some(thread) = &*self.observer.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }
}
