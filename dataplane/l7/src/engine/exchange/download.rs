//! The response on its way to the client.

use std::io;
use std::task::Poll;

use http::StatusCode;

use super::{Ended, Exchange};
use crate::buffer::ROOM;
use crate::engine::Turn;
use crate::engine::client::Client;
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::request::RequestHead;
use crate::h1::response::{self, ResponseHead};
use crate::h1::{Framing, MAX_HEAD, PartialHead};
use crate::request::{Answer, Audience, HttpVersion};
use headgate_net::clock::Nanos;
use headgate_net::record::{HttpCount, UpstreamCount};

/// A response.
pub(super) struct Download {
    /// How far its head was parsed.
    parsed: PartialHead,
    /// From its head on.
    body: Option<BodyReader>,
    writer: BodyWriter,
    trailers: Vec<u8>,
    /// Whether the client takes trailers.
    wants_trailers: bool,
    /// Whether the client would have the connection become something else.
    upgrade: bool,
    /// The client's connection closes after it.
    pub(super) closes: bool,
    /// The pod takes another request after it.
    pub(super) pod_keeps: bool,
    /// Whether the pod has answered with a head, be it an interim one.
    spoke: bool,
    /// When the pod last said something.
    pub(super) heard: Nanos,
}

impl Download {
    pub(super) fn new(head: &RequestHead<'_, '_>, now: Nanos) -> Self {
        Self {
            parsed: PartialHead::default(),
            body: None,
            writer: BodyWriter::Raw,
            trailers: Vec::new(),
            wants_trailers: head.trailers,
            upgrade: head.upgrade.is_some(),
            closes: !head.keep,
            pod_keeps: false,
            spoke: false,
            heard: now,
        }
    }

    /// Takes note of a head, and how what follows it is framed for the client.
    fn begin(&mut self, head: &ResponseHead<'_, '_>, audience: &Audience) {
        let open = matches!(head.framing, Framing::Chunked | Framing::UntilClose);
        // HTTP/1.0 has no chunks: the connection's end is the body's.
        self.closes |= open && audience.version == HttpVersion::Http10;
        if open && audience.version == HttpVersion::Http11 {
            self.writer = BodyWriter::Chunked;
        }
        self.pod_keeps = head.keep;
        self.body = Some(BodyReader::new(head.framing));
    }

    /// Whether the client has been told of it.
    pub(super) fn has_begun(&self) -> bool {
        self.body.is_some()
    }

    /// Whether the pod has said everything.
    pub(super) fn is_done(&self) -> bool {
        self.body.as_ref().is_some_and(BodyReader::is_done)
    }

    /// Whether a client sees it when it breaks off: not if the end of the connection is its end.
    pub(super) fn shows_its_end(&self, audience: &Audience) -> bool {
        audience.version == HttpVersion::Http2
            || self.writer == BodyWriter::Chunked
            || matches!(self.body, Some(BodyReader::Length(_)))
    }
}

/// What a head came to.
enum Head {
    /// It has not ended.
    Partial,
    /// It is one of those that stand before the response (RFC 9110, section 15.2).
    Interim,
    Final,
    /// 101.
    Switch,
}

