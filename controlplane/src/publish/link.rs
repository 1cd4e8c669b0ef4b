//! The connection to the dataplane, on a thread of its own.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headgate_memory::{give_back, let_go_of_program};
use headgate_ring::message::{Generation, ToControl};
use headgate_ring::{ControlSession, HandshakeError, SessionError, connect};

use super::desk::Desk;
use super::repeats::Repeats;
use crate::compile::{Changes, State};
use crate::feedback::{Feedback, Outcomes};
use crate::model::Id;

/// The first pause after a connection that failed; each further one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// The longest pause after a connection that failed.
const BACKOFF_LAST: Duration = Duration::from_secs(1);
/// A peer that makes no room for so long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that has not answered a transaction for so long gets a line.
const SLOW_ACK: Duration = Duration::from_secs(5);
/// From the answer to a whole state until hardly anybody holds any more what was needed to make it and to tell of it, and
/// until nobody does.
const SETTLED: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// How long the end of the thread is waited for: only a handshake with a peer that says nothing takes longer.
const END: Duration = Duration::from_millis(100);

/// What the dataplane shall have, kept there as long as this lives.
#[derive(Debug)]
pub struct Publisher {
    desk: Arc<Desk>,
    /// Says by its end that the thread has ended.
    ended: Mutex<Receiver<Infallible>>,
}

impl Publisher {
    /// Starts a thread that connects to the dataplane at `socket` once there is a state to publish, and again
    /// whenever the connection is lost. What it answers about objects goes to `feedback`.
    ///
    /// # Errors
    ///
    /// The kernel has no thread or descriptor left.
    pub fn start(socket: PathBuf, feedback: Option<Feedback>) -> io::Result<Self> {
        let desk = Arc::new(Desk::new(feedback)?);
        let (alive, ended) = channel();
        let mut link = SessionLoop {
            desk: desk.clone(),
            socket,
            generation: 0,
            complaint: None,
            _alive: alive,
        };
        std::thread::Builder::new()
            .name("publish".to_owned())
            .spawn(move || link.run())?;
        Ok(Self {
            desk,
            ended: Mutex::new(ended),
        })
    }

    /// Looks at the state, the only copy that there is: at first an empty one.
    pub fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.desk.with_state(look)
    }

    /// Changes the state that is published; without any changes it is published as it is. What changes faster than the
    /// dataplane takes it is sent together.
    pub fn publish(&self, changes: Changes) {
        self.publish_with(changes, |_| Outcomes::new());
    }

    /// Likewise, with what became of the objects that have changed, for the source once the dataplane has answered.
    /// `outcomes` is asked besides for those that the dataplane had refused and that are tried again.
    pub fn publish_with(&self, changes: Changes, outcomes: impl FnOnce(&BTreeSet<Id>) -> Outcomes) {
        self.desk.publish(changes, outcomes);
    }

    /// Calls this once there is no session: at once, or when the one that there is ends. It must not wait.
    pub fn when_alone(&self, call: impl FnOnce() + Send + 'static) {
        self.desk.when_alone(Box::new(call));
    }

    /// Ends the session; the dataplane goes on with what it has. Whatever the thread waits for, it ends, at once or,
    /// in the midst of a handshake, within half a second: that is not waited for.
    pub fn stop(&self) {
        self.desk.stop();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: this waits for the end of the other side.
        let _ = ended.recv_timeout(END);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop();
    }
}

struct SessionLoop {
    desk: Arc<Desk>,
    socket: PathBuf,
    /// The last generation that was sent, in any session.
    generation: Generation,
    /// Why there is no session, so that it is told once.
    complaint: Option<String>,
    _alive: Sender<Infallible>,
}

/// The peer of one session.
#[derive(Default)]
struct SessionPeer {
    /// Whether it has acknowledged anything.
    answers: bool,
    sent: Option<InFlight>,
    acknowledged: Repeats,
    /// When the heap is to give back what the whole state has left in it.
    settles: [Option<Instant>; 2],
}

/// The transaction that is under way.
struct InFlight {
    generation: Generation,
    /// Whether it holds a whole state.
    full: bool,
    operations: usize,
    at: Instant,
    told: bool,
}

