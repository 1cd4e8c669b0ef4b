//! What the fuzz targets and the unit tests run on arbitrary bytes.

mod history;
mod segments;

pub use history::history;
pub use segments::segments;

use std::net::IpAddr;
use std::rc::Rc;
use std::slice::Iter;
use std::time::Duration;

use headgate_net::clock::Nanos;
use headgate_net::record::TcpGauge;
use headgate_net::wire::{Parsed, parse_packet};

use crate::segment::Segment;
use crate::{Stack, StackConfig};

/// The longest input that is tried.
const LONGEST: usize = 2048;
const BUFFER: usize = 64 << 10;

/// The bytes of an input; after the last one all are 0.
struct Input<'a>(Iter<'a, u8>);

impl<'a> Input<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self(data[..data.len().min(LONGEST)].iter())
    }

    fn goes_on(&self) -> bool {
        !self.0.as_slice().is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn long(&mut self) -> u32 {
        u32::from(self.word()) << 16 | u32::from(self.word())
    }

    /// A number that is nearly always small.
    fn near(&mut self) -> u32 {
        match self.byte() {
            0..=127 => 0,
            128..=191 => i32::from(self.byte().cast_signed()).cast_unsigned(),
            192..=239 => i32::from(self.word().cast_signed()).cast_unsigned(),
            _ => self.long(),
        }
    }
}

fn config(ours: IpAddr) -> StackConfig {
    StackConfig {
        buffer: BUFFER,
        memory: 512 << 10,
        ask_ecn: true,
        ..StackConfig::new(40_000..=49_999, Rc::new(move |_| Some(ours)))
    }
}

fn give(stack: &Stack, packet: &[u8], now: Nanos) {
    if let Ok(Parsed::Ip(headers)) = parse_packet(packet) {
        stack.ingress(packet, &headers, now);
    }
}

/// What a stack sends now: good segments, and an end of them.
fn collect(stack: &Stack, now: Nanos) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    stack.egress(now, &mut |length, fill| {
        assert!(length <= 1500, "{length} bytes in a packet");
        let mut packet = vec![0xaa; length];
        fill(&mut packet);
        packets.push(packet);
        packets.len() < 10_000
    });
    assert!(packets.len() < 10_000, "it sends without an end");
    for packet in &packets {
        let Ok(Parsed::Ip(headers)) = parse_packet(packet) else {
            panic!("we send IP packets");
        };
        assert!(Segment::of(packet, &headers).is_ok(), "we send good segments");
    }
    check(stack);
    packets
}

/// What holds at any time.
fn check(stack: &Stack) {
    let mut inner = stack.shared.inner.borrow_mut();
    let mut held = 0;
    for (_, connection) in &mut inner.connections {
        let tcb = &mut connection.tcb;
        held += tcb.held();
        tcb.check(BUFFER as u32);
    }
    assert_eq!(held, inner.pool.used(), "blocks that nobody holds");
}

/// Lets time pass until nothing is left: there must be an end, and nothing that keeps the worker busy until then.
fn ends(stack: &Stack, mut now: Nanos) {
    for _ in 0..20_000 {
        let _ = collect(stack, now);
        let held = stack.status().now;
        let left = [TcpGauge::Connections, TcpGauge::HalfOpen, TcpGauge::TimeWait].map(|gauge| held[gauge]);
        if left == [0; 3] {
            assert_eq!(held[TcpGauge::Buffered], 0, "memory is left");
            assert!(stack.shared.inner.borrow().is_empty(), "something is left");
            return;
        }
        let next = stack.next_timer().expect("what is left has a time when it ends");
        now = Nanos(next.0.max(now.0 + 1));
    }
    panic!("it does not end: {stack:?}");
}

/// A while of an input's choice.
fn pause(input: &mut Input<'_>) -> Duration {
    Duration::from_millis([0, 1, 3, 10, 30, 200, 1_000, 5_000, 60_000][input.below(9)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn seeds(target: &str, run: fn(&[u8])) {
        let seeds = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let seeds: Vec<_> = std::fs::read_dir(seeds).expect("the seeds").collect();
        assert!(!seeds.is_empty());
        for seed in seeds {
            run(&std::fs::read(seed.expect("a seed").path()).expect("a file"));
        }
    }

    #[test]
    fn seeds_of_segments_end_well() {
        seeds("tcp_segment", super::segments);
    }

    #[test]
    fn seeds_of_histories_end_well() {
        seeds("tcp_history", super::history);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_segments_end_well(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            super::segments(&data);
        }

        #[test]
        fn any_history_ends_well(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            super::history(&data);
        }
    }
}
