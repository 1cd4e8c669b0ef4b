//! The changes of late, by revision.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Compacted, Key, Object};

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) table: Arc<String>,
    pub(crate) key: Key,
    /// What stood there before it.
    pub(crate) before: Option<Arc<Object>>,
    /// What stands there after it; None when it was deleted.
    pub(crate) after: Option<Arc<Object>>,
    /// What stands there after it, or what was deleted with the revision of its deletion.
    pub(crate) last: Arc<Object>,
}

/// Changes of one table, and the revision up to which they are all of them.
pub(crate) struct Changes {
    pub(crate) upto: u64,
    pub(crate) changes: Vec<Change>,
}

/// A bounded log of changes.
pub(crate) struct History {
    changes: VecDeque<Change>,
    capacity: usize,
    /// Changes up to this revision are not kept.
    dropped: u64,
    /// Revisions before this one may not be asked for.
    compacted: u64,
}

impl History {
    pub(crate) fn new(capacity: usize, revision: u64) -> Self {
        History {
            changes: VecDeque::new(),
            capacity,
            dropped: revision,
            compacted: revision,
        }
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.changes.push_back(change);
        if self.changes.len() > self.capacity
            && let Some(oldest) = self.changes.pop_front()
        {
            self.dropped = oldest.revision;
            self.compacted = self.compacted.max(self.dropped);
        }
    }

    pub(crate) fn compact(&mut self, revision: u64) {
        self.compacted = self.compacted.max(revision);
    }

    pub(crate) fn check(&self, revision: u64) -> Result<(), Compacted> {
        if revision < self.compacted {
            Err(Compacted {
                since: self.compacted,
            })
        } else {
            Ok(())
        }
    }

    pub(crate) fn check_kept(&self, revision: u64) -> Result<(), Compacted> {
        if revision < self.dropped {
            Err(Compacted { since: self.dropped })
        } else {
            Ok(())
        }
    }

    /// What happened after a revision, in order.
    pub(crate) fn since(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Change> {
        let first = self.changes.partition_point(|change| change.revision <= revision);
        self.changes.range(first..)
    }
}
