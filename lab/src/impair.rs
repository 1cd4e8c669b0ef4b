//! A bad line: loses, duplicates and reorders frames, the same ones for the same seed and the same arrivals.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How bad the line is, in each direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// Share of frames that are lost, 0 to 1.
    pub loss: f64,
    /// Share of frames that are overtaken by up to 3 that come after them, 0 to 1.
    pub reorder: f64,
    /// Share of frames that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// From one end to the other.
    pub delay: Duration,
    /// Bits a second; without, frames wait for nothing.
    pub rate: Option<f64>,
    /// Bytes that may wait for their turn at that rate; what comes beyond them is lost.
    pub queue: usize,
    /// What all chances follow from.
    pub seed: u64,
}

impl Impairment {
    /// None: frames pass at once, each once, in order.
    pub const NONE: Self = Self {
        loss: 0.0,
        reorder: 0.0,
        duplicate: 0.0,
        delay: Duration::ZERO,
        rate: None,
        queue: 0,
        seed: 1,
    };
}

/// What a line did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImpairmentCounts {
    /// Frames that came.
    pub arrived: u64,
    /// Of them, lost by chance.
    pub lost: u64,
    /// Of them, lost since too many waited.
    pub overflowed: u64,
    /// Of them, delivered late.
    pub reordered: u64,
    /// Of them, delivered twice.
    pub duplicated: u64,
}

/// A frame is not held back longer than this for others to overtake it.
const LONGEST_HOLD: Duration = Duration::from_millis(5);

/// One direction of a line.
#[derive(Debug)]
pub(crate) struct Line {
    impairment: Impairment,
    state: u64,
    held: VecDeque<Held>,
    /// When everything that waits will have left.
    free: Option<Instant>,
    /// On their way, and when they arrive.
    flying: VecDeque<(Instant, Vec<u8>)>,
    pub(crate) counts: ImpairmentCounts,
}

#[derive(Debug)]
struct Held {
    frame: Vec<u8>,
    /// How many may still overtake it.
    overtakers: u8,
    until: Instant,
}

impl Line {
    pub(crate) fn new(impairment: Impairment) -> Self {
        Self {
            impairment,
            state: Self::state_of(impairment.seed),
            held: VecDeque::new(),
            free: None,
            flying: VecDeque::new(),
            counts: ImpairmentCounts::default(),
        }
    }

    const fn state_of(seed: u64) -> u64 {
        seed ^ 0x9e37_79b9_7f4a_7c15 | 1
    }

    /// A frame enters; what leaves at once goes to `deliver`.
    pub(crate) fn push(&mut self, frame: &[u8], now: Instant, deliver: &mut impl FnMut(&[u8])) {
        self.counts.arrived += 1;
        if self.happens(self.impairment.loss) {
            self.counts.lost += 1;
            return;
        }
        if self.happens(self.impairment.reorder) {
            self.counts.reordered += 1;
            let overtakers = 1 + (self.word() % 3) as u8;
            self.held.push_back(Held {
                frame: frame.to_vec(),
                overtakers,
                until: now + LONGEST_HOLD,
            });
            return;
        }
        self.fly(frame.to_vec(), now);
        if self.happens(self.impairment.duplicate) {
            self.counts.duplicated += 1;
            self.fly(frame.to_vec(), now);
        }
        for held in &mut self.held {
            held.overtakers = held.overtakers.saturating_sub(1);
        }
        self.release(now, deliver);
    }

    /// From now on frames fare so, and the chances begin anew.
    pub(crate) fn change(&mut self, impairment: Impairment) {
        self.impairment = impairment;
        self.state = Self::state_of(impairment.seed);
    }

    fn fly(&mut self, frame: Vec<u8>, now: Instant) {
        let mut leaves = now;
        if let Some(rate) = self.impairment.rate {
            let takes = |bytes: usize| Duration::from_secs_f64(bytes as f64 * 8.0 / rate);
            let begins = self.free.map_or(now, |free| free.max(now));
            if begins.duration_since(now) > takes(self.impairment.queue) {
                self.counts.overflowed += 1;
                return;
            }
            leaves = begins + takes(frame.len());
            self.free = Some(leaves);
        }
        self.flying.push_back((leaves + self.impairment.delay, frame));
    }

    /// Bytes that wait for their turn.
    #[cfg(test)]
    pub(crate) fn waits(&self, now: Instant) -> usize {
        let (Some(rate), Some(free)) = (self.impairment.rate, self.free) else {
            return 0;
        };
        (free.saturating_duration_since(now).as_secs_f64() * rate / 8.0) as usize
    }

