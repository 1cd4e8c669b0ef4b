//! A virtual network for tests: stacks joined by channels that delay, lose, duplicate and reorder, under tokio's
//! paused clock.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Emit, Stack};
use headgate_net::clock::Nanos;
use headgate_net::wire::{Parsed, ecn, ip, parse_packet};

/// Whatever takes IP packets and gives IP packets.
pub trait Node {
    /// Takes in an IP packet.
    fn ingress(&mut self, packet: &[u8], now: Nanos);
    /// Hands out IP packets while `emit` takes them.
    fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>);
    /// When to call `egress` though nothing happens.
    fn next_timer(&self) -> Option<Nanos>;
    /// Notified when there is something for `egress`.
    fn wake(&self) -> Arc<Notify>;
}

impl Node for Stack {
    fn ingress(&mut self, packet: &[u8], now: Nanos) {
        if let Ok(Parsed::Ip(headers)) = parse_packet(packet) {
            Stack::ingress(self, packet, &headers, now);
        }
    }

    fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        Stack::egress(self, now, emit);
    }

    fn next_timer(&self) -> Option<Nanos> {
        Stack::next_timer(self)
    }

    fn wake(&self) -> Arc<Notify> {
        Stack::wake(self)
    }
}

/// What a channel does to packets; probabilities in percent.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// One way.
    pub delay: Duration,
    /// Packets that never arrive.
    pub loss: u8,
    /// Packets that arrive twice.
    pub duplicate: u8,
    /// Packets that arrive up to ten delays late.
    pub reorder: u8,
    /// Bits turned over.
    pub corrupt: u8,
    /// Packets that a congested router marks, of those that it may.
    pub mark: u8,
}

impl Channel {
    /// A tenth of a millisecond, and nothing goes wrong.
    pub fn perfect() -> Self {
        Self {
            delay: Duration::from_micros(100),
            loss: 0,
            duplicate: 0,
            reorder: 0,
            corrupt: 0,
            mark: 0,
        }
    }
}

/// Nodes, each with the addresses that lead to it.
pub struct Network {
    nodes: Vec<(Box<dyn Node>, Vec<IpAddr>)>,
    channel: Channel,
    random: Random,
    /// Packets on their way by time and number.
    flying: BTreeMap<(Nanos, u64), (usize, Vec<u8>)>,
    sent: u64,
    start: Instant,
}

/// xorshift64*.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.draw() >> 32 < (u64::from(percent) << 32) / 100
    }
}

impl Network {
    /// Without nodes; what goes wrong follows from the seed.
    pub fn new(channel: Channel, seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            channel,
            random: Random(seed | 1),
            flying: BTreeMap::new(),
            sent: 0,
            start: Instant::now(),
        }
    }

    /// Joins a node that has these addresses.
    pub fn join(&mut self, node: impl Node + 'static, addresses: impl IntoIterator<Item = IpAddr>) {
        self.nodes.push((Box::new(node), addresses.into_iter().collect()));
    }

    fn now(&self) -> Nanos {
        // Not zero: stacks should not care, and zero hides mistakes.
        Nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap() + 1_000_000_000)
    }

    /// Carries packets for as long as it is polled.
    pub async fn run(mut self) {
        loop {
            let next = self.turn();
            let wakes: Vec<Arc<Notify>> = self.nodes.iter().map(|(node, _)| node.wake()).collect();
            let woken = wakes
                .iter()
                .map(|wake| Box::pin(wake.notified()) as Pin<Box<dyn Future<Output = ()>>>);
            let woken = futures_util::future::select_all(woken);
            let now = self.now();
            match next {
                Some(next) if next <= now => tokio::task::yield_now().await,
                Some(next) => {
                    tokio::select! {
                        _ = woken => {}
                        () = tokio::time::sleep(next.since(now)) => {}
                    }
                }
                None => drop(woken.await),
            }
        }
    }

    /// Delivers what is due and collects what nodes send; returns when something happens next.
    fn turn(&mut self) -> Option<Nanos> {
        let now = self.now();
        while let Some(entry) = self.flying.first_entry().filter(|e| e.key().0 <= now) {
            let (node, packet) = entry.remove();
            self.nodes[node].0.ingress(&packet, now);
        }
        for node in 0..self.nodes.len() {
            let mut packets = Vec::new();
            self.nodes[node].0.egress(now, &mut |length, fill| {
                let mut packet = vec![0xaa; length];
                fill(&mut packet);
                packets.push(packet);
                true
            });
            packets.iter().for_each(|packet| self.send(packet, now));
        }
        let timers = self.nodes.iter().filter_map(|(node, _)| node.next_timer());
        timers
            .chain(self.flying.first_key_value().map(|(key, _)| key.0))
            .min()
    }

    fn send(&mut self, packet: &[u8], now: Nanos) {
        let copies = if self.random.chance(self.channel.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if self.random.chance(self.channel.loss) {
                continue;
            }
            let mut packet = packet.to_vec();
            if self.random.chance(self.channel.mark) {
                mark(&mut packet);
            }
            if self.random.chance(self.channel.corrupt) {
                let bit = usize::try_from(self.random.draw()).unwrap() % (packet.len() * 8);
                packet[bit / 8] ^= 1 << (bit % 8);
            }
            let delays = if self.random.chance(self.channel.reorder) {
                2 + self.random.draw() % 9
            } else {
                1
            };
            let due = now.after(self.channel.delay * u32::try_from(delays).unwrap());
            let Some(node) = self.route(&packet) else { continue };
            self.sent += 1;
            self.flying.insert((due, self.sent), (node, packet));
        }
    }

    fn route(&self, packet: &[u8]) -> Option<usize> {
        let address = ip::IpHeader::of(packet).ok()?.destination();
        self.nodes
            .iter()
            .position(|(_, addresses)| addresses.contains(&address))
    }
}

/// As a congested router does where it may (RFC 3168, section 5); whether it may.
pub(crate) fn mark(packet: &mut [u8]) -> bool {
    let may =
        matches!(parse_packet(packet), Ok(Parsed::Ip(headers)) if ecn::of(packet, &headers) != ecn::NOT_ECT);
    if may {
        ecn::set(packet, ecn::CE);
    }
    may
}

/// Runs a test on the kind of runtime that a worker has, with a clock that stands still while there is work.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(test)
}
