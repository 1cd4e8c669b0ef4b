//! Packets in.

use std::net::SocketAddr;

use smoltcp::socket::tcp::State;

use super::{IndexEntry, Inner};
use crate::connection::{Connection, ConnectionEnd};
use crate::handshake::HalfOpen;
use crate::key::ConnectionKey;
use crate::packets::{Nowhere, Small, acknowledgement};
use crate::recovery::{Heard, Recovery, RecoveryAction};
use crate::segment::{ACK, Malformed, RST, SYN, Segment};
use crate::socket::Stateless;
use crate::too_big::TooBig;
use headgate_net::clock::Nanos;
use headgate_net::record::TcpCount;
use headgate_net::wire::Headers;

impl Inner {
    pub(crate) fn ingress(&mut self, frame: &[u8], headers: &Headers, now: Nanos) {
        self.now = now;
        if TooBig::is_icmp(headers) {
            self.config.record.events.count(TcpCount::Icmp);
            if let Some(told) = TooBig::of(frame, headers) {
                self.narrow(&told);
            }
            return;
        }
        let segment = match Segment::of(frame, headers) {
            Ok(segment) => segment,
            Err(malformed) => return self.count_malformed(malformed),
        };
        self.config.record.events.count(TcpCount::SegmentsIn);
        let key = ConnectionKey::new(segment.destination, segment.source);
        match self.index.get(&key) {
            Some(IndexEntry::Connection(id)) => self.deliver(*id, &segment),
            Some(IndexEntry::HalfOpen(place)) => self.handshake(*place, key, &segment),
            Some(IndexEntry::TimeWait(place)) => self.linger_on(*place, key, &segment),
            None if is_syn(&segment) && self.listeners.contains(&segment.destination) => {
                self.greet(key, &segment, None);
            }
            None => self.refuse(&segment),
        }
    }

    /// A router cannot pass on a segment of ours. It is believed if the segment is under way, which nobody who does not
    /// see our packets can know (RFC 5927, section 7.2); the connection sends smaller ones from then on.
    fn narrow(&mut self, told: &TooBig) {
        let Some(IndexEntry::Connection(id)) = self.index.get(&ConnectionKey::new(told.local, told.remote))
        else {
            return;
        };
        let id = *id;
        let connection = &mut self.connections[id];
        let Some(recovery) = &mut connection.recovery else {
            return;
        };
        if told.mtu >= connection.mtu.unwrap_or(self.config.mtu) || !recovery.is_under_way(told.sequence) {
            return;
        }
        connection.mtu = Some(told.mtu);
        self.config.record.events.count(TcpCount::Narrowed);
        recovery.narrowed(self.now);
        connection.retransmit(&mut self.interface, self.now);
        self.enqueue(id);
    }

    fn count_malformed(&mut self, malformed: Malformed) {
        match malformed {
            Malformed::Header => self.config.record.events.count(TcpCount::BadHeader),
            Malformed::Checksum => self.config.record.events.count(TcpCount::BadChecksum),
            Malformed::Address => self.config.record.events.count(TcpCount::BadAddress),
        }
    }

    /// A segment for a connection.
    fn deliver(&mut self, id: usize, segment: &Segment<'_>) {
        let connection = &mut self.connections[id];
        let Some(socket) = &mut connection.socket else {
            return;
        };
        if !connection.numbers.fits(segment, self.config.buffer) {
            self.config.record.events.count(TcpCount::BeyondWindow);
            return;
        }
        let before = socket.tcp().state();
        // No simultaneous open (RFC 9293 3.5): smoltcp would make a connection of it that lacks our initial sequence
        // numbers and recovery, and a pod that is connected to does not connect back.
        if before == State::SynSent && is_syn(segment) {
            return;
        }
        if segment.has(RST) && !self.accepts_reset(id, segment) {
            return;
        }
        let connection = &mut self.connections[id];
        let Some(socket) = &mut connection.socket else {
            return;
        };
        self.replies.last = None;
        self.replies.next = connection.numbers.next;
        socket.ingress(&mut self.interface, segment.packet, self.now, &mut self.replies);
        let after = socket.tcp().state();
        connection.heard = self.now;
        connection.urgent |= segment.length() > 0;
        if let Some(sent) = self.replies.last.filter(|sent| sent.flags & RST == 0) {
            connection.numbers.sent(sent);
        }
        if before == State::SynSent && after == State::Established {
            connection.numbers.irs = Some(segment.sequence);
            connection.recovery = connection
                .numbers
                .next
                .map(|next| Recovery::new(self.config.mss(segment), next));
            self.config.record.events.count(TcpCount::Connected);
        }
        if after == State::Closed && segment.has(RST) {
            connection.end = ConnectionEnd::Reset;
            self.config.record.events.count(TcpCount::ResetsIn);
        }
        self.recover(id, segment);
        self.discard(id);
        self.enqueue(id);
    }

