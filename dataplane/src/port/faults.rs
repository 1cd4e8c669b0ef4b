//! A bad line in front of any port, by a seeded generator: the same seed and the same frames fail alike.

use std::os::fd::BorrowedFd;

use headgate_xsk::{Frame, FrameCache};

use super::Port;

/// How bad the line is, in each direction. Rates are in millionths of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Frames that vanish.
    pub loss: u32,
    /// Frames that arrive twice.
    pub duplication: u32,
    /// Frames that are held back until `reorder_by` later ones have passed.
    pub reordering: u32,
    /// How many pass a frame that is held back, at least 1.
    pub reorder_by: u32,
    /// Frames with one bit flipped, anywhere.
    pub corruption: u32,
}

/// What a [`Faulty`] port has done, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounters {
    /// Frames that came to it.
    pub seen: u64,
    /// See [`Faults::loss`].
    pub lost: u64,
    /// See [`Faults::duplication`].
    pub duplicated: u64,
    /// See [`Faults::reordering`].
    pub reordered: u64,
    /// See [`Faults::corruption`].
    pub corrupted: u64,
}

/// A port behind a bad line.
pub struct Faulty<P> {
    inner: P,
    receiving: Line,
    sending: Line,
    arrived: Vec<Frame>,
    delivered: Vec<Frame>,
    departing: Vec<Frame>,
}

/// One direction.
struct Line {
    faults: Faults,
    random: Random,
    held: Vec<(u32, Frame)>,
    counters: FaultCounters,
}

impl<P: Port> Faulty<P> {
    /// Puts a bad line in front of `inner`.
    #[must_use]
    pub fn new(inner: P, receiving: Faults, sending: Faults, seed: u64) -> Self {
        Self {
            inner,
            receiving: Line::new(receiving, seed),
            sending: Line::new(sending, !seed),
            arrived: Vec::new(),
            delivered: Vec::new(),
            departing: Vec::new(),
        }
    }

    /// What happened to received and to sent frames.
    #[must_use]
    pub fn counters(&self) -> (FaultCounters, FaultCounters) {
        (self.receiving.counters, self.sending.counters)
    }
}

impl<P: Port> Port for Faulty<P> {
    fn receive(&mut self, cache: &mut FrameCache, out: &mut Vec<Frame>, max: usize) -> usize {
        if self.delivered.len() < max && self.inner.receive(cache, &mut self.arrived, max) == 0 {
            // A quiet line holds nothing back for ever.
            self.receiving.release(&mut self.delivered);
        }
        for frame in self.arrived.drain(..) {
            self.receiving.carry(frame, cache, &mut self.delivered);
        }
        let count = max.min(self.delivered.len());
        out.extend(self.delivered.drain(..count));
        count
    }

    fn transmit(&mut self, cache: &mut FrameCache, frames: &mut Vec<Frame>) -> usize {
        let taken = frames.len();
        if frames.is_empty() {
            self.sending.release(&mut self.departing);
        }
        for frame in frames.drain(..) {
            self.sending.carry(frame, cache, &mut self.departing);
        }
        self.inner.transmit(cache, &mut self.departing);
        taken
    }

    fn ready(&self) -> bool {
        !self.delivered.is_empty() || !self.receiving.held.is_empty() || self.inner.ready()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        self.inner.wakers()
    }
}

impl Line {
    fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            random: Random(seed),
            held: Vec::new(),
            counters: FaultCounters::default(),
        }
    }

    fn carry(&mut self, mut frame: Frame, cache: &mut FrameCache, out: &mut Vec<Frame>) {
        self.counters.seen += 1;
        if self.random.chance(self.faults.loss) {
            self.counters.lost += 1;
            cache.put(frame);
            return self.let_pass(out);
        }
        if self.random.chance(self.faults.corruption) && !frame.is_empty() {
            let bit = self.random.below(frame.len() * 8);
            frame.data_mut()[bit / 8] ^= 1 << (bit % 8);
            self.counters.corrupted += 1;
        }
        if self.random.chance(self.faults.duplication) && self.duplicate(&frame, cache, out) {
            self.counters.duplicated += 1;
        }
        if self.random.chance(self.faults.reordering) {
            self.counters.reordered += 1;
            self.held.push((self.faults.reorder_by.max(1), frame));
            return;
        }
        out.push(frame);
        self.let_pass(out);
    }

    fn duplicate(&self, frame: &Frame, cache: &mut FrameCache, out: &mut Vec<Frame>) -> bool {
        let Some(mut copy) = cache.take() else {
            return false;
        };
        let fits = copy.copy_from(frame.data()).is_ok();
        if fits {
            out.push(copy);
        } else {
            cache.put(copy);
        }
        fits
    }

    /// Another frame has passed those that are held back.
    fn let_pass(&mut self, out: &mut Vec<Frame>) {
        self.held.iter_mut().for_each(|(left, _)| *left -= 1);
        out.extend(
            self.held
                .extract_if(.., |(left, _)| *left == 0)
                .map(|(_, frame)| frame),
        );
    }

    fn release(&mut self, out: &mut Vec<Frame>) {
        out.extend(self.held.drain(..).map(|(_, frame)| frame));
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every seed is good, which xorshift's zero is not.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn chance(&mut self, millionths: u32) -> bool {
        millionths != 0 && self.below(1_000_000) < millionths as usize
    }

    /// `0 <= result < bound`, biased by less than `bound / 2^64`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
