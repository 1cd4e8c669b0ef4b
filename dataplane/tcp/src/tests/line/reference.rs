//! What CUBIC of Linux reaches, by a model of a sender that knows at once which of its transmissions arrived: RFC 9438 with
//! the constants, the first growth and the order of things of Linux 6; loss by three later arrivals (RFC 6675), proportional
//! rate reduction (RFC 6937bis), probes of the tail (RFC 8985) and timeouts. No HyStart: round trips of the model's line
//! grow by queues only, which are what this is compared over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Flow, Load};
use headgate_net::clock::Nanos;

/// Data in a segment with timestamps.
const MSS: u64 = 1_448;
const BETA: f64 = 717.0 / 1_024.0;
const C: f64 = 0.4;

/// A segment's number, and the transmissions that it had.
#[derive(Default)]
struct Book {
    /// Of each transmission: the segment, when it was sent.
    sent: Vec<(u64, Nanos)>,
    /// Transmissions under way.
    flying: BTreeMap<u64, u64>,
    lost: BTreeMap<u64, ()>,
}

pub(crate) struct Reference {
    segments: u64,
    bytes: u64,
    book: Book,
    next: u64,
    /// What the receiver has.
    arrived: Vec<bool>,
    in_order: u64,
    /// Transmissions in the order of arrival, and how many of them the sender has heard of.
    log: Vec<u64>,
    heard: usize,
    pending: u8,
    ack_due: Option<Nanos>,
    acks: Vec<u64>,
    /// Of segments that the sender knows to have arrived.
    known: Vec<bool>,
    una: u64,
    window: f64,
    threshold: f64,
    last_max: f64,
    epoch: Option<(Nanos, f64, f64)>,
    /// Reno's window.
    friendly: f64,
    recovery: Option<Recovery>,
    rtt: Option<f64>,
    least: f64,
    last_progress: Nanos,
    probed: bool,
    backoff: i32,
    handshake: Option<Nanos>,
    limited: bool,
    newest: Option<u64>,
    last_rtt: Duration,
    reordering: Option<Nanos>,
}

struct Recovery {
    /// The segment that ends it.
    point: u64,
    prior: f64,
    delivered: f64,
    out: f64,
    /// After a timeout: slow start instead.
    timeout: bool,
}

impl Reference {
    pub(crate) fn new(bytes: u64) -> Self {
        let segments = bytes.div_ceil(MSS);
        Self {
            segments,
            bytes,
            book: Book::default(),
            next: 0,
            arrived: vec![false; segments as usize],
            in_order: 0,
            log: Vec::new(),
            heard: 0,
            pending: 0,
            ack_due: None,
            acks: Vec::new(),
            known: vec![false; segments as usize],
            una: 0,
            window: 10.0,
            threshold: f64::INFINITY,
            last_max: 0.0,
            epoch: None,
            friendly: 0.0,
            recovery: None,
            rtt: None,
            least: f64::INFINITY,
            last_progress: Nanos(0),
            probed: false,
            backoff: 0,
            handshake: None,
            limited: false,
            newest: None,
            last_rtt: Duration::ZERO,
            reordering: None,
        }
    }

    fn acknowledge(&mut self) {
        self.pending = 0;
        self.ack_due = None;
        self.acks.push(self.log.len() as u64);
    }

    fn flying(&self) -> f64 {
        self.book.flying.len() as f64
    }

    /// An acknowledgement: everything that had arrived by then.
    fn acknowledged(&mut self, count: usize, now: Nanos) {
        if count <= self.heard {
            return;
        }
        let before = (self.una, self.flying());
        let mut delivered = 0.0;
        for at in self.heard..count {
            let transmission = self.log[at];
            let (segment, sent) = self.book.sent[transmission as usize];
            self.book.flying.remove(&transmission);
            self.book.lost.remove(&segment);
            if !std::mem::replace(&mut self.known[segment as usize], true) {
                delivered += 1.0;
            }
            let sample = now.since(sent).as_secs_f64();
            self.least = self.least.min(sample);
            if self.newest.is_none_or(|newest| newest <= transmission) {
                (self.newest, self.last_rtt) = (Some(transmission), now.since(sent));
            }
            self.rtt = Some(self.rtt.map_or(sample, |rtt| rtt + (sample - rtt) / 8.0));
        }
        self.heard = count;
        while self.una < self.segments && self.known[self.una as usize] {
            self.una += 1;
        }
        if self.una > before.0 {
            (self.last_progress, self.probed, self.backoff) = (now, false, 0);
        }
        let lost = self.detect(now);
        self.react(delivered, (self.una > before.0, lost, before.1), now);
    }

