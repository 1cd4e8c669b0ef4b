//! The connections that there are. Who has a new one always gets it: in its place goes one that waits, first of those that have
//! said nothing, then of those that have asked nothing, then of those that have not asked for longest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// What is known of whoever has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Nothing.
    Silent,
    /// Something has come.
    Spoken,
    /// A request has come.
    Asked,
}

/// All of them.
pub(super) struct Guests {
    most: usize,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    by_number: BTreeMap<u64, Visit>,
    /// Of comings, requests and their ends: later ones have greater numbers.
    clock: u64,
}

struct Visit {
    task: AbortHandle,
    standing: Standing,
    /// When it came, or a request of its ended.
    since: u64,
    /// Requests under way.
    busy: usize,
}

/// One of them, as long as this is held.
pub(super) struct Guest {
    number: u64,
    guests: Arc<Guests>,
}

/// A request under way.
pub(super) struct Busy(Arc<Guest>);

impl Guests {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            present: Mutex::default(),
        })
    }

    /// Has `serve` serve one more; nobody where requests of all are under way.
    pub(super) fn admit<F>(self: &Arc<Self>, serve: impl FnOnce(Arc<Guest>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut present = self.present();
        if present.by_number.len() >= self.most && !present.dismiss() {
            return;
        }
        let number = present.tick();
        let guest = Guest {
            number,
            guests: Arc::clone(self),
        };
        // It finds itself present: that is locked until then.
        let task = tokio::spawn(serve(Arc::new(guest))).abort_handle();
        let visit = Visit {
            task,
            standing: Standing::Silent,
            since: number,
            busy: 0,
        };
        present.by_number.insert(number, visit);
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Ends the one that is missed least.
    fn dismiss(&mut self) -> bool {
        let waiting = self.by_number.iter().filter(|(_, visit)| visit.busy == 0);
        let least = waiting.min_by_key(|(_, visit)| (visit.standing, visit.since));
        let Some(number) = least.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(visit) = self.by_number.remove(&number) {
            visit.task.abort();
        }
        true
    }
}

impl Guest {
    /// It has gone so far.
    pub(super) fn has(&self, standing: Standing) {
        if let Some(visit) = self.guests.present().by_number.get_mut(&self.number) {
            visit.standing = visit.standing.max(standing);
        }
    }

    /// A request of its begins, and is under way as long as this is held.
    pub(super) fn begins(self: &Arc<Self>) -> Busy {
        self.has(Standing::Asked);
        self.busy(1, 0);
        Busy(Arc::clone(self))
    }

    fn busy(&self, more: usize, less: usize) {
        let mut present = self.guests.present();
        let now = present.tick();
        if let Some(visit) = present.by_number.get_mut(&self.number) {
            visit.busy = visit.busy + more - less;
            visit.since = now;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy(0, 1);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.present().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
