//! What arrived: in order for the reader, out of order with holes before it; the window, and how it grows with what the
//! reader takes in a round trip.

use std::time::Duration;

use headgate_net::clock::Nanos;

use crate::chain::Chain;
use crate::option::SackBlocks;
use crate::pool::{BLOCK, BlockPool};
use crate::sequence::Seq;

/// What a window is before anything is known of the path.
const INITIAL: u32 = 128 << 10;
/// What nobody gets less of, however short memory is.
const LEAST: u32 = 4 * BLOCK as u32;
/// Runs out of order that are kept: each segment is compared with all of them. Many, for a large window has a hole in every
/// hundredth segment of a bad path. What they cost in memory is bounded by the window.
const MOST_RUNS: usize = 512;

#[derive(Debug)]
pub(crate) struct Receiver {
    /// The number that is expected next.
    pub(crate) next: Seq,
    /// Bytes before it that were not read yet.
    unread: u32,
    chain: Chain,
    /// Runs of bytes beyond `next`, the one that changed last in front (RFC 2018, section 4).
    runs: Vec<(Seq, Seq)>,
    /// What arrived twice, to be told once (RFC 2883).
    duplicate: Option<(Seq, Seq)>,
    /// The number of the peer's FIN.
    fin: Option<Seq>,
    /// What the peer was told that it may send up to.
    edge: Seq,
    /// Bytes that may wait for the reader.
    limit: u32,
    most: u32,
    pub(crate) scale: u8,
    /// Bytes read since `measured`.
    taken: u32,
    measured: Nanos,
}

/// What became of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// The reader has more to read; the second says that there was a hole, or is one still.
    InOrder(bool),
    OutOfOrder,
    /// Nothing of it was new.
    Duplicate,
    /// All of it is beyond the window, or there is no memory.
    Refused,
}

impl Receiver {
    /// `next` is the number after the peer's SYN, `most` the largest window.
    pub(crate) fn new(next: Seq, most: u32, scale: u8, now: Nanos) -> Self {
        let limit = INITIAL.min(most);
        Self {
            next,
            unread: 0,
            chain: Chain::default(),
            runs: Vec::new(),
            duplicate: None,
            fin: None,
            // A SYN's window is not scaled.
            edge: next + limit.min(u32::from(u16::MAX)),
            limit,
            most,
            scale,
            taken: 0,
            measured: now,
        }
    }

    pub(crate) const fn unread(&self) -> u32 {
        self.unread
    }

    /// Whether the peer will send no more, and all was read.
    pub(crate) const fn finished(&self) -> bool {
        self.unread == 0 && self.fin_arrived()
    }

    /// Whether everything up to the peer's FIN has arrived.
    pub(crate) const fn fin_arrived(&self) -> bool {
        match self.fin {
            Some(fin) => fin.before(self.next),
            None => false,
        }
    }

    /// Whether a segment from `start` to `end` touches the window (RFC 9293, section 3.10.7.4), or is the very next
    /// while the window is closed.
    pub(crate) fn acceptable(&self, start: Seq, end: Seq) -> bool {
        self.next.at_most(end) && start.at_most(self.edge.max(self.next))
    }

    /// What lies before the window came again.
    pub(crate) fn note_duplicate(&mut self, start: Seq, end: Seq) {
        if start.before(end) {
            self.duplicate = Some((start, end));
        }
    }

    /// Takes data from `start` on.
    pub(crate) fn accept(&mut self, pool: &mut BlockPool, start: Seq, data: &[u8]) -> Accepted {
        let end = start + data.len() as u32;
        if end.at_most(self.next) {
            self.note_duplicate(start, end);
            return Accepted::Duplicate;
        }
        if start.before(self.next) {
            self.duplicate = Some((start, self.next));
        }
        // A FIN that came before its data bounds it.
        let last = self.fin.map_or(self.edge, |fin| fin.min(self.edge));
        let (from, to) = (start.max(self.next), end.min(last));
        let ahead = from.ahead(self.next);
        if !from.before(to) || (ahead > 0 && !self.has_place(from, to)) {
            return Accepted::Refused;
        }
        let data = &data[from.ahead(start) as usize..to.ahead(start) as usize];
        let written = self.chain.write(pool, (self.unread + ahead) as usize, data);
        if written == 0 {
            return Accepted::Refused;
        }
        let to = from + written as u32;
        if ahead > 0 {
            return self.insert(from, to);
        }
        let holes = !self.runs.is_empty();
        self.forward(to);
        if holes {
            self.close_holes();
        }
        Accepted::InOrder(holes)
    }

    /// Whether a run out of order can be kept: one that touches another always.
    fn has_place(&self, from: Seq, to: Seq) -> bool {
        let touches = |run: &(Seq, Seq)| run.0.at_most(to) && from.at_most(run.1);
        self.runs.len() < MOST_RUNS || self.runs.iter().any(touches)
    }

    fn forward(&mut self, to: Seq) {
        self.unread += to.ahead(self.next);
        self.next = self.next.max(to);
    }

