//! A line with a rate, a queue, a delay and losses, and flows that share it: of our stack, and of a reference of Linux'
//! CUBIC. Everything follows from a seed and from virtual time.
//!
//! ```text
//!  left ──▶ queue ─ rate ─ losses ─ delay ──▶ right       what carries data is what the figures are of;
//!  left ◀──────────────────────── delay ───── right       acknowledgements come back undisturbed, but for losses
//! ```

mod ours;
mod reference;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::network::{Random, mark};
use crate::tests::segment_of;
use headgate_net::clock::Nanos;

pub(super) use ours::Ours;
pub(super) use reference::Reference;

/// What the line does to packets, in each direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineConfig {
    /// There and back.
    pub(super) rtt: Duration,
    /// Share of packets that are lost.
    pub(super) loss: f64,
    /// Bits a second, and bytes that may wait for their turn; without, everything flies at once.
    pub(super) rate: Option<(f64, f64)>,
    /// Of what does not fit any more, what may be marked is marked and waits all the same.
    pub(super) marks: bool,
    /// Arrivals come together, as those of links that wait for the air, and of receivers that look from time to time.
    pub(super) batch: Duration,
    /// What the lost ones follow from: the same positions of a flow's packets are lost whoever sends them.
    pub(super) seed: u64,
}

/// A packet of a flow.
pub(super) enum Load {
    Ip(Vec<u8>),
    /// A transmission of the reference, by its number.
    Data(u64),
    /// How many transmissions had arrived.
    Ack(u64),
}

impl Load {
    fn length(&self) -> usize {
        match self {
            Self::Ip(packet) => packet.len(),
            Self::Data(_) => 1_500,
            Self::Ack(_) => 52,
        }
    }

    /// Bytes of a segment's data.
    fn data(&self) -> u64 {
        match self {
            Self::Ip(packet) => segment_of(packet).map_or(0, |segment| segment.data.len() as u64),
            _ => 0,
        }
    }

    /// Whether a router could mark it, and has.
    fn mark(&mut self) -> bool {
        match self {
            Self::Ip(packet) => mark(packet),
            _ => false,
        }
    }
}

/// Two ends with something to transfer from the left to the right.
pub(super) trait Flow {
    /// A packet arrives at the end that `right` says.
    fn arrives(&mut self, right: bool, load: Load, now: Nanos);
    /// Hands out what both ends send now: whether it goes to the right.
    fn sends(&mut self, now: Nanos, out: &mut Vec<(bool, Load)>);
    fn next_timer(&self) -> Option<Nanos>;
    /// Bytes that the right end has, in order.
    fn delivered(&self) -> u64;
    /// Whether everything was delivered.
    fn is_done(&self) -> bool;
}

/// One direction.
struct Way {
    config: LineConfig,
    /// When all that waits will have been sent.
    free: Nanos,
    /// By flow, what decides about its packets.
    random: Vec<Random>,
    entered: Vec<u64>,
    /// By flow, bytes of data that entered, as often as they did.
    carried: Vec<u64>,
    marked: u64,
    dropped: u64,
}

