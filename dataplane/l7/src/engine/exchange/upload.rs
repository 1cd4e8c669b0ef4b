//! The request on its way to the pod.

use std::task::Poll;

use super::{Ended, Exchange, is_short};
use crate::engine::Turn;
use crate::engine::buffer::{Buffer, ROOM};
use crate::engine::client::Client;
use crate::gateway::Gateway;
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::request::{Expectation, RequestHead};
use crate::h1::write::{self, Gained};
use crate::h1::{Framing, RefusedRequest};
use crate::headers;
use crate::request::{Answer, Audience};
use headgate_net::clock::Nanos;

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
        now: Nanos,
    ) -> Self {
        let writer = if head.framing == Framing::Chunked {
            BodyWriter::Chunked
        } else {
            BodyWriter::Raw
        };
        let gained = Gained {
            client,
            host: host.as_bytes(),
            id: audience.id.as_bytes(),
            body: writer,
        };
        let mut bytes = Buffer::default();
        write::request(head, &gained, bytes.fill(&mut gateway.spare.borrow_mut()));
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

    pub(super) fn rewind(&mut self) {
        self.sent = false;
        self.refused = false;
    }

    /// As if a piece of it had moved now.
    pub(super) fn restart(&mut self, now: Nanos) {
        self.moved = now;
    }

    /// Whether the client has the next piece.
    pub(super) fn waits_for(&self, client: &Client) -> bool {
        !self.is_read() && client.inbox.is_empty()
    }

    /// What is left of it to be read and thrown away, if it is little and on its way.
    pub(super) fn rest(&mut self) -> Option<BodyReader> {
        let worth = is_short(&self.body) && !self.expects;
        worth.then(|| std::mem::replace(&mut self.body, BodyReader::Done))
    }

    /// Whether an answer before its end lets the client's connection live.
    pub(super) fn ends_soon(&self) -> bool {
        self.is_read() || is_short(&self.body) && !self.expects
    }
}

impl Exchange {
    /// Moves as much of the request as the pod has room for. Whether anything moved.
    pub(super) fn send_request(
        &mut self,
        client: &mut Client,
        turn: &mut Turn<'_, '_>,
    ) -> Result<bool, Ended> {
        let Self {
            upload, pod, record, ..
        } = self;
        let Some(link) = pod.link() else {
            return Ok(false);
        };
        let mut moved = false;
        if !upload.sent {
            let mut spare = turn.gateway.spare.borrow_mut();
            link.outbox
                .fill(&mut spare)
                .extend_from_slice(upload.head.bytes());
            if !upload.repeatable {
                upload.head.clear();
                upload.head.settle(&mut spare);
            }
            upload.sent = true;
            moved = true;
            // Once the pod takes the body; whether or not it comes already, as others do it.
            if std::mem::take(&mut upload.expects) {
                let told = client.outbox.fill(&mut spare);
                told.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
        loop {
            let before = link.outbox.len();
            if !upload.refused && before > 0 {
                // That the pod takes no more may be the end, or its answer is on its way: whoever reads finds out.
                upload.refused = matches!(link.wire.flush(turn.cx, &mut link.outbox), Poll::Ready(Err(_)));
                if link.outbox.len() < before {
                    upload.moved = turn.now;
                    moved = true;
                }
            }
            if upload.refused {
                link.outbox.clear();
            }
            if upload.ended || !link.outbox.has_room() || upload.refused && !upload.ends_soon() {
                return Ok(moved);
            }
            if client.inbox.is_empty() && !upload.is_read() && !upload.fetch(client, turn)? {
                return Ok(moved);
            }
            let piece = upload.body.next(client.inbox.bytes(), &mut upload.trailers);
            let piece = piece.map_err(|bad| Ended::Answer(RefusedRequest::bad(bad.0).into()))?;
            client.inbox.consume(piece.skip);
            moved = true;
            if piece.length > 0 {
                let to = link.outbox.fill(&mut turn.gateway.spare.borrow_mut());
                upload.writer.piece(&client.inbox.bytes()[..piece.length], to);
                client.inbox.consume(piece.length);
                upload.moved = turn.now;
                if let Some(record) = record {
                    record.uploads(piece.length);
                }
            }
            if upload.is_read() {
                let to = link.outbox.fill(&mut turn.gateway.spare.borrow_mut());
                upload.writer.end(&upload.trailers, to);
                upload.ended = true;
            }
        }
    }
}

impl Upload {
    /// Reads more from the client. Whether there is any.
    fn fetch(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<bool, Ended> {
        let mut spare = turn.gateway.spare.borrow_mut();
        match client.wire.read(turn.cx, &mut client.inbox, ROOM, &mut spare) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(1..)) => Ok(true),
            Poll::Ready(Ok(0)) => {
                client.ended = true;
                let short = RefusedRequest::bad("the request ended before its body did");
                Err(Ended::Answer(Answer::from(short)))
            }
            Poll::Ready(Err(_)) => Err(Ended::ClientGone),
        }
    }
}
