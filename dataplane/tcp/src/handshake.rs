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
    /// Whether it asked for explicit congestion notification, and so did all that came again.
    pub(super) ecn: bool,
    /// The client's initial sequence number.
    pub(super) irs: Seq,
    pub(super) ours: Numbers,
    /// When it began.
    pub(super) begun: Nanos,
    /// When it was answered last.
    pub(super) answered: Nanos,
    /// Whether more than once: then the time says nothing (Karn's algorithm).
    pub(super) repeated: bool,
    pub(super) stamp: u64,
}

impl HalfOpen {
    /// When it was answered, where that says how long the path is.
    pub(super) fn sample(&self) -> Option<Nanos> {
        (!self.repeated).then_some(self.answered)
    }
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
    /// When it began.
    pub(super) since: Nanos,
    /// The ends, where we have opened it: a source port is in use.
    pub(super) opened: Option<(SocketAddr, SocketAddr)>,
    pub(super) stamp: u64,
}

/// Records that wait, one time after the other, and of which the oldest of those that wait for the first time makes place for
/// a new one.
pub(super) struct Expiring<T> {
    records: Slab<T>,
    waits: Vec<Wait>,
    stamps: u64,
    limit: usize,
}

/// The records that wait for the same time, in the order in which that ends.
struct Wait {
    length: Duration,
    /// Place, stamp and end; entries whose record has gone are skipped.
    order: VecDeque<(usize, u64, Nanos)>,
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
    /// Of at most `limit` records, each of which waits so long, and then so long.
    pub(super) fn new(limit: usize, waits: impl IntoIterator<Item = Duration>) -> Self {
        let wait = |length| Wait {
            length,
            order: VecDeque::new(),
        };
        Self {
            records: Slab::new(),
            waits: waits.into_iter().map(wait).collect(),
            stamps: 0,
            limit: limit.max(1),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether a record that is put makes the oldest go.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= self.limit
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.records.iter().map(|(_, record)| record)
    }

    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.records.get(place)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.records.get_mut(place)
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        self.records.try_remove(place)
    }

    /// Gives back the places of records that are gone.
    pub(super) fn shrink(&mut self) {
        self.records.shrink_to_fit();
        for wait in &mut self.waits {
            wait.order.shrink_to_fit();
        }
    }

    /// Adds a record, which begins to wait; returns its place, and the oldest record where there was no room.
    pub(super) fn put(&mut self, mut record: T, now: Nanos) -> (usize, Option<T>) {
        let evicted = self.is_full().then(|| self.first(0, None)).flatten();
        let evicted = evicted.and_then(|place| self.remove(place));
        self.stamps += 1;
        *record.stamp() = self.stamps;
        let place = self.records.insert(record);
        self.wait(place, 0, now);
        (place, evicted)
    }

    /// A record whose wait is over, and which one that was; it waits no more.
    pub(super) fn due(&mut self, now: Nanos) -> Option<(usize, usize)> {
        (0..self.waits.len()).find_map(|wait| self.first(wait, Some(now)).map(|place| (place, wait)))
    }

    /// Has a record that waits no more wait for the time with this number; `false` if there is none, or no record.
    pub(super) fn wait(&mut self, place: usize, number: usize, now: Nanos) -> bool {
        let (Some(wait), Some(record)) = (self.waits.get_mut(number), self.records.get_mut(place)) else {
            return false;
        };
        let due = now.after(wait.length);
        wait.order.push_back((place, *record.stamp(), due));
        true
    }

    /// When `due` may have something.
    pub(super) fn next(&self) -> Option<Nanos> {
        let fronts = self.waits.iter().filter_map(|wait| wait.order.front());
        fronts.map(|(_, _, due)| *due).min()
    }

    /// Takes the first that waits out of the order, if its wait is over at `now` or no time is given.
    fn first(&mut self, wait: usize, now: Option<Nanos>) -> Option<usize> {
        let order = &mut self.waits[wait].order;
        while let Some((place, stamp, due)) = order.front().copied() {
            let live = self.records.get_mut(place).is_some_and(|r| *r.stamp() == stamp);
            if live && now.is_some_and(|now| due > now) {
                return None;
            }
            order.pop_front();
            if live {
                return Some(place);
            }
        }
        None
    }
}
