//! The session with the control plane: its transactions become tables, the tables are published to the workers, and an
//! acknowledgement goes back when every worker works by them.
//!
//! A control plane that is gone, or that writes nonsense, changes nothing: traffic goes on by the state in force. One
//! session is served at a time; a newer one replaces the older, whose process must be gone or stuck. Where it is not, see
//! `rivals`.

mod apply;
mod ground;
mod listeners;
mod retired;
mod rivals;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headgate_memory::{give_back, let_go_of_program};
use headgate_ring::message::ToControl;
use headgate_ring::{DataSession, HandshakeError, SessionError, SessionListener, ThreadBell, Transaction};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use apply::Applier;
pub use ground::{Announce, Refusal};
pub use listeners::{Listeners, SHARES};

use crate::service::{Failing, Thread};
use crate::telemetry::ControlStatus;
use rivals::Rivals;

/// How long an answer may wait for room: the control plane reads at once, or is stuck.
const ANSWER: Duration = Duration::from_secs(2);

/// The thread that serves control planes.
pub struct Control {
    thread: Thread,
    status: Arc<Mutex<ControlStatus>>,
}

/// Why no control plane could be served at all.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket could not be made.
    #[error("the control socket")]
    Listen(#[from] HandshakeError),
    /// There is no thread or no descriptor to be had.
    #[error("the control thread")]
    Start(#[from] std::io::Error),
}

impl Control {
    /// Listens at `path`.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn start(path: &Path, applier: Applier) -> Result<Self, ControlError> {
        let listener = SessionListener::bind(path)?;
        let status = Arc::new(Mutex::new(ControlStatus::default()));
        let server = ControlServer {
            listener,
            session: None,
            rivals: Rivals::default(),
            failing: Failing::default(),
            more: false,
            applier,
            status: Arc::clone(&status),
        };
        let thread = Thread::start("headgate-control", move |bell| server.run(bell))?;
        Ok(Self { thread, status })
    }

    /// Whether the thread has ended, which only a fault makes it do before the drop of this.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.has_ended()
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> Arc<Mutex<ControlStatus>> {
        Arc::clone(&self.status)
    }
}

struct ControlServer {
    listener: SessionListener,
    session: Option<DataSession>,
    rivals: Rivals,
    failing: Failing,
    /// The session has more to say, for which its bell does not ring.
    more: bool,
    applier: Applier,
    status: Arc<Mutex<ControlStatus>>,
}

impl ControlServer {
    fn run(mut self, bell: &ThreadBell) {
        self.applier.observe();
        while let Some((new, news)) = self.wait(bell) {
            if new {
                self.accept();
            }
            // A new one may have spoken already, and rings only for a reader that has found nothing.
            if new || news || self.more {
                self.receive();
            }
        }
    }

    /// Whether a control plane has come, and whether the present one has said something; `None` at the end.
    fn wait(&self, bell: &ThreadBell) -> Option<(bool, bool)> {
        let kept = self
            .session
            .as_ref()
            .and_then(|_| self.rivals.keeps(Instant::now()));
        let mut fds = vec![PollFd::new(bell, PollFlags::IN)];
        fds.extend(
            self.session
                .as_ref()
                .map(|session| PollFd::new(session, PollFlags::IN)),
        );
        if kept.is_none() {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let timeout = if self.more { Some(Duration::ZERO) } else { kept };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => tracing::error!("waiting for the control plane: {error}"),
        }
        let rang = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let (session, listener) = match (&self.session, kept) {
            (None, _) => (false, rang(1)),
            (Some(_), None) => (rang(1), rang(2)),
            (Some(_), Some(_)) => (rang(1), false),
        };
        (!rang(0)).then_some((listener, session))
    }

    fn accept(&mut self) {
        match self.listener.accept(Some(Duration::ZERO)) {
            Ok(None) => {}
            Ok(Some(session)) => {
                let peer = session.peer();
                if let Some(old) = self.session.as_ref().map(DataSession::peer) {
                    self.replace(old.pid, peer.pid);
                }
                tracing::info!("control plane {} has connected", peer.pid);
                self.note(|status| {
                    status.sessions += 1;
                    status.connected = true;
                    status.process = u32::try_from(peer.pid).ok();
                });
                self.session = Some(session);
            }
            Err(error) => {
                self.note(|status| {
                    status.refused += 1;
                    status.last_error = Some(error.to_string());
                });
                let tell = || tracing::warn!("a control plane could not connect: {error}");
                match error {
                    // Not the fault of the one that came, who still knocks.
                    HandshakeError::Io { .. } => self.failing.recover(tell),
                    _ => tell(),
                }
            }
        }
    }

    fn replace(&mut self, old: i32, new: i32) {
        match self.rivals.replaced(Instant::now()) {
            None => tracing::warn!("control plane {new} takes the place of {old}"),
            Some(kept) => tracing::error!(
                "control plane {new} takes the place of {old}, and so they go on: two control planes serve this dataplane, \
                 and each puts its own state in force. Stop one of them. Process {new} keeps its place for {} s now",
                kept.as_secs()
            ),
        }
    }

    /// Takes one transaction: between two of them, the end and a newer control plane have their turn.
    fn receive(&mut self) {
        self.more = false;
        let Some(session) = &mut self.session else {
            return;
        };
        match session.try_receive_transaction() {
            Ok(None) => {}
            Ok(Some(transaction)) => {
                self.more = true;
                self.take(transaction);
            }
            Err(error) => self.end_session(&error),
        }
    }

    fn take(&mut self, transaction: Transaction) {
        let arrived = Instant::now();
        let (generation, full) = (transaction.generation, transaction.full);
        let answer = match self.applier.apply(transaction) {
            Ok(()) => {
                self.note(|status| {
                    status.applied += 1;
                    status.generation = generation;
                    status.last_apply_microseconds =
                        u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
                });
                ToControl::Ack { generation }
            }
            Err(Refusal { reason, object }) => {
                tracing::error!(
                    "generation {generation} is refused, the one before stays in force: {reason}"
                );
                self.note(|status| {
                    status.rejected += 1;
                    status.last_error = Some(reason.clone());
                });
                ToControl::Nack {
                    generation,
                    reason,
                    object,
                }
            }
        };
        let sent = self
            .session
            .as_mut()
            .map(|session| session.send(&answer, Some(ANSWER)));
        if let Some(Err(error)) = sent {
            self.end_session(&error);
        }
        if full {
            // A whole state has gone through here in pieces, by code that mostly ran for it alone.
            give_back();
            let_go_of_program();
        }
    }

    fn end_session(&mut self, error: &SessionError) {
        self.session = None;
        self.more = false;
        let fault = !matches!(error, SessionError::PeerGone | SessionError::Closed);
        if fault {
            tracing::error!(
                "the session with the control plane is closed: {error}; traffic goes on as it is"
            );
        } else {
            tracing::warn!("the control plane is gone; traffic goes on as it is");
        }
        self.note(|status| {
            status.connected = false;
            status.process = None;
            status.faults += u64::from(fault);
            status.last_error = Some(error.to_string());
        });
    }

    fn note(&self, change: impl FnOnce(&mut ControlStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
