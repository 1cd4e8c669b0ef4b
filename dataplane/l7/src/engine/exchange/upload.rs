//! The request on its way to the pod.

use std::task::Poll;

use super::{Ended, Exchange};
use crate::buffer::{Buffer, ROOM, Spare};
use crate::engine::Turn;
use crate::engine::client::Client;
use crate::engine::pace::{self, Pace};
use crate::gateway::Gateway;
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::request::{Expectation, RequestHead};
use crate::h1::write::{self, Gained};
use crate::h1::{Framing, RefusedRequest};
use crate::h2::head::write as section;
use crate::headers;
use crate::request::{Answer, Audience};
use crate::upstream::Link;
use headgate_net::clock::Nanos;
use headgate_net::record::HttpCount;
use headgate_ring::message::UpstreamProtocol;

/// A request's head and body.
pub(super) struct Upload {
    /// For the pod; kept while the request may be sent again.
    head: Buffer,
    /// Whether the head was put on the way to the pod.
    sent: bool,
    body: BodyReader,
    writer: BodyWriter,
    trailers: Vec<u8>,
    /// Whether the end of the body was put on the way to the pod.
    ended: bool,
    /// The client waits for `100 Continue`.
    pub(super) expects: bool,
    /// An idempotent method (RFC 9110, section 9.2.2) without a body.
    repeatable: bool,
    /// When a piece of it last moved.
    pub(super) moved: Nanos,
    /// Bytes of the body that were read, and how fast; of one whose length the client has told.
    read: u64,
    pace: Option<Pace>,
    /// The pod takes no more of it.
    refused: bool,
}

impl Upload {
    pub(super) fn new(
        gateway: &Gateway,
        client: &headers::Client,
        head: &RequestHead<'_, '_>,
        host: &str,
        audience: &Audience,
        protocol: UpstreamProtocol,
        now: Nanos,
    ) -> Self {
        // What ends with its stream has no length either.
        let writer = match (protocol, head.framing) {
            (UpstreamProtocol::Http1, Framing::Chunked | Framing::UntilClose) => BodyWriter::Chunked,
            _ => BodyWriter::Raw,
        };
        let gained = Gained {
            client,
            host: host.as_bytes(),
            id: audience.id.as_bytes(),
            body: writer,
        };
        let mut bytes = Buffer::default();
        let to = bytes.fill(&mut gateway.spare.borrow_mut());
        match protocol {
            UpstreamProtocol::Http1 => write::request(head, &gained, to),
            UpstreamProtocol::Http2 => section::request(head, &gained, to),
        }
        let body = BodyReader::new(head.framing);
        let idempotent = matches!(
            head.method,
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
        );
        Self {
            head: bytes,
            sent: false,
            repeatable: idempotent && body.is_done(),
            ended: body.is_done(),
            body,
            writer,
            trailers: Vec::new(),
            expects: head.expects == Expectation::Continue && head.framing != Framing::Empty,
            moved: now,
            read: 0,
            pace: matches!(head.framing, Framing::Length(_)).then(|| Pace::new(now, 0)),
            refused: false,
        }
    }

    /// Whether everything of it was read from the client.
    pub(super) fn is_read(&self) -> bool {
        self.body.is_done()
    }

    /// Whether everything of it is on its way to the pod.
    pub(super) fn is_done(&self) -> bool {
        self.sent && self.ended
    }

    /// Whether nothing of it can have been done yet, or nothing is done by doing it twice.
    pub(super) fn may_be_repeated(&self) -> bool {
        self.repeatable || !self.sent
    }

    /// It is over: the memory goes back.
    pub(super) fn settle(&mut self, spare: &mut Spare) {
        self.head.clear();
        self.head.settle(spare);
    }

    /// Whether it can be sent once more although it was, since nothing of its body is gone.
    pub(super) fn is_all_here(&self) -> bool {
        self.read == 0 && !self.head.is_empty()
    }

    pub(super) fn rewind(&mut self) {
        self.sent = false;
        self.refused = false;
    }

    /// As if a piece of it had moved now.
    pub(super) fn restart(&mut self, now: Nanos) {
        self.moved = now;
        // The client was not asked for anything so far.
        self.pace = self.pace.map(|_| Pace::new(now, self.read));
    }

    /// Whether the client has the next piece.
    pub(super) fn waits_for(&self, client: &Client) -> bool {
        !self.is_read() && client.inbox.is_empty()
    }

    /// The client is waited for: when to look again; `None` where it sends too little.
    pub(super) fn keeps_pace(&mut self, now: Nanos, rate: u64) -> Option<Nanos> {
        match &mut self.pace {
            Some(pace) => pace.check(now, self.read, rate),
            // One that sends as things happen may well have nothing to say.
            None => Some(now.after(pace::WINDOW)),
        }
    }

    /// What is left of it to be read and thrown away, if it is little and on its way.
    pub(super) fn rest(&mut self) -> Option<BodyReader> {
        let worth = self.body.is_short() && !self.expects;
        worth.then(|| std::mem::replace(&mut self.body, BodyReader::Done))
    }

