//! What was sent and is not acknowledged, segment by segment: what the peer has of it (RFC 2018), and what must be lost
//! (RACK, RFC 8985).
//!
//! ```text
//!               selective acknowledgement
//!   flying ───────────────────────────────▶ sacked
//!    │  ▲                                     ▲
//!    │  └──── sent again ──── lost ───────────┘
//!    └─ something sent later arrived, ──▶
//!       longer ago than the reordering window
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use headgate_net::clock::Nanos;

use crate::option::SackBlocks;
use crate::sequence::Seq;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Flying,
    Sacked,
    Lost,
}

/// A segment as it was sent last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) start: Seq,
    pub(crate) end: Seq,
    at: Nanos,
    fate: Fate,
    /// Whether it was sent more than once.
    again: bool,
    /// Sacked ones that lie side by side are one record: what is looked through for each acknowledgement are the holes.
    segments: u32,
}

impl Record {
    pub(crate) const fn length(&self) -> u32 {
        self.end.ahead(self.start)
    }
}

/// The segment sent last among those that were delivered.
#[derive(Clone, Copy, Debug)]
struct Newest {
    at: Nanos,
    end: Seq,
    rtt: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    /// By sequence number, without gaps.
    records: VecDeque<Record>,
    /// Bytes by fate.
    flying: u32,
    sacked: u32,
    lost: u32,
    sacked_records: u32,
    newest: Option<Newest>,
    /// After the highest byte that was delivered.
    forward: Option<Seq>,
    /// Whether something was ever delivered after what was sent later.
    reordered: bool,
}

/// What an acknowledgement newly says was delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivery {
    /// Bytes acknowledged in order that were not sacked before.
    pub(crate) acked: u32,
    /// Bytes newly sacked.
    pub(crate) sacked: u32,
    /// Since the first of them that was sent only once: what the timeout is made of.
    pub(crate) oldest: Option<Duration>,
    /// Since the last of these.
    pub(crate) youngest: Option<Duration>,
    /// After the highest byte of them.
    pub(crate) original: Option<Seq>,
}

impl Delivery {
    pub(crate) const fn bytes(&self) -> u32 {
        self.acked + self.sacked
    }
}

/// What is known of the time when an acknowledgement arrives.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<F> {
    pub(crate) now: Nanos,
    /// The least round trip.
    pub(crate) least: Option<Duration>,
    /// Whether what was sent then is too young to be what is acknowledged, by its timestamp.
    pub(crate) premature: F,
}

impl Scoreboard {
    /// Bytes under way.
    pub(crate) const fn flying(&self) -> u32 {
        self.flying
    }

    /// Bytes that must be sent again.
    pub(crate) const fn lost(&self) -> u32 {
        self.lost
    }

    pub(crate) const fn sacked(&self) -> u32 {
        self.sacked
    }

    pub(crate) const fn sacked_records(&self) -> u32 {
        self.sacked_records
    }

    pub(crate) const fn reordered(&self) -> bool {
        self.reordered
    }

    /// Something new was sent.
    pub(crate) fn sent(&mut self, start: Seq, end: Seq, now: Nanos) {
        let record = Record {
            start,
            end,
            at: now,
            fate: Fate::Flying,
            again: false,
            segments: 1,
        };
        self.flying += record.length();
        self.records.push_back(record);
    }

