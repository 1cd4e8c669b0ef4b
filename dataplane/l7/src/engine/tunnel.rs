//! A connection that has become something else: bytes go both ways as they are.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::task::Poll;

use super::Turn;
use super::client::Client;
use crate::buffer::{Buffer, ROOM};
use crate::upstream::{Lease, Link};
use crate::wire::Wire;

/// The pod's end of it.
pub(super) struct Tunnel {
    link: Box<Link>,
    /// Keeps the endpoint's count right.
    lease: Lease,
    upwards: Way,
    downwards: Way,
    /// Policies no longer allow it.
    pub(super) cut: bool,
}

/// How a tunnel is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelEnd {
    /// Both sides have closed.
    InOrder,
    /// One end is gone, and the other must see it.
    Broken,
    /// Policies no longer allow it.
    Cut,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Open,
    /// The sender has closed its side; the receiver does not know yet.
    Ending,
    Ended,
}

impl Tunnel {
    pub(super) fn new(link: Box<Link>, lease: Lease) -> Self {
        Self {
            link,
            lease,
            upwards: Way::default(),
            downwards: Way::default(),
            cut: false,
        }
    }

    pub(super) fn endpoint(&self) -> SocketAddr {
        self.lease.endpoint
    }

    /// Goes as far as it can; `None` while it is not over.
    pub(super) fn turn(&mut self, client: &mut Client, turn: &mut Turn<'_, '_>) -> Option<TunnelEnd> {
        if self.cut {
            self.link.wire.reset();
            return Some(TunnelEnd::Cut);
        }
        // The head that says so goes first.
        match client.flush(turn) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Some(self.break_off()),
            Poll::Pending => return None,
        }
        let up = carry(
            &mut self.upwards,
            (&mut client.wire, &mut client.inbox),
            &mut self.link.wire,
            turn,
        );
        let down = carry(
            &mut self.downwards,
            (&mut self.link.wire, &mut self.link.inbox),
            &mut client.wire,
            turn,
        );
        if up.is_err() || down.is_err() {
            return Some(self.break_off());
        }
        self.link.inbox.settle(&mut turn.gateway.spare.borrow_mut());
        // The end of a stream may wait for its turn.
        let over = self.upwards == Way::Ended && self.downwards == Way::Ended && client.wire.has_sent();
        over.then_some(TunnelEnd::InOrder)
    }

    /// One end is gone.
    fn break_off(&mut self) -> TunnelEnd {
        self.link.wire.reset();
        TunnelEnd::Broken
    }
}

/// Carries bytes one way, as many as there are and there is room for.
fn carry(
    way: &mut Way,
    (from, inbox): (&mut Wire, &mut Buffer),
    to: &mut Wire,
    turn: &mut Turn<'_, '_>,
) -> std::io::Result<()> {
    loop {
        if *way == Way::Ended || !turn.goes_on() {
            return Ok(());
        }
        let mut spare = turn.gateway.spare.borrow_mut();
        if to.flush(turn.cx, inbox, &mut spare)?.is_pending() {
            return Ok(());
        }
        if *way == Way::Ending {
            to.finish(turn.cx);
            *way = Way::Ended;
            return Ok(());
        }
        match from.read(turn.cx, inbox, ROOM, &mut spare) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0)) => *way = Way::Ending,
            // TLS that ends without saying so: clients do it all the time, and the pod is told no more than that they have ended
            // (RFC 9112, section 9.8).
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => *way = Way::Ending,
            Poll::Ready(Err(error)) => return Err(error),
        }
    }
}
