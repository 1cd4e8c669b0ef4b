//! One client's connection.

use std::task::Poll;

use headgate_ring::message::ListenerProtocol;
use http::StatusCode;

use super::Turn;
use super::buffer::Buffer;
use super::exchange::{Ended, Exchange};
use super::tunnel::Tunnel;
use crate::gateway::{ClientConnection, Gateway};
use crate::h1::body::BodyReader;
use crate::h1::request::Expectation;
use crate::h1::{Framing, MAX_HEAD, MAX_HEADERS, RefusedRequest, request};
use crate::headers::{self, RequestId};
use crate::net::Stream;
use crate::request::{Answer, Audience, RequestRecord};
use crate::wire::{NotGreeted, Wire};
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;
use headgate_net::record::HttpCount;

/// What is left of the body of a request that we answer ourselves may be read and thrown away up to so many bytes, so that the
/// client's connection can stay.
const DRAINED: u64 = 256 << 10;

/// A client's connection, and what goes on over it.
pub(super) struct Client {
    pub(super) wire: Wire,
    /// What the client has sent and nobody has used.
    pub(super) inbox: Buffer,
    /// What the client has no room for yet.
    pub(super) outbox: Buffer,
    pub(super) peer: ClientConnection,
    came: Phase,
    state: State,
    /// The client has closed its side.
    pub(super) ended: bool,
    /// Bytes of the head in `inbox` that were parsed without finding its end.
    parsed: usize,
    /// Bytes of empty lines before the head.
    blank: usize,
    /// When the client is given up, or what it waits for.
    pub(super) deadline: Nanos,
    /// When the client last took something.
    pub(super) taken: Nanos,
}

enum State {
    Greeting,
    /// Between requests, or within a head.
    Head,
    /// The last response is on its way.
    Answering(After, BodyReader),
    Exchange(Box<Exchange>),
    Tunnel(Box<Tunnel>),
}

/// What becomes of a connection when everything was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next request, once the rest of the last one was read.
    Next,
    /// It closes.
    Close,
    /// It closes without a word, so that the client sees that something is missing.
    BreakOff,
}

/// What becomes of a client after a look.
pub(super) enum Fate {
    /// It is to be looked at when something happens, or then at the latest.
    Stays(Option<Nanos>),
    Gone,
}

/// What a state did.
pub(super) enum Step {
    /// Something else is to be done.
    Again,
    /// It has to wait.
    Wait,
    Gone,
}

impl Client {
    pub(super) fn new(gateway: &Gateway, stream: Stream, protocol: ListenerProtocol) -> Self {
        let tls = protocol == ListenerProtocol::Https;
        let client = headers::Client::new(stream.peer_addr(), stream.local_addr(), tls);
        let now = gateway.net.now();
        let patience = if tls {
            gateway.limits.handshake
        } else {
            gateway.limits.header
        };
        Self {
            wire: if tls {
                Wire::tls(stream)
            } else {
                Wire::plain(stream)
            },
            inbox: Buffer::default(),
            outbox: Buffer::default(),
            peer: ClientConnection::new(client),
            came: gateway.phase.get(),
            state: State::Greeting,
            ended: false,
            parsed: 0,
            blank: 0,
            deadline: now.after(patience),
            taken: now,
        }
    }

    /// Who it is.
    pub(super) fn who(&self) -> &headers::Client {
        &self.peer.client
    }

    /// The pod that a request or tunnel under way goes to.
    pub(super) fn endpoint(&self) -> Option<std::net::SocketAddr> {
        match &self.state {
            State::Exchange(exchange) => exchange.endpoint(),
            State::Tunnel(tunnel) => Some(tunnel.endpoint()),
            State::Greeting | State::Head | State::Answering(..) => None,
        }
    }

    /// Has what is under way cut at the next look. `false` where it was before.
    pub(super) fn cut(&mut self) -> bool {
        match &mut self.state {
            State::Exchange(exchange) => !std::mem::replace(&mut exchange.cut, true),
            State::Tunnel(tunnel) => !std::mem::replace(&mut tunnel.cut, true),
            State::Greeting | State::Head | State::Answering(..) => false,
        }
    }

