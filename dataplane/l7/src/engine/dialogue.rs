//! What goes on over a client's connection, one thing after another.

mod announced;
mod asking;
mod multiplex;
mod parting;
mod streams;

use std::task::Poll;

use headgate_ring::message::ListenerProtocol;
use http::StatusCode;

use super::Turn;
use super::client::Client;
use super::exchange::{Ended, Exchange};
use super::tunnel::{Tunnel, TunnelEnd};
use crate::buffer::ROOM;
use crate::gateway::Gateway;
use crate::h1::body::BodyReader;
use crate::h1::{MAX_HEAD, PartialHead, RefusedRequest, request};
use crate::headers::{self, RequestId};
use crate::net::Stream;
use crate::request::{Answer, AnswerForm, Audience, HttpVersion, RequestRecord};
use crate::wire::{NotGreeted, Wire};
use asking::{Begun, ask, too_large};
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;
use headgate_net::record::HttpCount;
use multiplex::Multiplex;

/// A client's connection and what goes on over it.
pub(super) struct Dialogue {
    client: Client,
    state: DialogueState,
    /// How far the head in the inbox was parsed.
    parsed: PartialHead,
    /// Bytes of empty lines before the head.
    blank: usize,
}

enum DialogueState {
    /// A balancer is to say who the client is.
    Announced,
    Greeting,
    /// Between requests, or within a head.
    Head,
    /// The last response is on its way.
    Answering(After, BodyReader),
    Exchange(Box<Option<Exchange>>),
    Tunnel(Box<Tunnel>),
    /// Many at once, each of which is a dialogue of its own.
    Streams(Box<Multiplex>),
}

/// What becomes of a connection when everything was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The next request, once the rest of the last one was read.
    Next,
    /// It closes.
    Close,
    /// It closes without a word, so that the client sees that something is missing.
    BreakOff,
    /// It is reset, for nothing else shows that something is missing: once the client has what it was sent before, and not earlier
    /// than then.
    Reset(Nanos),
}

/// What becomes of a client after a look.
pub(super) enum Outlook {
    /// It is to be looked at when something happens, or then at the latest.
    Stays(Option<Nanos>),
    Gone,
}

/// What a state did.
enum Move {
    /// Something else is to be done.
    Again,
    /// It has to wait.
    Wait,
    Gone,
}

impl Dialogue {
    /// A connection; one that is `announced` begins with a header of the PROXY protocol.
    pub(super) fn new(
        gateway: &Gateway,
        stream: Stream,
        protocol: ListenerProtocol,
        announced: bool,
    ) -> Self {
        let tls = protocol == ListenerProtocol::Https;
        let client = headers::Client::new(stream.peer_addr(), stream.local_addr(), tls);
        let now = gateway.net.now();
        let patience = if tls || announced {
            gateway.limits.handshake
        } else {
            gateway.limits.header
        };
        let wire = if tls {
            Wire::tls(stream)
        } else {
            Wire::plain(stream)
        };
        Self {
            client: Client::new(gateway, wire, client, now.after(patience)),
            state: if announced {
                DialogueState::Announced
            } else {
                DialogueState::Greeting
            },
            parsed: PartialHead::default(),
            blank: 0,
        }
    }

    /// Who it is.
    pub(super) fn who(&self) -> &headers::Client {
        self.client.who()
    }

    /// The pod that a request or tunnel under way goes to.
    pub(super) fn endpoint(&self) -> Option<std::net::SocketAddr> {
        match &self.state {
            DialogueState::Exchange(place) => place.as_ref().as_ref()?.endpoint(),
            DialogueState::Tunnel(tunnel) => Some(tunnel.endpoint()),
            DialogueState::Announced
            | DialogueState::Greeting
            | DialogueState::Head
            | DialogueState::Answering(..)
            | DialogueState::Streams(_) => None,
        }
    }

