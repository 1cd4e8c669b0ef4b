//! From a transaction to workers that work by it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headgate_ring::Transaction;

use super::ground::{Announce, Bound, Ground, Refusal, Steered};
use super::listeners::Listeners;
use super::retired::Retired;
use crate::config::State;
use crate::steering::Steerer;
use crate::worker::Shared;

/// How often a worker that does not take up a publication is complained about.
const COMPLAINT: Duration = Duration::from_secs(1);

/// Holds the control plane's state and puts it in force.
pub struct Applier {
    shared: Arc<Shared>,
    ground: Ground,
    state: State,
    retired: Retired,
}

impl Applier {
    /// Begins with the empty state, on packets that the steerer's programs bring.
    #[must_use]
    pub fn new(shared: Arc<Shared>, steerer: Arc<Mutex<Steerer>>, announce: Announce) -> Self {
        Self::on(shared, Ground::Packets(Steered::new(steerer, announce)))
    }

    /// Begins with the empty state, on connections that these listeners bring.
    #[must_use]
    pub fn with_listeners(shared: Arc<Shared>, listeners: Arc<Mutex<Listeners>>) -> Self {
        Self::on(shared, Ground::Sockets(Bound::new(listeners)))
    }

    fn on(shared: Arc<Shared>, ground: Ground) -> Self {
        Self {
            shared,
            ground,
            state: State::default(),
            retired: Retired::default(),
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
    pub fn apply(&mut self, transaction: Transaction) -> Result<(), Refusal> {
        let previous = self.shared.tables.load_full();
        let undo = self.state.apply(transaction)?;
        let prepared = previous
            .follow(&self.state, &undo)
            .map_err(Refusal::from)
            .and_then(|tables| self.ground.prepare(&previous, &tables).map(|()| tables));
        let tables = match prepared {
            Ok(tables) => tables,
            Err(refusal) => {
                self.state.revert(undo);
                return Err(refusal);
            }
        };
        let tables = Arc::new(tables);
        // Who is about to leave its addresses to others calls for no packets to them.
        if !self.shared.phase().is_draining() {
            self.ground.announce(&previous, &tables, &self.shared.fib.load());
        }
        for record in &self.shared.records {
            tables.make_room(record);
        }
        self.shared.tables.store(Arc::clone(&tables));
        self.shared.wake_all();
        self.wait_for_workers(tables.publication);
        self.ground.settle(&previous, &tables);
        self.retired.keep(&self.state.changes(&undo));
        // The workers have let the tables before go, and so must this.
        drop((previous, undo));
        self.retired.free();
        self.state.settle();
        Ok(())
    }

    fn wait_for_workers(&self, publication: u64) {
        let mut complain = Instant::now() + COMPLAINT;
        while !self.shared.all_see(publication) && !self.shared.stopping() {
            std::thread::park_timeout(COMPLAINT);
            if Instant::now() >= complain {
                complain += COMPLAINT;
                let late = self.shared.late(publication).join(", ");
                tracing::error!("not all have taken up the new state yet: {late}");
            }
        }
    }
}
