//! One row through one gateway.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use headgate_lab::Namespace;
use rustls::ClientConfig;

use super::answers::{Answer, State, answers};
use super::pod::{FENCE, FENCE_FIELD, HOST, RecordingPod, Script};
use super::wire::Wire;
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
    /// Bytes that client and pod send in one piece.
    pub(super) piece: usize,
    /// With which rows' clients come; other requests come without.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// What Headgate is called among them.
pub(super) const OURS: &str = "headgate";

impl Front {
    /// Does what the row says, and tells what came of it.
    pub(super) fn exchange(&self, clients: &Namespace, row: &Row, expected: &[Outcome]) -> Outcome {
        let outcome = clients
            .enter(|| self.act(row, expected))
            .expect("the clients' namespace");
        outcome.unwrap_or_else(|error| panic!("{}, {}: {error}", self.name, row.name))
    }

    fn act(&self, row: &Row, expected: &[Outcome]) -> io::Result<Outcome> {
        self.pod.begin(Script::of(row, self.piece));
        let mut wire = Wire::connect(self.asked(), self.tls.as_ref())?;
        for act in &row.acts {
            // Whether the gateway takes all of it is seen in what it answers.
            let _ = match act {
                Act::Send(bytes) => wire.send(bytes, self.piece),
                Act::Wait => self.fence(QUIET_AS_EXPECTED).map(drop),
                Act::End => wire.end(),
            };
        }
        wire.wait_no_more()?;
        let mut listener = Listener {
            wire,
            bytes: Vec::new(),
            open: true,
            row,
            is_ours: self.name == OURS,
        };
        let (mut outcome, mut quiet, mut since) = (None, 0, Instant::now());
        let mut harmed = false;
        loop {
            harmed |= !self.fence(1)?;
            let mut news = listener.listen(self.pod_saw());
            if harmed {
                news.pod.push("others are harmed".to_owned());
            }
            quiet += 1;
            if outcome.as_ref() != Some(&news) {
                (quiet, since) = (0, Instant::now());
            }
            // Where other programs have the cores, the pod's threads may not have had their turn.
            let enough = if expected.contains(&news) {
                quiet >= QUIET_AS_EXPECTED
            } else {
                quiet >= QUIET && since.elapsed() > if expected.is_empty() { SOON } else { LATE }
            };
            if enough {
                return Ok(news);
            }
            outcome = Some(news);
        }
    }

    /// Where a row's client asks.
    fn asked(&self) -> SocketAddr {
        let port = if self.tls.is_some() {
            443
        } else {
            self.address.port()
        };
        SocketAddr::new(self.address.ip(), port)
    }

    /// With what a pod is told where the client names no host alike for all.
    fn pod_saw(&self) -> Vec<String> {
        let (socket, ip) = (self.asked().to_string(), self.address.ip().to_string());
        let alike = |seen: String| seen.replace(&socket, "ADDRESS").replace(&ip, "ADDRESS");
        self.pod.seen().into_iter().map(alike).collect()
    }

    /// Other requests are answered: what came to the gateway before them was taken, and what it gave rise to has happened.
    /// Tells whether their answers are theirs.
    fn fence(&self, times: u32) -> io::Result<bool> {
        let mut well = true;
        for _ in 0..times {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let request = format!("GET {FENCE} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            let answer = answer.to_ascii_lowercase();
            well &= answer.starts_with("http/1.1 200 ") && answer.contains(FENCE_FIELD);
        }
        Ok(well)
    }
}

/// What comes back to a client.
struct Listener<'r> {
    wire: Wire,
    bytes: Vec<u8>,
    open: bool,
    row: &'r Row,
    is_ours: bool,
}

impl Listener<'_> {
    /// What came of the row so far.
    fn listen(&mut self, pod: Vec<String>) -> Outcome {
        self.open = self.open && self.wire.read(&mut self.bytes);
        let to_head = self.row.is_about_response() && self.row.bytes().starts_with(b"HEAD ");
        let answers = answers(&self.bytes, self.open, to_head);
        let last = answers.last();
        let whole = last.is_none_or(|answer| answer.state == State::Whole);
        // Who ends its own side needs nobody to tell it about the other, and a cut says enough.
        let unsaid = last.is_some_and(|answer| !answer.says_close) && whole;
        let unsaid = unsaid && !self.row.acts.contains(&Act::End);
        let end = match (self.open, unsaid) {
            (true, _) => "open",
            (false, true) => "closed unsaid",
            (false, false) => "closed",
        };
        Outcome {
            end: end.to_owned(),
            answers: answers.iter().flat_map(|answer| self.words(answer)).collect(),
            pod: if self.row.is_about_response() {
                contents(&answers)
            } else {
                pod
            },
        }
    }

    /// How an answer is told.
    fn words(&self, answer: &Answer) -> Vec<String> {
        let strange = self.is_ours && answer.status.as_str() >= "400" && !answer.is_headgates;
        let state = match answer.state {
            State::Whole if strange => Some("strange"),
            State::Whole => None,
            State::Begun => Some("cut"),
            State::Garbage => Some("garbage"),
        };
        let state = state.filter(|_| answer.status != "headless");
        let words = [Some(answer.status.as_str()), state];
        words.into_iter().flatten().map(str::to_owned).collect()
    }
}

/// What came of the pod's answers: errors are the gateway's own.
fn contents(answers: &[Answer]) -> Vec<String> {
    let of_pod = answers
        .iter()
        .filter(|answer| answer.state == State::Whole && answer.status.as_str() < "400");
    of_pod
        .map(|answer| answer.content.clone())
        .filter(|content| !content.is_empty())
        .collect()
}
