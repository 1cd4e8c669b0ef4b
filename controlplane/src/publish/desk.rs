//! Where the state is kept, for the compiler that changes it and for the thread that sends it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use headgate_ring::message::{Generation, Key};
use headgate_ring::{ControlSession, HangUp, PackedObject, ThreadBell};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::awaiting::{Awaiting, Refusal};
use super::journal::{Before, Due, Journal, Wanted};
use crate::compile::{Changes, State, origins, stand_in};
use crate::feedback::{Feedback, Outcomes};
use crate::model::Id;

/// The only place where the state is kept. Whoever takes both locks takes that of `inner` first.
#[derive(Debug)]
pub(super) struct Desk {
    /// As it was compiled.
    state: RwLock<State>,
    inner: Mutex<Inner>,
    stopped: AtomicBool,
    /// Rung for each change.
    bell: ThreadBell,
    feedback: Option<Feedback>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether anything was published.
    begun: bool,
    /// What the peer gets instead of objects that it has refused, until they change: something else, or nothing.
    instead: Before,
    /// What it said of them.
    refusals: BTreeMap<Key, Refusal>,
    /// Of the peer that is connected.
    journal: Option<Journal>,
    /// Ends the session with it.
    hang_up: Option<HangUp>,
    awaiting: Awaiting,
    alone: Option<Alone>,
}

/// Called when there is no peer any more.
struct Alone(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alone")
    }
}

/// What became of a transaction that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// What is in force now.
    pub(super) consequence: &'static str,
    /// Whether the source is told, which knows the objects by their names.
    pub(super) told: bool,
}

impl Desk {
    pub(super) fn new(feedback: Option<Feedback>) -> io::Result<Self> {
        Ok(Self {
            state: RwLock::default(),
            inner: Mutex::default(),
            stopped: AtomicBool::new(false),
            bell: ThreadBell::new()?,
            feedback,
        })
    }

    /// Looks at the state, which stays as it is meanwhile.
    pub(super) fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state. `outcomes` says how objects stand that have changed, and besides those that it is given:
    /// they were refused, and are tried again.
    pub(super) fn publish(&self, changes: Changes, outcomes: impl FnOnce(&BTreeSet<Id>) -> Outcomes) {
        let mut inner = self.lock();
        let mut freed = BTreeSet::new();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let changes = if state.is_empty() && inner.journal.is_none() && inner.refusals.is_empty() {
            // In one go, and without gaps.
            *state = changes
                .into_iter()
                .filter_map(|(key, object)| Some((key, object?)))
                .collect();
            Changes::new()
        } else {
            changes
        };
        for (key, object) in changes {
            let old = match object {
                Some(object) => state.insert(key.clone(), object),
                None => state.remove(&key),
            };
            let old = inner.instead.remove(&key).unwrap_or(old);
            if let Some(refusal) = inner.refusals.remove(&key) {
                freed.extend(refusal.objects.into_keys());
            }
            if let Some(journal) = &mut inner.journal {
                journal.note(key, old);
            }
        }
        drop(state);
        inner.begun = true;
        if self.feedback.is_some() {
            inner.awaiting.publish(outcomes(&freed));
        }
        drop(inner);
        self.bell.ring();
    }

