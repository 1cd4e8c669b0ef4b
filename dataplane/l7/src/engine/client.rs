//! A client's connection.

use std::io;
use std::task::Poll;

use super::Turn;
use super::pace::Pace;
use crate::buffer::Buffer;
use crate::gateway::{ClientConnection, Gateway};
use crate::headers;
use crate::wire::Wire;
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;

/// A client's connection, whatever goes on over it.
pub(super) struct Client {
    pub(super) wire: Wire,
    /// What the client has sent and nobody has used.
    pub(super) inbox: Buffer,
    /// What the client has no room for yet.
    pub(super) outbox: Buffer,
    pub(super) peer: ClientConnection,
    pub(super) came: Phase,
    /// The client has closed its side.
    pub(super) ended: bool,
    /// When the client is given up, or what it waits for.
    pub(super) deadline: Nanos,
    /// When the client last took something, and how much it has taken and been sent in all.
    pub(super) taken: Nanos,
    acknowledged: u64,
    sent: u64,
    /// While something waits for it.
    pace: Option<Pace>,
}

impl Client {
    pub(super) fn new(gateway: &Gateway, wire: Wire, who: headers::Client, deadline: Nanos) -> Self {
        Self {
            wire,
            inbox: Buffer::default(),
            outbox: Buffer::default(),
            peer: ClientConnection::new(who),
            came: gateway.phase.get(),
            ended: false,
            deadline,
            taken: gateway.net.now(),
            acknowledged: 0,
            sent: 0,
            pace: None,
        }
    }

    /// Who it is.
    pub(super) fn who(&self) -> &headers::Client {
        &self.peer.client
    }

    /// Reads more, until `most` bytes lie in the inbox. Ready with 0 at the end.
    pub(super) fn read(&mut self, most: usize, turn: &mut Turn<'_, '_>) -> Poll<io::Result<usize>> {
        let mut spare = turn.gateway.spare.borrow_mut();
        self.wire.read(turn.cx, &mut self.inbox, most, &mut spare)
    }

    /// Sends what lies in the outbox.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_, '_>) -> Poll<io::Result<()>> {
        let mut outbox = std::mem::take(&mut self.outbox);
        let flushed = self.flush_frames(&mut outbox, turn);
        self.outbox = outbox;
        flushed
    }

    /// Sends what lies in an outbox that others fill, too.
    pub(super) fn flush_frames(
        &mut self,
        outbox: &mut Buffer,
        turn: &mut Turn<'_, '_>,
    ) -> Poll<io::Result<()>> {
        let before = outbox.len();
        let mut spare = turn.gateway.spare.borrow_mut();
        let flushed = self.wire.flush(turn.cx, outbox, &mut spare);
        if outbox.len() < before {
            self.taken = turn.now;
            self.sent += (before - outbox.len()) as u64;
        }
        flushed
    }

    /// Whether more should be said to it before it has taken something.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.has_room() && self.wire.has_room()
    }

    /// Something waits for the client to take it: until when? `None` where that was too long, or what it took too little.
    pub(super) fn patience(&mut self, turn: &Turn<'_, '_>) -> Option<Nanos> {
        let limits = &turn.gateway.limits;
        if self.wire.waits_for_turn() {
            // Whether the connection is too slow is seen where its bytes are sent.
            (self.taken, self.pace) = (turn.now, None);
        }
        // What lies in its connection is not taken yet.
        let acknowledged = self.sent.saturating_sub(self.wire.unacknowledged() as u64);
        if acknowledged > self.acknowledged {
            (self.acknowledged, self.taken) = (acknowledged, turn.now);
        }
        let pace = self.pace.get_or_insert(Pace::new(turn.now, self.acknowledged));
        let paced = pace.check(turn.now, self.acknowledged, limits.rate)?;
        let deadline = self.taken.after(limits.write).min(paced);
        (turn.now < deadline).then_some(deadline)
    }

    /// Nothing waits for the client.
    pub(super) fn has_everything(&mut self) {
        self.pace = None;
    }

    /// Whether it has closed its side, and everything before that was used: no request follows.
    pub(super) fn has_finished(&self) -> bool {
        self.ended && self.inbox.is_empty()
    }

    /// Gives back memory that nothing lies in.
    pub(super) fn settle(&mut self, gateway: &Gateway) {
        let mut spare = gateway.spare.borrow_mut();
        self.inbox.settle(&mut spare);
        self.outbox.settle(&mut spare);
    }

    /// Whether the connection is to end with the response that begins now.
    pub(super) fn is_dismissed(&self, gateway: &Gateway) -> bool {
        gateway.dismisses(self.came)
    }
}
