//! The response on its way to the client.

use std::io;
use std::task::Poll;

use http::StatusCode;

use super::upload::Upload;
use super::{Ended, Exchange};
use crate::buffer::ROOM;
use crate::engine::Turn;
use crate::engine::client::Client;
use crate::gateway::Gateway;
use crate::h1::body::{BodyReader, BodyWriter};
use crate::h1::request::RequestHead;
use crate::h1::response::{self, ResponseHead};
use crate::h1::{Framing, MAX_HEAD, PartialHead};
use crate::h2::AnswerHead;
use crate::request::{Answer, Audience, HttpVersion, RequestRecord};
use headgate_net::clock::Nanos;
use headgate_net::record::{HttpCount, UpstreamCount};
use headgate_ring::message::UpstreamProtocol;

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
    /// Whether success would mean to the client that its stream is a tunnel now (RFC 8441, section 5).
    tunnel: bool,
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
    pub(super) fn new(
        head: &RequestHead<'_, '_>,
        version: HttpVersion,
        protocol: UpstreamProtocol,
        now: Nanos,
    ) -> Self {
        Self {
            parsed: PartialHead::default(),
            body: None,
            writer: BodyWriter::Raw,
            trailers: Vec::new(),
            wants_trailers: head.trailers,
            // In HTTP/2 there is no such thing: the pod is asked for what the request is without it.
            upgrade: head.upgrade.is_some() && protocol == UpstreamProtocol::Http1,
            tunnel: head.upgrade.is_some() && version == HttpVersion::Http2,
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

    /// Whether a status would tell the client of a tunnel where there is none.
    fn is_no_tunnel(&self, status: u16) -> bool {
        self.tunnel && matches!(status, 200..300)
    }

    /// Tells the client of a head.
    fn hear_head(
        &mut self,
        head: &ResponseHead<'_, '_>,
        client: &mut Client,
        upload: &Upload,
        audience: &Audience,
        record: Option<&RequestRecord>,
        gateway: &Gateway,
    ) -> Head {
        let dismissed = client.is_dismissed(gateway);
        self.parsed = PartialHead::default();
        self.spoke = true;
        match head.status {
            101 => {
                if self.upgrade {
                    client.switch(head, gateway);
                }
                Head::Switch
            }
            // Nobody has asked the pod for 100; HTTP/1.0 knows none of them (RFC 9110, section 15.2).
            100..200 => {
                if head.status != 100 && audience.version != HttpVersion::Http10 {
                    client.inform(head, gateway);
                }
                Head::Interim
            }
            _ => {
                self.closes |= dismissed || !upload.ends_soon();
                self.begin(head, audience);
                let (keep, body) = (!self.closes, self.writer);
                client.respond(head, audience, keep, body, gateway);
                if let Some(record) = record {
                    record.answered_by_pod();
                    record.answered(head.status);
                }
                Head::Final
            }
        }
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

/// Of a pod that was asked for a tunnel.
const NO_TUNNEL: &str = "it answers with success, and there is no tunnel";

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
            if self.download.is_done() || !client.has_room() || !turn.goes_on() {
                return Ok(false);
            }
            let begun = self.download.has_begun();
            let Some(link) = self.link() else {
                return Ok(false);
            };
            if let Some(stream) = link.wire.part()
                && !begun
            {
                match stream.poll_head(turn.cx) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(Err(_)) => return self.pod_ended(false, client, turn),
                    Poll::Ready(Ok(head)) => self.take_section(head, client, turn)?,
                }
                continue;
            }
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
        let parsed = response::parse(link.inbox.bytes(), fields, self.audience.asked_by_head());
        let (head, length) = match parsed {
            Ok(Some(parsed)) => parsed,
            Ok(None) => {
                self.download.parsed.has_not_ended(link.inbox.len());
                return Ok(Head::Partial);
            }
            Err(bad) => return Err(self.nonsense(bad.0, turn)),
        };
        if self.download.is_no_tunnel(head.status) {
            return Err(self.nonsense(NO_TUNNEL, turn));
        }
        let Self {
            download,
            upload,
            audience,
            record,
            ..
        } = self;
        let came = download.hear_head(&head, client, upload, audience, record.as_ref(), turn.gateway);
        link.inbox.consume(length);
        self.end_if_done(client, turn);
        Ok(came)
    }

    /// The same of a head that came by HTTP/2.
    fn take_section(
        &mut self,
        mut answer: Box<AnswerHead>,
        client: &mut Client,
        turn: &mut Turn<'_, '_>,
    ) -> Result<(), Ended> {
        let Self {
            download,
            upload,
            audience,
            record,
            pod,
            ..
        } = self;
        download.heard = turn.now;
        // To a client of HTTP/2 the end of the stream says that nothing follows.
        let tells = audience.version != HttpVersion::Http2;
        let parsed = answer
            .section
            .finish(audience.asked_by_head(), answer.ends, tells);
        let refused = match parsed {
            Ok(head) if download.is_no_tunnel(head.status) => Some(NO_TUNNEL),
            Ok(head) => {
                download.hear_head(&head, client, upload, audience, record.as_ref(), turn.gateway);
                None
            }
            Err(bad) => Some(bad.0),
        };
        if let Some(stream) = pod.link().and_then(|link| link.wire.part()) {
            stream.give_back(answer);
        }
        match refused {
            Some(reason) => Err(self.nonsense(reason, turn)),
            None => {
                self.end_if_done(client, turn);
                Ok(())
            }
        }
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
            if let Some(stream) = self.pod.link().and_then(|link| link.wire.part()) {
                self.download.trailers = stream.take_trailers();
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
        let reason = match self.candidates.protocol {
            UpstreamProtocol::Http1 => "the service did not answer in HTTP/1.1",
            UpstreamProtocol::Http2 => "the service did not answer in HTTP/2",
        };
        Ended::Answer(Answer::new(StatusCode::BAD_GATEWAY, reason))
    }

    fn count_bad(&self, turn: &Turn<'_, '_>) {
        let (http, upstream) = (HttpCount::BadResponses, UpstreamCount::BadResponses);
        self.candidates.count(turn.gateway, http, upstream);
    }
}
