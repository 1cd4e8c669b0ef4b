//! The connection to the dataplane, on a thread of its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headgate_ring::message::{Generation, ToControl};
use headgate_ring::{ControlSession, SessionError, Transaction, connect};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};

use super::{changes, everything};
use crate::compile::State;

/// The first pause after a connection that failed; each further one is twice as long,
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// but never longer than this.
const BACKOFF_LAST: Duration = Duration::from_secs(1);
/// A peer that makes no room for so long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that has not answered a transaction for so long gets a line.
const SLOW_ACK: Duration = Duration::from_secs(5);

/// What the dataplane shall have, kept there as long as this lives.
pub struct Publisher {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// Where the state is laid for the thread to fetch.
struct Desk {
    desired: Mutex<Desired>,
    /// An eventfd, written for each change of `desired`.
    bell: OwnedFd,
}

#[derive(Clone, Default)]
struct Desired {
    state: Option<Arc<State>>,
    stop: bool,
}

impl Publisher {
    /// Starts a thread that connects to the dataplane at `socket` once there is a state to publish, and again
    /// whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// The kernel has no thread or descriptor left.
    pub fn start(socket: PathBuf) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let desk = Arc::new(Desk {
            desired: Mutex::default(),
            bell,
        });
        let mut link = Link {
            desk: desk.clone(),
            socket,
            generation: 0,
            complaint: None,
        };
        let thread = std::thread::Builder::new()
            .name("publish".to_owned())
            .spawn(move || link.run())?;
        Ok(Self {
            desk,
            thread: Some(thread),
        })
    }

    /// Replaces the state to be published. States that come faster than the dataplane takes them are left out.
    pub fn publish(&self, state: State) {
        self.desk.change(|desired| desired.state = Some(Arc::new(state)));
    }
}

impl Drop for Publisher {
    /// Ends the thread and with it the session; the dataplane goes on with what it has.
    fn drop(&mut self) {
        self.desk.change(|desired| desired.stop = true);
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn change(&self, change: impl FnOnce(&mut Desired)) {
        change(&mut self.desired.lock().unwrap_or_else(PoisonError::into_inner));
        // A full counter rings as well.
        let _ = write(&self.bell, &1u64.to_ne_bytes());
    }

    fn look(&self) -> Desired {
        let _ = read(&self.bell, &mut [0; 8]);
        self.desired
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the bell, for `session` if there is one, or until `timeout`.
    fn wait(&self, session: Option<&ControlSession>, timeout: Option<Duration>) {
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
    }
}

struct Link {
    desk: Arc<Desk>,
    socket: PathBuf,
    /// The last generation that was sent, in any session.
    generation: Generation,
    /// Why there is no session, so that it is told once.
    complaint: Option<String>,
}

/// What the peer of one session has.
#[derive(Default)]
struct PeerState {
    /// `None` until it has acknowledged a full state.
    has: Option<Arc<State>>,
    sent: Option<Sent>,
    /// The state that it refused last: not to be sent again.
    refused: Option<Arc<State>>,
}

/// The transaction that is under way.
struct Sent {
    generation: Generation,
    operations: usize,
    state: Arc<State>,
    at: Instant,
    told: bool,
}

impl Link {
    fn run(&mut self) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let desired = self.desk.look();
            if desired.stop {
                return;
            }
            if desired.state.is_none() {
                self.desk.wait(None, None);
                continue;
            }
            match connect(&self.socket) {
                Ok(session) => {
                    tracing::info!("connected to the dataplane at {}", self.socket.display());
                    self.complaint = None;
                    let mut peer = PeerState::default();
                    match self.serve(session, &mut peer) {
                        Ok(()) => return,
                        Err(error) => self.complain(format!("lost the dataplane: {error}")),
                    }
                    if peer.has.is_some() {
                        backoff = BACKOFF_FIRST;
                    }
                }
                Err(error) => self.complain(error.to_string()),
            }
            self.pause(backoff);
            backoff = (backoff * 2).min(BACKOFF_LAST);
        }
    }

    fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!("{complaint}; trying again");
            self.complaint = Some(complaint);
        }
    }

    /// A new state is no reason to try earlier; being stopped is.
    fn pause(&self, backoff: Duration) {
        let end = Instant::now() + backoff;
        while let Some(left) = end
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            self.desk.wait(None, Some(left));
            if self.desk.look().stop {
                return;
            }
        }
    }

    /// One session; ends without an error when told to stop.
    fn serve(&mut self, mut session: ControlSession, peer: &mut PeerState) -> Result<(), SessionError> {
        loop {
            while let Some(answer) = session.try_receive()? {
                peer.answered(answer);
            }
            let desired = self.desk.look();
            if desired.stop {
                return Ok(());
            }
            if let (Some(state), None) = (desired.state, &peer.sent) {
                self.send(&mut session, peer, state)?;
            }
            let timeout = peer.complain_if_slow(Instant::now());
            self.desk.wait(Some(&session), timeout);
        }
    }

    fn send(
        &mut self,
        session: &mut ControlSession,
        peer: &mut PeerState,
        state: Arc<State>,
    ) -> Result<(), SessionError> {
        let is = |other: &Option<Arc<State>>| other.as_ref().is_some_and(|other| Arc::ptr_eq(other, &state));
        if is(&peer.has) || is(&peer.refused) {
            return Ok(());
        }
        let (full, operations) = match &peer.has {
            None => (true, everything(&state)),
            Some(has) => (false, changes(has, &state)),
        };
        if operations.is_empty() && !full {
            peer.has = Some(state);
            return Ok(());
        }
        self.generation += 1;
        let transaction = Transaction {
            generation: self.generation,
            full,
            operations,
        };
        match session.send_transaction(&transaction, Some(SEND_TIMEOUT)) {
            Ok(()) => {
                let operations = transaction.operations.len();
                let at = Instant::now();
                peer.sent = Some(Sent {
                    generation: self.generation,
                    operations,
                    state,
                    at,
                    told: false,
                });
                Ok(())
            }
            Err(error) if session.is_open() => {
                tracing::error!(
                    "generation {} cannot be sent: {error}; the one before it stays",
                    self.generation
                );
                peer.refused = Some(state);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl PeerState {
    fn answered(&mut self, answer: ToControl) {
        let (generation, refusal) = match answer {
            ToControl::Ack { generation } => (generation, None),
            ToControl::Nack { generation, reason } => (generation, Some(reason)),
        };
        let Some(sent) = self.sent.take_if(|sent| sent.generation == generation) else {
            tracing::warn!("the dataplane answered generation {generation}, which is not under way");
            return;
        };
        match refusal {
            None => {
                let (operations, after) = (sent.operations, sent.at.elapsed());
                tracing::info!("generation {generation} is in force: {operations} changes, {after:.1?}");
                self.has = Some(sent.state);
                self.refused = None;
            }
            Some(reason) => {
                tracing::error!(
                    "the dataplane refused generation {generation}: {reason}; the one before it stays"
                );
                self.refused = Some(sent.state);
            }
        }
    }

    /// When to look again.
    fn complain_if_slow(&mut self, now: Instant) -> Option<Duration> {
        let sent = self.sent.as_mut().filter(|sent| !sent.told)?;
        let left = (sent.at + SLOW_ACK).saturating_duration_since(now);
        if left.is_zero() {
            tracing::warn!(
                "the dataplane has not answered generation {} for {SLOW_ACK:?}",
                sent.generation
            );
            sent.told = true;
            return None;
        }
        Some(left)
    }
}

/// The socket of a run directory.
#[must_use]
pub fn socket(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}
