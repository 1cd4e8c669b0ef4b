//! What a balancer says of a client before the client's first byte.

use std::task::Poll;

use super::{Dialogue, DialogueState, Move};
use crate::engine::Turn;
use crate::proxy_protocol::{self, Announced};
use headgate_net::record::HttpCount;

impl Dialogue {
    /// Reads who the client is. Where it cannot be read the connection ends: what follows would be taken for the balancer's own.
    pub(super) fn announced(&mut self, turn: &mut Turn<'_, '_>) -> Move {
        let tally = &turn.gateway.tally;
        let client = &mut self.client;
        match proxy_protocol::parse(client.inbox.bytes()) {
            Ok(Some((announced, length))) => {
                client.inbox.consume(length);
                if let Announced::Client(address) = announced {
                    client.peer.client.address = address;
                }
                client.wire.take_over(&mut client.inbox);
                self.state = DialogueState::Greeting;
                return Move::Again;
            }
            Ok(None) => {}
            Err(bad) => {
                tracing::debug!(balancer = %client.who().address, reason = bad.0, "a balancer does not say who the client is");
                tally.count(HttpCount::ProxyHeadersRefused);
                return self.reset();
            }
        }
        if turn.now >= client.deadline {
            tally.count(HttpCount::ProxyHeadersRefused);
            return self.reset();
        }
        let mut spare = turn.gateway.spare.borrow_mut();
        let most = proxy_protocol::MOST;
        match client
            .wire
            .read_below(turn.cx, &mut client.inbox, most, &mut spare)
        {
            Poll::Pending => Move::Wait,
            Poll::Ready(Ok(1..)) => Move::Again,
            Poll::Ready(_) => {
                // Who says nothing only looks whether somebody is there.
                if !client.inbox.is_empty() {
                    tally.count(HttpCount::ProxyHeadersRefused);
                }
                Move::Gone
            }
        }
    }
}
