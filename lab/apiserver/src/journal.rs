//! What was asked, by whom, and how it was answered.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One answered request. A watch is answered when its head is: not when it ends.
#[derive(Clone, Debug)]
pub struct Entry {
    /// "GET".
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query as it came.
    pub query: String,
    /// get, list, watch, create, update, patch, delete, deletecollection; of a path: its method.
    pub verb: String,
    /// The plural of a resource, with its subresource: "ingresses/status"; empty for a path.
    pub resource: String,
    /// Who asked; empty where that is unknown.
    pub user: String,
    /// The header `User-Agent`.
    pub user_agent: String,
    /// The HTTP status; 0 where a fault answered nothing.
    pub status: u16,
    /// When it came.
    pub at: Instant,
    /// How long the answer took.
    pub took: Duration,
    /// Whether it came by HTTP/2.
    pub http2: bool,
}

/// The requests of late.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Mutex<Entries>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<Entry>,
    total: u64,
}

/// So many are kept.
const KEPT: usize = 100_000;

impl Journal {
    pub(crate) fn push(&self, entry: Entry) {
        tracing::debug!(
            method = entry.method,
            path = entry.path,
            query = entry.query,
            status = entry.status,
            "request"
        );
        let mut entries = self.lock();
        entries.total += 1;
        entries.kept.push_back(entry);
        if entries.kept.len() > KEPT {
            entries.kept.pop_front();
        }
        self.grown.notify_all();
    }

    /// All that are kept (100,000), the oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().kept.iter().cloned().collect()
    }

    /// How many requests were answered, ever.
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// How many of those that are kept fit.
    pub fn count(&self, fits: impl Fn(&Entry) -> bool) -> usize {
        self.lock().kept.iter().filter(|entry| fits(entry)).count()
    }

    /// Waits until `n` of those that are kept fit; false when the time is up.
    pub fn wait(&self, n: usize, timeout: Duration, fits: impl Fn(&Entry) -> bool) -> bool {
        let enough = |entries: &mut Entries| entries.kept.iter().filter(|entry| fits(entry)).count() < n;
        let waited = self.grown.wait_timeout_while(self.lock(), timeout, enough);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.lock().kept.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
