//! Who reads the log on `flows.sock`.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use serde::Serialize;

use super::line::{Flow, Loss, Lost};
use super::{Filter, Query};

/// Readers at a time.
const MOST: usize = 32;
/// Bytes of a question.
const QUESTION: usize = 64 << 10;
/// How long a reader may take to ask.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines that wait for a reader; beyond, they are counted as lost to it.
const WAITING: usize = 8_192;

/// All of them.
#[derive(Default)]
pub(super) struct Followers {
    all: Vec<Follower>,
    /// Lines that were lost to slow readers, those that are gone included.
    pub(super) lost: u64,
}

struct Follower {
    stream: UnixStream,
    state: FollowerState,
}

enum FollowerState {
    /// Has not asked yet.
    Asking {
        question: Vec<u8>,
        until: Instant,
    },
    Reading(Box<Reading>),
}

struct Reading {
    filter: Filter,
    follow: bool,
    lines: VecDeque<Arc<Flow>>,
    /// What is being written.
    text: Vec<u8>,
    written: usize,
    lost: u64,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "error")]
struct ErrorLine<'a> {
    message: &'a str,
}

impl Followers {
    /// A new connection.
    pub(super) fn add(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let until = Instant::now() + PATIENCE;
        let state = if self.all.len() < MOST {
            FollowerState::Asking {
                question: Vec::new(),
                until,
            }
        } else {
            refuse("too many readers of the flow log; end another one")
        };
        self.all.push(Follower { stream, state });
        Ok(())
    }

    /// Whether somebody is connected, with a question or without.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those who have asked.
    pub(super) fn reading(&self) -> usize {
        let reads = |f: &&Follower| matches!(f.state, FollowerState::Reading(_));
        self.all.iter().filter(reads).count()
    }

    /// Whether somebody follows who wants allowed flows.
    pub(super) fn want_allowed(&self) -> bool {
        let wants = |f: &Follower| match &f.state {
            FollowerState::Reading(reading) => {
                reading.follow && reading.filter.verdict != Some(super::Verdict::Denied)
            }
            FollowerState::Asking { .. } => false,
        };
        self.all.iter().any(wants)
    }

    /// What to wait for.
    pub(super) fn polls(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.all.iter().map(|follower| {
            let writes = matches!(&follower.state, FollowerState::Reading(reading) if reading.has_more());
            // Not both: one that has closed its side for writing would be ready to be read for ever.
            let flags = if writes { PollFlags::OUT } else { PollFlags::IN };
            (follower.stream.as_fd(), flags)
        })
    }

    /// A line for all who want it.
    pub(super) fn publish(&mut self, flow: &Arc<Flow>) {
        for follower in &mut self.all {
            if let FollowerState::Reading(reading) = &mut follower.state
                && reading.follow
                && reading.filter.takes(flow)
                && !reading.push(flow)
            {
                self.lost += 1;
            }
        }
    }

    /// A line about lines that nobody gets.
    pub(super) fn tell(&mut self, text: &[u8]) {
        for follower in &mut self.all {
            if let FollowerState::Reading(reading) = &mut follower.state
                && reading.follow
                && !reading.is_behind()
            {
                reading.add(text);
            }
        }
    }

    /// Reads questions, writes what there is room for, and forgets those who are gone. `history` is the log so far;
    /// `now` is RFC 3339.
    pub(super) fn serve(&mut self, history: &VecDeque<Arc<Flow>>, now: &impl Fn() -> String) {
        self.all
            .retain_mut(|follower| follower.serve(history, now).unwrap_or(false));
    }
}

impl Follower {
    /// Whether the reader stays.
    fn serve(&mut self, history: &VecDeque<Arc<Flow>>, now: &impl Fn() -> String) -> io::Result<bool> {
        if let FollowerState::Asking { question, until } = &mut self.state {
            let more = read(&mut self.stream, question)?;
            let Some(end) = question.iter().position(|byte| *byte == b'\n') else {
                return Ok(more && question.len() < QUESTION && Instant::now() < *until);
            };
            self.state = answer(&question[..end], history);
        }
        let FollowerState::Reading(reading) = &mut self.state else {
            return Ok(true);
        };
        if !reading.write(&mut self.stream, now)? {
            return Ok(true);
        }
        // All is written. Whoever follows says nothing more; its end of file is the end.
        Ok(reading.follow && read(&mut self.stream, &mut Vec::new())?)
    }
}

/// Reads what there is; false at the end.
fn read(stream: &mut UnixStream, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(n) if into.len() < QUESTION => into.extend_from_slice(&buffer[..n]),
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn answer(question: &[u8], history: &VecDeque<Arc<Flow>>) -> FollowerState {
    let query: Query = match serde_json::from_slice(question) {
        Ok(query) => query,
        Err(error) => return refuse(&format!("the question is not understood: {error}")),
    };
    let wanted = history.iter().rev().filter(|flow| query.filter.takes(flow));
    let mut lines: VecDeque<_> = wanted.take(query.last.unwrap_or(usize::MAX)).cloned().collect();
    lines.make_contiguous().reverse();
    FollowerState::Reading(Box::new(Reading {
        filter: query.filter,
        follow: query.follow,
        lines,
        text: Vec::new(),
        written: 0,
        lost: 0,
    }))
}

fn refuse(message: &str) -> FollowerState {
    let mut reading = Reading {
        filter: Filter::default(),
        follow: false,
        lines: VecDeque::new(),
        text: Vec::new(),
        written: 0,
        lost: 0,
    };
    reading.add(&serde_json::to_vec(&ErrorLine { message }).unwrap_or_default());
    FollowerState::Reading(Box::new(reading))
}

impl Reading {
    fn has_more(&self) -> bool {
        self.written < self.text.len() || !self.lines.is_empty() || self.lost > 0
    }

    fn is_behind(&self) -> bool {
        self.lines.len() >= WAITING
    }

    /// False where the line is lost.
    fn push(&mut self, flow: &Arc<Flow>) -> bool {
        // Once behind, it gets no more until it has read all that waits, so that the line about losses stands where
        // they are.
        let full = self.is_behind() || self.lost > 0;
        if full {
            self.lost += 1;
        } else {
            self.lines.push_back(Arc::clone(flow));
        }
        !full
    }

    fn add(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    /// Writes until there is nothing more or no room; whether there is nothing more.
    fn write(&mut self, stream: &mut UnixStream, now: &impl Fn() -> String) -> io::Result<bool> {
        loop {
            while self.written < self.text.len() {
                match stream.write(&self.text[self.written..]) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => self.written += n,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.text.clear();
            self.written = 0;
            if !self.refill(now)? {
                return Ok(true);
            }
        }
    }

    /// The next lines as text; false where there are none. What was lost came after everything that waits.
    fn refill(&mut self, now: &impl Fn() -> String) -> io::Result<bool> {
        const PIECE: usize = 64 << 10;
        while self.text.len() < PIECE {
            let Some(flow) = self.lines.pop_front() else { break };
            let line = serde_json::to_vec(&*flow)?;
            self.add(&line);
        }
        if self.lines.is_empty() && self.lost > 0 {
            let lost = Lost {
                time: now(),
                reason: Loss::SlowReader,
                count: std::mem::take(&mut self.lost),
            };
            let line = serde_json::to_vec(&lost)?;
            self.add(&line);
        }
        Ok(!self.text.is_empty())
    }
}
