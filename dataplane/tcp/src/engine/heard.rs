//! What an acknowledgement says about what was sent, and what follows from it.

use std::time::Duration;

use headgate_net::clock::Nanos;

use super::cubic::Growth;
use super::recovery::{Phase, Reduction, Undo};
use super::scoreboard::{Arrival, Delivery};
use super::sender::{Piece, Sender};
use crate::option::SackBlocks;
use crate::pool::BlockPool;
use crate::sequence::Seq;

/// Duplicate acknowledgements that mean a loss (RFC 5681, section 3.2), and segments behind a hole (RFC 8985, 6.2).
const DUPLICATES: u32 = 3;
/// Recoveries for which a wider reordering window is kept (RFC 8985, section 6.2, step 4).
const PERSISTENCE: u8 = 16;
/// The unit of our timestamps (RFC 7323, section 5.4).
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// What a segment of the peer says about what we sent.
#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) ack: Seq,
    pub(crate) blocks: &'a SackBlocks,
    /// The [`TICK`] in which what it acknowledges was sent, by its timestamp.
    pub(crate) echo: Option<Nanos>,
    /// Whether it did nothing but acknowledge, with the window as it was.
    pub(crate) bare: bool,
    /// Whether it tells of a mark (RFC 3168, section 6.1.2).
    pub(crate) marked: bool,
    /// Whether the peer tells what it has.
    pub(crate) sack: bool,
    pub(crate) now: Nanos,
}

impl Sender {
    /// Takes in an acknowledgement that lies between what is and what may be acknowledged.
    pub(crate) fn heard(&mut self, pool: &mut BlockPool, heard: &Heard<'_>) {
        let duplicate = self.duplicate_of(heard);
        let arrival = Arrival {
            now: heard.now,
            least: self.rtt.least(),
            premature: |sent: Nanos| heard.echo.is_some_and(|echo| echo.after(TICK) <= sent),
        };
        let delivery = self.board.acknowledge(heard.ack, heard.blocks, &arrival);
        let progress = heard.ack.ahead(self.una);
        if progress > 0 {
            self.recovery.backoff = 0;
            self.recovery.stalled = None;
            self.since = heard.now;
            self.forget(pool, heard.ack);
            if self.recovery.shrunk.is_some() {
                self.try_full(heard.now);
            }
        }
        self.measure(&delivery, heard, progress);
        if duplicate {
            self.came_twice();
        }
        let lost = self.detect(&delivery, heard, progress);
        self.end_probe(heard, progress, duplicate);
        self.yielding.acknowledged(heard.ack, heard.marked);
        self.react(&delivery, heard, (lost, progress));
    }

    /// Whether the first block tells of something that came twice (RFC 2883, section 4).
    fn duplicate_of(&self, heard: &Heard<'_>) -> bool {
        let mut blocks = heard.blocks.iter();
        let Some((start, end)) = blocks.next() else {
            return false;
        };
        let within = |outer: (Seq, Seq)| outer.0.at_most(start) && end.at_most(outer.1);
        start.before(end) && (end.at_most(heard.ack) || blocks.next().is_some_and(within))
    }

    fn measure(&mut self, delivery: &Delivery, heard: &Heard<'_>, progress: u32) {
        if let Some(sample) = delivery.oldest {
            self.rtt.sample(sample, heard.now);
        } else if let Some(echo) = heard.echo.filter(|_| progress > 0) {
            self.rtt.sample(heard.now.since(echo), heard.now);
        }
    }

    /// The peer had a segment twice: reordering was taken for loss, and the window for it widens once a round trip.
    fn came_twice(&mut self) {
        if let Some(undo) = &mut self.recovery.undo {
            undo.again = undo.again.saturating_sub(1);
        }
        if self.recovery.widened.is_none_or(|round| round.at_most(self.una)) {
            self.recovery.widened = Some(self.next);
            self.recovery.steps = (self.recovery.steps + 1).min(255);
            self.recovery.persistence = PERSISTENCE;
        }
    }

    /// RFC 8985, section 6.2, step 4.
    pub(super) fn reordering_window(&self) -> Duration {
        let recovering = self.recovery.phase != Phase::Open;
        if !self.board.reordered() && (recovering || self.board.sacked_records() >= DUPLICATES) {
            return Duration::ZERO;
        }
        let least = self.rtt.least().unwrap_or_default();
        let window = least * (self.recovery.steps + 1) / 4;
        window.min(self.rtt.smoothed().unwrap_or_default())
    }

