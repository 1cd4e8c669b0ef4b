//! A segment arrives: RFC 9293, section 3.10.7, with the defences of RFC 5961 and the timestamps of RFC 7323.

use std::time::Duration;

use headgate_net::clock::Nanos;

use super::heard::{Heard, TICK};
use super::receiver::Accepted;
use super::{ConnectionEnd, Tcb, TcpState, timestamp};
use crate::pool::BlockPool;
use crate::segment::{ACK, ECE, FIN, RST, SYN, Segment};
use crate::sequence::Seq;

/// Acknowledgements of what is not acceptable, for one connection: each could answer one of the peer's that answers ours
/// (RFC 5961, section 7; as often as Linux).
const CHALLENGES: Duration = Duration::from_millis(500);
/// After so long a silence the peer's timestamps may have wrapped (RFC 7323, section 5.5).
const OUTDATED: Duration = Duration::from_secs(24 * 86_400);

/// What the stack has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentAnswer {
    /// Nothing that the connection does not do itself.
    None,
    /// The segment belongs to no connection of ours: a reset, by its own numbers.
    Reset,
    /// Data beyond the window was left.
    Beyond,
}

impl Tcb {
    /// Takes a segment in.
    pub(crate) fn arrives(
        &mut self,
        pool: &mut BlockPool,
        segment: &Segment<'_>,
        now: Nanos,
    ) -> SegmentAnswer {
        match self.state {
            TcpState::Closed => return SegmentAnswer::None,
            TcpState::SynSent => return self.arrives_in_syn_sent(pool, segment, now),
            _ => {}
        }
        if self.is_old(segment, now) || !self.is_acceptable(segment) {
            return self.not_acceptable(pool, segment, now);
        }
        if segment.has(RST) {
            return self.arrives_reset(pool, segment, now);
        }
        // RFC 5961, section 4.2: a client that lost its state learns so, and resets this connection.
        if segment.has(SYN) && self.state != TcpState::SynReceived {
            self.challenge(now);
            return SegmentAnswer::None;
        }
        if !segment.has(ACK) {
            return SegmentAnswer::None;
        }
        self.heard = now;
        if !self.arrives_acknowledgement(pool, segment, now) {
            return SegmentAnswer::None;
        }
        let answer = self.arrives_data(pool, segment, now);
        if segment.has(FIN) {
            self.arrives_fin(segment.sequence + segment.length() - 1, now);
        } else if self.receiver.fin_is_next() {
            self.arrives_fin(self.receiver.next, now);
        }
        answer
    }

    /// PAWS (RFC 7323, section 5.3, R1).
    fn is_old(&self, segment: &Segment<'_>, now: Nanos) -> bool {
        let (Some(clock), Some(timestamps)) = (&self.clock, segment.options.timestamps) else {
            return false;
        };
        let older = Seq(timestamps.value).before(Seq(clock.recent));
        older && now.since(clock.at) < OUTDATED && !segment.has(RST)
    }

    /// Takes the timestamp of a segment whose numbers are acceptable (R3), both of them: whoever only guesses must not make
    /// what the peer sends look old.
    fn take_timestamp(&mut self, segment: &Segment<'_>, now: Nanos) {
        if let (Some(clock), Some(timestamps)) = (&mut self.clock, segment.options.timestamps)
            && segment.sequence.at_most(self.acknowledged)
        {
            clock.recent = timestamps.value;
            clock.at = now;
        }
    }

    fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        let end = segment.sequence + segment.length();
        self.receiver.acceptable(segment.sequence, end)
    }

    fn not_acceptable(&mut self, pool: &mut BlockPool, segment: &Segment<'_>, now: Nanos) -> SegmentAnswer {
        if segment.has(RST) {
            // What answers a segment of ours from before the peer's FIN, and so has the FIN's own number.
            let closing = matches!(
                self.state,
                TcpState::CloseWait | TcpState::LastAck | TcpState::Closing
            );
            if closing && segment.sequence == self.receiver.next - 1 {
                self.finish(pool, ConnectionEnd::Reset);
            }
            return SegmentAnswer::None;
        }
        // What the peer sends again it has not seen acknowledged; one that only probes is answered as often as it may.
        if segment.data.is_empty() && !segment.has(FIN) {
            self.challenge(now);
        } else {
            self.acknowledgement.due = Some(now);
        }
        self.heard = now;
        let end = segment.sequence + segment.length();
        if self.receiver.next.before(end) && !segment.data.is_empty() {
            return SegmentAnswer::Beyond;
        }
        if end.at_most(self.receiver.next) {
            self.receiver
                .note_duplicate(segment.sequence, segment.sequence + segment.data.len() as u32);
        }
        SegmentAnswer::None
    }

    /// Asks the peer whether it means it, not too often.
    fn challenge(&mut self, now: Nanos) {
        if self.challenged.is_none_or(|at| now.since(at) >= CHALLENGES) {
            self.challenged = Some(now);
            self.acknowledgement.due = Some(now);
        }
    }

    /// RFC 5961, section 3.2: only one that is exactly the next in order; and none in TIME-WAIT (RFC 1337).
    fn arrives_reset(&mut self, pool: &mut BlockPool, segment: &Segment<'_>, now: Nanos) -> SegmentAnswer {
        if self.state == TcpState::TimeWait {
            return SegmentAnswer::None;
        }
        if segment.sequence == self.receiver.next {
            self.finish(pool, ConnectionEnd::Reset);
        } else {
            self.challenge(now);
        }
        SegmentAnswer::None
    }

    /// RFC 9293, section 3.10.7.3.
    fn arrives_in_syn_sent(
        &mut self,
        pool: &mut BlockPool,
        segment: &Segment<'_>,
        now: Nanos,
    ) -> SegmentAnswer {
        let ours = self.sender.una.before(segment.acknowledgement)
            && segment.acknowledgement.at_most(self.sender.next);
        if segment.has(ACK) && !ours {
            return if segment.has(RST) {
                SegmentAnswer::None
            } else {
                SegmentAnswer::Reset
            };
        }
        if segment.has(RST) {
            if segment.has(ACK) {
                self.finish(pool, ConnectionEnd::Reset);
            }
            return SegmentAnswer::None;
        }
        if !segment.has(SYN) {
            return SegmentAnswer::None;
        }
        self.heard = now;
        self.agree(segment.sequence, &segment.options, now);
        self.acknowledged = self.receiver.next;
        let sends = self.ecn.answered(segment);
        self.sender.update_window(
            segment.sequence,
            segment.acknowledgement,
            u32::from(segment.window),
            true,
        );
        if segment.has(ACK) {
            self.acknowledge(pool, segment, true, now);
            self.establish();
            self.sender.yielding.on = sends;
            self.acknowledgement.due = Some(now);
        } else {
            // Both called at once (section 3.5, figure 7): our SYN goes again, with an acknowledgement.
            self.state = TcpState::SynReceived;
            self.sender.board.lose_first();
        }
        SegmentAnswer::None
    }

    /// Section 3.10.7.4, fifth. Whether the segment is looked at further.
    fn arrives_acknowledgement(&mut self, pool: &mut BlockPool, segment: &Segment<'_>, now: Nanos) -> bool {
        let ack = segment.acknowledgement;
        let oldest = self.sender.una - self.sender.greatest_window();
        if self.sender.next.before(ack) || ack.before(oldest) {
            // RFC 5961, section 5.2.
            self.challenge(now);
            return false;
        }
        let window = u32::from(segment.window) << self.sender.scale;
        let first = self.state == TcpState::SynReceived;
        if first {
            if ack.at_most(self.sender.iss) {
                return false;
            }
            self.state = TcpState::Established;
        }
        self.take_timestamp(segment, now);
        if self.sender.una.at_most(ack) {
            let changed = self.sender.update_window(segment.sequence, ack, window, first);
            let bare = segment.data.is_empty() && segment.flags & (SYN | FIN) == 0 && !changed;
            self.acknowledge(pool, segment, bare, now);
            if first {
                self.establish();
            }
        }
        if self.sender.fin_acknowledged() {
            self.fin_acknowledged(pool);
        }
        self.state != TcpState::Closed
    }

    fn acknowledge(&mut self, pool: &mut BlockPool, segment: &Segment<'_>, bare: bool, now: Nanos) {
        let echo = self.clock.and(segment.options.timestamps).map(|timestamps| {
            let age = timestamp(now, self.offset).wrapping_sub(timestamps.echo);
            let tick = now.0 - now.0 % TICK.as_nanos() as u64;
            Nanos(tick.saturating_sub(u64::from(age) * TICK.as_nanos() as u64))
        });
        let heard = Heard {
            ack: segment.acknowledgement,
            blocks: &segment.options.sacks,
            echo,
            bare,
            marked: segment.flags & ECE != 0 && self.sender.yielding.on,
            sack: self.sack,
            now,
        };
        self.sender.heard(pool, &heard);
    }

    fn fin_acknowledged(&mut self, pool: &mut BlockPool) {
        match self.state {
            TcpState::FinWait1 => self.state = TcpState::FinWait2,
            TcpState::Closing => self.state = TcpState::TimeWait,
            TcpState::LastAck => self.finish(pool, ConnectionEnd::Closed),
            _ => {}
        }
    }

    /// Section 3.10.7.4, seventh.
    fn arrives_data(&mut self, pool: &mut BlockPool, segment: &Segment<'_>, now: Nanos) -> SegmentAnswer {
        let length = segment.data.len() as u32;
        if length == 0
            || !matches!(
                self.state,
                TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2
            )
        {
            // What comes after the peer's FIN was sent before it: our acknowledgement was lost.
            if length > 0 {
                self.acknowledgement.due = Some(now);
            }
            return SegmentAnswer::None;
        }
        let acknowledgement = &mut self.acknowledgement;
        acknowledgement.full = acknowledgement.full.max(length);
        let start = segment.sequence + u32::from(segment.has(SYN));
        let accepted = self.receiver.accept(pool, start, segment.data);
        let later = now.after(self.limits.ack_delay);
        let due = match accepted {
            Accepted::InOrder(false) => {
                acknowledgement.pending += length;
                // RFC 9293, section 3.8.6.3: at least every second full segment.
                if acknowledgement.pending >= 2 * acknowledgement.full {
                    now
                } else {
                    later
                }
            }
            // RFC 5681, section 4.2: at once while there are holes, and when they are filled.
            _ => now,
        };
        // RFC 3168, section 6.1.5: what routers say of data that is not new is left.
        let soon = accepted != Accepted::Duplicate && self.ecn.hears(segment);
        let due = if soon { now } else { due };
        acknowledgement.due = Some(acknowledgement.due.map_or(due, |known| known.min(due)));
        if accepted == Accepted::Refused {
            SegmentAnswer::Beyond
        } else {
            SegmentAnswer::None
        }
    }

    /// Section 3.10.7.4, eighth.
    fn arrives_fin(&mut self, number: Seq, now: Nanos) {
        self.acknowledgement.due = Some(now);
        if !matches!(
            self.state,
            TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2
        ) || !self.receiver.accept_fin(number)
        {
            return;
        }
        self.state = match self.state {
            TcpState::Established => TcpState::CloseWait,
            TcpState::FinWait1 => TcpState::Closing,
            _ => TcpState::TimeWait,
        };
    }
}
