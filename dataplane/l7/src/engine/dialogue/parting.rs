//! Resets that take nothing along.

use std::time::Duration;

use super::{After, Dialogue, Move};
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
}