    /// Gives up what must be lost; how many bytes.
    fn detect(&mut self, delivery: &Delivery, heard: &Heard<'_>, progress: u32) -> u32 {
        if heard.sack {
            if self.board.len() == 0 {
                self.recovery.reordering = None;
                return 0;
            }
            let (lost, again) = self.board.detect(heard.now, self.reordering_window());
            self.recovery.reordering = again;
            return lost;
        }
        self.recovery.duplicates = match (progress, heard.bare && delivery.bytes() == 0) {
            (0, true) if self.outstanding() => self.recovery.duplicates + 1,
            (0, _) => self.recovery.duplicates,
            _ => 0,
        };
        // NewReno (RFC 6582): the third duplicate, and each acknowledgement of a part.
        let partial =
            self.recovery.phase == Phase::Recovery && progress > 0 && heard.ack.before(self.recovery.point);
        if partial || (self.recovery.phase == Phase::Open && self.recovery.duplicates == DUPLICATES) {
            return self.board.lose_first();
        }
        0
    }

    /// RFC 8985, section 7.4: a probe that was something sent before, and was not there twice, has repaired a loss.
    fn end_probe(&mut self, heard: &Heard<'_>, progress: u32, duplicate: bool) {
        let Some((end, again)) = self.recovery.tail.filter(|(end, _)| end.at_most(heard.ack)) else {
            return;
        };
        self.recovery.tail = None;
        if again && !duplicate && progress > 0 && self.recovery.phase == Phase::Open {
            self.recovery.undo = None;
            self.recovery.point = end;
            if !self.yielding.knows(end) {
                self.cubic.reduce();
                self.cubic.set_window(self.cubic.threshold());
                self.note_reduction();
            }
        }
    }

    fn react(&mut self, delivery: &Delivery, heard: &Heard<'_>, (lost, progress): (u32, u32)) {
        if heard.marked {
            self.keep_reduced();
        }
        if self.recovery.phase != Phase::Open && self.was_spurious(delivery, heard, progress) {
            self.undo();
        }
        match self.recovery.phase {
            Phase::Open => {}
            _ if self.recovery.point.at_most(heard.ack) => self.end_recovery(),
            Phase::Recovery => self.reduce(delivery.bytes(), progress > 0 && lost == 0),
            Phase::Loss => self.doubt(delivery, progress),
        }
        if self.recovery.phase == Phase::Open {
            if self.recovery.undo.as_ref().is_some_and(|undo| undo.again == 0) {
                self.undo();
            }
            if self.board.lost() > 0 {
                self.recover(delivery);
                if heard.marked {
                    self.keep_reduced();
                }
                return;
            }
            if heard.marked {
                self.yield_to_mark(heard.now);
            }
        }
        if self.recovery.phase != Phase::Recovery && !heard.marked {
            self.grow(delivery, heard);
        }
    }

    fn grow(&mut self, delivery: &Delivery, heard: &Heard<'_>) {
        if delivery.bytes() == 0 || !self.load.allows_growth(&self.cubic) {
            return;
        }
        let growth = Growth {
            bytes: delivery.bytes(),
            una: heard.ack,
            next: self.next,
            sample: delivery.youngest,
            smoothed: self.rtt.smoothed().unwrap_or_default(),
        };
        self.cubic.grow(&growth, heard.now);
    }

    /// Whether what was sent again arrived before it was: by the timestamp (RFC 3522), or because the peer had everything
    /// twice (RFC 3708), or because something arrived that was not sent again (RFC 5682).
    fn was_spurious(&self, delivery: &Delivery, heard: &Heard<'_>, progress: u32) -> bool {
        let Some(undo) = &self.recovery.undo else {
            return false;
        };
        let early = |first: Nanos| heard.echo.is_some_and(|echo| echo.after(TICK) <= first);
        let original = delivery
            .original
            .is_some_and(|end| end.at_most(self.recovery.point));
        (progress > 0 && undo.first.is_some_and(early))
            || (undo.first.is_some() && undo.again == 0)
            || (self.recovery.doubtful && original)
    }

    /// What was done for a loss has to be done for a mark too: that nothing was lost puts nothing back.
    fn keep_reduced(&mut self) {
        if let Some(undo) = &mut self.recovery.undo {
            undo.cubic = None;
        }
    }

