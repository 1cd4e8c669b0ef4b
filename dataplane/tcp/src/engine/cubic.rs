//! CUBIC (RFC 9438): the window is a cubic function of the time since it was last reduced.
//!
//! ```text
//!  window    growth slows towards the peak, probes beyond it
//!    peak ┤        ________/
//!         │     .-'
//!  0.7 of ┤   /
//!  it     └──┴────────┴──────▶ seconds since the reduction
//!            0        K
//! ```

use std::time::Duration;

use headgate_net::clock::Nanos;

use super::hystart::HyStart;
use crate::sequence::Seq;

/// Section 5: in segments a second cubed.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Section 4.3: what makes the estimate of Reno's window grow as Reno's would.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// Where nothing is known of what the path bears: at least a twentieth a round trip, as Linux does it. Slow start may have
/// ended for a delay that meant nothing.
const UNKNOWN: f64 = 1.0 / 20.0;
/// More than anything needs: twice the largest window that a header can tell.
const MOST: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cubic {
    mss: u32,
    /// Bytes that may be under way.
    window: u32,
    /// Below it, slow start.
    threshold: u32,
    /// The window before the last reduction, in bytes; none after a timeout (section 4.8).
    peak: f64,
    /// The window at the last reduction.
    before: f64,
    epoch: Option<Epoch>,
    /// Bytes of growth that do not make a whole one yet.
    fraction: f64,
    hystart: HyStart,
}

/// Congestion avoidance since a reduction.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Nanos,
    /// Seconds until the peak is reached again.
    k: f64,
    /// What Reno's window would be, in bytes.
    reno: f64,
    /// Whether no peak is known.
    unknown: bool,
}

/// What an acknowledgement tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// Bytes newly delivered.
    pub(crate) bytes: u32,
    pub(crate) una: Seq,
    pub(crate) next: Seq,
    pub(crate) sample: Option<Duration>,
    pub(crate) smoothed: Duration,
}

impl Cubic {
    pub(crate) fn new(mss: u32) -> Self {
        Self {
            mss,
            window: Self::initial(mss),
            threshold: MOST,
            peak: 0.0,
            before: 0.0,
            epoch: None,
            fraction: 0.0,
            hystart: HyStart::default(),
        }
    }

    /// RFC 6928, section 2.
    const fn initial(mss: u32) -> u32 {
        let (ten, bound) = (10 * mss, if 2 * mss > 14_600 { 2 * mss } else { 14_600 });
        if ten < bound { ten } else { bound }
    }

    pub(crate) const fn window(&self) -> u32 {
        self.window
    }

    pub(crate) const fn threshold(&self) -> u32 {
        self.threshold
    }

    pub(crate) const fn in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// Sets the window: during recovery, proportional rate reduction does.
    pub(crate) fn set_window(&mut self, bytes: u32) {
        self.window = bytes.clamp(self.mss, MOST);
    }

    /// The path takes smaller segments.
    pub(crate) fn set_mss(&mut self, mss: u32) {
        self.mss = mss;
    }

    /// Grows for what was acknowledged outside of recovery.
    pub(crate) fn grow(&mut self, growth: &Growth, now: Nanos) {
        if self.in_slow_start() {
            let over = self.hystart.acknowledged(growth.una, growth.next, growth.sample);
            self.window = (self.window + self.hystart.growth(growth.bytes)).min(self.threshold);
            if over {
                self.threshold = self.window;
            }
            return;
        }
        self.avoid(growth, now);
    }

    /// Section 4.2 to 4.5.
    fn avoid(&mut self, growth: &Growth, now: Nanos) {
        let (window, mss, bytes) = (
            f64::from(self.window),
            f64::from(self.mss),
            f64::from(growth.bytes),
        );
        let unknown = self.peak == 0.0;
        // Slow start ended without a loss: here is where to probe from.
        self.peak = self.peak.max(window);
        let peak = self.peak;
        let epoch = self.epoch.get_or_insert_with(|| Epoch {
            start: now,
            k: ((peak - window) / mss / C).cbrt(),
            reno: window,
            unknown,
        });
        let alpha = if epoch.reno >= self.before { 1.0 } else { ALPHA };
        epoch.reno += alpha * mss * bytes / window;
        let t = now.since(epoch.start).as_secs_f64();
        let cubic = |t: f64| peak + mss * C * (t - epoch.k).powi(3);
        let target = if cubic(t) < epoch.reno {
            epoch.reno
        } else {
            cubic(t + growth.smoothed.as_secs_f64())
        };
        let step = if cubic(t) < epoch.reno {
            (target - window).max(0.0)
        } else {
            (target.clamp(window, 1.5 * window) - window) * bytes / window
        };
        let least = if epoch.unknown { UNKNOWN * bytes } else { 0.0 };
        self.fraction += step.max(least);
        let whole = self.fraction.floor();
        self.fraction -= whole;
        self.window = self.window.saturating_add(whole as u32).min(MOST);
    }

    /// Nothing was sent for `pause`: time has not passed for the growth (RFC 9438, section 5.8), and what was learnt ages
    /// by half a timeout (RFC 2861, section 3.2).
    pub(crate) fn idle(&mut self, pause: Duration, timeout: Duration) {
        if let Some(epoch) = &mut self.epoch {
            epoch.start = epoch.start.after(pause);
        }
        let mut halvings = pause.as_nanos() / timeout.as_nanos().max(1);
        let floor = Self::initial(self.mss).min(self.window);
        if halvings > 0 {
            self.threshold = self.threshold.max(self.window / 4 * 3);
        }
        while halvings > 0 && self.window > floor {
            self.window = (self.window / 2).max(floor);
            halvings -= 1;
        }
    }

    /// A timeout: what the window was says nothing any more (section 4.8).
    pub(crate) fn time_out(&mut self) {
        self.reduce();
        self.peak = 0.0;
    }

    /// A mark of a router: as a loss, but that the window itself falls at once, and may fall to one segment.
    pub(crate) fn yield_to_mark(&mut self) {
        let window = f64::from(self.window) * BETA;
        self.reduce();
        self.set_window(window as u32);
    }

    /// A loss, or a mark: section 4.6 and 4.7. The window itself is the recovery's business.
    pub(crate) fn reduce(&mut self) {
        let window = f64::from(self.window);
        self.peak = if window < self.peak {
            window * (1.0 + BETA) / 2.0
        } else {
            window
        };
        self.before = window;
        self.epoch = None;
        self.threshold = ((window * BETA) as u32).max(2 * self.mss);
    }
}

#[cfg(test)]
mod tests;