    /// Records of segments, those that lie side by side and have arrived as one.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<Record> {
        self.records.get(index).copied()
    }

    /// The first segment that must be sent again.
    pub(crate) fn first_lost(&self) -> Option<usize> {
        if self.lost == 0 {
            return None;
        }
        self.records.iter().position(|record| record.fate == Fate::Lost)
    }

    /// Where the last segment ends that must be sent again.
    pub(crate) fn last_lost(&self) -> Option<Seq> {
        let mut records = self.records.iter().rev();
        let last = records.find(|record| record.fate == Fate::Lost);
        last.map(|record| record.end)
    }

    /// The last segment that the peer has not got.
    pub(crate) fn last(&self) -> Option<usize> {
        self.records
            .iter()
            .rposition(|record| record.fate != Fate::Sacked)
    }

    /// The first `length` bytes of a segment were sent again; the rest of it is a segment of its own.
    pub(crate) fn resent(&mut self, index: usize, length: u32, now: Nanos) {
        let record = &mut self.records[index];
        let rest = Record {
            start: record.start + length,
            segments: 1,
            ..*record
        };
        record.segments = 1;
        record.end = rest.start.min(record.end);
        if record.fate == Fate::Lost {
            self.lost -= record.length();
            self.flying += record.length();
        }
        record.fate = Fate::Flying;
        record.again = true;
        record.at = now;
        if rest.start.before(rest.end) {
            self.records.insert(index + 1, rest);
        }
    }

    /// Takes in an acknowledgement of everything before `una` and of `blocks`.
    pub(crate) fn acknowledge<F: Fn(Nanos) -> bool>(
        &mut self,
        una: Seq,
        blocks: &SackBlocks,
        arrival: &Arrival<F>,
    ) -> Delivery {
        let mut delivery = Delivery::default();
        while let Some(front) = self.records.front_mut().filter(|front| front.start.before(una)) {
            let mut done = *front;
            done.end = done.end.min(una);
            front.start = done.end;
            let whole = front.start == front.end;
            if whole {
                self.records.pop_front();
            }
            *self.bytes_of(done.fate) -= done.length();
            if done.fate == Fate::Sacked {
                self.sacked_records -= if whole { done.segments } else { 0 };
                continue;
            }
            delivery.acked += done.length();
            self.deliver(&done, arrival, &mut delivery);
        }
        for (start, end) in blocks.iter() {
            self.sack(start, end, arrival, &mut delivery);
        }
        if self.records.capacity() > 64 {
            self.settle();
        }
        delivery
    }

    /// Gives the memory back, if nothing is under way.
    pub(crate) fn settle(&mut self) {
        if self.records.is_empty() {
            self.records = VecDeque::new();
        }
    }

    fn bytes_of(&mut self, fate: Fate) -> &mut u32 {
        match fate {
            Fate::Flying => &mut self.flying,
            Fate::Sacked => &mut self.sacked,
            Fate::Lost => &mut self.lost,
        }
    }

    /// A block covers whole segments: one that ends within a segment says nothing of it.
    fn sack<F: Fn(Nanos) -> bool>(
        &mut self,
        start: Seq,
        end: Seq,
        arrival: &Arrival<F>,
        delivery: &mut Delivery,
    ) {
        let first = self.records.partition_point(|record| record.start.before(start));
        let mut index = first;
        while let Some(record) = self
            .records
            .get_mut(index)
            .filter(|record| record.end.at_most(end))
        {
            index += 1;
            if record.fate == Fate::Sacked {
                continue;
            }
            let fate = std::mem::replace(&mut record.fate, Fate::Sacked);
            let record = *record;
            *self.bytes_of(fate) -= record.length();
            self.sacked += record.length();
            self.sacked_records += 1;
            delivery.sacked += record.length();
            self.deliver(&record, arrival, delivery);
        }
        self.join(first, index);
    }

    /// Makes one record of those from `first` on and before `end`, all sacked, and of a sacked one on either side.
    fn join(&mut self, mut first: usize, mut end: usize) {
        let is_sacked = |index: usize| self.get(index).is_some_and(|record| record.fate == Fate::Sacked);
        if first == end {
            return;
        }
        first -= usize::from(first > 0 && is_sacked(first - 1));
        end += usize::from(is_sacked(end));
        let segments = self.records.range(first..end).map(|record| record.segments).sum();
        let last = self.records[end - 1].end;
        if end - first > 1 {
            let record = &mut self.records[first];
            record.end = last;
            record.segments = segments;
            // When it was sent says nothing any more.
            record.again = true;
            self.records.drain(first + 1..end);
        }
    }

    /// RFC 8985, section 6.2, steps 1 to 3.
    fn deliver<F: Fn(Nanos) -> bool>(
        &mut self,
        record: &Record,
        arrival: &Arrival<F>,
        delivery: &mut Delivery,
    ) {
        let rtt = arrival.now.since(record.at);
        if record.again {
            // The acknowledgement may be of what was sent before.
            if (arrival.premature)(record.at) || arrival.least.is_some_and(|least| rtt < least) {
                return;
            }
        } else {
            delivery.oldest = Some(delivery.oldest.map_or(rtt, |oldest| oldest.max(rtt)));
            delivery.youngest = Some(delivery.youngest.map_or(rtt, |youngest| youngest.min(rtt)));
            let end = record.end;
            delivery.original = Some(delivery.original.map_or(end, |highest| highest.max(end)));
        }
        let (at, end) = (record.at, record.end);
        if self
            .newest
            .is_none_or(|newest| is_later((at, end), (newest.at, newest.end)))
        {
            self.newest = Some(Newest { at, end, rtt });
        }
        let forward = self.forward.unwrap_or(end);
        self.reordered |= end.before(forward) && !record.again;
        self.forward = Some(forward.max(end));
    }

    /// RFC 8985, section 6.2, step 5: gives up what was sent before the newest that was delivered, and longer ago than
    /// `window` allows. Returns how many bytes, and when to look again.
    pub(crate) fn detect(&mut self, now: Nanos, window: Duration) -> (u32, Option<Nanos>) {
        let Some(newest) = self.newest else {
            return (0, None);
        };
        let (mut lost, mut again) = (0, None);
        for record in &mut self.records {
            let later = !is_later((newest.at, newest.end), (record.at, record.end));
            // What was sent once was sent in order: everything behind it is later too.
            if later && !record.again {
                break;
            }
            if later || record.fate != Fate::Flying {
                continue;
            }
            let due = record.at.after(newest.rtt + window);
            if due <= now {
                record.fate = Fate::Lost;
                lost += record.length();
            } else {
                again = Some(again.map_or(due, |again: Nanos| again.max(due)));
            }
        }
        self.flying -= lost;
        self.lost += lost;
        (lost, again)
    }

    /// Gives up the first segment, of a peer that does not tell what it has.
    pub(crate) fn lose_first(&mut self) -> u32 {
        match self
            .records
            .front_mut()
            .filter(|front| front.fate == Fate::Flying)
        {
            Some(front) => {
                front.fate = Fate::Lost;
                self.flying -= front.length();
                self.lost += front.length();
                front.length()
            }
            None => 0,
        }
    }

    /// After a timeout: everything that the peer has not got. A peer that has not even what it said it had (RFC 2018,
    /// section 8) has nothing.
    pub(crate) fn lose_all(&mut self) {
        let reneged = self
            .records
            .front()
            .is_some_and(|front| front.fate == Fate::Sacked);
        for record in &mut self.records {
            if record.fate != Fate::Sacked || reneged {
                record.fate = Fate::Lost;
                record.segments = 1;
            }
        }
        self.recount();
    }

    /// What is longer than `most` bytes cannot have passed.
    pub(crate) fn lose_longer(&mut self, most: u32) {
        for record in &mut self.records {
            if record.fate == Fate::Flying && record.length() > most {
                record.fate = Fate::Lost;
            }
        }
        self.recount();
    }

    /// Nothing was lost after all.
    pub(crate) fn find_all(&mut self) {
        for record in &mut self.records {
            if record.fate == Fate::Lost {
                record.fate = Fate::Flying;
            }
        }
        self.recount();
    }

    fn recount(&mut self) {
        (self.flying, self.sacked, self.lost, self.sacked_records) = (0, 0, 0, 0);
        for index in 0..self.records.len() {
            let record = self.records[index];
            *self.bytes_of(record.fate) += record.length();
            if record.fate == Fate::Sacked {
                self.sacked_records += record.segments;
            }
        }
    }

    /// Whether what `recount` finds is what is kept.
    #[cfg(any(test, feature = "harness"))]
    pub(crate) fn is_consistent(&mut self) -> bool {
        let kept = (self.flying, self.sacked, self.lost, self.sacked_records);
        self.recount();
        kept == (self.flying, self.sacked, self.lost, self.sacked_records)
    }
}

/// RFC 8985, section 6.2, `RACK_sent_after`.
fn is_later(a: (Nanos, Seq), b: (Nanos, Seq)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && b.1.before(a.1))
}

#[cfg(test)]
mod tests;
