//! Answers on `status.sock`.
//!
//! A client may send one line that says what it asks for ([`Request`]); it gets one JSON document and the end of the stream.
//! Each connection has a thread of its own, so that one that is slow, or silent, or asks for much delays nobody.

use std::io::{self, BufWriter, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use serde::Serialize;

use super::request::{Request, left};
use super::{DecisionStatus, PolicyState, Question, Status};

/// A reader that takes longer than this for all of an answer is cut off.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections at one time; one more is told to come back.
const CONNECTIONS: usize = 16;

/// Who knows the answers. Asked from several threads at once.
pub trait Answers: Send + Sync + 'static {
    /// How the dataplane fares.
    fn status(&self) -> Status;
    /// What the policy tables in force were made from.
    fn policy(&self) -> PolicyState;
    /// What the policy tables in force say of a connection.
    fn decide(&self, question: &Question) -> DecisionStatus;
}

/// Answers until it is dropped.
pub struct Server {
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds the socket and answers each connection, on threads of its own. The socket is open to the group, as monitoring
    /// wants it.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(path: &Path, answers: impl Answers) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let end = Arc::clone(&bell);
        let answers = Arc::new(answers);
        let answer_all = move || {
            let mut connections = Connections::default();
            while wait(&listener, &end) {
                match listener.accept() {
                    // Whoever asked may be gone; that is no event.
                    Ok((connection, _)) => drop(connections.add(connection, &answers)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        // Out of descriptors, as a rule, which does not get better by trying at once.
                        tracing::warn!("the status socket cannot accept: {error}");
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("headgate-status".into())
            .spawn(answer_all)?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The only error is a full counter, and then the bell rings already.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the status thread had panicked");
        }
    }
}

/// False when it is time to end.
fn wait(listener: &UnixListener, end: &OwnedFd) -> bool {
    let mut fds = [
        PollFd::new(end, PollFlags::IN),
        PollFd::new(listener, PollFlags::IN),
    ];
    // An interrupted wait finds nothing to accept.
    let _ = poll(&mut fds, None);
    fds[0].revents().is_empty()
}

/// Those that are being answered. None outlives this.
#[derive(Default)]
struct Connections(Vec<(UnixStream, JoinHandle<()>)>);

impl Connections {
    fn add(&mut self, connection: UnixStream, answers: &Arc<impl Answers>) -> io::Result<()> {
        self.0.retain(|(_, thread)| !thread.is_finished());
        if self.0.len() >= CONNECTIONS {
            return send(
                &connection,
                &Refusal::new("too many connections at once; come back"),
            );
        }
        let ours = connection.try_clone()?;
        let answers = Arc::clone(answers);
        let answer = move || {
            // A client that goes away is no event.
            let _ = answer(&connection, &*answers);
            // Dropping is not enough: the other handle is open until the next connection comes.
            let _ = connection.shutdown(Shutdown::Both);
        };
        let thread = std::thread::Builder::new()
            .name("headgate-answer".into())
            .spawn(answer)?;
        self.0.push((ours, thread));
        Ok(())
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        for (connection, thread) in self.0.drain(..) {
            // Wakes the thread; a client that has gone already is as good.
            let _ = connection.shutdown(Shutdown::Both);
            if thread.join().is_err() {
                tracing::error!("a thread of the status socket had panicked");
            }
        }
    }
}

/// What a client gets whose request cannot be answered.
#[derive(Serialize)]
struct Refusal {
    error: String,
}

impl Refusal {
    fn new(error: impl Into<String>) -> Self {
        Self { error: error.into() }
    }
}

fn answer(connection: &UnixStream, answers: &impl Answers) -> io::Result<()> {
    match Request::read(connection) {
        Ok(Request::Status) => send(connection, &answers.status()),
        Ok(Request::Policy) => send(connection, &answers.policy()),
        Ok(Request::Decide(question)) => send(connection, &answers.decide(&question)),
        Err(reason) => send(connection, &Refusal::new(reason)),
    }
}

/// Sends one document and a line's end, piece by piece: that of a large cluster has tens of megabytes.
fn send(connection: &UnixStream, document: &impl Serialize) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut out = BufWriter::with_capacity(64 << 10, Patient { connection, until });
    serde_json::to_writer(&mut out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// A connection that must take all within a time: a limit for each write alone would let a reader of single bytes
/// stay for ever.
struct Patient<'a> {
    connection: &'a UnixStream,
    until: Instant,
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.set_write_timeout(Some(left(self.until)?))?;
        (&mut &*self.connection).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