    /// Goes as far as it can.
    pub(super) fn turn(&mut self, turn: &mut Turn<'_, '_>) -> Fate {
        loop {
            let step = match &mut self.state {
                State::Greeting => self.greet(turn),
                State::Head => self.head(turn),
                State::Answering(after, _) => {
                    let after = *after;
                    self.answering(after, turn)
                }
                State::Exchange(_) => self.exchange(turn),
                State::Tunnel(_) => self.tunnel(turn),
            };
            match step {
                Step::Again => {}
                Step::Gone => return Fate::Gone,
                Step::Wait => {
                    let mut spare = turn.gateway.spare.borrow_mut();
                    self.inbox.settle(&mut spare);
                    self.outbox.settle(&mut spare);
                    let tunnel = matches!(self.state, State::Tunnel(_));
                    return Fate::Stays((!tunnel).then_some(self.deadline));
                }
            }
        }
    }

    /// Closes the connection in order.
    pub(super) fn leave(self) {
        drop(self);
    }

    fn greet(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let tally = &turn.gateway.tally;
        match self.wire.greet(turn.cx, &turn.gateway.current) {
            Poll::Pending if turn.now < self.deadline => return Step::Wait,
            Poll::Pending => {
                tally.count(HttpCount::HandshakesFailed);
                return Step::Gone;
            }
            Poll::Ready(Ok(greeted)) => {
                if self.peer.client.tls {
                    tally.count(HttpCount::Handshakes);
                }
                if greeted.resumed {
                    tally.count(HttpCount::Resumed);
                }
                self.await_head(turn);
                return Step::Again;
            }
            Poll::Ready(Err(NotGreeted::Plain)) => tally.count(HttpCount::PlainOnTls),
            Poll::Ready(Err(NotGreeted::UnknownName)) => tally.count(HttpCount::UnknownNames),
            Poll::Ready(Err(NotGreeted::Failed(error))) => {
                tracing::debug!(%error, "a TLS handshake failed");
                tally.count(HttpCount::HandshakesFailed);
            }
        }
        self.answer_and(After::BreakOff, BodyReader::Done, turn)
    }

    fn await_head(&mut self, turn: &Turn<'_, '_>) {
        self.state = State::Head;
        self.deadline = turn.now.after(turn.gateway.limits.header);
    }

    /// Waits for the head of a request.
    fn head(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        if self.parsed == 0 {
            self.pass_over_empty_lines();
        }
        // Only a line's end can be the end of a head.
        if self.inbox.bytes()[self.parsed..].contains(&b'\n') || self.parsed == 0 && !self.inbox.is_empty() {
            match self.begin(turn) {
                Some(step) => return step,
                None => self.parsed = self.inbox.len(),
            }
        }
        if self.inbox.len() + self.blank >= MAX_HEAD {
            return self.refuse(too_large(self.inbox.bytes()), turn);
        }
        if turn.now >= self.deadline {
            return self.late(turn);
        }
        let mut spare = turn.gateway.spare.borrow_mut();
        let read = self.wire.read(turn.cx, &mut self.inbox, MAX_HEAD, &mut spare);
        drop(spare);
        match read {
            Poll::Ready(Ok(1..)) => Step::Again,
            Poll::Ready(end) => {
                if end.is_err() || !self.inbox.is_empty() {
                    turn.gateway.tally.count(HttpCount::ClientErrors);
                }
                if end.is_ok() {
                    self.wire.finish(turn.cx);
                }
                Step::Gone
            }
            Poll::Pending if self.inbox.is_empty() && turn.gateway.phase.get() == Phase::Parting => {
                self.wire.finish(turn.cx);
                Step::Gone
            }
            Poll::Pending => Step::Wait,
        }
    }

    /// Empty lines before a request are passed over (RFC 9112, section 2.2).
    fn pass_over_empty_lines(&mut self) {
        while let [b'\r', b'\n', ..] | [b'\n', ..] = self.inbox.bytes() {
            let line = if self.inbox.bytes()[0] == b'\r' { 2 } else { 1 };
            self.inbox.consume(line);
            self.blank += line;
        }
    }

