//! Where the state is laid for the thread that sends it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headgate_ring::ControlSession;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};

use super::journal::{Due, Journal};
use crate::compile::{Changes, State};

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
    /// Of the peer that is connected.
    journal: Option<Journal>,
    stop: bool,
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
        let Inner { state, journal, .. } = &mut *inner;
        let state = state.get_or_insert_default();
        for (key, object) in changes {
            let old = match object {
                Some(object) => state.insert(key.clone(), object),
                None => state.remove(&key),
            };
            if let Some(journal) = journal {
                journal.note(key, old);
            }
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

    /// A new peer: it has nothing.
    pub(super) fn meet(&self) {
        self.lock().journal = Some(Journal::default());
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

    /// What was sent last is in force, or was refused.
    pub(super) fn answered(&self, in_force: bool) {
        if let Some(journal) = &mut self.lock().journal {
            match in_force {
                true => journal.acknowledged(),
                false => journal.refused(),
            }
        }
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