impl Way {
    fn new(config: LineConfig, flows: usize, salt: u64) -> Self {
        let seed = |flow: usize| {
            let mixed = (config.seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt << 32 ^ flow as u64;
            let mut random = Random(mixed | 1);
            (0..8).for_each(|_| _ = random.draw());
            random
        };
        Self {
            config,
            free: Nanos(0),
            random: (0..flows).map(seed).collect(),
            entered: vec![0; flows],
            carried: vec![0; flows],
            marked: 0,
            dropped: 0,
        }
    }

    /// When a packet that enters now arrives, if it does.
    fn enter(&mut self, flow: usize, load: &mut Load, now: Nanos) -> Option<Nanos> {
        let length = load.length();
        self.carried[flow] += load.data();
        let unlucky = ((self.random[flow].draw() >> 11) as f64) < self.config.loss * (1_u64 << 53) as f64;
        let mut leaves = now;
        if let Some((rate, queue)) = self.config.rate {
            let waits = self.free.since(now).as_secs_f64() * rate / 8.0;
            if waits + length as f64 > queue {
                // Handshakes pass here too.
                let passes = self.config.marks && self.entered[flow] < 2;
                let marked = self.config.marks && load.mark();
                if !(passes || marked) {
                    self.dropped += 1;
                    return None;
                }
                self.marked += u64::from(marked);
            }
            leaves = self
                .free
                .max(now)
                .after(Duration::from_secs_f64(length as f64 * 8.0 / rate));
            self.free = leaves;
        }
        // Handshakes pass: what a lost SYN costs is another question.
        self.entered[flow] += 1;
        if unlucky && self.entered[flow] > 2 {
            return None;
        }
        let arrives = leaves.after(self.config.rtt / 2).0;
        Some(Nanos(
            arrives.next_multiple_of((self.config.batch.as_nanos() as u64).max(1)),
        ))
    }
}

/// What became of the flows: seconds until the last byte of each, bytes of each at the end, and those that were sent, some
/// of them twice; and what the bottleneck marked and dropped.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) seconds: Vec<f64>,
    pub(super) delivered: Vec<u64>,
    pub(super) carried: Vec<u64>,
    pub(super) marked: u64,
    pub(super) dropped: u64,
}

/// Runs flows, each from its own time on, until all are done or `end` is reached.
pub(super) fn run_flows(
    flows: &mut [(Duration, Box<dyn Flow>)],
    config: LineConfig,
    end: Duration,
) -> Outcome {
    let start = Nanos(1_000_000_000);
    let mut ways = [Way::new(config, flows.len(), 1), Way::new(config, flows.len(), 2)];
    // Acknowledgements are small; a rate of their own would say nothing.
    ways[0].config.rate = None;
    let mut flying: BTreeMap<(Nanos, u64), (usize, bool, Load)> = BTreeMap::new();
    let (mut now, mut number, mut out) = (start, 0, Vec::new());
    let (mut turns, mut seconds) = (Random(config.seed | 1), vec![f64::INFINITY; flows.len()]);
    while now < start.after(end) && seconds.iter().any(|s| s.is_infinite()) {
        let mut send = |flow: usize, out: &mut Vec<(bool, Load)>, flying: &mut BTreeMap<_, _>| {
            for (right, mut load) in out.drain(..) {
                if let Some(at) = ways[usize::from(right)].enter(flow, &mut load, now) {
                    number += 1;
                    flying.insert((at, number), (flow, right, load));
                }
            }
        };
        while let Some(entry) = flying.first_entry().filter(|e| e.key().0 <= now) {
            let (flow, right, load) = entry.remove();
            flows[flow].1.arrives(right, load, now);
            // A receiver answers each packet that asks for it; a sender looks at all that came together.
            if right {
                flows[flow].1.sends(now, &mut out);
                send(flow, &mut out, &mut flying);
            }
        }
        // Who comes last of those at one moment finds the queue full: everybody sometimes.
        let first = turns.draw() as usize;
        for turn in 0..flows.len() {
            let index = (first % flows.len() + turn) % flows.len();
            let (begin, flow) = &mut flows[index];
            if now < start.after(*begin) {
                continue;
            }
            flow.sends(now, &mut out);
            send(index, &mut out, &mut flying);
            if flow.is_done() && seconds[index].is_infinite() {
                seconds[index] = now.since(start.after(*begin)).as_secs_f64();
            }
        }
        let timers = flows.iter().filter_map(|(begin, flow)| {
            let begin = start.after(*begin);
            if now < begin {
                Some(begin)
            } else {
                flow.next_timer()
            }
        });
        let next = timers.chain(flying.first_key_value().map(|(key, _)| key.0)).min();
        let Some(next) = next else { break };
        now = next.max(now);
    }
    let [_, right] = ways;
    Outcome {
        carried: right.carried,
        marked: right.marked,
        dropped: right.dropped,
        seconds,
        delivered: flows.iter().map(|(_, flow)| flow.delivered()).collect(),
    }
}
