//! A connection to a pod over which many exchanges go at once (HTTP/2, by prior knowledge: RFC 9113, section 3.3).
//!
//! ```text
//!   Exchange ─ StreamEnd ─┐
//!   Exchange ─ StreamEnd ─┼─ H2Connection ─ SharedLink ─ pod
//!   Exchange ─ StreamEnd ─┘     frames         bytes
//! ```

use std::cell::RefCell;
use std::task::{Context, Poll};

use crate::buffer::{Buffer, ROOM, Spare};
use crate::counters::Tally;
use crate::h2::{H2Connection, Sections, SharedConnection, StreamEnd};
use crate::net::Connecting;
use crate::wire::Wire;
use headgate_net::clock::Nanos;
use headgate_net::record::HttpCount;

/// Steps while it is looked at once.
const STEPS: usize = 64;

/// A connection, whatever becomes of it.
pub(super) struct SharedLink {
    connection: SharedConnection,
    way: PodWay,
    /// What the pod has sent and nobody has used.
    inbox: Buffer,
    /// When it was last used.
    used: Nanos,
}

enum PodWay {
    Connecting(Connecting),
    Open(Wire),
}

/// What a connection may use while it is looked at.
pub(crate) struct Workbench<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) spare: &'a RefCell<Spare>,
    pub(crate) sections: &'a RefCell<Sections>,
    pub(crate) now: Nanos,
}

impl SharedLink {
    /// One that is on its way to the pod; with how many streams the pod takes, where that is known.
    pub(super) fn new(connecting: Connecting, most: Option<usize>, now: Nanos) -> Self {
        Self {
            connection: H2Connection::to_pod(most, now),
            way: PodWay::Connecting(connecting),
            inbox: Buffer::default(),
            used: now,
        }
    }

    /// Begins with another request, if one more may be under way; with whether the connection was there before.
    pub(super) fn ask(&mut self, now: Nanos) -> Option<(StreamEnd, bool)> {
        let connection = self.connection.borrow();
        let was_there = connection.is_there();
        if !connection.takes_requests() {
            return None;
        }
        drop(connection);
        self.used = now;
        Some((StreamEnd::asking(&self.connection), was_there))
    }

    /// How many streams the pod takes at once, once it has told.
    pub(super) fn most_streams(&self) -> Option<usize> {
        self.connection.borrow().most_streams()
    }

    /// Since when nothing goes on over it.
    pub(super) fn unused(&self) -> Option<Nanos> {
        self.connection.borrow().is_idle().then_some(self.used)
    }

    /// Goes as far as it can. `false` where it has ended.
    pub(super) fn look(&mut self, cx: &mut Context<'_>, bench: &Workbench<'_>) -> bool {
        let now = bench.now;
        {
            let connection = &mut *self.connection.borrow_mut();
            connection.now = now;
            connection.wake_by(cx.waker());
            if !connection.is_idle() {
                self.used = now;
            }
        }
        let good = self.arrive(cx, bench) && self.exchange(cx, bench);
        let connection = &mut *self.connection.borrow_mut();
        if !good {
            // What is whole is still to be had.
            connection.retire();
            connection.lose(true);
        } else if connection.is_spent() {
            connection.part_in_peace();
            if let PodWay::Open(wire) = &mut self.way {
                let _ = wire.flush(cx, &mut connection.out, &mut bench.spare.borrow_mut());
                wire.finish(cx);
            }
            return false;
        }
        good
    }

    /// Waits for the connection. `false` where there is none.
    fn arrive(&mut self, cx: &mut Context<'_>, bench: &Workbench<'_>) -> bool {
        let PodWay::Connecting(connecting) = &mut self.way else {
            return true;
        };
        let connection = &mut *self.connection.borrow_mut();
        match connecting.poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(stream)) => {
                bench.tally.count(HttpCount::UpstreamConnects);
                self.way = PodWay::Open(Wire::plain(stream));
                connection.arrives();
            }
            Poll::Ready(Err(error)) => {
                connection.fails(error.kind());
                return false;
            }
        }
        true
    }

    /// Reads and sends what there is. `false` where nothing more comes of it.
    fn exchange(&mut self, cx: &mut Context<'_>, bench: &Workbench<'_>) -> bool {
        let PodWay::Open(wire) = &mut self.way else {
            return true;
        };
        let connection = &mut *self.connection.borrow_mut();
        for _ in 0..STEPS {
            let spare = &mut *bench.spare.borrow_mut();
            let most = ROOM + self.inbox.len();
            let heard = if connection.is_stuffed() {
                false
            } else {
                match wire.read(cx, &mut self.inbox, most, spare) {
                    Poll::Pending => false,
                    Poll::Ready(Ok(1..)) => {
                        let sections = &mut *bench.sections.borrow_mut();
                        if let Err(lost) = connection.receive(&mut self.inbox, sections) {
                            tracing::debug!(reason = lost.1, "a pod's HTTP/2 is none");
                            connection.part(lost.0);
                            let _ = wire.flush(cx, &mut connection.out, spare);
                            return false;
                        }
                        true
                    }
                    Poll::Ready(_) => return false,
                }
            };
            let before = connection.out.len();
            let flushed = wire.flush(cx, &mut connection.out, spare);
            if connection.out.len() < before {
                connection.has_sent();
            }
            if let Poll::Ready(Err(_)) = flushed {
                return false;
            }
            connection.wake_line();
            if !heard {
                connection.out.settle(spare);
                self.inbox.settle(spare);
                return true;
            }
        }
        cx.waker().wake_by_ref();
        true
    }
}