    fn late(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        if self.inbox.is_empty() {
            self.wire.finish(turn.cx);
            return Step::Gone;
        }
        let late = RefusedRequest {
            status: StatusCode::REQUEST_TIMEOUT,
            reason: "the request did not come in time",
        };
        self.refuse(late, turn)
    }

    /// Begins with the request whose head is in the inbox; `None` if it has not ended.
    fn begin(&mut self, turn: &mut Turn<'_, '_>) -> Option<Step> {
        let gateway = turn.gateway;
        let mut fields = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
        let (head, length) = match request::parse(self.inbox.bytes(), &mut fields) {
            Ok(parsed) => parsed?,
            Err(refused) => return Some(self.refuse(refused, turn)),
        };
        let record = RequestRecord::begin(gateway);
        let id = match head.id {
            Some(id) => RequestId::Given(id.into()),
            None => RequestId::made_of([gateway.net.random(), gateway.net.random()]),
        };
        let audience = Audience {
            id,
            to_head: head.method == "HEAD",
            http11: head.http11,
            keep: head.keep,
        };
        tracing::trace!(client = %self.peer.client.address, method = head.method, id = ?audience.id);
        let (framing, expects) = (head.framing, head.expects);
        let begun = Exchange::begin(gateway, &self.peer.client, &head, audience, record, turn.now);
        self.inbox.consume(length);
        (self.parsed, self.blank) = (0, 0);
        Some(match begun {
            Ok(exchange) => {
                self.state = State::Exchange(exchange);
                Step::Again
            }
            Err(refusal) => {
                let (answer, audience, record) = *refusal;
                // A client that waits for 100 may or may not send its body now.
                let body = drained(framing).filter(|body| expects != Expectation::Continue || body.is_done());
                self.answer(&answer, &audience, &record, body, turn)
            }
        })
    }

    /// Answers a request whose head or framing cannot be read.
    fn refuse(&mut self, refused: RefusedRequest, turn: &mut Turn<'_, '_>) -> Step {
        let gateway = turn.gateway;
        gateway.tally.count(HttpCount::Refused);
        let audience = Audience {
            id: RequestId::made_of([gateway.net.random(), gateway.net.random()]),
            to_head: false,
            http11: true,
            keep: false,
        };
        let record = RequestRecord::begin(gateway);
        self.answer(&Answer::from(refused), &audience, &record, None, turn)
    }

    /// Gives an answer of our own. `body` is what is left of the request's, if it is worth reading.
    pub(super) fn answer(
        &mut self,
        answer: &Answer,
        audience: &Audience,
        record: &RequestRecord,
        body: Option<BodyReader>,
        turn: &mut Turn<'_, '_>,
    ) -> Step {
        let gateway = turn.gateway;
        let keep = audience.keep && !answer.last && body.is_some() && !gateway.dismisses(self.came);
        let mut spare = gateway.spare.borrow_mut();
        let text = answer.write(audience, keep, gateway, self.outbox.fill(&mut spare));
        drop(spare);
        record.answered(answer.status.as_u16());
        record.sends(text);
        let after = if keep { After::Next } else { After::Close };
        self.answer_and(after, body.unwrap_or(BodyReader::Done), turn)
    }

    /// Sends what is there, and then goes on as `after` says.
    pub(super) fn answer_and(&mut self, after: After, body: BodyReader, turn: &Turn<'_, '_>) -> Step {
        self.state = State::Answering(after, body);
        self.taken = turn.now;
        self.deadline = turn.now.after(turn.gateway.limits.write);
        Step::Again
    }

