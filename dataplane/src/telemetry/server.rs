//! Answers on `status.sock`.
//!
//! A client may send one line that says what it asks for ([`Request`]); it gets one JSON document and the end of the stream.
//! Each connection has a thread of its own, so that one that is slow, or silent, or asks for much delays nobody.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::request::Request;
use super::{DecisionStatus, FlowList, FlowQuery, PolicyState, Question, Status};
use crate::service::{Crew, Patient, Thread, accept_until};

/// A reader that takes longer than this for all of an answer is cut off.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections at one time; one more is told to come back.
const CONNECTIONS: usize = 16;

/// Who knows the answers. Asked from several threads at once.
pub trait Answers: Send + Sync + 'static {
    /// How the dataplane fares.
    fn status(&self) -> Status;
    /// Whether it can take traffic; if not, why, in one line.
    ///
    /// # Errors
    /// The reason.
    fn ready(&self) -> Result<(), String>;
    /// What the policy tables in force were made from.
    fn policy(&self) -> PolicyState;
    /// What the policy tables in force say of a connection.
    fn decide(&self, question: &Question) -> DecisionStatus;
    /// The flows that are followed now.
    ///
    /// # Errors
    /// Why there are none to list.
    fn flows(&self, query: &FlowQuery) -> Result<FlowList, String>;
}

/// Answers until it is dropped.
pub struct Server {
    _thread: Thread,
}

impl Server {
    /// Binds the socket and answers each connection, on threads of its own. The socket is open to the group, as monitoring
    /// wants it.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(path: &Path, answers: Arc<impl Answers>) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        let thread = Thread::start("headgate-status", move |bell| {
            let mut crew = Crew::new("headgate-answer", CONNECTIONS);
            accept_until(bell, &listener, |stream: UnixStream| {
                let answers = Arc::clone(&answers);
                // A client that goes away is no event.
                let served = crew.serve(stream, move |stream| {
                    let _ = answer(stream, &*answers);
                });
                if let Err(stream) = served {
                    let _ = send(
                        &stream,
                        &ErrorDocument::new("too many connections at once; come back"),
                    );
                }
            });
        })?;
        Ok(Self { _thread: thread })
    }
}

/// What a client gets whose request cannot be answered.
#[derive(Serialize)]
struct ErrorDocument {
    error: String,
}

impl ErrorDocument {
    fn new(error: impl Into<String>) -> Self {
        Self { error: error.into() }
    }
}

fn answer(connection: &UnixStream, answers: &impl Answers) -> io::Result<()> {
    match Request::read(connection) {
        Ok(Request::Status) => send(connection, &answers.status()),
        Ok(Request::Policy) => send(connection, &answers.policy()),
        Ok(Request::Decide(question)) => send(connection, &answers.decide(&question)),
        Ok(Request::Flows(query)) => match answers.flows(&query) {
            Ok(list) => send(connection, &list),
            Err(reason) => send(connection, &ErrorDocument::new(reason)),
        },
        Err(reason) => send(connection, &ErrorDocument::new(reason)),
    }
}

/// Sends one document and a line's end, piece by piece: that of a large cluster has tens of megabytes.
fn send(stream: &UnixStream, document: &impl Serialize) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut out = BufWriter::with_capacity(64 << 10, Patient { stream, until });
    serde_json::to_writer(&mut out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}
