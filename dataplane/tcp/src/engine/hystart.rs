//! HyStart++ (RFC 9406): slow start ends when round trips grow longer, before packets are lost.
//!
//! ```text
//!              a round's least RTT grew          5 rounds
//!  slow start ─────────────────────────▶ CSS ─────────────▶ congestion avoidance
//!             ◀─────────────────────────
//!              a round's least RTT fell again
//! ```

use std::time::Duration;

use crate::sequence::Seq;

/// RFC 9406, section 4.3.
const LEAST_THRESHOLD: Duration = Duration::from_millis(4);
const MOST_THRESHOLD: Duration = Duration::from_millis(16);
const SAMPLES: u8 = 8;
const CONSERVATIVE_DIVISOR: u32 = 4;
const CONSERVATIVE_ROUNDS: u8 = 5;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HyStart {
    /// Acknowledged, it ends the round.
    end: Option<Seq>,
    last: Option<Duration>,
    current: Option<Duration>,
    samples: u8,
    /// In conservative slow start: the RTT that it began with, and the rounds since.
    conservative: Option<(Duration, u8)>,
}

impl HyStart {
    /// Takes note of an acknowledgement up to `una` while `next` is sent next; whether slow start is over.
    pub(crate) fn acknowledged(&mut self, una: Seq, next: Seq, sample: Option<Duration>) -> bool {
        let over = self.end.is_none_or(|end| end.at_most(una)) && self.round(next);
        let Some(sample) = sample else { return over };
        self.current = Some(self.current.map_or(sample, |current| current.min(sample)));
        self.samples = self.samples.saturating_add(1);
        self.judge();
        over
    }

    /// Begins a round; whether it was the last one of conservative slow start.
    fn round(&mut self, next: Seq) -> bool {
        self.end = Some(next);
        self.last = self.current.take();
        self.samples = 0;
        match &mut self.conservative {
            Some((_, rounds)) => {
                *rounds += 1;
                *rounds > CONSERVATIVE_ROUNDS
            }
            None => false,
        }
    }

    fn judge(&mut self) {
        let (Some(current), true) = (self.current, self.samples >= SAMPLES) else {
            return;
        };
        match (self.conservative, self.last) {
            (Some((baseline, _)), _) if current < baseline => self.conservative = None,
            (None, Some(last)) => {
                let threshold = (last / 8).clamp(LEAST_THRESHOLD, MOST_THRESHOLD);
                if current >= last + threshold {
                    self.conservative = Some((current, 0));
                }
            }
            _ => {}
        }
    }

    /// By how much the window grows for `bytes` acknowledged.
    pub(crate) const fn growth(&self, bytes: u32) -> u32 {
        match self.conservative {
            Some(_) => bytes / CONSERVATIVE_DIVISOR,
            None => bytes,
        }
    }
}
