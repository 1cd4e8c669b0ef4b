//! Where the state is laid for the thread that sends it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headgate_ring::ControlSession;
use headgate_ring::message::{Key, Object};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};

use super::journal::{Due, Journal};
use crate::compile::{Changes, State, stand_in};

#[derive(Debug)]
pub(super) struct Desk {
    inner: Mutex<Inner>,
    /// An eventfd, written for each change.
    bell: OwnedFd,
}

#[derive(Debug, Default)]
struct Inner {
    /// `None` before the first changes.
    state: Option<State>,
    /// Objects that the peer has refused, in whose place something else, or nothing, is in the state until they change.
    refused: State,
    /// Of the peer that is connected.
    journal: Option<Journal>,
    stop: bool,
}

impl Inner {
    fn set(&mut self, key: Key, object: Option<Arc<Object>>) {
        let state = self.state.get_or_insert_default();
        let old = match object {
            Some(object) => state.insert(key.clone(), object),
            None => state.remove(&key),
        };
        if let Some(journal) = &mut self.journal {
            journal.note(key, old);
        }
    }
}

impl Desk {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            inner: Mutex::default(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Changes the state.
    pub(super) fn publish(&self, changes: Changes) {
        let mut inner = self.lock();
        inner.state.get_or_insert_default();
        for (key, object) in changes {
            inner.refused.remove(&key);
            inner.set(key, object);
        }
        drop(inner);
        self.ring();
    }

    /// Tells the thread to end.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.ring();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Whether there is a state to be sent.
    pub(super) fn has_state(&self) -> bool {
        self.lock().state.is_some()
    }

    /// A new peer: it has nothing, and has refused nothing.
    pub(super) fn meet(&self) {
        let mut inner = self.lock();
        for (key, object) in std::mem::take(&mut inner.refused) {
            inner.set(key, Some(object));
        }
        inner.journal = Some(Journal::default());
    }

    /// The peer is gone, and what it has with it.
    pub(super) fn part(&self) {
        self.lock().journal = None;
    }

    /// What is to be sent to the peer now.
    pub(super) fn begin(&self) -> Option<Due> {
        let mut inner = self.lock();
        let Inner { state, journal, .. } = &mut *inner;
        journal.as_mut()?.begin(state.as_ref()?)
    }

    /// What was sent last is in force.
    pub(super) fn acknowledged(&self) {
        if let Some(journal) = &mut self.lock().journal {
            journal.acknowledged();
        }
    }

    /// What was sent last was refused. Where one object is to blame, all others are sent again, and of it what
    /// remains: of a policy that it allows nothing. Says what became of it.
    pub(super) fn refused(&self, blamed: Option<Key>) -> &'static str {
        const AS_A_WHOLE: &str = "the one before it stays";
        let mut inner = self.lock();
        if let Some(journal) = &mut inner.journal {
            journal.refused();
        }
        let Some(key) = blamed else { return AS_A_WHOLE };
        let Some(object) = inner.state.as_ref().and_then(|state| state.get(&key)).cloned() else {
            return AS_A_WHOLE;
        };
        let remains = stand_in(&object);
        let consequence = match remains {
            Some(_) => "until it changes nothing of it is allowed; all else is sent again",
            None => "until it changes it is left out; all else is sent again",
        };
        inner.refused.entry(key.clone()).or_insert(object);
        inner.set(key, remains.map(Arc::new));
        consequence
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // A full counter rings as well.
        let _ = write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Waits for the bell, for `session` if there is one, or until `timeout`, and silences the bell. Look afterwards.
    pub(super) fn wait(&self, session: Option<&ControlSession>, timeout: Option<Duration>) {
        let mut on = vec![PollFd::new(&self.bell, PollFlags::IN)];
        if let Some(session) = session {
            on.push(PollFd::from_borrowed_fd(
                session.as_fd(),
                PollFlags::IN | PollFlags::RDHUP,
            ));
        }
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        match poll(&mut on, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => tracing::error!("waiting for the dataplane: {error}"),
        }
        let _ = read(&self.bell, &mut [0; 8]);
    }
}