    /// Whether a reset is the very next in order. smoltcp takes any within the window, which an attacker
    /// guesses in some thousands of packets. RFC 5961 section 3.2 answers all others by an acknowledgement; a peer that
    /// has really gone then sends a reset with the right number.
    fn accepts_reset(&mut self, id: usize, segment: &Segment<'_>) -> bool {
        let connection = &mut self.connections[id];
        // Before the peer's SYN, smoltcp asks for the acknowledgement of ours.
        let Some(expected) = connection.expected() else {
            return true;
        };
        let ahead = segment.sequence.wrapping_sub(expected);
        if ahead > 0 && usize::try_from(ahead).is_ok_and(|ahead| ahead < self.config.buffer) {
            self.replies.next = connection.numbers.next;
            connection.challenge(&mut self.interface, self.now, &mut self.replies);
        }
        ahead == 0
    }

    /// Lets congestion control see what the peer acknowledges.
    fn recover(&mut self, id: usize, segment: &Segment<'_>) {
        let connection = &mut self.connections[id];
        let (Some(socket), Some(recovery)) = (&mut connection.socket, &mut connection.recovery) else {
            return;
        };
        let heard = Heard {
            unacknowledged: recovery.unacknowledged(socket.tcp().send_queue()),
            bare: segment.flags == ACK && segment.payload == 0,
            acknowledgement: segment.acknowledgement,
            window: segment.window,
        };
        match recovery.heard(heard, self.now) {
            RecoveryAction::None => {}
            RecoveryAction::Retransmits => connection.urgent = true,
            RecoveryAction::Retransmit => connection.retransmit(&mut self.interface, self.now),
        }
    }

    /// Throws away what arrives for a stream that is gone.
    fn discard(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let (Some(socket), Some(linger)) = (&mut connection.socket, &mut connection.linger) else {
            return;
        };
        let discarded = socket.discard();
        connection.numbers.read = connection.numbers.read.wrapping_add(discarded as u32);
        linger.discard = linger.discard.saturating_sub(discarded);
        if linger.discard == 0 && socket.tcp().is_open() {
            connection.end = ConnectionEnd::Aborted;
            socket.tcp().abort();
        }
    }

    /// A SYN for a listener: answered from a record. `replaces` is the place of an older record with the same key.
    fn greet(&mut self, key: ConnectionKey, segment: &Segment<'_>, replaces: Option<usize>) {
        if let Some(place) = replaces {
            self.half_open.remove(place);
            self.index.remove(&key);
        }
        if self.connections.len() >= self.config.max_connections {
            self.config.record.events.count(TcpCount::RefusedFull);
            return;
        }
        let Some(syn) = Small::copy(segment.packet) else {
            self.config.record.events.count(TcpCount::BadHeader);
            return;
        };
        let seed = self.seeds.next();
        let Some(iss) = self.answer_syn(segment.destination, &syn, seed) else {
            self.config.record.events.count(TcpCount::BadHeader);
            return;
        };
        self.config.record.events.count(TcpCount::Syns);
        let tuple = (key, segment.destination, segment.source);
        let record = HalfOpen::new(tuple, syn, seed, (segment.sequence, iss));
        let (place, evicted) = self.half_open.put(record, self.now);
        if let Some(evicted) = evicted {
            self.index.remove(&evicted.key);
            self.config.record.events.count(TcpCount::HalfOpenEvicted);
        }
        self.index.insert(key, IndexEntry::HalfOpen(place));
    }

