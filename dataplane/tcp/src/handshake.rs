//! Handshakes that clients have begun, and connections in TIME-WAIT: records of a few bytes without buffers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use slab::Slab;

use super::key::ConnectionKey;
use super::option::TcpOptions;
use super::sequence::Seq;
use headgate_net::clock::Nanos;

/// A SYN that was answered: all that a connection is made of once the client shows that it got the answer.
pub(super) struct HalfOpen {
    pub(super) key: ConnectionKey,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// What the SYN offered.
    pub(super) options: TcpOptions,
    /// The client's initial sequence number.
    pub(super) irs: Seq,
    pub(super) ours: Numbers,
    /// When it was answered; `None` once it was answered again, for then the time says nothing (Karn's algorithm).
    pub(super) answered: Option<Nanos>,
    pub(super) stamp: u64,
}

/// What a connection of ours begins with.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// The initial sequence number.
    pub(super) iss: Seq,
    /// What the timestamps begin with.
    pub(super) offset: u32,
}

/// A connection that we closed first, once both sides have closed (RFC 9293 section 3.6.1).
pub(super) struct TimeWait {
    pub(super) key: ConnectionKey,
    /// Our next sequence number.
    pub(super) next: Seq,
    /// What we have acknowledged.
    pub(super) acknowledged: Seq,
    /// The peer's last timestamp.
    pub(super) recent: Option<u32>,
    pub(super) stamp: u64,
}

/// Records that expire in the order in which they were put, and of which the oldest makes place for a new one.
pub(super) struct Expiring<T> {
    records: Slab<T>,
    /// Place, stamp and time of expiry; entries whose record has gone are skipped.
    order: VecDeque<(usize, u64, Nanos)>,
    stamps: u64,
    limit: usize,
    lifetime: Duration,
}

/// A record that remembers which of the order's entries is its own.
pub(super) trait Stamped {
    fn stamp(&mut self) -> &mut u64;
}

impl Stamped for HalfOpen {
    fn stamp(&mut self) -> &mut u64 {
        &mut self.stamp
    }
}

impl Stamped for TimeWait {
    fn stamp(&mut self) -> &mut u64 {
        &mut self.stamp
    }
}

impl<T: Stamped> Expiring<T> {
    pub(super) fn new(limit: usize, lifetime: Duration) -> Self {
        Self {
            records: Slab::new(),
            order: VecDeque::new(),
            stamps: 0,
            limit: limit.max(1),
            lifetime,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether a record that is put makes the oldest go.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= self.limit
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.records.get_mut(place)
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        self.records.try_remove(place)
    }

    /// Adds a record; returns its place, and the oldest record where there was no room.
    pub(super) fn put(&mut self, mut record: T, now: Nanos) -> (usize, Option<T>) {
        let evicted = (self.records.len() >= self.limit)
            .then(|| self.pop(None))
            .flatten();
        self.stamps += 1;
        *record.stamp() = self.stamps;
        let place = self.records.insert(record);
        self.order
            .push_back((place, self.stamps, now.after(self.lifetime)));
        (place, evicted)
    }

    /// The next record whose time has come.
    pub(super) fn expire(&mut self, now: Nanos) -> Option<T> {
        self.pop(Some(now))
    }

    /// When `expire` may have something to do.
    pub(super) fn next(&self) -> Option<Nanos> {
        self.order.front().map(|(_, _, due)| *due)
    }

    /// Takes the oldest record, if it is due at `now` or no time is given.
    fn pop(&mut self, now: Option<Nanos>) -> Option<T> {
        while let Some((place, stamp, due)) = self.order.front().copied() {
            let live = self.records.get_mut(place).is_some_and(|r| *r.stamp() == stamp);
            if live && now.is_some_and(|now| due > now) {
                return None;
            }
            self.order.pop_front();
            if live {
                return self.records.try_remove(place);
            }
        }
        None
    }
}
