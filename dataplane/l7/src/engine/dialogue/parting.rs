//! How a client parts: by a reset that takes nothing along, or for others who wait for what it holds.

use std::net::SocketAddr;
use std::time::Duration;

use super::{After, Dialogue, DialogueState, Move};
use crate::engine::Turn;
use crate::h1::body::BodyReader;
use headgate_net::clock::Nanos;

/// How often to look whether a client that is to be reset has what it was sent.
const DELIVERED: Duration = Duration::from_millis(125);
/// How long what the kernel has taken for a client may be on its way before the client is reset.
const BY_KERNEL: Duration = Duration::from_millis(250);

impl Dialogue {
    /// Resets the connection once everything before it has arrived: a reset takes with it what is still on its way.
    pub(super) fn reset_behind(&mut self, earliest: Nanos, turn: &Turn<'_, '_>) -> Move {
        let delivered = self.client.wire.unacknowledged() == 0 && turn.now >= earliest;
        match self.client.patience(turn) {
            Some(deadline) if !delivered => {
                self.client.deadline = deadline.min(turn.now.after(DELIVERED));
                Move::Wait
            }
            _ => self.reset(),
        }
    }

    /// The response broke off and nothing but a reset shows it, behind all that came before.
    pub(super) fn reset_later(&mut self, turn: &Turn<'_, '_>) -> Move {
        let known = self.client.wire.tells_what_is_acknowledged();
        let earliest = if known {
            turn.now
        } else {
            turn.now.after(BY_KERNEL)
        };
        self.answer_and(After::Reset(earliest), BodyReader::Done, turn)
    }

    /// The pod towards which a request waits for a source port.
    pub(in crate::engine) fn waits_for_port(&self) -> Option<SocketAddr> {
        match &self.state {
            DialogueState::Exchange(exchange) => exchange.as_ref().as_ref()?.waits_for_port(),
            _ => None,
        }
    }

    /// The request that waits may try again.
    pub(in crate::engine) fn grant(&mut self) {
        if let DialogueState::Exchange(exchange) = &mut self.state
            && let Some(exchange) = exchange.as_mut()
        {
            exchange.grant();
        }
    }

    /// Whether an exchange goes on only if the client does something, which it has not since then.
    pub(in crate::engine) fn is_stalled(&self, since: Nanos) -> bool {
        match &self.state {
            DialogueState::Exchange(exchange) => exchange
                .as_ref()
                .as_ref()
                .is_some_and(|exchange| exchange.is_stalled(&self.client, since)),
            _ => false,
        }
    }

    /// Ends an exchange for others; both sides see that something is missing.
    pub(in crate::engine) fn give_way(&mut self) {
        if let DialogueState::Exchange(exchange) = &mut self.state
            && let Some(exchange) = exchange.as_mut()
        {
            exchange.give_way();
        }
        self.client.wire.reset();
    }
}