    /// Sends the SYN-ACK that follows from a SYN and a seed; returns its sequence number.
    fn answer_syn(&mut self, local: SocketAddr, syn: &Small, seed: u64) -> Option<u32> {
        let mut interface = Stateless::new(self.config.mtu, seed);
        self.greeter.prepare(&self.config);
        self.greeter.listen(local);
        self.greeter
            .ingress(&mut interface, syn.bytes(), self.now, &mut Nowhere);
        self.replies.last = None;
        self.replies.next = None;
        self.greeter.egress(&mut interface, self.now, &mut self.replies);
        self.replies.last.map(|sent| sent.sequence)
    }

    /// A segment for a handshake that has begun.
    fn handshake(&mut self, place: usize, key: ConnectionKey, segment: &Segment<'_>) {
        let Some(record) = self.half_open.get(place) else {
            return;
        };
        if segment.has(RST) {
            // RFC 5961 section 3.2: only one that is exactly in order.
            if segment.sequence == record.irs.wrapping_add(1) {
                self.half_open.remove(place);
                self.index.remove(&key);
            }
        } else if is_syn(segment) {
            if segment.sequence == record.irs {
                let (local, syn, seed) = (record.local, record.syn, record.seed);
                self.answer_syn(local, &syn, seed);
            } else {
                self.greet(key, segment, Some(place));
            }
        } else if segment.has(ACK) && !segment.has(SYN) {
            if segment.acknowledgement == record.iss.wrapping_add(1) {
                self.promote(place, key, segment);
            } else {
                self.refuse(segment);
            }
        }
    }

    /// The client has shown that it got our SYN-ACK: from here on it costs buffers.
    fn promote(&mut self, place: usize, key: ConnectionKey, segment: &Segment<'_>) {
        let Some(record) = self.half_open.remove(place) else {
            return;
        };
        if self.connections.len() >= self.config.max_connections {
            self.index.remove(&key);
            self.config.record.events.count(TcpCount::RefusedFull);
            return self.refuse(segment);
        }
        let mut socket = self.take_socket();
        socket.listen(record.local);
        let mut interface = Stateless::new(self.config.mtu, record.seed);
        socket.ingress(&mut interface, record.syn.bytes(), self.now, &mut Nowhere);
        socket.egress(&mut interface, self.now, &mut Nowhere);
        let mut connection = Connection::new(key, record.local, record.remote, socket);
        connection.numbers.irs = Some(record.irs);
        connection.numbers.next = Some(record.iss.wrapping_add(1));
        connection.numbers.acknowledged = record.irs.wrapping_add(1);
        let mss = self.config.mss(segment);
        connection.recovery = Some(Recovery::new(mss, record.iss.wrapping_add(1)));
        let id = self.connections.insert(connection);
        self.index.insert(key, IndexEntry::Connection(id));
        self.deliver(id, segment);
        self.config.record.events.count(TcpCount::Accepted);
        self.accepted.push_back(id);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.wake();
        }
    }

    /// A segment for a connection in TIME-WAIT (RFC 9293 section 3.10.7.4).
    fn linger_on(&mut self, place: usize, key: ConnectionKey, segment: &Segment<'_>) {
        let Some(record) = self.time_wait.get(place) else {
            return;
        };
        // RFC 1337: a reset does not end TIME-WAIT.
        if segment.has(RST) {
            return;
        }
        let newer = segment.sequence.wrapping_sub(record.acknowledged) < 1 << 31;
        if is_syn(segment) && newer && self.listeners.contains(&segment.destination) {
            self.time_wait.remove(place);
            self.index.remove(&key);
            return self.greet(key, segment, None);
        }
        // The FIN came again: our last acknowledgement was lost.
        if segment.length() > 0 {
            let packet = acknowledgement(segment, record.next, record.acknowledged);
            self.replies.push(packet);
        }
    }

    /// A segment that belongs to nothing.
    fn refuse(&mut self, segment: &Segment<'_>) {
        if segment.has(RST) {
            return;
        }
        if self.resets.take(self.now) {
            self.config.record.events.count(TcpCount::ResetsOut);
            self.replies.next = None;
            self.interface.refuse(segment.packet, self.now, &mut self.replies);
        } else {
            self.config.record.events.count(TcpCount::ResetsSuppressed);
        }
    }
}

fn is_syn(segment: &Segment<'_>) -> bool {
    segment.has(SYN) && !segment.has(ACK) && !segment.has(RST)
}