impl Exchange {
    /// Moves as much of the response as the client has room for. Whether there is to be another pod.
    pub(super) fn receive_response(
        &mut self,
        client: &mut Client,
        turn: &mut Turn<'_, '_>,
    ) -> Result<bool, Ended> {
        loop {
            if self.download.is_done() || !client.outbox.has_room() || !turn.goes_on() {
                return Ok(false);
            }
            let Some(link) = self.link() else {
                return Ok(false);
            };
            if !link.inbox.is_empty() {
                let before = link.inbox.len();
                if self.take(client, turn)? {
                    continue;
                }
                if before >= MAX_HEAD {
                    return Err(self.nonsense("its head has more than 32 KiB", turn));
                }
            }
            match self.hear(turn) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(1..)) => self.download.heard = turn.now,
                Poll::Ready(end) => return self.pod_ended(end.is_ok(), client, turn),
            }
        }
    }

    /// Reads more from the pod.
    fn hear(&mut self, turn: &mut Turn<'_, '_>) -> Poll<io::Result<usize>> {
        let most = if self.download.has_begun() { ROOM } else { MAX_HEAD };
        let Some(link) = self.link() else {
            return Poll::Pending;
        };
        let mut spare = turn.gateway.spare.borrow_mut();
        link.wire.read(turn.cx, &mut link.inbox, most, &mut spare)
    }

    /// Takes what has come. `false` where more has to come first.
    fn take(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<bool, Ended> {
        if !self.download.has_begun() {
            return match self.take_head(client, turn)? {
                Head::Partial => Ok(false),
                Head::Interim | Head::Final => Ok(true),
                Head::Switch => Err(self.switch(turn)),
            };
        }
        let Self {
            download,
            pod,
            record,
            ..
        } = self;
        let (Some(link), Some(body)) = (pod.link(), &mut download.body) else {
            return Ok(false);
        };
        let Ok(piece) = body.next(link.inbox.bytes(), &mut download.trailers) else {
            return Err(self.break_off());
        };
        link.inbox.consume(piece.skip);
        if piece.length > 0 {
            let spare = &mut turn.gateway.spare.borrow_mut();
            let (from, to) = (&mut link.inbox, &mut client.outbox);
            download.writer.carry(piece.length, from, to, spare);
            if let Some(record) = record {
                record.sends(piece.length);
            }
        }
        self.end_if_done(client, turn);
        Ok(true)
    }

    /// Adds what ends the body, when it has ended.
    fn end_if_done(&mut self, client: &mut Client, turn: &Turn<'_, '_>) {
        let download = &self.download;
        if !download.is_done() {
            return;
        }
        let trailers: &[u8] = if download.wants_trailers {
            &download.trailers
        } else {
            b""
        };
        client.end(trailers);
        if download.writer == BodyWriter::Chunked {
            let to = client.outbox.fill(&mut turn.gateway.spare.borrow_mut());
            download.writer.end(trailers, to);
        }
    }

    fn take_head(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Result<Head, Ended> {
        let Some(link) = self.pod.link() else {
            return Ok(Head::Partial);
        };
        if !self.download.parsed.is_worth_parsing(link.inbox.bytes()) {
            return Ok(Head::Partial);
        }
        let fields = &mut *turn.gateway.fields.borrow_mut();
        let parsed = response::parse(link.inbox.bytes(), fields, self.audience.to_head);
        let (head, length) = match parsed {
            Ok(Some(parsed)) => parsed,
            Ok(None) => {
                self.download.parsed.has_not_ended(link.inbox.len());
                return Ok(Head::Partial);
            }
            Err(bad) => return Err(self.nonsense(bad.0, turn)),
        };
        let gateway = turn.gateway;
        let dismissed = client.is_dismissed(gateway);
        let came = match head.status {
            101 => {
                if self.download.upgrade {
                    client.switch(&head, gateway);
                }
                Head::Switch
            }
            // Nobody has asked the pod for 100; HTTP/1.0 knows none of them (RFC 9110, section 15.2).
            100..200 => {
                if head.status != 100 && self.audience.version != HttpVersion::Http10 {
                    client.inform(&head, gateway);
                }
                Head::Interim
            }
            _ => {
                self.download.closes |= dismissed || !self.upload.ends_soon();
                self.download.begin(&head, &self.audience);
                let (keep, body) = (!self.download.closes, self.download.writer);
                client.respond(&head, &self.audience, keep, body, gateway);
                if let Some(record) = &self.record {
                    record.answered_by_pod();
                    record.answered(head.status);
                }
                Head::Final
            }
        };
        link.inbox.consume(length);
        self.download.parsed = PartialHead::default();
        self.download.spoke = true;
        self.end_if_done(client, turn);
        Ok(came)
    }

    /// The connection becomes something else, if the client has asked for it.
    fn switch(&mut self, turn: &Turn<'_, '_>) -> Ended {
        if !self.download.upgrade {
            self.count_bad(turn);
            let reason = "the service changed the protocol unasked";
            return Ended::Answer(Answer::new(StatusCode::BAD_GATEWAY, reason));
        }
        let tally = &turn.gateway.tally;
        tally.count(HttpCount::Upgrades);
        if let Some(record) = &self.record {
            record.answered_by_pod();
            record.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        }
        match self.switched() {
            Ok(tunnel) => Ended::Switched(Box::new(tunnel)),
            Err(()) => Ended::ClientGone,
        }
    }

    /// The pod has closed its side, or is gone. Whether there is to be another.
    fn pod_ended(
        &mut self,
        in_order: bool,
        client: &mut Client,
        turn: &mut Turn<'_, '_>,
    ) -> Result<bool, Ended> {
        if let Some(body) = &mut self.download.body {
            if !(in_order && body.close()) {
                return Err(self.break_off());
            }
            self.end_if_done(client, turn);
            return Ok(false);
        }
        let silent = self.link().is_none_or(|link| link.inbox.is_empty());
        if silent && !self.download.spoke {
            return self.hung_up(turn);
        }
        Err(self.nonsense("it ends within its head", turn))
    }

    /// What has come is no response.
    fn nonsense(&mut self, reason: &str, turn: &Turn<'_, '_>) -> Ended {
        tracing::debug!(endpoint = ?self.pod.endpoint(), reason, "a pod's response is none");
        self.count_bad(turn);
        let reason = "the service did not answer in HTTP/1.1";
        Ended::Answer(Answer::new(StatusCode::BAD_GATEWAY, reason))
    }

    fn count_bad(&self, turn: &Turn<'_, '_>) {
        let (http, upstream) = (HttpCount::BadResponses, UpstreamCount::BadResponses);
        self.candidates.count(turn.gateway, http, upstream);
    }
}
