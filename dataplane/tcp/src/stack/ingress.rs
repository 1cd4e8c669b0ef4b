//! Packets in.

use super::{IndexEntry, Inner};
use crate::engine::{ConnectionEnd, SegmentAnswer, TcpState, timestamp};
use crate::key::ConnectionKey;
use crate::option::{OptionBytes, SackBlocks, Timestamps};
use crate::packets::Header;
use crate::segment::{ACK, ECE, Malformed, RST, SYN, Segment};
use crate::sequence::Seq;
use crate::too_big::TooBig;
use headgate_net::clock::Nanos;
use headgate_net::record::TcpCount;
use headgate_net::wire::tcp::Fields;
use headgate_net::wire::{Headers, ecn};

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
    pub(super) fn deliver(&mut self, id: usize, segment: &Segment<'_>) {
        let connection = &mut self.connections[id];
        let before = connection.tcb.state();
        let answer = connection.tcb.arrives(&mut self.pool, segment, self.now);
        let (after, end) = (connection.tcb.state(), connection.tcb.end);
        let called = !connection.accepted && matches!(before, TcpState::SynSent | TcpState::SynReceived);
        if called && after == TcpState::Established {
            self.count(TcpCount::Connected);
            if self.connections[id].tcb.uses_ecn() {
                self.count(TcpCount::EcnConnections);
            }
        }
        if before != TcpState::Closed && after == TcpState::Closed && end == ConnectionEnd::Reset {
            self.count(TcpCount::ResetsIn);
        }
        match answer {
            SegmentAnswer::None => {}
            SegmentAnswer::Reset => self.refuse(segment),
            SegmentAnswer::Beyond => self.count(TcpCount::BeyondWindow),
        }
        if segment.ecn == ecn::CE || segment.has(ECE) {
            self.count_marks(id, segment);
        }
        self.discard(id);
        let connection = &mut self.connections[id];
        connection.wake(self.pool.pressed());
        if connection.linger.is_some() || connection.tcb.wants_turn(self.now) {
            self.enqueue(id);
        } else {
            // Nothing is to be sent, and whoever writes will have it queued.
            connection.tcb.rests(self.now);
            self.arm(id);
        }
    }

    /// What came marked, and what came of marks.
    fn count_marks(&mut self, id: usize, segment: &Segment<'_>) {
        let tcb = &mut self.connections[id].tcb;
        let marked = segment.ecn == ecn::CE && !segment.data.is_empty() && tcb.uses_ecn();
        let yielded = tcb.sender.has_yielded();
        if marked {
            self.count(TcpCount::Marks);
        }
        if yielded {
            self.count(TcpCount::MarkReductions);
        }
    }

    /// Throws away what arrives for a stream that is gone. A peer that still sends has not read yet what was sent to it, perhaps:
    /// by time, not by size, it is listened to, as nginx does it.
    fn discard(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let Some(linger) = &mut connection.linger else {
            return;
        };
        if connection.tcb.discard(&mut self.pool, self.now) > 0 {
            let longer = self.now.after(self.config.linger).min(linger.last);
            linger.until = linger.until.max(longer);
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
            let record = self.time_wait.remove(place);
            self.give_port_back(record.and_then(|record| record.opened));
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
                ecn: ecn::NOT_ECT,
                options: OptionBytes::of_segment(timestamps, &SackBlocks::default()),
            });
        }
    }

    /// A segment that belongs to nothing (RFC 9293, section 3.10.7.1).
    pub(super) fn refuse(&mut self, segment: &Segment<'_>) {
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
            ecn: ecn::NOT_ECT,
            options: OptionBytes::NONE,
        });
    }
}