    /// Tells the thread to end, whatever it waits for.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(hang_up) = &self.lock().hang_up {
            hang_up.hang_up();
        }
        self.bell.ring();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether there is a state to be sent.
    pub(super) fn has_state(&self) -> bool {
        self.lock().begun
    }

    /// A new peer: it has nothing, and has refused nothing.
    pub(super) fn meet(&self, hang_up: HangUp) {
        let mut inner = self.lock();
        inner.instead.clear();
        for (_, refusal) in std::mem::take(&mut inner.refusals) {
            inner.awaiting.publish_missing(refusal.objects);
        }
        inner.journal = Some(Journal::default());
        inner.hang_up = Some(hang_up);
    }

    /// The peer is gone, and what it has with it.
    pub(super) fn part(&self) {
        let mut inner = self.lock();
        inner.journal = None;
        inner.hang_up = None;
        inner.awaiting.lost();
        if let Some(feedback) = &self.feedback {
            feedback.lost();
        }
        if let Some(Alone(call)) = inner.alone.take() {
            call();
        }
    }

    /// Calls this once there is no peer: at once, or when the one that there is goes.
    pub(super) fn when_alone(&self, call: Box<dyn FnOnce() + Send>) {
        let mut inner = self.lock();
        if inner.hang_up.is_some() {
            inner.alone = Some(Alone(call));
        } else {
            call();
        }
    }

    /// What is to be sent to the peer now.
    pub(super) fn begin(&self) -> Option<Due> {
        let mut inner = self.lock();
        let Inner {
            begun: true,
            instead,
            refusals,
            journal: Some(journal),
            awaiting,
            ..
        } = &mut *inner
        else {
            return None;
        };
        let due = self.with_state(|state| journal.begin(Wanted { state, instead }));
        match &self.feedback {
            None => {}
            Some(_) if due.is_some() => awaiting.begin(),
            Some(feedback) if journal.is_settled() => awaiting.settle(refusals.values(), feedback),
            Some(_) => {}
        }
        due
    }

    /// What was sent last is in force.
    pub(super) fn acknowledged(&self, generation: Generation) {
        let mut inner = self.lock();
        let Inner {
            journal,
            awaiting,
            refusals,
            ..
        } = &mut *inner;
        if let Some(journal) = journal {
            journal.acknowledged();
        }
        if let Some(feedback) = &self.feedback {
            awaiting.acknowledge(generation, refusals.values(), feedback);
        }
    }

    /// What was sent last was refused. Where one object is to blame, all others are sent again, and of it what
    /// remains: of a policy that it allows nothing.
    pub(super) fn refused(&self, generation: Generation, reason: &str, blamed: Option<Key>) -> Refused {
        let mut inner = self.lock();
        if let Some(journal) = &mut inner.journal {
            journal.refused();
        }
        let blamed = blamed.and_then(|key| {
            let instead = &inner.instead;
            let object = self.with_state(|state| Wanted { state, instead }.get(&key).cloned());
            Some((key, object?))
        });
        let reason = reason.into();
        let Some((key, object)) = blamed else {
            let consequence = "the one before it stays";
            let refusal = Refusal {
                objects: Outcomes::new(),
                reason,
                consequence,
            };
            if let Some(feedback) = &self.feedback {
                inner.awaiting.refuse(generation, &refusal, true, feedback);
            }
            return Refused {
                consequence,
                told: false,
            };
        };
        let packed = object;
        let object = packed.object();
        // What is less than something that could be sent can be sent.
        let remains = stand_in(&object).and_then(|remains| PackedObject::of(&remains).ok());
        let consequence = match remains {
            Some(_) => "until it changes nothing of it is allowed; all else is sent again",
            None => "until it changes it is left out; all else is sent again",
        };
        let refusal = Refusal {
            objects: inner.awaiting.without_refusal(origins(&object)),
            reason,
            consequence,
        };
        let told = self.feedback.is_some() && !refusal.objects.is_empty();
        if let Some(feedback) = &self.feedback {
            inner.awaiting.refuse(generation, &refusal, false, feedback);
        }
        if let Some(journal) = &mut inner.journal {
            journal.note(key.clone(), Some(packed));
        }
        inner.instead.insert(key.clone(), remains);
        inner.refusals.insert(key, refusal);
        Refused { consequence, told }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the bell, for `session` if there is one, or until `timeout`, and silences the bell. Look afterwards.
    pub(super) fn wait(&self, session: Option<&ControlSession>, timeout: Option<Duration>) {
        let mut on = vec![PollFd::new(&self.bell, PollFlags::IN)];
        if let Some(session) = session {
            on.push(PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN));
        }
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        match poll(&mut on, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => tracing::error!("waiting for the dataplane: {error}"),
        }
        self.bell.silence();
    }
}