    /// Whether an answer before its end lets the client's connection live.
    pub(super) fn ends_soon(&self) -> bool {
        self.is_read() || self.body.is_short() && !self.expects
    }
}

impl Exchange {
    /// Moves as much of the request as the pod has room for.
    pub(super) fn send_request(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<(), Ended> {
        let Self {
            upload, pod, record, ..
        } = self;
        let Some(link) = pod.link() else {
            return Ok(());
        };
        upload.begin(link, client, turn);
        loop {
            upload.push(link, turn);
            let waits = !link.outbox.has_room() || upload.refused && !upload.ends_soon();
            if upload.ended || waits || !turn.goes_on() {
                return Ok(());
            }
            let taken = match upload.fetch(client, turn) {
                Ok(true) => upload.take(link, client, turn),
                Ok(false) => return Ok(()),
                Err(refused) => Err(refused),
            };
            match taken {
                Ok(length) => {
                    if let Some(record) = record {
                        record.uploads(length);
                    }
                }
                Err(Some(refused)) => return Err(self.refuse(refused, turn)),
                Err(None) => return Err(self.abandon()),
            }
        }
    }

    /// The rest of the request cannot be read. The pod is not to blame.
    pub(super) fn refuse(&mut self, refused: RefusedRequest, turn: &Turn<'_, '_>) -> Ended {
        turn.gateway.tally.count(HttpCount::Refused);
        if self.download.is_done() {
            // The client has its answer, or is about to.
            self.download.closes = true;
            return Ended::Whole;
        }
        if self.download.has_begun() {
            return self.break_off();
        }
        Ended::Answer(Answer::from(refused))
    }
}

/// What a client's body cannot be read for; `None` where the client is gone.
type Unread = Option<RefusedRequest>;

impl Upload {
    /// Puts the head on its way, unless it is, and tells the client that waits for it.
    fn begin(&mut self, link: &mut Link, client: &mut Client, turn: &Turn<'_, '_>) {
        if std::mem::replace(&mut self.sent, true) {
            return;
        }
        let mut spare = turn.gateway.spare.borrow_mut();
        if let Some(stream) = link.wire.part() {
            // Which is kept: the pod may say that it has not looked at it.
            stream.head(self.head.bytes(), false);
            if self.ended {
                stream.end(Vec::new());
            }
        } else {
            let to = link.outbox.fill(&mut spare);
            to.extend_from_slice(self.head.bytes());
            if !self.repeatable {
                self.head.clear();
                self.head.settle(&mut spare);
            }
        }
        // Now that the pod takes the body; whether or not it comes already, as others do it.
        if std::mem::take(&mut self.expects) {
            drop(spare);
            client.invite(turn.gateway);
        }
    }

    /// Sends what the pod has room for.
    fn push(&mut self, link: &mut Link, turn: &mut Turn<'_, '_>) {
        let before = link.outbox.len();
        if !link.has_sent() && !self.refused {
            // That the pod takes no more may be the end, or its answer is on its way: whoever reads finds out.
            let mut spare = turn.gateway.spare.borrow_mut();
            let flushed = link.wire.flush(turn.cx, &mut link.outbox, &mut spare);
            self.refused = matches!(flushed, Poll::Ready(Err(_)));
        }
        if link.outbox.len() < before {
            self.moved = turn.now;
        }
        if self.refused {
            link.outbox.clear();
        }
    }

    /// Moves a piece of the body from the client to the pod; how long it is.
    fn take(&mut self, link: &mut Link, client: &mut Client, turn: &Turn<'_, '_>) -> Result<usize, Unread> {
        let piece = self.body.next(client.inbox.bytes(), &mut self.trailers);
        let piece = piece.map_err(|bad| Some(RefusedRequest::bad(bad.0)))?;
        client.inbox.consume(piece.skip);
        let spare = &mut turn.gateway.spare.borrow_mut();
        if piece.length > 0 {
            let (from, to) = (&mut client.inbox, &mut link.outbox);
            self.writer.carry(piece.length, from, to, spare);
            self.read += piece.length as u64;
            self.moved = turn.now;
        }
        if self.is_read() {
            if let Some(stream) = link.wire.part() {
                let mut block = Vec::new();
                section::trailers(&self.trailers, &mut block);
                stream.end(block);
            } else {
                self.writer.end(&self.trailers, link.outbox.fill(spare));
            }
            self.ended = true;
        }
        Ok(piece.length)
    }

    /// Has something of the body in the client's inbox. Whether there is anything.
    fn fetch(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<bool, Unread> {
        if !client.inbox.is_empty() {
            return Ok(true);
        }
        match client.read(ROOM, turn) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(1..)) => Ok(true),
            Poll::Ready(Ok(0)) => {
                client.ended = true;
                if self.body.close()
                    && let Some(end) = client.wire.part()
                {
                    self.trailers = end.take_trailers();
                    return Ok(true);
                }
                Err(Some(RefusedRequest::bad("the request ended before its body did")))
            }
            Poll::Ready(Err(_)) => Err(None),
        }
    }
}