    /// Gives up what something sent later has overtaken: at once, or a quarter of a round trip later where less than three
    /// have, and nothing is known to be lost (RFC 8985, section 6.2).
    fn detect(&mut self, now: Nanos) -> bool {
        let Some(newest) = self.newest else { return false };
        let holes = (self.una..self.next)
            .filter(|s| self.known[*s as usize])
            .take(3)
            .count();
        let window = if self.recovery.is_some() || holes == 3 {
            0.0
        } else {
            self.least / 4.0
        };
        let due = |sent: Nanos| sent.after(self.last_rtt + Duration::from_secs_f64(window));
        self.reordering = None;
        let overtaken: Vec<(u64, u64)> = self.book.flying.range(..newest).map(|(t, s)| (*t, *s)).collect();
        let mut lost = false;
        for (transmission, segment) in overtaken {
            let due = due(self.book.sent[transmission as usize].1);
            if due <= now {
                self.book.flying.remove(&transmission);
                self.book.lost.insert(segment, ());
                lost = true;
            } else {
                self.reordering = Some(self.reordering.map_or(due, |at| at.max(due)));
            }
        }
        lost
    }

    fn react(&mut self, delivered: f64, (progress, lost, flight): (bool, bool, f64), now: Nanos) {
        if let Some(recovery) = &self.recovery
            && self.una >= recovery.point
        {
            if !recovery.timeout {
                self.window = self.threshold;
            }
            self.recovery = None;
        }
        if self.recovery.is_none() && lost {
            let prior = self.window;
            self.reduce();
            self.recovery = Some(Recovery {
                point: self.next,
                prior: prior.max(flight),
                delivered: 0.0,
                out: 0.0,
                timeout: false,
            });
        }
        match &mut self.recovery {
            Some(recovery) if !recovery.timeout => {
                recovery.delivered += delivered;
                let flying = self.book.flying.len() as f64;
                let mut quota = if flying > self.threshold {
                    (recovery.delivered * self.threshold / recovery.prior).ceil() - recovery.out
                } else {
                    let mut quota = (recovery.delivered - recovery.out).max(delivered);
                    quota += if progress && !lost { 1.0 } else { 0.0 };
                    quota.min(self.threshold - flying)
                };
                quota = quota.max(if recovery.out == 0.0 { 1.0 } else { 0.0 });
                self.window = flying + quota;
            }
            _ if self.limited || self.window < self.threshold => self.grow(delivered, now),
            _ => {}
        }
    }

    fn reduce(&mut self) {
        self.last_max = if self.window < self.last_max {
            self.window * (1.0 + BETA) / 2.0
        } else {
            self.window
        };
        self.threshold = (self.window * BETA).floor().max(2.0);
        self.epoch = None;
    }

    fn grow(&mut self, mut delivered: f64, now: Nanos) {
        if self.window < self.threshold {
            let step = delivered.min(self.threshold - self.window);
            self.window += step;
            delivered -= step;
        }
        if delivered <= 0.0 {
            return;
        }
        let (start, k, origin) = *self.epoch.get_or_insert_with(|| {
            self.friendly = self.window;
            if self.last_max <= self.window {
                (now, 0.0, self.window)
            } else {
                (now, ((self.last_max - self.window) / C).cbrt(), self.last_max)
            }
        });
        let t = now.since(start).as_secs_f64() + self.least;
        let target = origin + C * (t - k).powi(3);
        let mut count = if target > self.window {
            self.window / (target - self.window)
        } else {
            100.0 * self.window
        };
        if self.last_max == 0.0 && count > 20.0 {
            count = 20.0;
        }
        self.friendly += delivered * 3.0 * (1.0 - BETA) / (1.0 + BETA) / self.window;
        if self.friendly > self.window {
            count = count.min(self.window / (self.friendly - self.window));
        }
        self.window += delivered / count.max(2.0);
    }

