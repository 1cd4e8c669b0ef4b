//! The timer of what was sent: timeouts, probes of the tail and of closed windows, and the end of the reordering window.

use std::time::Duration;

use headgate_net::clock::Nanos;

use super::recovery::{Phase, Shrunk};
use super::scoreboard::Delivery;
use super::sender::{Sender, Timer};

/// How long a peer may hold an acknowledgement back for a lone segment (RFC 8985, section 7.2).
const WORST_DELAY: Duration = Duration::from_millis(200);
/// So that a probe of a short path does not go before an acknowledgement that comes in batches.
const LEAST_PROBE: Duration = Duration::from_millis(2);
/// How often the same segments time out before their size is suspected (RFC 4821, section 7.7), and to what it falls.
const BLACK_HOLE: u8 = 2;
/// Until full segments are tried again, the first time.
const RETRY: Duration = Duration::from_secs(10);
const BASE_MSS: [u32; 2] = [1_024, 512];

impl Sender {
    /// The timer is due: what it is for.
    pub(crate) fn fire(&mut self, now: Nanos) {
        let Some((_, timer)) = self.timer.take_if(|(due, _)| *due <= now) else {
            return;
        };
        match timer {
            Timer::Retransmission => self.time_out(now),
            Timer::TailProbe => {
                self.recovery.probe = true;
                self.since = now;
            }
            Timer::Reordering => {
                let (lost, again) = self.board.detect(now, self.reordering_window());
                self.recovery.reordering = again;
                if lost > 0 && self.recovery.phase == Phase::Open {
                    self.recover(&Delivery::default());
                } else if lost > 0 && self.recovery.phase == Phase::Recovery {
                    self.reduce(0, false);
                }
            }
            Timer::Persist => {
                self.recovery.persisted = true;
                self.recovery.stalled.get_or_insert(now);
                self.recovery.backoff = self.recovery.backoff.saturating_add(1);
            }
            Timer::Pause => self.yielding.pause = None,
        }
    }

    /// RFC 6298, section 5, and RFC 8985, section 6.3: what the peer has not got is lost, until it says otherwise.
    fn time_out(&mut self, now: Nanos) {
        let again = self.recovery.backoff > 0;
        if !again {
            if self.recovery.phase != Phase::Loss {
                self.save();
            }
            self.cubic.time_out();
            self.note_reduction();
            self.recovery.doubtful = true;
        }
        self.recovery.backoff = self.recovery.backoff.saturating_add(1);
        self.recovery.stalled.get_or_insert(now);
        self.recovery.phase = Phase::Loss;
        self.recovery.point = self.next;
        self.recovery.new_first = 0;
        self.recovery.probe = false;
        self.recovery.tail = None;
        self.recovery.reordering = None;
        self.recovery.duplicates = 0;
        self.board.lose_all();
        self.suspect_black_hole(now);
        self.cubic.set_window(self.mss);
        self.since = now;
    }

    /// Routers that drop what is too large and say nothing: smaller segments are tried, and kept for a while if they pass. An
    /// outage looks the same, so full ones are tried again, each time later.
    fn suspect_black_hole(&mut self, now: Nanos) {
        let step = self.recovery.backoff.checked_sub(BLACK_HOLE).map(usize::from);
        let Some(mss) = step.and_then(|step| BASE_MSS.get(step / 2)) else {
            return;
        };
        let full = self.board.get(0).is_some_and(|record| record.length() > *mss);
        if full && *mss < self.mss {
            let before = self.recovery.shrunk;
            let times = before.map_or(0, |shrunk| shrunk.times);
            self.recovery.shrunk = Some(Shrunk {
                full: before.map_or(self.mss, |shrunk| shrunk.full),
                again: now.after(RETRY * (1 << times.min(6))),
                times: times + 1,
            });
            self.mss = *mss;
            self.cubic.set_mss(*mss);
        }
    }

    /// Something was acknowledged: it may be time to try full segments again.
    pub(super) fn try_full(&mut self, now: Nanos) {
        if let Some(shrunk) = self
            .recovery
            .shrunk
            .filter(|shrunk| shrunk.again <= now && self.mss < shrunk.full)
        {
            self.mss = shrunk.full;
            self.cubic.set_mss(shrunk.full);
        }
    }

    /// The path takes segments of `mss` bytes at most: what is under way and longer is lost, though not for want of room.
    pub(crate) fn narrow(&mut self, mss: u32, now: Nanos) {
        self.recovery.shrunk = None;
        self.mss = mss;
        self.cubic.set_mss(mss);
        self.board.lose_longer(mss);
        self.since = now;
        if self.board.lost() > 0 && self.recovery.phase == Phase::Open {
            self.recovery.phase = Phase::Loss;
            self.recovery.point = self.next;
            self.recovery.doubtful = false;
        }
    }

    /// Sets the timer for what is due next, once everything was sent that may be for now.
    pub(crate) fn rearm(&mut self, now: Nanos, sack: bool) {
        self.note_load();
        let timeout = self.rtt.timeout(self.recovery.backoff);
        let due = self.since.after(timeout);
        self.timer = if self.outstanding() {
            Some(
                match self
                    .recovery
                    .reordering
                    .filter(|at| *at < due && self.board.flying() > 0)
                {
                    Some(at) => (at, Timer::Reordering),
                    None => match self.tail_probe(now, sack).filter(|at| *at < due) {
                        Some(at) => (at, Timer::TailProbe),
                        None => (due, Timer::Retransmission),
                    },
                },
            )
        } else if self.waits_for_window() {
            // Answers without news of a window do not put it off.
            let running = self.timer.filter(|(_, timer)| *timer == Timer::Persist);
            running.or(Some((now.after(timeout), Timer::Persist)))
        } else {
            None
        };
        if let Some(pause) = self.yielding.pause
            && self.timer.is_none_or(|(at, _)| pause < at)
        {
            self.timer = Some((pause, Timer::Pause));
        }
    }

    /// When to probe for a loss at the tail (RFC 8985, section 7.2).
    fn tail_probe(&self, now: Nanos, sack: bool) -> Option<Nanos> {
        let recovery = &self.recovery;
        let eligible = sack
            && recovery.phase == Phase::Open
            && recovery.backoff == 0
            && recovery.tail.is_none()
            && !recovery.probe
            && self.board.sacked_records() == 0
            && self.board.flying() > 0;
        let smoothed = self.rtt.smoothed().filter(|_| eligible)?;
        let delay = if self.board.flying() <= self.mss {
            WORST_DELAY
        } else {
            LEAST_PROBE
        };
        Some(self.last.max(self.since).min(now).after(2 * smoothed + delay))
    }
}
