//! From a transaction to workers that work by it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headgate_ring::Transaction;
use headgate_ring::message::{Key, Protocol};

use crate::config::{ConfigError, Managed, State, Tables};
use crate::host::listening;
use crate::steering::Steerer;
use crate::worker::Shared;

/// How often a worker that does not take up a publication is complained about.
const COMPLAINT: Duration = Duration::from_secs(1);

/// Tells the neighbours that these addresses are here now.
pub type Announce = Box<dyn Fn(&[IpAddr]) + Send>;

/// Holds the control plane's state and puts it in force.
pub struct Applier {
    shared: Arc<Shared>,
    steerer: Arc<Mutex<Steerer>>,
    announce: Announce,
    state: State,
    /// Publications so far. It is the generation of the tables, because a new control plane counts its own anew.
    epoch: u64,
    owned: BTreeSet<IpAddr>,
    hidden: BTreeSet<(Protocol, SocketAddr)>,
}

/// Why a transaction is not in force.
#[derive(Debug)]
pub struct Refusal {
    /// In one line, what is wrong with which object, or that the steering programs have no room for it.
    pub reason: String,
    /// The object, where it is one.
    pub object: Option<Key>,
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self {
            reason: error.to_string(),
            object: error.key.map(|key| *key),
        }
    }
}

impl Applier {
    /// Begins with the empty state.
    #[must_use]
    pub fn new(shared: Arc<Shared>, steerer: Arc<Mutex<Steerer>>, announce: Announce) -> Self {
        Self {
            shared,
            steerer,
            announce,
            state: State::default(),
            epoch: 0,
            owned: BTreeSet::new(),
            hidden: BTreeSet::new(),
        }
    }

    /// Has the calling thread told when workers take up a publication.
    pub fn observe(&self) {
        self.shared.observe();
    }

    /// Puts a transaction in force, whole or not at all, and returns when every worker works by it.
    ///
    /// # Errors
    /// What is wrong; the state before stays in force.
    pub fn apply(&mut self, mut transaction: Transaction) -> Result<(), Refusal> {
        let epoch = self.epoch + 1;
        transaction.generation = epoch;
        let previous = self.shared.tables.load_full();
        let undo = self.state.apply(transaction)?;
        let prepared = previous
            .follow(&self.state, &undo)
            .map_err(Refusal::from)
            .and_then(|tables| self.widen(&previous, &tables).map(|()| tables));
        let tables = match prepared {
            Ok(tables) => tables,
            Err(refusal) => {
                self.state.revert(undo);
                return Err(refusal);
            }
        };
        self.epoch = epoch;
        let managed = Arc::clone(&tables.managed);
        let moved = !Arc::ptr_eq(&previous.managed, &managed);
        if moved {
            self.warn_of_shadows(&previous.managed, &managed);
        }
        self.shared.tables.store(Arc::new(tables));
        self.shared.wake_all();
        self.wait_for_workers();
        self.settle(moved.then_some(&managed));
        // The workers have let the tables before go, and so must this.
        drop(previous);
        self.state.settle();
        Ok(())
    }

    fn widen(&self, previous: &Tables, tables: &Tables) -> Result<(), Refusal> {
        let mut steerer = self.steerer.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&previous.managed, &tables.managed) && !steerer.is_doubtful() {
            return Ok(());
        }
        let widened = steerer.widen(&tables.managed);
        if widened.is_err()
            && let Err(error) = steerer.settle()
        {
            tracing::error!("the steering programs could not be put back: {error}");
        }
        widened.map_err(|error| Refusal {
            reason: format!("the steering program: {error}"),
            object: None,
        })
    }

    fn wait_for_workers(&self) {
        let mut complain = Instant::now() + COMPLAINT;
        while !self.shared.all_see(self.epoch) && !self.shared.stopping() {
            std::thread::park_timeout(COMPLAINT);
            if Instant::now() >= complain {
                complain += COMPLAINT;
                let peers = self.shared.peers.iter();
                let late = peers.filter(|peer| peer.subscriber.seen() < self.epoch);
                let late: Vec<_> = late.map(|peer| peer.id.0).collect();
                tracing::error!("workers {late:?} have not taken up the new state yet");
            }
        }
    }

    /// Ends what `widen` began; `managed` is `None` where nothing of it has changed.
    fn settle(&mut self, managed: Option<&Arc<[Managed]>>) {
        let mut steerer = self.steerer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(managed) = managed {
            steerer.set_managed(managed.to_vec());
        }
        if (managed.is_some() || steerer.is_doubtful())
            && let Err(error) = steerer.settle()
        {
            tracing::error!("stale rules could not be removed from the steering programs: {error}");
        }
        let owned: BTreeSet<_> = steerer.owned().collect();
        let (range, hidden) = steerer.hidden();
        let hidden: BTreeSet<_> = hidden.collect();
        drop(steerer);
        for (protocol, address) in hidden.difference(&self.hidden) {
            tracing::error!(
                "nobody reaches {protocol} {address}: the address is the host's, and there ports {}-{} are those that \
                 Headgate sends from. Give the Service another port or address, or use other --source-ports",
                range.first,
                range.last
            );
        }
        self.hidden = hidden;
        let new: Vec<_> = owned.difference(&self.owned).copied().collect();
        if !new.is_empty() {
            (self.announce)(&new);
        }
        self.owned = owned;
    }

    /// Sockets of the host that get no more packets because a frontend has their address and port now.
    fn warn_of_shadows(&self, old: &[Managed], new: &[Managed]) {
        let fib = self.shared.fib.load();
        let before: BTreeSet<_> = frontends(old).collect();
        let appeared = frontends(new).filter(|f| !before.contains(f) && fib.is_local(f.1.ip()));
        let appeared: Vec<_> = appeared.collect();
        if appeared.is_empty() {
            return;
        }
        let sockets = listening();
        for (protocol, address) in appeared {
            if sockets.iter().any(|socket| socket.takes(protocol, address)) {
                tracing::error!(
                    "address in use: a program of this host listens on {protocol} {address}, which is now a frontend; \
                     packets that arrive on Headgate's ports no longer reach that program. Stop it or move one of the two"
                );
            }
        }
    }
}

fn frontends(managed: &[Managed]) -> impl Iterator<Item = (Protocol, SocketAddr)> {
    managed.iter().flat_map(|m| {
        m.ports
            .iter()
            .map(|(protocol, port)| (*protocol, SocketAddr::new(m.address, *port)))
    })
}