    /// Puts back what a reduction took.
    fn undo(&mut self) {
        let Some(undo) = self.recovery.undo.take() else {
            return;
        };
        if let Some(cubic) = undo.cubic {
            let window = self.cubic.window().max(cubic.window());
            self.cubic = cubic;
            self.cubic.set_window(window);
            // The peer must not be told of what was put back: it would take it for the answer to a mark that comes now.
            self.yielding.tells &= undo.yielding.tells;
            self.yielding.until = undo.yielding.until;
        } else if self.recovery.phase == Phase::Recovery {
            self.cubic.set_window(self.cubic.threshold());
        }
        if self.recovery.phase != Phase::Open {
            self.board.find_all();
            self.recovery.phase = Phase::Open;
        }
        self.recovery.doubtful = false;
        self.recovery.new_first = 0;
    }

    fn end_recovery(&mut self) {
        if self.recovery.phase == Phase::Recovery {
            self.cubic.set_window(self.cubic.threshold());
        }
        self.recovery.phase = Phase::Open;
        self.recovery.doubtful = false;
        self.recovery.new_first = 0;
        self.recovery.duplicates = 0;
        if self.recovery.steps > 0 {
            self.recovery.persistence -= 1;
            if self.recovery.persistence == 0 {
                self.recovery.steps = 0;
            }
        }
    }

    /// Something is lost for the first time.
    pub(super) fn recover(&mut self, delivery: &Delivery) {
        self.save();
        // Of one round trip are a mark and a loss, one of the other, or that another was there before (RFC 3168, section 6.1.2).
        if !self.board.last_lost().is_some_and(|end| self.yielding.knows(end)) {
            self.cubic.reduce();
            self.note_reduction();
        }
        self.recovery.phase = Phase::Recovery;
        self.recovery.point = self.next;
        let sacked = self.board.sacked().saturating_sub(delivery.sacked);
        self.recovery.prr = Reduction {
            delivered: 0,
            out: 0,
            flight: (self.next.ahead(self.una) + delivery.acked)
                .saturating_sub(sacked)
                .max(1),
        };
        self.reduce(delivery.bytes(), false);
    }

    pub(super) fn save(&mut self) {
        self.recovery.undo = Some(Box::new(Undo {
            cubic: Some(self.cubic),
            yielding: self.yielding,
            first: None,
            again: 0,
        }));
    }

    /// Proportional rate reduction (RFC 6937, section 3): what may be sent for what was delivered. `safe` says that the
    /// acknowledgement made progress and told of no further loss.
    pub(super) fn reduce(&mut self, delivered: u32, safe: bool) {
        let (threshold, flying) = (self.cubic.threshold(), self.board.flying());
        let prr = &mut self.recovery.prr;
        prr.delivered = prr.delivered.saturating_add(delivered);
        let mut quota = if flying > threshold {
            let share = u64::from(prr.delivered) * u64::from(threshold);
            let share = share.div_ceil(u64::from(prr.flight));
            u32::try_from(share).unwrap_or(u32::MAX).saturating_sub(prr.out)
        } else {
            let bound = prr.delivered.saturating_sub(prr.out).max(delivered);
            let bound = bound + if safe { self.mss } else { 0 };
            bound.min(threshold.saturating_sub(flying))
        };
        if prr.out == 0 {
            quota = quota.max(self.mss);
        }
        self.cubic.set_window(flying.saturating_add(quota));
    }

    /// After a timeout: F-RTO (RFC 5682, section 3.1). The first acknowledgement that makes progress is answered by
    /// something new, if there is; what comes back tells whether the timeout was spurious.
    fn doubt(&mut self, delivery: &Delivery, progress: u32) {
        if !self.recovery.doubtful {
            return;
        }
        if progress > 0 && self.recovery.new_first == 0 && self.unsent() > 0 && delivery.sacked == 0 {
            self.recovery.new_first = 2;
        } else {
            self.recovery.doubtful = false;
            self.recovery.new_first = 0;
        }
    }

    /// Takes note of a piece that was handed out.
    pub(super) fn note_sent(&mut self, piece: &Piece, length: u32, now: Nanos) {
        let recovery = &mut self.recovery;
        recovery.persisted = false;
        if std::mem::take(&mut recovery.probe) {
            recovery.tail = Some((self.next, piece.again.is_some()));
        }
        if recovery.phase == Phase::Recovery {
            recovery.prr.out = recovery.prr.out.saturating_add(length);
        }
        if piece.again.is_none() {
            recovery.new_first = recovery.new_first.saturating_sub(1);
        } else if let Some(undo) = &mut recovery.undo {
            undo.again += 1;
            undo.first.get_or_insert(now);
        }
    }
}
