//! Handshakes that clients begin: answered from a record, or by a cookie, until they are connections.

use std::net::SocketAddr;
use std::time::Duration;

use super::cookies::VALID;
use super::{IndexEntry, Inner};
use crate::connection::Connection;
use crate::engine::{Handshake, Start, Tcb, TcpLimits, is_asked_by, timestamp};
use crate::handshake::{HalfOpen, Numbers};
use crate::key::ConnectionKey;
use crate::option::{OptionBytes, TcpOptions, Timestamps};
use crate::packets::{Header, ip_header_len};
use crate::segment::{ACK, ECE, RST, SYN, Segment};
use crate::sequence::Seq;
use headgate_net::clock::Nanos;
use headgate_net::record::TcpCount;
use headgate_net::wire::ecn;
use headgate_net::wire::tcp::Fields;

/// How long a handshake waits for the client between our answers, and after the last one (RFC 6298, section 5.5; as often as
/// Linux, `tcp_synack_retries`).
pub(super) const WAITS: [Duration; 6] = {
    let mut waits = [Duration::ZERO; 6];
    let mut number = 0;
    while number < waits.len() {
        waits[number] = Duration::from_secs(1 << number);
        number += 1;
    }
    waits
};
/// After this wait they are forgotten where more than half of those have begun that may: seven seconds.
const LAST_OF_MANY: usize = 2;
/// A client that sent its SYN again has been answered just now.
const JUST_NOW: Duration = Duration::from_millis(500);
/// Who has not finished a handshake by now has hardly seen our answer, or does not mean it.
const SERIOUS: Duration = Duration::from_secs(7);

impl Inner {
    /// As [`Stack::half_open`](crate::Stack::half_open).
    pub(crate) fn half_open(&self) -> usize {
        let serious = |record: &&HalfOpen| self.now.since(record.begun) < SERIOUS;
        self.half_open.iter().filter(serious).count()
    }

    /// Does what is due to handshakes that wait.
    pub(super) fn fire_handshakes(&mut self) {
        while self.replies.has_room()
            && let Some((place, wait)) = self.half_open.due(self.now)
        {
            let many = 2 * self.half_open.len() > self.config.max_half_open;
            let goes_on = !(many && wait >= LAST_OF_MANY);
            if goes_on && self.half_open.wait(place, wait + 1, self.now) {
                self.answer_again(place);
            } else if let Some(record) = self.half_open.remove(place) {
                self.index.remove(&record.key);
                self.count(TcpCount::HalfOpenExpired);
            }
        }
    }

    /// Our answer was lost, or what finishes the handshake was: a client that waits for us to speak first says nothing more.
    fn answer_again(&mut self, place: usize) {
        let Some(record) = self.half_open.get_mut(place) else {
            return;
        };
        if self.now.since(record.answered) >= JUST_NOW {
            (record.answered, record.repeated) = (self.now, true);
            let header = Self::answer_to(record, &self.limits, self.now);
            self.replies.push(header);
        }
    }

    /// A SYN for a listener: answered from a record.
    pub(super) fn greet(&mut self, key: ConnectionKey, segment: &Segment<'_>) {
        if self.connections.len() >= self.config.most_accepted() {
            self.count(TcpCount::RefusedFull);
            return;
        }
        self.count(TcpCount::Syns);
        if self.half_open.is_full() {
            return self.answer_by_cookie(&key, segment);
        }
        let record = HalfOpen {
            key,
            local: segment.destination,
            remote: segment.source,
            options: segment.options,
            ecn: is_asked_by(segment),
            irs: segment.sequence,
            ours: self.numbers(&key),
            begun: self.now,
            answered: self.now,
            repeated: false,
            stamp: 0,
        };
        self.replies
            .push(Self::answer_to(&record, &self.limits, self.now));
        let (place, _) = self.half_open.put(record, self.now);
        self.index.insert(key, IndexEntry::HalfOpen(place));
    }

    /// Answers a SYN without remembering it.
    fn answer_by_cookie(&mut self, key: &ConnectionKey, segment: &Segment<'_>) {
        let asked = is_asked_by(segment);
        let (iss, value) = self.cookie(key, segment.sequence, &segment.options, asked);
        // Without a timestamp there is nowhere to write what the client offered.
        let mut options = segment.options;
        if value.is_none() {
            options = TcpOptions {
                mss: options.mss,
                ..TcpOptions::default()
            };
        }
        let ends = (segment.destination, segment.source);
        let offered = (&options, asked && value.is_some());
        let answer = syn_ack(ends, (iss, segment.sequence), offered, value, &self.limits);
        self.replies.push(answer);
        self.cookies = self.now.after(VALID);
        self.count(TcpCount::CookiesSent);
    }