    fn answering(&mut self, after: After, turn: &mut Turn<'_, '_>) -> Step {
        match self.flush(turn) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Step::Gone,
            Poll::Pending if turn.now < self.taken.after(turn.gateway.limits.write) => {
                self.deadline = self.taken.after(turn.gateway.limits.write);
                return Step::Wait;
            }
            Poll::Pending => {
                turn.gateway.tally.count(HttpCount::ClientErrors);
                return Step::Gone;
            }
        }
        match after {
            After::Next => self.drain(turn),
            After::Close => {
                self.wire.finish(turn.cx);
                Step::Gone
            }
            After::BreakOff => Step::Gone,
        }
    }

    /// Reads the rest of a request that was answered.
    fn drain(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let State::Answering(_, body) = &mut self.state else {
            return Step::Again;
        };
        if body.is_done() {
            if self.ended {
                self.wire.finish(turn.cx);
                return Step::Gone;
            }
            self.await_head(turn);
            return Step::Again;
        }
        if !self.inbox.is_empty() {
            let Ok(piece) = body.next(self.inbox.bytes(), &mut Vec::new()) else {
                return Step::Gone;
            };
            self.inbox.consume(piece.skip + piece.length);
            return Step::Again;
        }
        if turn.now >= self.deadline {
            return Step::Gone;
        }
        let mut spare = turn.gateway.spare.borrow_mut();
        match self
            .wire
            .read(turn.cx, &mut self.inbox, super::buffer::ROOM, &mut spare)
        {
            Poll::Ready(Ok(1..)) => Step::Again,
            Poll::Ready(_) => Step::Gone,
            Poll::Pending => Step::Wait,
        }
    }

    /// Sends what lies in the outbox.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_, '_>) -> Poll<std::io::Result<()>> {
        let before = self.outbox.len();
        let flushed = self.wire.flush(turn.cx, &mut self.outbox);
        if self.outbox.len() < before {
            self.taken = turn.now;
        }
        flushed
    }

    fn exchange(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        // The exchange moves out while it is at work on the rest of the client.
        let State::Exchange(mut exchange) = std::mem::replace(&mut self.state, State::Head) else {
            return Step::Again;
        };
        match exchange.turn(self, turn) {
            None => {
                self.state = State::Exchange(exchange);
                Step::Wait
            }
            Some(Ended::Whole) => {
                let keep = exchange.keeps() && !self.ended;
                let after = if keep { After::Next } else { After::Close };
                drop(exchange);
                self.answer_and(after, BodyReader::Done, turn)
            }
            Some(Ended::Answer(answer)) => exchange.answer_instead(&answer, self, turn),
            Some(Ended::Switched(tunnel)) => {
                self.state = State::Tunnel(tunnel);
                Step::Again
            }
            Some(Ended::Broken) => self.answer_and(After::BreakOff, BodyReader::Done, turn),
            Some(Ended::ClientGone) => {
                turn.gateway.tally.count(HttpCount::ClientErrors);
                Step::Gone
            }
            Some(Ended::Reset) => self.reset(),
        }
    }

    fn tunnel(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let State::Tunnel(mut tunnel) = std::mem::replace(&mut self.state, State::Head) else {
            return Step::Again;
        };
        match tunnel.turn(self, turn) {
            None => {
                self.state = State::Tunnel(tunnel);
                Step::Wait
            }
            Some(true) => Step::Gone,
            Some(false) => self.reset(),
        }
    }

    /// The client must see that something is missing.
    fn reset(&mut self) -> Step {
        self.wire.reset();
        Step::Gone
    }

    /// Whether the connection is to end with the response that begins now.
    pub(super) fn is_dismissed(&self, gateway: &Gateway) -> bool {
        gateway.dismisses(self.came)
    }
}

/// The rest of a request that is read and thrown away, if it is short enough.
fn drained(framing: Framing) -> Option<BodyReader> {
    match framing {
        Framing::Empty => Some(BodyReader::Done),
        Framing::Length(length) if length <= DRAINED => Some(BodyReader::new(framing)),
        Framing::Length(_) | Framing::Chunked | Framing::UntilClose => None,
    }
}

/// Which part of a head is too large.
fn too_large(bytes: &[u8]) -> RefusedRequest {
    if bytes.is_empty() || bytes.contains(&b'\n') {
        RefusedRequest {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            reason: "the head of the request has more than 32 KiB",
        }
    } else {
        RefusedRequest {
            status: StatusCode::URI_TOO_LONG,
            reason: "the request target has more than 32 KiB",
        }
    }
}
