//! Two stacks, applications that do anything at any time, and between them a channel that means ill.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headgate_net::clock::Nanos;
use headgate_net::record::TcpCount;
use headgate_net::wire::{Parsed, TCP, ip, ipv4, parse_packet, tcp};
use tokio::io::AsyncWrite;

use super::{Input, collect, config, ends, give, pause};
use crate::network::mark;
use crate::segment::{FIN, PSH, SYN, Segment};
use crate::{Connecting, Stack, TcpStream};

const ENDS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 10), Ipv4Addr::new(198, 51, 100, 10)];
/// Connections at once.
const MOST: usize = 4;
/// So long an honest connection bears any channel.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads `data` as what two applications and the channel between them do. Then the channel is good again and both
/// applications close: every byte must have come once and in order, and nothing may remain.
///
/// # Panics
/// Where the stacks do not keep what they promise: that is a bug.
pub fn history(data: &[u8]) {
    let mut scene = Scene::new();
    let mut input = Input::new(data);
    while input.goes_on() {
        match input.byte() % 16 {
            0..=5 => scene.channel(&mut input),
            6 => scene.pass(pause(&mut input)),
            7 => scene.next(),
            8 => scene.connect(),
            _ => scene.application(&mut input),
        }
        scene.accept();
        scene.collect();
    }
    scene.finish();
}

/// A connection by what its applications know.
#[derive(Default)]
struct Flow {
    /// By direction, from the client and to it.
    written: [u64; 2],
    read: [u64; 2],
    closed: [bool; 2],
    ended: [bool; 2],
    /// Whether somebody left early, so that resets may cut it short.
    left: bool,
}