    /// A segment of no connection: the end of a handshake that was answered by a cookie, or a stray.
    pub(super) fn redeem(&mut self, key: ConnectionKey, segment: &Segment<'_>) {
        let listens = self.listeners.contains(&segment.destination);
        let Some((ours, handshake)) = self.handshake_of(&key, segment).filter(|_| listens) else {
            return self.refuse(segment);
        };
        self.count(TcpCount::CookiesAccepted);
        self.open(key, ours, &handshake, segment);
    }

    /// The SYN-ACK that answers a SYN.
    fn answer_to(record: &HalfOpen, limits: &TcpLimits, now: Nanos) -> Header {
        let offered = (&record.options, record.ecn);
        let value = record
            .options
            .timestamps
            .map(|_| timestamp(now, record.ours.offset));
        let ends = (record.local, record.remote);
        syn_ack(ends, (record.ours.iss, record.irs), offered, value, limits)
    }

    /// A segment for a handshake that has begun.
    pub(super) fn handshake(&mut self, place: usize, key: ConnectionKey, segment: &Segment<'_>) {
        let Some(record) = self.half_open.get_mut(place) else {
            return;
        };
        if segment.has(RST) {
            // RFC 5961 section 3.2: only one that is exactly in order.
            if segment.sequence == record.irs + 1 {
                self.half_open.remove(place);
                self.index.remove(&key);
            }
        } else if segment.is_syn() && segment.sequence == record.irs {
            (record.answered, record.repeated) = (self.now, true);
            // A client that gave up asking does not use it, and neither do we (RFC 3168, section 6.1.1).
            record.ecn &= is_asked_by(segment);
            let header = Self::answer_to(record, &self.limits, self.now);
            self.replies.push(header);
        } else if segment.is_syn() {
            self.half_open.remove(place);
            self.index.remove(&key);
            self.greet(key, segment);
        } else if segment.has(ACK) && !segment.has(SYN) {
            if segment.acknowledgement == record.ours.iss + 1 {
                self.promote(place, key, segment);
            } else {
                self.refuse(segment);
            }
        }
    }

    /// The client has shown that it got our SYN-ACK: from here on it is a connection.
    fn promote(&mut self, place: usize, key: ConnectionKey, segment: &Segment<'_>) {
        let Some(record) = self.half_open.remove(place) else {
            return;
        };
        let handshake = Handshake {
            irs: record.irs,
            options: record.options,
            ecn: record.ecn,
            answered: record.sample(),
        };
        self.open(key, record.ours, &handshake, segment);
    }

    /// A handshake is finished by `segment`.
    fn open(&mut self, key: ConnectionKey, ours: Numbers, handshake: &Handshake, segment: &Segment<'_>) {
        if self.connections.len() >= self.config.most_accepted() {
            self.index.remove(&key);
            self.count(TcpCount::RefusedFull);
            return self.refuse(segment);
        }
        let (local, remote) = (segment.destination, segment.source);
        let start = Start {
            iss: ours.iss,
            offset: ours.offset,
            overhead: ip_header_len(local),
            now: self.now,
        };
        let tcb = Tcb::accept(&self.limits, start, handshake);
        let mut connection = Connection::new(local, remote, tcb);
        connection.accepted = true;
        let id = self.connections.insert(connection);
        self.index.insert(key, IndexEntry::Connection(id));
        self.deliver(id, segment);
        self.count(TcpCount::Accepted);
        if handshake.ecn {
            self.count(TcpCount::EcnConnections);
        }
        self.accepted.push_back(id);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.wake();
        }
    }
}

/// A SYN-ACK with our first number and the client's, to what it offered and whether it asked for explicit congestion
/// notification; `value` is our timestamp.
fn syn_ack(
    ends: (SocketAddr, SocketAddr),
    (iss, irs): (Seq, Seq),
    (offered, asked): (&TcpOptions, bool),
    value: Option<u32>,
    limits: &TcpLimits,
) -> Header {
    let timestamps = value.zip(offered.timestamps).map(|(value, theirs)| Timestamps {
        value,
        echo: theirs.value,
    });
    let fields = Fields {
        sequence: iss.0,
        acknowledgement: (irs + 1).0,
        flags: SYN | ACK | if asked { ECE } else { 0 },
        window: u16::try_from(limits.buffer).unwrap_or(u16::MAX),
    };
    let scale = offered.scale.map(|_| limits.scale());
    let options = OptionBytes::of_syn(
        limits.mss(ip_header_len(ends.0)),
        scale,
        offered.sack_permitted,
        timestamps,
    );
    Header {
        ends,
        fields,
        ecn: ecn::NOT_ECT,
        options,
    }
}
