//! The connection to the dataplane, on a thread of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headgate_ring::message::{Generation, ToControl};
use headgate_ring::{ControlSession, SessionError, Transaction, connect};

use super::desk::Desk;
use crate::compile::Changes;

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

impl Publisher {
    /// Starts a thread that connects to the dataplane at `socket` once there is a state to publish, and again
    /// whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// The kernel has no thread or descriptor left.
    pub fn start(socket: PathBuf) -> io::Result<Self> {
        let desk = Arc::new(Desk::new()?);
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

    /// Changes the state that is published, at first an empty one; without any changes it is published as it is.
    /// What changes faster than the dataplane takes it is sent together.
    pub fn publish(&self, changes: Changes) {
        self.desk.publish(changes);
    }
}

impl Drop for Publisher {
    /// Ends the thread and with it the session; the dataplane goes on with what it has.
    fn drop(&mut self) {
        self.desk.stop();
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
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

/// The peer of one session.
#[derive(Default)]
struct Peer {
    /// Whether it has acknowledged anything.
    answers: bool,
    sent: Option<Sent>,
}

/// The transaction that is under way.
struct Sent {
    generation: Generation,
    operations: usize,
    at: Instant,
    told: bool,
}

impl Link {
    fn run(&mut self) {
        let mut backoff = BACKOFF_FIRST;
        while !self.desk.is_stopped() {
            if !self.desk.has_state() {
                self.desk.wait(None, None);
                continue;
            }
            match connect(&self.socket) {
                Ok(session) => {
                    tracing::info!("connected to the dataplane at {}", self.socket.display());
                    self.complaint = None;
                    self.desk.meet();
                    let mut peer = Peer::default();
                    let end = self.serve(session, &mut peer);
                    self.desk.part();
                    match end {
                        Ok(()) => return,
                        Err(error) => self.complain(format!("lost the dataplane: {error}")),
                    }
                    if peer.answers {
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
            if self.desk.is_stopped() {
                return;
            }
        }
    }

    /// One session; ends without an error when told to stop.
    fn serve(&mut self, mut session: ControlSession, peer: &mut Peer) -> Result<(), SessionError> {
        loop {
            while let Some(answer) = session.try_receive()? {
                self.answered(peer, answer);
            }
            if self.desk.is_stopped() {
                return Ok(());
            }
            self.send(&mut session, peer)?;
            let timeout = peer.complain_if_slow(Instant::now());
            self.desk.wait(Some(&session), timeout);
        }
    }

    fn send(&mut self, session: &mut ControlSession, peer: &mut Peer) -> Result<(), SessionError> {
        let Some(due) = self.desk.begin() else {
            return Ok(());
        };
        self.generation += 1;
        let transaction = Transaction {
            generation: self.generation,
            full: due.full,
            operations: due.operations(),
        };
        match session.send_transaction(&transaction, Some(SEND_TIMEOUT)) {
            Ok(()) => {
                peer.sent = Some(Sent {
                    generation: self.generation,
                    operations: transaction.operations.len(),
                    at: Instant::now(),
                    told: false,
                });
                Ok(())
            }
            Err(error) if session.is_open() => {
                tracing::error!(
                    "generation {} cannot be sent: {error}; {}",
                    self.generation,
                    self.desk.refused(None)
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn answered(&self, peer: &mut Peer, answer: ToControl) {
        let (ToControl::Ack { generation } | ToControl::Nack { generation, .. }) = answer;
        let Some(sent) = peer.sent.take_if(|sent| sent.generation == generation) else {
            tracing::warn!("the dataplane answered generation {generation}, which is not under way");
            return;
        };
        match answer {
            ToControl::Ack { .. } => {
                let (operations, after) = (sent.operations, sent.at.elapsed());
                tracing::info!("generation {generation} is in force: {operations} changes, {after:.1?}");
                peer.answers = true;
                self.desk.acknowledged();
            }
            ToControl::Nack { reason, object, .. } => {
                let consequence = self.desk.refused(object);
                tracing::error!("the dataplane refused generation {generation}: {reason}; {consequence}");
            }
        }
    }
}

impl Peer {
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