/// The byte at a place of a direction of a connection.
fn pattern(port: u16, direction: usize, place: u64) -> u8 {
    let mixed =
        (u64::from(port) << 40 | (direction as u64) << 32 | place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

struct Scene {
    stacks: [Stack; 2],
    now: Nanos,
    start: Nanos,
    connecting: Vec<(u16, Connecting)>,
    /// Streams by their client's port and which end holds them.
    streams: Vec<(u16, usize, TcpStream)>,
    flows: HashMap<u16, Flow>,
    /// Packets under way, and where to.
    flying: Vec<(usize, Vec<u8>)>,
}

impl Scene {
    fn new() -> Self {
        let stacks = ENDS.map(|ours| Stack::new(config(IpAddr::V4(ours))));
        stacks[1].listen([SocketAddr::new(IpAddr::V4(ENDS[1]), 80)]);
        let start = Nanos(1_000_000_000);
        Self {
            stacks,
            now: start,
            start,
            connecting: Vec::new(),
            streams: Vec::new(),
            flows: HashMap::new(),
            flying: Vec::new(),
        }
    }

    fn collect(&mut self) {
        for from in 0..2 {
            for packet in collect(&self.stacks[from], self.now) {
                self.flying.push((1 - from, packet));
            }
        }
        // A channel that holds more has a queue that overflows.
        self.flying.truncate(2_000);
    }

    fn pass(&mut self, pause: Duration) {
        let end = self.now.after(pause);
        while let Some(next) = self.timer().filter(|next| *next <= end) {
            self.now = Nanos(next.0.max(self.now.0 + 1)).min(end);
            self.collect();
            if self.now == end {
                break;
            }
        }
        self.now = end;
    }

    fn timer(&self) -> Option<Nanos> {
        self.stacks.iter().filter_map(Stack::next_timer).min()
    }

    fn next(&mut self) {
        if let Some(next) = self.timer() {
            self.now = Nanos(next.0.max(self.now.0 + 1));
        }
    }

    fn deliver(&mut self, index: usize) {
        let (to, packet) = self.flying.remove(index);
        give(&self.stacks[to], &packet, self.now);
    }

    fn channel(&mut self, input: &mut Input<'_>) {
        let (what, which) = (input.byte(), input.byte());
        let all = self.flying.len();
        if all == 0 {
            return;
        }
        // Mostly the oldest, so that connections come about.
        let index = if which < 128 { 0 } else { usize::from(which) % all };
        match what % 16 {
            0..=3 => (0..usize::from(which).min(all)).for_each(|_| self.deliver(0)),
            5..=8 => self.deliver(index),
            4 => _ = mark(&mut self.flying[index].1),
            9 => drop(self.flying.remove(index)),
            10 => self.flying.drain(..usize::from(which).min(all)).for_each(drop),
            11 => self.flying.push(self.flying[index].clone()),
            12 => {
                let packet = &mut self.flying[index].1;
                let bit = usize::from(input.word()) % (packet.len() * 8);
                packet[bit / 8] ^= 1 << (bit % 8);
            }
            13 => self.flying.swap(0, index),
            14 => self.flying.reverse(),
            _ => self.split(index, input),
        }
    }

    /// A router or a card makes two segments of one.
    fn split(&mut self, index: usize, input: &mut Input<'_>) {
        let (to, packet) = self.flying[index].clone();
        let Ok(Parsed::Ip(headers)) = parse_packet(&packet) else {
            return;
        };
        let Ok(segment) = Segment::of(&packet, &headers) else {
            return;
        };
        if segment.data.len() < 2 || segment.has(SYN) {
            return;
        }
        let at = 1 + usize::from(input.word()) % (segment.data.len() - 1);
        let bytes = headers.segment(&packet);
        let options = &bytes[tcp::HEADER..bytes.len() - segment.data.len()];
        let part = |skip: usize, data: &[u8], flags: u8| {
            let mut part = vec![0; ipv4::HEADER + tcp::HEADER + options.len() + data.len()];
            ip::write(&mut part, ENDS[1 - to].octets(), ENDS[to].octets(), TCP);
            let written = &mut part[ipv4::HEADER..];
            let fields = tcp::Fields {
                sequence: (segment.sequence + skip as u32).0,
                acknowledgement: segment.acknowledgement.0,
                flags,
                window: segment.window,
            };
            fields.write_with(
                written,
                segment.source.port(),
                segment.destination.port(),
                options,
            );
            written[tcp::HEADER + options.len()..].copy_from_slice(data);
            tcp::fill_checksum(written, segment.source.ip(), segment.destination.ip());
            (to, part)
        };
        let first = part(0, &segment.data[..at], segment.flags & !(FIN | PSH));
        let second = part(at, &segment.data[at..], segment.flags);
        self.flying[index] = second;
        self.flying.insert(index, first);
    }

    fn connect(&mut self) {
        if self.connecting.len() + self.streams.len() / 2 >= MOST {
            return;
        }
        let remote = SocketAddr::new(IpAddr::V4(ENDS[1]), 80);
        let connecting = self.stacks[0].connect(remote).expect("there are ports");
        let port = connecting.local().port();
        self.flows.insert(port, Flow::default());
        self.connecting.push((port, connecting));
    }

    /// Whether somebody may have lost patience with the channel.
    fn is_late(&self) -> bool {
        let expired = self.stacks[1].status().counters[TcpCount::HalfOpenExpired] > 0;
        expired || self.now.since(self.start) > PATIENCE
    }

    fn accept(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for (port, mut connecting) in std::mem::take(&mut self.connecting) {
            match Pin::new(&mut connecting).poll(&mut context) {
                Poll::Pending => self.connecting.push((port, connecting)),
                Poll::Ready(Ok(stream)) => self.streams.push((port, 0, stream)),
                Poll::Ready(Err(error)) => {
                    assert!(self.is_late(), "{error}");
                    self.flow(port).left = true;
                }
            }
        }
        while let Some(stream) = self.stacks[1].try_accept() {
            let port = stream.peer_addr().port();
            self.streams.push((port, 1, stream));
        }
    }

    fn flow(&mut self, port: u16) -> &mut Flow {
        self.flows.get_mut(&port).expect("who connects is known")
    }

    fn application(&mut self, input: &mut Input<'_>) {
        if self.streams.is_empty() {
            return;
        }
        let which = input.below(self.streams.len());
        match input.byte() % 16 {
            0..=5 => self.write(which, usize::from(input.word()) >> (input.byte() % 12)),
            6..=11 => self.read(which, usize::from(input.word())),
            12 | 13 => self.close(which),
            14 => {
                let (port, end, stream) = self.streams.remove(which);
                let flow = self.flow(port);
                flow.left = true;
                flow.closed[end] = true;
                drop(stream);
            }
            _ => {
                let (port, _, stream) = self.streams.remove(which);
                self.flow(port).left = true;
                stream.abort();
            }
        }
    }

    fn write(&mut self, which: usize, length: usize) {
        let (port, end, stream) = &mut self.streams[which];
        let flow = self.flows.get_mut(port).expect("who connects is known");
        let from = flow.written[*end];
        let data: Vec<u8> = (from..from + length as u64)
            .map(|place| pattern(*port, *end, place))
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(written)) = Pin::new(stream).poll_write(&mut context, &data) {
            assert!(!flow.closed[*end] || written == 0, "written after the end");
            flow.written[*end] += written as u64;
        }
    }

    fn close(&mut self, which: usize) {
        let (port, end, stream) = &mut self.streams[which];
        let flow = self.flows.get_mut(port).expect("who connects is known");
        flow.closed[*end] = true;
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(stream).poll_shutdown(&mut context).is_ready());
    }

    /// Reads what there is, up to `most` bytes; what it is must be what was written.
    fn read(&mut self, which: usize, mut most: usize) {
        let late = self.is_late();
        let (port, end, stream) = &mut self.streams[which];
        let flow = self.flows.get_mut(port).expect("who connects is known");
        let direction = 1 - *end;
        let mut context = Context::from_waker(Waker::noop());
        while most > 0 {
            let place = flow.read[direction];
            let read: Poll<io::Result<usize>> = stream.poll_receive(&mut context, |data| {
                let data = &data[..data.len().min(most)];
                for (place, byte) in (place..).zip(data) {
                    assert_eq!(*byte, pattern(*port, direction, place), "byte {place} is another");
                }
                data.len()
            });
            match read {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => {
                    assert!(flow.closed[direction], "an end that nobody made");
                    assert_eq!(flow.read[direction], flow.written[direction], "bytes are missing");
                    flow.ended[direction] = true;
                    return;
                }
                Poll::Ready(Ok(count)) => {
                    flow.read[direction] += count as u64;
                    assert!(flow.read[direction] <= flow.written[direction]);
                    most -= count;
                }
                Poll::Ready(Err(error)) => {
                    assert!(flow.left || late, "{error}");
                    flow.left = true;
                    flow.ended[direction] = true;
                    return;
                }
            }
        }
    }

    /// The channel is good, everybody closes and reads on to the end.
    fn finish(&mut self) {
        let mut turns = 0;
        while !(self.connecting.is_empty() && self.streams.is_empty()) {
            turns += 1;
            assert!(turns < 100_000, "it does not end: {:?}", self.stacks);
            for index in 0..self.streams.len() {
                let (port, end, _) = self.streams[index];
                if !self.flow(port).closed[end] {
                    self.close(index);
                }
                self.read(index, usize::MAX);
            }
            let flows = &self.flows;
            self.streams.retain(|(port, end, _)| !flows[port].ended[1 - *end]);
            self.collect();
            if self.flying.is_empty() {
                self.next();
            } else {
                self.pass(Duration::from_millis(1));
                (0..self.flying.len()).for_each(|_| self.deliver(0));
            }
            self.accept();
        }
        // What is under way is lost: each side ends by itself.
        for stack in &self.stacks {
            ends(stack, self.now);
        }
    }
}
