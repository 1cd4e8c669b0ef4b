//! Packets in.

use std::net::SocketAddr;

use super::cookies::VALID;
use super::{IndexEntry, Inner};
use crate::connection::Connection;
use crate::engine::{ConnectionEnd, Handshake, SegmentAnswer, Start, Tcb, TcpLimits, TcpState, timestamp};
use crate::handshake::{HalfOpen, Numbers};
use crate::key::ConnectionKey;
use crate::option::{OptionBytes, SackBlocks, TcpOptions, Timestamps};
use crate::packets::{Header, ip_header_len};
use crate::segment::{ACK, Malformed, RST, SYN, Segment};
use crate::sequence::Seq;
use crate::too_big::TooBig;
use headgate_net::clock::Nanos;
use headgate_net::record::TcpCount;
use headgate_net::wire::Headers;
use headgate_net::wire::tcp::Fields;

impl Inner {
    pub(crate) fn ingress(&mut self, frame: &[u8], headers: &Headers, now: Nanos) {
        self.now = now;
        if TooBig::is_icmp(headers) {
            self.count(TcpCount::Icmp);
            if let Some(told) = TooBig::of(frame, headers) {
                self.narrow(&told);
            }
            return;
        }
        let segment = match Segment::of(frame, headers) {
            Ok(segment) => segment,
            Err(malformed) => return self.count_malformed(malformed),
        };
        self.count(TcpCount::SegmentsIn);
        let key = ConnectionKey::new(segment.destination, segment.source);
        match self.index.get(&key) {
            Some(IndexEntry::Connection(id)) => self.deliver(*id, &segment),
            Some(IndexEntry::HalfOpen(place)) => self.handshake(*place, key, &segment),
            Some(IndexEntry::TimeWait(place)) => self.linger_on(*place, key, &segment),
            None if segment.is_syn() && self.listeners.contains(&segment.destination) => {
                self.greet(key, &segment);
            }
            None if self.now < self.cookies && segment.has(ACK) && segment.flags & (SYN | RST) == 0 => {
                self.redeem(key, &segment);
            }
            None => self.refuse(&segment),
        }
    }

    pub(super) fn count(&self, count: TcpCount) {
        self.config.record.events.count(count);
    }

    /// A router cannot pass on a segment of ours; where it is believed, the connection sends smaller ones from then on.
    fn narrow(&mut self, told: &TooBig) {
        let key = ConnectionKey::new(told.local, told.remote);
        let Some(IndexEntry::Connection(id)) = self.index.get(&key).copied() else {
            return;
        };
        if self.connections[id].tcb.narrow(told.mtu, told.sequence, self.now) {
            self.count(TcpCount::Narrowed);
            self.enqueue(id);
        }
    }

    fn count_malformed(&mut self, malformed: Malformed) {
        self.count(match malformed {
            Malformed::Header => TcpCount::BadHeader,
            Malformed::Checksum => TcpCount::BadChecksum,
            Malformed::Address => TcpCount::BadAddress,
        });
    }

    /// A segment for a connection.
    fn deliver(&mut self, id: usize, segment: &Segment<'_>) {
        let connection = &mut self.connections[id];
        let before = connection.tcb.state();
        let answer = connection.tcb.arrives(&mut self.pool, segment, self.now);
        let (after, end) = (connection.tcb.state(), connection.tcb.end);
        let called = !connection.accepted && matches!(before, TcpState::SynSent | TcpState::SynReceived);
        if called && after == TcpState::Established {
            self.count(TcpCount::Connected);
        }
        if before != TcpState::Closed && after == TcpState::Closed && end == ConnectionEnd::Reset {
            self.count(TcpCount::ResetsIn);
        }
        match answer {
            SegmentAnswer::None => {}
            SegmentAnswer::Reset => self.refuse(segment),
            SegmentAnswer::Beyond => self.count(TcpCount::BeyondWindow),
        }
        self.discard(id);
        self.connections[id].wake(self.pool.pressed());
        self.enqueue(id);
    }

    /// Throws away what arrives for a stream that is gone.
    fn discard(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let Some(linger) = &mut connection.linger else {
            return;
        };
        let discarded = connection.tcb.discard(&mut self.pool, self.now);
        linger.discard = linger.discard.saturating_sub(discarded);
        if linger.discard == 0 {
            connection.tcb.abort(&mut self.pool, ConnectionEnd::Aborted);
        }
    }

    /// A SYN for a listener: answered from a record.
    fn greet(&mut self, key: ConnectionKey, segment: &Segment<'_>) {
        if self.connections.len() >= self.config.max_connections {
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
            irs: segment.sequence,
            ours: self.numbers(&key),
            answered: Some(self.now),
            stamp: 0,
        };
        self.replies.push(Self::answer_to(&record, self.limits, self.now));
        let (place, _) = self.half_open.put(record, self.now);
        self.index.insert(key, IndexEntry::HalfOpen(place));
    }

