//! Congestion control and loss recovery of what a connection sends.
//!
//! smoltcp begins with two segments, waits at least a second before it retransmits, and after a fast retransmission
//! waits for that timer again if more than one segment was lost. So its own congestion control is off, and it is
//! asked for packets only while [`Recovery`] allows. It keeps the data and retransmits on demand: the first segment
//! that is not acknowledged, whenever it is told of three duplicate acknowledgements
//! ([`Socket::retransmit`](super::socket::Socket::retransmit)).
//!
//! The rules are those of RFC 5681 and RFC 6582 (NewReno), with the initial window of RFC 6928, growth by bytes
//! acknowledged (RFC 3465), and timeouts by RFC 6298 with Linux' lower bound of 200 ms.
//!
//! ```text
//!           3 duplicates                  ACK of everything sent before
//! growing ───────────────▶ recovering ───────────────────────────────▶ growing
//!    │                      ▲      │ ACK of a part: the next segment again
//!    └── timeout: window 1 ─┘      └──▶
//! ```

use std::time::Duration;

use super::packets::Sent;
use super::segment::{FIN, SYN};
use headgate_net::clock::Nanos;

const MINIMUM_TIMEOUT: Duration = Duration::from_millis(200);
const INITIAL_TIMEOUT: Duration = Duration::from_secs(1);
const MAXIMUM_TIMEOUT: Duration = Duration::from_secs(60);
/// Duplicate acknowledgements that mean a loss (RFC 5681 section 3.2).
const DUPLICATES: u8 = 3;

/// What an acknowledgement or a timeout asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecoveryAction {
    None,
    /// The first unacknowledged segment must be sent again.
    Retransmit,
    /// As `Retransmit`, and smoltcp does so by itself.
    Retransmits,
}

/// What a segment of the peer said about ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Our first byte that is not acknowledged, now.
    pub(super) unacknowledged: u32,
    /// Whether the segment did nothing but acknowledge: no data, no SYN, no FIN.
    pub(super) bare: bool,
    pub(super) acknowledgement: u32,
    /// Not scaled.
    pub(super) window: u16,
}

#[derive(Debug)]
pub(super) struct Recovery {
    mss: u32,
    /// Bytes that may be in flight.
    window: u32,
    /// Above it, the window grows by a segment a round trip.
    threshold: u32,
    /// The first byte that is not acknowledged.
    first: u32,
    /// After the byte that smoltcp sent last; `first <= cursor <= high`, back at `first` after a timeout of smoltcp.
    cursor: u32,
    /// After the last byte that was ever sent.
    high: u32,
    /// After the last byte that the stream has written.
    written: u32,
    /// When something was sent last.
    last: Nanos,
    /// What must be acknowledged to end the recovery.
    until: Option<u32>,
    duplicates: u8,
    peer_window: u16,
    /// Whether the next segment that begins at `first` is a retransmission on demand.
    demanded: bool,
    /// The end of a segment that is timed, and when it was sent.
    timed: Option<(u32, Nanos)>,
    smoothed: Option<Duration>,
    variation: Duration,
    timer: Option<Nanos>,
    backoff: u32,
}

/// `a - b`, or 0 if `a` comes before `b` (RFC 9293 section 3.4).
fn ahead(a: u32, b: u32) -> u32 {
    let ahead = a.wrapping_sub(b);
    if ahead < 1 << 31 { ahead } else { 0 }
}

impl Recovery {
    /// `first` is the sequence number of the first byte of data.
    pub(super) fn new(mss: usize, first: u32) -> Self {
        let mss = u32::try_from(mss).unwrap_or(536);
        Self {
            mss,
            window: Self::initial(mss),
            threshold: u32::MAX,
            first,
            cursor: first,
            high: first,
            written: first,
            last: Nanos(0),
            until: None,
            duplicates: 0,
            peer_window: 0,
            demanded: false,
            timed: None,
            smoothed: None,
            variation: Duration::ZERO,
            timer: None,
            backoff: 0,
        }
    }

    /// RFC 6928 section 2.
    fn initial(mss: u32) -> u32 {
        (10 * mss).min(14_600.max(2 * mss))
    }

    /// Everything is acknowledged but, at most, a FIN: its retransmission is smoltcp's business.
    pub(super) fn settled(&mut self) {
        self.timer = None;
    }

    /// Takes note of bytes that the stream has written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written = self
            .written
            .wrapping_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// The first byte that is not acknowledged, if smoltcp holds `queued` bytes.
    pub(super) fn unacknowledged(&self, queued: usize) -> u32 {
        self.written.wrapping_sub(u32::try_from(queued).unwrap_or(0))
    }

    /// Whether there is data that must wait for an acknowledgement.
    pub(super) fn blocked(&self) -> bool {
        self.unsent() > 0 && self.flight() >= self.window
    }

    /// What is acknowledged last, and the window that came with it.
    pub(super) fn last_heard(&self) -> (u32, u16) {
        (self.first, self.peer_window)
    }

    fn unsent(&self) -> u32 {
        ahead(self.written, self.cursor)
    }

    /// Bytes sent and not acknowledged.
    fn flight(&self) -> u32 {
        ahead(self.cursor, self.first)
    }

    /// Whether a segment that is not full should wait: there is more to come, and enough in flight that the peer
    /// acknowledges soon (RFC 9293 section 3.8.6.2.1).
    pub(super) fn wants_full(&self) -> bool {
        self.unsent() >= self.mss && self.flight() >= 2 * self.mss
    }

