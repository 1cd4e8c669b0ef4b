//! One row through one gateway.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use headgate_lab::Namespace;

use super::pod::{FENCE, HOST, RecordingPod};
use crate::framing_table::{Act, Outcome, Row};

/// For what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many other requests must be answered without any news of a row's before its silence is taken for final: where it is
/// as expected, and where it is not.
const QUIET_AS_EXPECTED: u32 = 2;
const QUIET: u32 = 30;
/// How long it must have been silent besides, where nothing is expected and where something else is.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(1);

/// A gateway as a client sees it, and the pod that only it leads to.
pub(super) struct Front {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) pod: RecordingPod,
}

impl Front {
    /// Does what the row says, and tells what came of it.
    pub(super) fn exchange(&self, clients: &Namespace, row: &Row, expected: &[Outcome]) -> Outcome {
        let outcome = clients
            .enter(|| self.act(row, expected))
            .expect("the clients' namespace");
        outcome.unwrap_or_else(|error| panic!("{}, {}: {error}", self.name, row.name))
    }

    fn act(&self, row: &Row, expected: &[Outcome]) -> io::Result<Outcome> {
        self.pod.forget();
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        for act in &row.acts {
            // Whether the gateway takes all of it is seen in what it answers.
            let _ = match act {
                Act::Send(bytes) => stream.write_all(bytes),
                Act::Wait => self.fence(QUIET_AS_EXPECTED),
                Act::End => stream.shutdown(Shutdown::Write),
            };
        }
        stream.set_nonblocking(true)?;
        let mut listener = Listener {
            stream,
            bytes: Vec::new(),
            open: true,
            has_ended: row.acts.contains(&Act::End),
        };
        let (mut outcome, mut quiet, mut since) = (None, 0, Instant::now());
        loop {
            self.fence(1)?;
            let (news, whole) = listener.listen(self.pod_saw());
            quiet += 1;
            if outcome.as_ref() != Some(&news) {
                (quiet, since) = (0, Instant::now());
            }
            // Where other programs have the cores, the pod's threads may not have had their turn.
            let enough = if expected.contains(&news) {
                quiet >= QUIET_AS_EXPECTED && whole
            } else {
                quiet >= QUIET && since.elapsed() > if expected.is_empty() { SOON } else { LATE }
            };
            if enough {
                return Ok(news);
            }
            outcome = Some(news);
        }
    }

    /// With what a pod is told where the client names no host alike for all.
    fn pod_saw(&self) -> Vec<String> {
        let (socket, ip) = (self.address.to_string(), self.address.ip().to_string());
        let alike = |seen: String| seen.replace(&socket, "ADDRESS").replace(&ip, "ADDRESS");
        self.pod.seen().into_iter().map(alike).collect()
    }

    /// Other requests are answered: what came to the gateway before them was taken, and what it gave rise to has happened.
    fn fence(&self, times: u32) -> io::Result<()> {
        for _ in 0..times {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let request = format!("GET {FENCE} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            if !answer.starts_with("HTTP/1.1 200 ") {
                return Err(io::Error::other(format!("an honest request got {answer:?}")));
            }
        }
        Ok(())
    }
}

/// What comes back to a client.
struct Listener {
    stream: TcpStream,
    bytes: Vec<u8>,
    open: bool,
    /// That it has ended its own side: nobody need tell it about the other.
    has_ended: bool,
}

impl Listener {
    /// What came of the row so far, and whether the last answer is whole.
    fn listen(&mut self, pod: Vec<String>) -> (Outcome, bool) {
        let waits = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        // What was read before a reset is kept.
        self.open &= self.stream.read_to_end(&mut self.bytes).is_err_and(waits);
        let (answers, whole) = answers(&self.bytes);
        let end = match answers.last() {
            _ if self.open => "open",
            Some(answer) if !answer.says_close && !self.has_ended => "closed unsaid",
            _ => "closed",
        };
        let outcome = Outcome {
            end: end.to_owned(),
            answers: answers.into_iter().map(|answer| answer.status).collect(),
            pod,
        };
        (outcome, whole || !self.open)
    }
}

struct Answer {
    status: String,
    /// That the connection ends after it.
    says_close: bool,
}

/// The answers in these bytes, and whether the last one is whole.
fn answers(mut bytes: &[u8]) -> (Vec<Answer>, bool) {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        if !bytes.starts_with(b"HTTP/1.") {
            let status = "headless".to_owned();
            answers.push(Answer {
                status,
                says_close: true,
            });
            break;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return (answers, false);
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        bytes = &bytes[end + 4..];
        let status = head.split(' ').nth(1).unwrap_or("?").trim_end().to_owned();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        // Of an answer to HEAD the body is not there.
        let length = length
            .and_then(|l| l.parse().ok())
            .filter(|_| !bytes.starts_with(b"HTTP/1."))
            .unwrap_or(0);
        answers.push(Answer {
            status,
            says_close: head.contains("\r\nconnection: close"),
        });
        match bytes.get(length..) {
            Some(rest) => bytes = rest,
            None => return (answers, false),
        }
    }
    (answers, true)
}
