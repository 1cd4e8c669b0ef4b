//! What a client of the status socket asks for: one line, or nothing.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{FlowQuery, Question};
use crate::service::left;

/// The longest request.
const LINE_BYTES: usize = 4096;

/// A client that has sent nothing for this long is one that only reads, and gets the status.
const SILENCE: Duration = Duration::from_millis(100);

/// One that has begun a line has this long for all of it.
const LINE_TIME: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// [`Status`](super::Status): `status`, an empty line, the end of what the client sends, or silence.
    Status,
    /// [`PolicyState`](super::PolicyState): `policy`.
    Policy,
    /// [`DecisionStatus`](super::DecisionStatus): `decide`, and a [`Question`].
    Decide(Question),
    /// [`FlowList`](super::FlowList): `flows`, and a [`FlowQuery`] as JSON, or nothing for all flows.
    Flows(Box<FlowQuery>),
}

impl Request {
    /// Reads the request.
    ///
    /// # Errors
    /// In one line for the client, why it is none.
    pub(super) fn read(mut connection: &UnixStream) -> Result<Self, String> {
        let mut line = [0; LINE_BYTES];
        let mut length = 0;
        let mut until = Instant::now() + SILENCE;
        while length < LINE_BYTES {
            let timeout = left(until).and_then(|left| connection.set_read_timeout(Some(left)));
            match timeout.and_then(|()| connection.read(&mut line[length..])) {
                Ok(0) => return Self::parse(&line[..length]),
                Ok(more) => {
                    if length == 0 {
                        until = Instant::now() + LINE_TIME;
                    }
                    length += more;
                    if let Some(end) = line[..length].iter().position(|byte| *byte == b'\n') {
                        return Self::parse(&line[..end]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if length == 0 => return Ok(Self::Status),
                Err(_) => return Err("the request has no end of line".into()),
            }
        }
        Err(format!("the request is longer than {LINE_BYTES} bytes"))
    }

    fn parse(line: &[u8]) -> Result<Self, String> {
        match line.trim_ascii() {
            b"" | b"status" => Ok(Self::Status),
            b"policy" => Ok(Self::Policy),
            b"flows" => Ok(Self::Flows(Box::default())),
            other => Self::parse_long(&String::from_utf8_lossy(other)),
        }
    }

    /// One that says more than its kind.
    fn parse_long(line: &str) -> Result<Self, String> {
        match line.split_once(' ') {
            Some(("decide", question)) => {
                let question = question.parse().map_err(|reason| format!("{line:?}: {reason}"))?;
                Ok(Self::Decide(question))
            }
            Some(("flows", query)) => {
                let query = serde_json::from_str(query).map_err(|reason| format!("{line:?}: {reason}"))?;
                Ok(Self::Flows(query))
            }
            _ => Err(format!(
                "the request {line:?} is unknown to headgate {}; known are status, policy, decide and flows",
                env!("CARGO_PKG_VERSION")
            )),
        }
    }
}