    /// Has what is under way cut at the next look. `false` where it was before.
    pub(super) fn cut(&mut self) -> bool {
        match &mut self.state {
            DialogueState::Exchange(place) => {
                let exchange = place.as_mut().as_mut();
                exchange.is_some_and(|exchange| !std::mem::replace(&mut exchange.cut, true))
            }
            DialogueState::Tunnel(tunnel) => !std::mem::replace(&mut tunnel.cut, true),
            DialogueState::Announced
            | DialogueState::Greeting
            | DialogueState::Head
            | DialogueState::Answering(..)
            | DialogueState::Streams(_) => false,
        }
    }

    /// Goes as far as it can.
    pub(super) fn turn(&mut self, turn: &mut Turn<'_, '_>) -> Outlook {
        loop {
            let step = match &mut self.state {
                DialogueState::Announced => self.announced(turn),
                DialogueState::Greeting => self.greet(turn),
                DialogueState::Head => self.head(turn),
                DialogueState::Answering(after, _) => {
                    let after = *after;
                    self.answering(after, turn)
                }
                DialogueState::Exchange(_) => self.exchange(turn),
                DialogueState::Tunnel(_) => self.tunnel(turn),
                DialogueState::Streams(_) => self.streams(turn),
            };
            match step {
                Move::Again if turn.goes_on() => {}
                Move::Gone => return Outlook::Gone,
                Move::Again | Move::Wait => {
                    self.client.settle(turn.gateway);
                    return Outlook::Stays(self.deadline());
                }
            }
        }
    }