    /// Delivers what has arrived, and lets go what was held long enough.
    pub(crate) fn release(&mut self, now: Instant, deliver: &mut impl FnMut(&[u8])) {
        let due = |held: &Held| held.overtakers == 0 || held.until <= now;
        while let Some(index) = self.held.iter().position(due) {
            if let Some(held) = self.held.remove(index) {
                self.fly(held.frame, now);
            }
        }
        while let Some((_, frame)) = self.flying.pop_front_if(|(at, _)| *at <= now) {
            deliver(&frame);
        }
    }

    /// When [`Self::release`] has something to do at the latest.
    pub(crate) fn next_release(&self) -> Option<Instant> {
        let held = self.held.iter().map(|held| held.until).min();
        let flying = self.flying.front().map(|(at, _)| *at);
        [held, flying].into_iter().flatten().min()
    }

    fn happens(&mut self, share: f64) -> bool {
        // 53 bits fill the mantissa: a share of 1 always happens and one of 0 never.
        ((self.word() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    /// xorshift64*.
    fn word(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERFECT: Impairment = Impairment {
        seed: 7,
        ..Impairment::NONE
    };

    /// The numbers that arrive when 0..count are sent at one moment, and those released after it.
    fn transmit(line: &mut Line, count: u32) -> Vec<u32> {
        let mut out = Vec::new();
        let mut deliver = |frame: &[u8]| out.push(u32::from_le_bytes(frame.try_into().unwrap()));
        let now = Instant::now();
        for n in 0..count {
            line.push(&n.to_le_bytes(), now, &mut deliver);
        }
        line.release(now + LONGEST_HOLD, &mut deliver);
        assert_eq!(line.next_release(), None);
        out
    }

    #[test]
    fn a_perfect_line_changes_nothing() {
        let out = transmit(&mut Line::new(PERFECT), 1000);
        assert!(out.into_iter().eq(0..1000));
    }

    #[test]
    fn a_delay_holds_everything_and_changes_no_order() {
        let delay = Duration::from_millis(3);
        let mut line = Line::new(Impairment { delay, ..PERFECT });
        let (now, mut out) = (Instant::now(), Vec::new());
        for n in 0..5u8 {
            line.push(&[n], now, &mut |frame: &[u8]| out.push(frame[0]));
        }
        assert_eq!((out.len(), line.next_release()), (0, Some(now + delay)));
        line.release(now + delay, &mut |frame: &[u8]| out.push(frame[0]));
        assert_eq!(out, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn frames_leave_at_their_rate_and_too_many_are_lost() {
        // A thousand bytes take a millisecond.
        let mut line = Line::new(Impairment {
            rate: Some(8e6),
            queue: 2_000,
            ..PERFECT
        });
        let now = Instant::now();
        let mut out = Vec::new();
        for n in 0..5_u8 {
            line.push(&[n; 1_000], now, &mut |frame: &[u8]| out.push(frame[0]));
        }
        // One is being sent, and two wait.
        assert_eq!((line.counts.overflowed, out.len()), (2, 0));
        line.release(now + Duration::from_millis(2), &mut |frame: &[u8]| {
            out.push(frame[0]);
        });
        assert_eq!(out, [0, 1]);
        line.release(now + Duration::from_millis(3), &mut |frame: &[u8]| {
            out.push(frame[0]);
        });
        assert_eq!(
            (out.as_slice(), line.next_release()),
            ([0, 1, 2].as_slice(), None)
        );
    }

    #[test]
    fn shares_are_kept_and_one_seed_gives_one_result() {
        let bad = Impairment {
            loss: 0.05,
            reorder: 0.02,
            duplicate: 0.01,
            ..Impairment::NONE
        };
        let (mut one, mut two) = (Line::new(bad), Line::new(bad));
        let out = transmit(&mut one, 100_000);
        assert_eq!(out, transmit(&mut two, 100_000));
        assert!((4_500..5_500).contains(&one.counts.lost), "{:?}", one.counts);
        assert!((1_700..2_100).contains(&one.counts.reordered), "{:?}", one.counts);
        let expected = 100_000 - one.counts.lost + one.counts.duplicated;
        assert_eq!(out.len() as u64, expected);
    }

    #[test]
    fn a_reordered_frame_is_overtaken_by_three_at_most() {
        let out = transmit(
            &mut Line::new(Impairment {
                reorder: 0.1,
                ..PERFECT
            }),
            10_000,
        );
        let mut sorted = out.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..10_000), "nothing is lost");
        let late = |at: usize| out[..at].iter().filter(|&&earlier| earlier > out[at]).count();
        let delays: Vec<usize> = (0..out.len()).map(late).collect();
        assert!(delays.iter().any(|&d| d > 0));
        // Frames held one after the other wait for the same overtakers, and one another.
        assert!(delays.iter().all(|&d| d <= 6), "{:?}", delays.iter().max());
    }

    #[test]
    fn everything_can_be_lost() {
        assert!(transmit(&mut Line::new(Impairment { loss: 1.0, ..PERFECT }), 100).is_empty());
    }
}