    /// Answers a SYN without remembering it.
    fn answer_by_cookie(&mut self, key: &ConnectionKey, segment: &Segment<'_>) {
        let (iss, value) = self.cookie(key, segment.sequence, &segment.options);
        // Without a timestamp there is nowhere to write what the client offered.
        let mut options = segment.options;
        if value.is_none() {
            options = TcpOptions {
                mss: options.mss,
                ..TcpOptions::default()
            };
        }
        let ends = (segment.destination, segment.source);
        let answer = syn_ack(ends, (iss, segment.sequence), &options, value, self.limits);
        self.replies.push(answer);
        self.cookies = self.now.after(VALID);
        self.count(TcpCount::CookiesSent);
    }

    /// A segment of no connection: the end of a handshake that was answered by a cookie, or a stray.
    fn redeem(&mut self, key: ConnectionKey, segment: &Segment<'_>) {
        let listens = self.listeners.contains(&segment.destination);
        let Some((ours, handshake)) = self.handshake_of(&key, segment).filter(|_| listens) else {
            return self.refuse(segment);
        };
        self.count(TcpCount::CookiesAccepted);
        self.open(key, ours, &handshake, segment);
    }

    /// The SYN-ACK that answers a SYN.
    fn answer_to(record: &HalfOpen, limits: TcpLimits, now: Nanos) -> Header {
        let offered = &record.options;
        let value = offered.timestamps.map(|_| timestamp(now, record.ours.offset));
        let ends = (record.local, record.remote);
        syn_ack(ends, (record.ours.iss, record.irs), offered, value, limits)
    }

    /// A segment for a handshake that has begun.
    fn handshake(&mut self, place: usize, key: ConnectionKey, segment: &Segment<'_>) {
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
            record.answered = None;
            let header = Self::answer_to(record, self.limits, self.now);
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
            answered: record.answered,
        };
        self.open(key, record.ours, &handshake, segment);
    }

    /// A handshake is finished by `segment`.
    fn open(&mut self, key: ConnectionKey, ours: Numbers, handshake: &Handshake, segment: &Segment<'_>) {
        if self.connections.len() >= self.config.max_connections {
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
        let tcb = Tcb::accept(self.limits, start, handshake);
        let mut connection = Connection::new(key, local, remote, tcb);
        connection.accepted = true;
        let id = self.connections.insert(connection);
        self.index.insert(key, IndexEntry::Connection(id));
        self.deliver(id, segment);
        self.count(TcpCount::Accepted);
        self.accepted.push_back(id);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.wake();
        }
    }

    /// A segment for a connection in TIME-WAIT (RFC 9293 section 3.10.7.4).
    fn linger_on(&mut self, place: usize, key: ConnectionKey, segment: &Segment<'_>) {
        let Some(record) = self.time_wait.get_mut(place) else {
            return;
        };
        // RFC 1337: a reset does not end TIME-WAIT.
        if segment.has(RST) {
            return;
        }
        // RFC 6191, section 2: a later timestamp, or without any a later number, is of a new connection.
        let newer = match (record.recent, segment.options.timestamps) {
            (Some(recent), Some(theirs)) if theirs.value != recent => Seq(recent).before(Seq(theirs.value)),
            _ => record.acknowledged.at_most(segment.sequence),
        };
        if segment.is_syn() && newer && self.listeners.contains(&segment.destination) {
            self.time_wait.remove(place);
            self.index.remove(&key);
            return self.greet(key, segment);
        }
        // The FIN came again: our last acknowledgement was lost.
        if segment.length() > 0 {
            let (sequence, acknowledgement) = (record.next.0, record.acknowledged.0);
            let echo = record.recent;
            let offset = self.numbers(&key).offset;
            let timestamps = echo.map(|echo| Timestamps {
                value: timestamp(self.now, offset),
                echo,
            });
            let fields = Fields {
                sequence,
                acknowledgement,
                flags: ACK,
                window: u16::MAX,
            };
            self.replies.push(Header {
                ends: (segment.destination, segment.source),
                fields,
                options: OptionBytes::of_segment(timestamps, &SackBlocks::default()),
            });
        }
    }

    /// A segment that belongs to nothing (RFC 9293, section 3.10.7.1).
    fn refuse(&mut self, segment: &Segment<'_>) {
        if segment.has(RST) {
            return;
        }
        if !self.resets.take(self.now) {
            self.count(TcpCount::ResetsSuppressed);
            return;
        }
        self.count(TcpCount::ResetsOut);
        let fields = if segment.has(ACK) {
            Fields {
                sequence: segment.acknowledgement.0,
                flags: RST,
                ..Fields::default()
            }
        } else {
            Fields {
                acknowledgement: (segment.sequence + segment.length()).0,
                flags: RST | ACK,
                ..Fields::default()
            }
        };
        self.replies.push(Header {
            ends: (segment.destination, segment.source),
            fields,
            options: OptionBytes::NONE,
        });
    }
}

/// A SYN-ACK with our first number and the client's; `value` is our timestamp.
fn syn_ack(
    ends: (SocketAddr, SocketAddr),
    (iss, irs): (Seq, Seq),
    offered: &TcpOptions,
    value: Option<u32>,
    limits: TcpLimits,
) -> Header {
    let timestamps = value.zip(offered.timestamps).map(|(value, theirs)| Timestamps {
        value,
        echo: theirs.value,
    });
    let fields = Fields {
        sequence: iss.0,
        acknowledgement: (irs + 1).0,
        flags: SYN | ACK,
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
        options,
    }
}