    /// Adds a run out of order, joined with those that it touches.
    fn insert(&mut self, mut from: Seq, mut to: Seq) -> Accepted {
        if let Some(known) = self
            .runs
            .iter()
            .position(|run| run.0.at_most(from) && to.at_most(run.1))
        {
            self.duplicate = Some((from, to));
            self.runs[..=known].rotate_right(1);
            return Accepted::Duplicate;
        }
        self.runs.retain(|run| {
            let touches = run.0.at_most(to) && from.at_most(run.1);
            if touches {
                (from, to) = (from.min(run.0), to.max(run.1));
            }
            !touches
        });
        self.runs.insert(0, (from, to));
        Accepted::OutOfOrder
    }

    /// Takes in the runs that are in order now.
    fn close_holes(&mut self) {
        while let Some(index) = self.runs.iter().position(|run| run.0.at_most(self.next)) {
            let (_, to) = self.runs.remove(index);
            self.forward(to);
        }
        if self.runs.is_empty() && self.runs.capacity() > 8 {
            self.runs = Vec::new();
        }
    }

    /// Takes note of a FIN with this number; whether it is the very next.
    pub(crate) fn accept_fin(&mut self, number: Seq) -> bool {
        if self.fin.is_none() && number.at_most(self.edge.max(self.next)) && self.next.at_most(number) {
            self.fin = Some(number);
        }
        let arrived = self.fin == Some(self.next);
        if arrived {
            self.next += 1;
        }
        arrived
    }

    /// Whether a FIN came whose data came later, and has now.
    pub(crate) fn fin_is_next(&self) -> bool {
        self.fin == Some(self.next)
    }

    /// What the next acknowledgement says about data out of order and data that came twice.
    pub(crate) fn blocks(&self) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        if let Some((start, end)) = self.duplicate {
            blocks.push(start, end);
        }
        for (start, end) in self.runs.iter().take(4) {
            blocks.push(*start, *end);
        }
        blocks
    }

    /// Lets `take` read from what is in order; it returns how much it took.
    pub(crate) fn read(&mut self, pool: &mut BlockPool, take: impl FnOnce(&[u8]) -> usize) -> u32 {
        let piece = self.chain.slice(pool, 0, self.unread as usize);
        let taken = take(piece).min(piece.len());
        self.advance(pool, taken as u32);
        taken as u32
    }

    /// Throws away what is unread; how much it was.
    pub(crate) fn discard(&mut self, pool: &mut BlockPool) -> u32 {
        let unread = self.unread;
        self.advance(pool, unread);
        unread
    }

    fn advance(&mut self, pool: &mut BlockPool, count: u32) {
        self.unread -= count;
        self.taken = self.taken.saturating_add(count);
        if self.unread == 0 && self.runs.is_empty() {
            self.chain.clear(pool);
        } else {
            self.chain.advance(pool, count as usize);
        }
    }

    /// Blocks that it holds.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn held(&self) -> usize {
        self.chain.held()
    }

    /// Gives all memory back.
    pub(crate) fn clear(&mut self, pool: &mut BlockPool) {
        self.chain.clear(pool);
        self.runs = Vec::new();
        self.unread = 0;
    }

    /// After a read: lets the window grow with the path's bandwidth and delay, to four times of what the reader takes in a
    /// round trip, for a sender in slow start sends twice as much in the next one, and the round trips that are counted
    /// here do not begin where its do (dynamic right-sizing, as Linux does it).
    pub(crate) fn tune(&mut self, now: Nanos, rtt: Duration, pressed: bool) {
        let wanted = self.taken.saturating_mul(4).min(self.most);
        if !pressed && wanted > self.limit {
            self.limit = wanted;
        }
        if now.since(self.measured) >= rtt {
            self.taken = 0;
            self.measured = now;
        }
    }

    /// How much the peer may send now, by its last word.
    fn offered(&self) -> u32 {
        self.edge.ahead(self.next)
    }

    /// How much it could be told that it may.
    fn possible(&self, pressed: bool) -> u32 {
        let limit = if pressed {
            self.limit.min(LEAST)
        } else {
            self.limit
        };
        limit.saturating_sub(self.unread)
    }

    /// Whether the window opened so much since it was told that it is worth a packet (RFC 9293, section 3.8.6.2.2).
    pub(crate) fn worth_telling(&self, mss: u32, pressed: bool) -> bool {
        let (offered, possible) = (self.offered(), self.possible(pressed));
        possible >= mss.min(self.limit / 2) && possible / 2 >= offered
    }

    /// The window field of a segment that goes; never less than what was told before (RFC 9293, section 3.8.6), but for less
    /// than its unit where more was told than may wait: rounded up each time, it would never close.
    pub(crate) fn window(&self, pressed: bool) -> u16 {
        let unit = 1 << self.scale;
        let window = self.possible(pressed) / unit;
        let full = self.unread.saturating_add(self.offered()) >= self.limit.saturating_add(LEAST);
        let told = if full {
            self.offered() / unit
        } else {
            self.offered().div_ceil(unit)
        };
        u16::try_from(window.max(told)).unwrap_or(u16::MAX)
    }

    /// The window field of a SYN, which is never scaled (RFC 7323, section 2.2).
    pub(crate) fn unscaled_window(&self) -> u16 {
        u16::try_from(self.limit).unwrap_or(u16::MAX)
    }

    /// A segment with this window field left.
    pub(crate) fn told(&mut self, window: u16) {
        self.edge = self.edge.max(self.next + (u32::from(window) << self.scale));
        self.duplicate = None;
    }
}

#[cfg(test)]
mod tests;