    fn greet(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        let tally = &turn.gateway.tally;
        match self.client.wire.greet(turn.cx, &turn.gateway.current) {
            Poll::Pending if turn.now < self.client.deadline => return Move::Wait,
            Poll::Pending => {
                tally.count(HttpCount::HandshakesFailed);
                return Move::Gone;
            }
            Poll::Ready(Ok(greeted)) => {
                if self.client.peer.client.tls {
                    tally.count(HttpCount::Handshakes);
                }
                if greeted.resumed {
                    tally.count(HttpCount::Resumed);
                }
                if greeted.http2 {
                    return self.multiplex(turn);
                }
                self.await_head(turn);
                return Move::Again;
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
        self.state = DialogueState::Head;
        self.client.deadline = turn.now.after(turn.gateway.limits.header);
    }

    /// Waits for the head of a request.
    fn head(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        if self.parsed.is_new() {
            self.pass_over_empty_lines();
        }
        let beginning = self.begins_http2();
        if beginning == Some(true) {
            return self.multiplex(turn);
        }
        if self.blank >= MAX_HEAD {
            return self.refuse(too_large(b""), turn);
        }
        if beginning.is_none() && self.parsed.is_worth_parsing(self.client.inbox.bytes()) {
            match self.begin(turn) {
                Some(step) => return step,
                None => self.parsed.has_not_ended(self.client.inbox.len()),
            }
        }
        if self.client.inbox.len() + self.blank >= MAX_HEAD {
            return self.refuse(too_large(self.client.inbox.bytes()), turn);
        }
        if turn.now >= self.client.deadline {
            return self.late(turn);
        }
        match self.client.read(MAX_HEAD, turn) {
            Poll::Ready(Ok(1..)) => Move::Again,
            Poll::Ready(end) => {
                if end.is_err() || !self.client.inbox.is_empty() {
                    turn.gateway.tally.count(HttpCount::ClientErrors);
                }
                if end.is_ok() {
                    self.client.wire.finish(turn.cx);
                }
                Move::Gone
            }
            Poll::Pending if self.client.inbox.is_empty() && turn.gateway.phase.get() == Phase::Parting => {
                self.client.wire.finish(turn.cx);
                Move::Gone
            }
            Poll::Pending => Move::Wait,
        }
    }

    /// Empty lines before a request are passed over (RFC 9112, section 2.2).
    fn pass_over_empty_lines(&mut self) {
        while let [b'\r', b'\n', ..] | [b'\n', ..] = self.client.inbox.bytes() {
            let line = if self.client.inbox.bytes()[0] == b'\r' {
                2
            } else {
                1
            };
            self.client.inbox.consume(line);
            self.blank += line;
        }
    }

    fn late(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        if self.client.inbox.is_empty() {
            self.client.wire.finish(turn.cx);
            return Move::Gone;
        }
        let late = RefusedRequest {
            status: StatusCode::REQUEST_TIMEOUT,
            reason: "the request did not come in time",
        };
        self.refuse(late, turn)
    }

    /// Begins with the request whose head is in the inbox; `None` if it has not ended.
    fn begin(&mut self, turn: &mut Turn<'_, '_>) -> Option<Move> {
        let gateway = turn.gateway;
        let fields = &mut *gateway.fields.borrow_mut();
        let (head, length) = match request::parse(self.client.inbox.bytes(), fields) {
            Ok(parsed) => parsed?,
            Err(refused) => return Some(self.refuse(refused, turn)),
        };
        let begun = ask(
            &self.client,
            &head,
            HttpVersion::of(head.http11),
            AnswerForm::to(head.method),
            turn,
        );
        self.client.inbox.consume(length);
        (self.parsed, self.blank) = (PartialHead::default(), 0);
        Some(self.go_on_with(begun, turn))
    }

    /// The request goes to a pod, or is answered here.
    fn go_on_with(&mut self, begun: Begun, turn: &mut Turn<'_, '_>) -> Move {
        match begun {
            Ok(exchange) => {
                self.state = DialogueState::Exchange(exchange);
                Move::Again
            }
            Err(refusal) => {
                let (answer, audience, record, body) = *refusal;
                self.answer(&answer, &audience, &record, body, turn)
            }
        }
    }

    /// Answers a request whose head or framing cannot be read.
    fn refuse(&mut self, refused: RefusedRequest, turn: &mut Turn<'_, '_>) -> Move {
        self.refuse_one(refused, AnswerForm::Text, turn)
    }

    /// The same, of a request of which it is known what its client can make something of.
    fn refuse_one(&mut self, refused: RefusedRequest, form: AnswerForm, turn: &mut Turn<'_, '_>) -> Move {
        let gateway = turn.gateway;
        gateway.tally.count(HttpCount::Refused);
        let version = if self.client.wire.is_part() {
            HttpVersion::Http2
        } else {
            HttpVersion::Http11
        };
        let audience = Audience {
            id: RequestId::made_of([gateway.net.random(), gateway.net.random()]),
            form,
            version,
            keep: false,
        };
        let record = RequestRecord::begin(gateway);
        self.answer(&Answer::from(refused), &audience, &record, None, turn)
    }

    /// Gives an answer of our own. `body` is what is left of the request's, if it is worth reading.
    fn answer(
        &mut self,
        answer: &Answer,
        audience: &Audience,
        record: &RequestRecord,
        body: Option<BodyReader>,
        turn: &mut Turn<'_, '_>,
    ) -> Move {
        let gateway = turn.gateway;
        let keep = audience.keep && !answer.last && body.is_some() && !self.client.is_dismissed(gateway);
        let text = self.client.answer(answer, audience, keep, gateway);
        record.answered(answer.status.as_u16());
        record.sends(text);
        let after = if keep { After::Next } else { After::Close };
        self.answer_and(after, body.unwrap_or(BodyReader::Done), turn)
    }

    /// Sends what is there, and then goes on as `after` says.
    fn answer_and(&mut self, after: After, body: BodyReader, turn: &Turn<'_, '_>) -> Move {
        self.state = DialogueState::Answering(after, body);
        self.client.taken = turn.now;
        self.client.deadline = turn.now.after(turn.gateway.limits.write);
        Move::Again
    }

    fn answering(&mut self, after: After, turn: &mut Turn<'_, '_>) -> Move {
        match self.client.flush(turn) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Move::Gone,
            Poll::Pending => {
                let Some(deadline) = self.client.patience(turn) else {
                    turn.gateway.tally.count(HttpCount::SlowClients);
                    return self.reset();
                };
                self.client.deadline = deadline;
                return Move::Wait;
            }
        }
        if let After::Reset(earliest) = after {
            return self.reset_behind(earliest, turn);
        }
        self.client.has_everything();
        match after {
            After::Next if !self.client.wire.is_part() => self.drain(turn),
            After::Next | After::Close => {
                self.client.wire.finish(turn.cx);
                Move::Gone
            }
            After::BreakOff | After::Reset(_) => Move::Gone,
        }
    }

    /// Reads the rest of a request that was answered.
    fn drain(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        let DialogueState::Answering(_, body) = &mut self.state else {
            return Move::Again;
        };
        if body.is_done() {
            if self.client.has_finished() {
                self.client.wire.finish(turn.cx);
                return Move::Gone;
            }
            self.await_head(turn);
            return Move::Again;
        }
        if !self.client.inbox.is_empty() {
            let Ok(piece) = body.next(self.client.inbox.bytes(), &mut Vec::new()) else {
                return Move::Gone;
            };
            self.client.inbox.consume(piece.skip + piece.length);
            return Move::Again;
        }
        if turn.now >= self.client.deadline {
            return Move::Gone;
        }
        match self.client.read(ROOM, turn) {
            Poll::Ready(Ok(1..)) => Move::Again,
            Poll::Ready(_) => Move::Gone,
            Poll::Pending => Move::Wait,
        }
    }

    fn exchange(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        let DialogueState::Exchange(place) = &mut self.state else {
            return Move::Again;
        };
        let Some(exchange) = place.as_mut() else {
            return Move::Gone;
        };
        let Some(ended) = exchange.turn(&mut self.client, turn) else {
            return Move::Wait;
        };
        let keeps = exchange.keeps() && !self.client.has_finished();
        let left = matches!(ended, Ended::Answer(_))
            .then(|| place.take()?.leave())
            .flatten();
        if let DialogueState::Exchange(place) = std::mem::replace(&mut self.state, DialogueState::Head) {
            turn.places.give_back(place);
        }
        match ended {
            Ended::Whole => {
                let after = if keeps { After::Next } else { After::Close };
                self.answer_and(after, BodyReader::Done, turn)
            }
            Ended::Answer(answer) => match left {
                Some((record, audience, body)) => self.answer(&answer, &audience, &record, body, turn),
                None => Move::Gone,
            },
            Ended::Switched(tunnel) => {
                self.state = DialogueState::Tunnel(tunnel);
                Move::Again
            }
            Ended::Broken => self.answer_and(After::BreakOff, BodyReader::Done, turn),
            Ended::ClientGone => {
                turn.gateway.tally.count(HttpCount::ClientErrors);
                Move::Gone
            }
            Ended::ClientSlow => {
                turn.gateway.tally.count(HttpCount::SlowClients);
                self.reset()
            }
            Ended::Cut => self.reset(),
            Ended::Reset => self.reset_later(turn),
        }
    }

    fn tunnel(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        let DialogueState::Tunnel(mut tunnel) = std::mem::replace(&mut self.state, DialogueState::Head)
        else {
            return Move::Again;
        };
        match tunnel.turn(&mut self.client, turn) {
            None => {
                self.state = DialogueState::Tunnel(tunnel);
                Move::Wait
            }
            Some(TunnelEnd::InOrder) => Move::Gone,
            Some(TunnelEnd::Cut) => self.reset(),
            Some(TunnelEnd::Broken) => self.reset_later(turn),
        }
    }

    /// The client must see that something is missing.
    fn reset(&mut self) -> Move {
        self.client.wire.reset();
        Move::Gone
    }
}
