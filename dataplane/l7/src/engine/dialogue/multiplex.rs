//! A connection of HTTP/2: what comes goes to its streams, each of which is a client of its own to the rest of the engine.
//!
//! ```text
//!            ┌ Multiplex ─ Connection ─┐
//!   client ──┤   bytes      frames     ├── StreamEnd ─ Dialogue ─ Exchange ─ pod
//!            └─────────────────────────┴── StreamEnd ─ Dialogue ─ Exchange ─ pod
//! ```

use std::task::Poll;

use super::Dialogue;
use crate::engine::Turn;
use crate::engine::client::Client;
use crate::h1::MAX_HEAD;
use crate::h2::head::{BadRequest, MalformedMessage};
use crate::h2::{H2Connection, Lost, Received, SharedConnection, StreamEnd};
use crate::request::AnswerForm;
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;
use headgate_net::record::HttpCount;

/// A connection with many streams.
pub(super) struct Multiplex {
    connection: SharedConnection,
    /// Since when it has no streams, and since when it waits for the rest of a head.
    idle: Option<Nanos>,
    headless: Option<Nanos>,
    /// Nothing more is read: the client is through, or has gone wrong.
    deaf: bool,
    /// The client has gone wrong, and is told why.
    failed: bool,
    deadline: Option<Nanos>,
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MultiplexEnd {
    /// Everything was said.
    InOrder,
    /// The client has left.
    Gone,
    /// It takes too little.
    Slow,
}

impl Multiplex {
    pub(super) fn new(turn: &Turn<'_, '_>) -> Self {
        Self {
            connection: H2Connection::new(turn.gateway.limits.unread, turn.now),
            idle: None,
            headless: None,
            deaf: false,
            failed: false,
            deadline: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.deadline
    }

    /// Goes as far as it can; `None` while it is not over.
    pub(super) fn turn(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Option<MultiplexEnd> {
        self.progress(client, turn).err()
    }

    fn progress(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<(), MultiplexEnd> {
        self.begin(client, turn);
        loop {
            let heard = self.hear(client, turn)?;
            let blocked = self.flush(client, turn)?;
            let connection = self.connection.borrow();
            connection.wake_line();
            if self.failed && !blocked || self.deaf && connection.is_idle() || connection.has_parted() {
                if blocked {
                    break;
                }
                return Err(MultiplexEnd::InOrder);
            }
            drop(connection);
            if !heard || !turn.goes_on() {
                break;
            }
        }
        self.wait(client, turn)
    }

    /// What is to be known before anything is looked at.
    fn begin(&mut self, client: &Client, turn: &Turn<'_, '_>) {
        let mut connection = self.connection.borrow_mut();
        connection.now = turn.now;
        connection.wake_by(turn.cx.waker());
        if client.is_dismissed(turn.gateway) {
            connection.dismiss();
            if turn.gateway.phase.get() == Phase::Parting && connection.is_idle() {
                connection.part_in_peace();
            }
        }
    }

    /// Reads what has come. Whether there was anything.
    fn hear(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<bool, MultiplexEnd> {
        if self.deaf || self.connection.borrow().is_stuffed() {
            return Ok(false);
        }
        // Of a client that knew what we speak, frames came before.
        let before = client.inbox.len();
        let read = client.read(MAX_HEAD, turn);
        match read {
            Poll::Pending if before == 0 => return Ok(false),
            Poll::Pending | Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0)) => {
                self.deaf = true;
                self.connection.borrow_mut().lose(true);
                return Ok(true);
            }
            Poll::Ready(Err(_)) => {
                self.connection.borrow_mut().lose(false);
                return Err(MultiplexEnd::Gone);
            }
        }
        if let Err(Lost(why, reason)) = self.take(client, turn) {
            tracing::debug!(?why, reason, "a client's HTTP/2 has gone wrong");
            turn.gateway.tally.count(HttpCount::Http2Failed);
            let mut connection = self.connection.borrow_mut();
            connection.part(why);
            connection.lose(false);
            (self.deaf, self.failed) = (true, true);
        }
        Ok(read.is_ready())
    }

    /// Takes the frames that lie in the inbox.
    fn take(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<(), Lost> {
        let gateway = turn.gateway;
        loop {
            let sections = &mut *gateway.sections.borrow_mut();
            let mut connection = self.connection.borrow_mut();
            let received = connection.receive(&mut client.inbox, sections)?;
            match received {
                Received::Nothing => return Ok(()),
                Received::Request(id, ends) => {
                    let form = if sections.request.is_grpc() {
                        AnswerForm::Grpc
                    } else {
                        AnswerForm::to_head(sections.request.is_to_head())
                    };
                    let random = || [gateway.net.random(), gateway.net.random()];
                    let request = match sections.request.finish(ends, random) {
                        Err(BadRequest::Malformed(MalformedMessage(reason))) => {
                            tracing::debug!(reason, "a client's request is malformed");
                            gateway.tally.count(HttpCount::Refused);
                            connection.refuse(id)?;
                            continue;
                        }
                        Err(BadRequest::Refused(refused)) => Err(refused),
                        Ok(request) => Ok(request),
                    };
                    let length = match &request {
                        Ok(request) if !request.tunnel => request.head.framing.length(),
                        _ => None,
                    };
                    let place = connection.open(id, ends, length);
                    drop(connection);
                    let end = StreamEnd::new(&self.connection, place);
                    let dialogue = Dialogue::of_stream(
                        client,
                        end,
                        request
                            .as_ref()
                            .map(|request| &request.head)
                            .map_err(|refused| *refused),
                        form,
                        turn,
                    );
                    turn.newcomers.push(dialogue);
                }
            }
        }
    }

    /// Sends what there is to send. Whether the client has no room for it.
    fn flush(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<bool, MultiplexEnd> {
        let mut connection = self.connection.borrow_mut();
        let blocked = match client.flush_frames(&mut connection.out, turn) {
            Poll::Ready(Ok(())) => false,
            Poll::Pending => true,
            Poll::Ready(Err(_)) => {
                connection.lose(false);
                return Err(MultiplexEnd::Gone);
            }
        };
        connection.out.settle(&mut turn.gateway.spare.borrow_mut());
        Ok(blocked)
    }

    /// Nothing can be done now: until when?
    fn wait(&mut self, client: &mut Client, turn: &Turn<'_, '_>) -> Result<(), MultiplexEnd> {
        let mut connection = self.connection.borrow_mut();
        let limits = &turn.gateway.limits;
        self.idle = connection.is_idle().then(|| self.idle.unwrap_or(turn.now));
        self.headless = connection
            .is_within_head()
            .then(|| self.headless.unwrap_or(turn.now));
        let mut deadline = None;
        if connection.out.is_empty() {
            client.has_everything();
        } else {
            deadline = client.patience(turn);
            if deadline.is_none() {
                connection.lose(false);
                return Err(MultiplexEnd::Slow);
            }
        }
        if let Some(since) = self.idle.into_iter().chain(self.headless).min() {
            let over = since.after(limits.header);
            if turn.now >= over {
                connection.lose(false);
                connection.part_in_peace();
                self.deaf = true;
                // Looked at again at once.
                turn.cx.waker().wake_by_ref();
            }
            deadline = Some(deadline.map_or(over, |deadline| deadline.min(over)));
        }
        self.deadline = deadline;
        Ok(())
    }
}