impl SessionLoop {
    fn run(&mut self) {
        let mut backoff = BACKOFF_FIRST;
        while !self.desk.is_stopped() {
            if !self.desk.has_state() {
                self.desk.wait(None, None);
                continue;
            }
            match self.session() {
                Ok(answers) if answers => backoff = BACKOFF_FIRST,
                Ok(_) => {}
                Err(error) => self.complain(error.to_string()),
            }
            self.pause(backoff);
            backoff = (backoff * 2).min(BACKOFF_LAST);
        }
    }

    /// Connects, and serves until the peer is gone. Whether it has acknowledged anything.
    fn session(&mut self) -> Result<bool, HandshakeError> {
        let session = connect(&self.socket)?;
        let hang_up = session.hang_up_handle()?;
        tracing::info!("connected to the dataplane at {}", self.socket.display());
        self.complaint = None;
        self.desk.meet(hang_up);
        let mut peer = SessionPeer::default();
        let end = self.serve(session, &mut peer);
        self.desk.part();
        if let Err(error) = end {
            self.complain(format!("lost the dataplane: {error}"));
        }
        Ok(peer.answers)
    }

    fn complain(&mut self, complaint: String) {
        if self.desk.is_stopped() {
            return;
        }
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
    fn serve(&mut self, mut session: ControlSession, peer: &mut SessionPeer) -> Result<(), SessionError> {
        loop {
            while let Some(answer) = session.try_receive()? {
                self.answered(peer, answer);
            }
            if self.desk.is_stopped() {
                return Ok(());
            }
            self.send(&mut session, peer)?;
            let now = Instant::now();
            let timeouts = [peer.complain_if_slow(now), peer.give_back_if_settled(now)];
            self.desk
                .wait(Some(&session), timeouts.into_iter().flatten().min());
        }
    }

    fn send(&mut self, session: &mut ControlSession, peer: &mut SessionPeer) -> Result<(), SessionError> {
        let Some(due) = self.desk.begin() else {
            return Ok(());
        };
        self.generation += 1;
        let (full, operations) = (due.full, due.operations());
        let count = operations.len();
        match session.send_operations(self.generation, full, operations, Some(SEND_TIMEOUT)) {
            Ok(()) => {
                peer.sent = Some(InFlight {
                    generation: self.generation,
                    full,
                    operations: count,
                    at: Instant::now(),
                    told: false,
                });
                Ok(())
            }
            Err(error) if session.is_open() => {
                let reason = format!("cannot be sent: {error}");
                let refused = self.desk.refused(self.generation, &reason, None);
                tracing::error!("generation {} {reason}; {}", self.generation, refused.consequence);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn answered(&self, peer: &mut SessionPeer, answer: ToControl) {
        let (ToControl::Ack { generation } | ToControl::Nack { generation, .. }) = answer;
        let Some(sent) = peer.sent.take_if(|sent| sent.generation == generation) else {
            tracing::warn!("the dataplane answered generation {generation}, which is not under way");
            return;
        };
        match answer {
            ToControl::Ack { .. } => {
                let (operations, after) = (sent.operations, sent.at.elapsed());
                if peer.acknowledged.is_news(Instant::now()) {
                    tracing::info!("generation {generation} is in force: {operations} changes, {after:.1?}");
                } else {
                    tracing::debug!("generation {generation} is in force: {operations} changes, {after:.1?}");
                }
                peer.answers = true;
                if sent.full {
                    peer.settles = SETTLED.map(|time| Some(Instant::now() + time));
                }
                self.desk.acknowledged(generation);
            }
            ToControl::Nack { reason, object, .. } => {
                let refused = self.desk.refused(generation, &reason, object);
                let consequence = refused.consequence;
                // The source knows the objects by their names, and says more of them.
                if refused.told {
                    tracing::debug!("the dataplane refused generation {generation}: {reason}; {consequence}");
                } else {
                    tracing::error!("the dataplane refused generation {generation}: {reason}; {consequence}");
                }
            }
        }
    }
}

impl SessionPeer {
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

    /// When to look again.
    fn give_back_if_settled(&mut self, now: Instant) -> Option<Duration> {
        if let Some(settled) = self.settles.iter_mut().find(|at| at.is_some_and(|at| at <= now)) {
            *settled = None;
            give_back();
            let_go_of_program();
        }
        let next = self.settles.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }
}

/// The socket of a run directory.
#[must_use]
pub fn socket(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}