    fn deadline(&self) -> Option<Nanos> {
        if self.book.flying.is_empty() && self.book.lost.is_empty() {
            return None;
        }
        let rtt = self.rtt.unwrap_or(1.0);
        let since = self
            .last_progress
            .max(self.book.sent.last().map_or(Nanos(0), |sent| sent.1));
        if !self.probed && self.recovery.is_none() {
            return Some(since.after(Duration::from_secs_f64(2.0 * rtt + 0.002)));
        }
        let timeout = (rtt + 0.2) * f64::from(1 << self.backoff.min(6));
        Some(since.after(Duration::from_secs_f64(timeout)))
    }

    fn fire(&mut self, now: Nanos, out: &mut Vec<(bool, Load)>) {
        if self.reordering.is_some_and(|at| at <= now) && self.detect(now) {
            let flight = self.flying();
            self.react(0.0, (false, true, flight), now);
        }
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        if !self.probed && self.recovery.is_none() {
            self.probed = true;
            let segment = self.next - 1;
            return self.transmit(segment, now, out);
        }
        let flying = std::mem::take(&mut self.book.flying);
        self.book
            .lost
            .extend(flying.into_values().map(|segment| (segment, ())));
        let known = &self.known;
        self.book.lost.retain(|segment, ()| !known[*segment as usize]);
        self.reduce();
        self.window = 1.0;
        self.backoff += 1;
        self.last_progress = now;
        self.recovery = Some(Recovery {
            point: self.next,
            prior: 1.0,
            delivered: 0.0,
            out: 0.0,
            timeout: true,
        });
    }

    fn transmit(&mut self, segment: u64, now: Nanos, out: &mut Vec<(bool, Load)>) {
        let number = self.book.sent.len() as u64;
        self.book.sent.push((segment, now));
        self.book.flying.insert(number, segment);
        out.push((true, Load::Data(number)));
        if let Some(recovery) = &mut self.recovery {
            recovery.out += 1.0;
        }
    }
}

impl Flow for Reference {
    fn arrives(&mut self, right: bool, load: Load, now: Nanos) {
        match load {
            Load::Data(transmission) if right => {
                self.log.push(transmission);
                let segment = self.book.sent[transmission as usize].0;
                let holes = self.in_order < segment;
                self.arrived[segment as usize] = true;
                while self.in_order < self.segments && self.arrived[self.in_order as usize] {
                    self.in_order += 1;
                }
                self.pending += if holes { 2 } else { 1 };
                self.ack_due.get_or_insert(now.after(Duration::from_millis(40)));
                if self.pending >= 2 {
                    self.acknowledge();
                }
            }
            Load::Ack(0) if right => self.handshake = Some(now),
            Load::Ack(0) => self.last_progress = now,
            Load::Ack(count) => self.acknowledged(count as usize, now),
            _ => {}
        }
    }

    fn sends(&mut self, now: Nanos, out: &mut Vec<(bool, Load)>) {
        if self.ack_due.is_some_and(|due| due <= now) {
            self.acknowledge();
        }
        out.extend(self.acks.drain(..).map(|count| (false, Load::Ack(count))));
        // The handshake: one round trip before anything is sent.
        if self.handshake.is_none() {
            self.handshake = Some(now);
            out.push((true, Load::Ack(0)));
            return;
        }
        if self.handshake == Some(now) && self.last_progress == Nanos(0) && self.next == 0 {
            out.push((false, Load::Ack(0)));
            self.handshake = Some(now.after(Duration::from_nanos(1)));
            return;
        }
        if self.last_progress == Nanos(0) {
            return;
        }
        self.fire(now, out);
        while self.flying() < self.window.floor().max(1.0) {
            if let Some((segment, ())) = self.book.lost.pop_first() {
                self.transmit(segment, now, out);
            } else if self.next < self.segments {
                self.next += 1;
                self.transmit(self.next - 1, now, out);
            } else {
                break;
            }
        }
        self.limited = self.flying() >= self.window.floor();
    }

    fn next_timer(&self) -> Option<Nanos> {
        [self.ack_due, self.deadline(), self.reordering]
            .into_iter()
            .flatten()
            .min()
    }

    fn delivered(&self) -> u64 {
        (self.in_order * MSS).min(self.bytes)
    }

    fn is_done(&self) -> bool {
        self.in_order == self.segments
    }
}
