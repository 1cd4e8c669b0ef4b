//! A connection of HTTP/2, and what goes on over one of its streams.

use super::asking::ask;
use super::multiplex::{Multiplex, MultiplexEnd};
use super::{Dialogue, DialogueState, Move};
use crate::engine::Turn;
use crate::engine::client::Client;
use crate::h1::request::RequestHead;
use crate::h1::{PartialHead, RefusedRequest};
use crate::h2::{PREFACE, StreamEnd};
use crate::request::{AnswerForm, HttpVersion};
use crate::wire::Wire;
use headgate_net::clock::Nanos;
use headgate_net::record::HttpCount;

impl Dialogue {
    /// A stream of `client`'s connection, with the request that has come by it, or why it is refused.
    pub(in crate::engine) fn of_stream(
        client: &Client,
        end: StreamEnd,
        request: Result<&RequestHead<'_, '_>, RefusedRequest>,
        form: AnswerForm,
        turn: &mut Turn<'_, '_>,
    ) -> Self {
        let mut client = Client::new(turn.gateway, Wire::Part(end), client.peer.client, turn.now);
        client.came = turn.gateway.phase.get();
        let mut dialogue = Self {
            client,
            state: DialogueState::Head,
            parsed: PartialHead::default(),
            blank: 0,
        };
        match request {
            Ok(head) => {
                let begun = ask(&dialogue.client, head, HttpVersion::Http2, form, turn);
                dialogue.go_on_with(begun, turn);
            }
            Err(refused) => {
                dialogue.refuse_one(refused, form, turn);
            }
        }
        dialogue
    }

    /// Whether it is a stream, and no connection.
    pub(in crate::engine) fn is_stream(&self) -> bool {
        self.client.wire.is_part()
    }

    /// Whether the client begins as one does that knows that HTTP/2 is spoken here (RFC 9113, section 3.3): `Some(false)` where it
    /// may, by what has come so far.
    pub(super) fn begins_http2(&self) -> Option<bool> {
        // No request of HTTP/1 has such a line.
        let line = &PREFACE[..PREFACE.len() - 8];
        let bytes = self.client.inbox.bytes();
        let length = bytes.len().min(line.len());
        let begins = self.blank == 0 && length > 0 && bytes[..length] == line[..length];
        begins.then_some(length == line.len())
    }

    /// Goes on in HTTP/2.
    pub(super) fn multiplex(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        turn.gateway.tally.count(HttpCount::Http2);
        self.state = DialogueState::Streams(Box::new(Multiplex::new(turn)));
        Move::Again
    }

    pub(super) fn streams(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        let DialogueState::Streams(streams) = &mut self.state else {
            return Move::Again;
        };
        match streams.turn(&mut self.client, turn) {
            None => Move::Wait,
            Some(MultiplexEnd::InOrder) => {
                self.client.wire.finish(turn.cx);
                Move::Gone
            }
            Some(MultiplexEnd::Gone) => {
                turn.gateway.tally.count(HttpCount::ClientErrors);
                Move::Gone
            }
            Some(MultiplexEnd::Slow) => {
                turn.gateway.tally.count(HttpCount::SlowClients);
                self.reset()
            }
        }
    }

    /// Until when it waits at most.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        match &self.state {
            DialogueState::Tunnel(_) => None,
            DialogueState::Streams(streams) => streams.deadline(),
            _ => Some(self.client.deadline),
        }
    }
}