    /// When [`Self::timeout`] is due.
    pub(super) fn timer(&self) -> Option<Nanos> {
        self.timer
    }

    /// Takes note of a segment that was sent.
    pub(super) fn sent(&mut self, sent: Sent, now: Nanos) {
        if sent.flags & SYN != 0 || sent.end == sent.sequence {
            return;
        }
        // RFC 5681 section 4.1: what was learnt about the path ages.
        if self.flight() == 0 && now.since(self.last) > self.interval() {
            self.window = self.window.min(Self::initial(self.mss));
        }
        self.last = now;
        let again = ahead(self.high, sent.sequence) > 0;
        if again {
            // Karn's algorithm: an acknowledgement could be of either.
            self.timed = None;
        } else if self.timed.is_none() && sent.flags & FIN == 0 {
            self.timed = Some((sent.end, now));
        }
        if !(std::mem::take(&mut self.demanded) && sent.sequence == self.first) {
            self.cursor = sent.end;
        }
        self.high = self.high.wrapping_add(ahead(sent.end, self.high));
        if self.timer.is_none() {
            self.timer = Some(now.after(self.interval()));
        }
    }

    /// Takes note of a segment of the peer.
    pub(super) fn heard(&mut self, heard: Heard, now: Nanos) -> RecoveryAction {
        let acknowledged = ahead(heard.unacknowledged, self.first);
        let repeated = heard.bare
            && acknowledged == 0
            && heard.acknowledgement == self.first
            && heard.window == self.peer_window
            && self.flight() > 0;
        self.peer_window = heard.window;
        if acknowledged > 0 {
            return self.progress(heard.unacknowledged, acknowledged, now);
        }
        if !repeated {
            return RecoveryAction::None;
        }
        self.duplicates = self.duplicates.saturating_add(1);
        if self.until.is_some() {
            // A segment has left the network: another may enter.
            self.window = self.window.saturating_add(self.mss);
            return RecoveryAction::None;
        }
        if self.duplicates != DUPLICATES {
            return RecoveryAction::None;
        }
        self.threshold = (self.flight() / 2).max(2 * self.mss);
        self.window = self.threshold + 3 * self.mss;
        self.until = Some(self.high);
        self.demanded = true;
        RecoveryAction::Retransmits
    }

    fn progress(&mut self, first: u32, acknowledged: u32, now: Nanos) -> RecoveryAction {
        self.measure(first, now);
        self.first = first;
        self.cursor = self.cursor.wrapping_add(ahead(first, self.cursor));
        self.backoff = 0;
        self.duplicates = 0;
        self.timer = (first != self.high).then(|| now.after(self.interval()));
        match self.until {
            None => self.grow(acknowledged),
            Some(until) if ahead(until, first) == 0 => {
                self.until = None;
                self.window = self.threshold.min(self.flight().max(self.mss) + self.mss);
            }
            Some(_) => {
                self.window = self.window.saturating_sub(acknowledged).max(self.mss) + self.mss;
                self.demanded = true;
                return RecoveryAction::Retransmit;
            }
        }
        RecoveryAction::None
    }

    fn grow(&mut self, acknowledged: u32) {
        let step = if self.window < self.threshold {
            acknowledged.min(2 * self.mss)
        } else {
            (u64::from(self.mss) * u64::from(acknowledged) / u64::from(self.window.max(1))) as u32
        };
        self.window = self.window.saturating_add(step.max(1)).min(1 << 24);
    }

    /// The timer is due: nothing was acknowledged for too long.
    pub(super) fn timeout(&mut self, now: Nanos) -> RecoveryAction {
        if self.timer.is_none_or(|timer| timer > now) {
            return RecoveryAction::None;
        }
        // RFC 5681 section 3.1: once for each loss, not for each time it is repaired in vain.
        if self.backoff == 0 {
            self.threshold = (self.flight() / 2).max(2 * self.mss);
        }
        self.backoff += 1;
        self.window = self.mss;
        self.until = Some(self.high);
        self.duplicates = 0;
        self.timed = None;
        self.demanded = true;
        self.timer = Some(now.after(self.interval()));
        RecoveryAction::Retransmit
    }

    /// Whether the byte with this number is sent and not acknowledged.
    pub(super) fn is_under_way(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.first) < ahead(self.high, self.first)
    }

    /// What is under way is too large for the path, and lost, though not for want of room: it is sent again in smaller
    /// pieces, one by one as each is acknowledged, and the window stays. The caller retransmits the first.
    pub(super) fn narrowed(&mut self, now: Nanos) {
        self.threshold = self.threshold.min(self.window.max(2 * self.mss));
        self.until = Some(self.high);
        self.duplicates = 0;
        self.timed = None;
        self.demanded = true;
        self.timer = Some(now.after(self.interval()));
    }

    /// RFC 6298 section 2.
    fn measure(&mut self, first: u32, now: Nanos) {
        let Some((_, sent)) = self.timed.filter(|(end, _)| ahead(*end, first) == 0) else {
            return;
        };
        self.timed = None;
        let sample = now.since(sent);
        match &mut self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                *smoothed = (*smoothed * 7 + sample) / 8;
            }
        }
    }

    fn interval(&self) -> Duration {
        let base = match self.smoothed {
            Some(smoothed) => (smoothed + 4 * self.variation).max(MINIMUM_TIMEOUT),
            None => INITIAL_TIMEOUT,
        };
        base.saturating_mul(1 << self.backoff.min(10))
            .min(MAXIMUM_TIMEOUT)
    }
}

#[cfg(test)]
mod tests;
