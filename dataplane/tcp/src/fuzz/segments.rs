//! Any segments for a stack whose connections are in any state.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headgate_net::clock::Nanos;
use headgate_net::wire::{Parsed, TCP, ecn, ip, ipv4, parse_packet, tcp};
use tokio::io::AsyncWrite;

use super::{Input, collect, config, ends, give, pause};
use crate::segment::{ACK, CWR, ECE, FIN, PSH, RST, SYN, Segment};
use crate::{Connecting, Stack, StackConfig, TcpStream};

const OURS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// More than any input needs.
const MOST: usize = 8;

/// Reads `data` as segments for a stack, what its application does, and time that passes. Nothing of it may do harm, and
/// once the application has left, nothing may remain.
///
/// # Panics
/// Where the stack does not keep what it promises: that is a bug.
pub fn segments(data: &[u8]) {
    let mut scene = Scene::new();
    let mut input = Input::new(data);
    while input.goes_on() {
        match input.byte() % 16 {
            0..=7 => scene.crafted(&mut input),
            8 => scene.raw(&mut input),
            9 => scene.shakes_hands(&mut input),
            10 => scene.now = scene.now.after(pause(&mut input)),
            _ => scene.application(&mut input),
        }
        scene.collect();
    }
    (scene.streams, scene.connecting) = (Vec::new(), Vec::new());
    while let Some(stream) = scene.stack.try_accept() {
        drop(stream);
    }
    ends(&scene.stack, scene.now);
}

/// Where a connection stands by what the stack has sent: its next number, what it expects, and its clock.
#[derive(Clone, Copy, Default)]
struct Known {
    next: u32,
    expected: u32,
    clock: u32,
}

struct Scene {
    stack: Stack,
    now: Nanos,
    streams: Vec<TcpStream>,
    connecting: Vec<Connecting>,
    /// By our port and the peer's.
    known: HashMap<(u16, u16), Known>,
    ports: Vec<(u16, u16)>,
}

impl Scene {
    fn new() -> Self {
        let stack = Stack::new(StackConfig {
            max_connections: MOST,
            max_half_open: 2,
            max_time_wait: 2,
            source_ports: 40_000..=40_003,
            ..config(IpAddr::V4(OURS))
        });
        stack.listen([SocketAddr::new(IpAddr::V4(OURS), 80)]);
        Self {
            stack,
            now: Nanos(1_000_000_000),
            streams: Vec::new(),
            connecting: Vec::new(),
            known: HashMap::new(),
            ports: (0..4).map(|port| (80, 5_000 + port)).collect(),
        }
    }

    fn collect(&mut self) {
        for packet in collect(&self.stack, self.now) {
            let Ok(Parsed::Ip(headers)) = parse_packet(&packet) else {
                continue;
            };
            let segment = Segment::of(&packet, &headers).expect("it was looked at before");
            let ports = (segment.source.port(), segment.destination.port());
            if !self.ports.contains(&ports) && self.ports.len() < 32 {
                self.ports.push(ports);
            }
            let known = self.known.entry(ports).or_default();
            if !segment.has(RST) {
                known.next = (segment.sequence + segment.length()).0;
            }
            if segment.has(ACK) {
                known.expected = segment.acknowledgement.0;
            }
            if let Some(timestamps) = segment.options.timestamps {
                known.clock = timestamps.value;
            }
        }
    }

    fn send(
        &mut self,
        (ours, theirs): (u16, u16),
        fields: tcp::Fields,
        options: &[u8],
        (data, field): (usize, u8),
    ) {
        let mut packet = vec![0x55; ipv4::HEADER + tcp::HEADER + options.len() + data];
        ip::write(&mut packet, PEER.octets(), OURS.octets(), TCP);
        ecn::set(&mut packet, field);
        let segment = &mut packet[ipv4::HEADER..];
        fields.write_with(segment, theirs, ours, options);
        tcp::fill_checksum(segment, IpAddr::V4(PEER), IpAddr::V4(OURS));
        give(&self.stack, &packet, self.now);
    }

    fn crafted(&mut self, input: &mut Input<'_>) {
        let ports = self.ports[input.below(self.ports.len())];
        let known = self.known.get(&ports).copied().unwrap_or_default();
        let kinds = [ACK, ACK, ACK | PSH, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK];
        let flags = match input.below(9) {
            8 => input.byte(),
            kind => kinds[kind],
        };
        let fields = tcp::Fields {
            sequence: known.expected.wrapping_add(input.near()),
            acknowledgement: known.next.wrapping_add(input.near()),
            flags,
            window: [0, 1, 100, 1_000, u16::MAX][input.below(5)],
        };
        let options = Self::options(input, known);
        let byte = input.byte();
        let data = [0, 0, 1, 100, 511, 1_400][usize::from(byte % 6)];
        self.send(ports, fields, &options, (data, byte >> 6));
    }

    fn options(input: &mut Input<'_>, known: Known) -> Vec<u8> {
        let mut options = Vec::new();
        match input.byte() % 8 {
            0..=2 => {}
            3 => options.extend([2, 4, input.byte() % 6, input.byte(), 1, 3, 3, input.byte() % 16]),
            4 => {
                options.extend([1, 1, 8, 10]);
                options.extend(1_000_u32.wrapping_add(input.near()).to_be_bytes());
                options.extend(known.clock.wrapping_add(input.near()).to_be_bytes());
            }
            5 | 6 => {
                let blocks = 1 + input.below(4);
                options.extend([1, 1, 5, 2 + 8 * blocks as u8]);
                for _ in 0..blocks {
                    let start = known.next.wrapping_sub(u32::from(input.word()));
                    options.extend(start.to_be_bytes());
                    let length = [1, 100, 1_460, 2_920, u32::from(input.byte()) << 8][input.below(5)];
                    options.extend(start.wrapping_add(length).to_be_bytes());
                }
            }
            _ => options.extend((0..4 * input.below(11)).map(|_| input.byte())),
        }
        options
    }

    /// The input's own bytes, but for ports and checksum.
    fn raw(&mut self, input: &mut Input<'_>) {
        let (ours, theirs) = self.ports[input.below(self.ports.len())];
        let length = input.below(120);
        let mut packet = vec![0; ipv4::HEADER + length];
        ip::write(&mut packet, PEER.octets(), OURS.octets(), TCP);
        let segment = &mut packet[ipv4::HEADER..];
        segment.fill_with(|| input.byte());
        if length >= tcp::HEADER {
            segment[..2].copy_from_slice(&theirs.to_be_bytes());
            segment[2..4].copy_from_slice(&ours.to_be_bytes());
            segment[tcp::field::CHECKSUM].fill(0);
            tcp::fill_checksum(segment, IpAddr::V4(PEER), IpAddr::V4(OURS));
        }
        give(&self.stack, &packet, self.now);
    }

    /// A whole handshake of the peer's, so that what follows finds a connection.
    fn shakes_hands(&mut self, input: &mut Input<'_>) {
        let ports = self.ports[input.below(4)];
        let mut fields = tcp::Fields {
            sequence: input.long(),
            acknowledgement: 0,
            flags: SYN,
            window: u16::MAX,
        };
        let scale = input.byte() % 15;
        let mut options = vec![2, 4, 5, 0xb4, 1, 3, 3, scale, 1, 1, 4, 2];
        let offers = input.byte();
        let stamped = offers % 2 == 1;
        if offers & 2 != 0 {
            fields.flags |= ECE | CWR;
        }
        let stamp = |echo: u32| {
            let mut option = vec![1, 1, 8, 10];
            option.extend(1_000_u32.to_be_bytes());
            option.extend(echo.to_be_bytes());
            option
        };
        if stamped {
            options.extend(stamp(0));
        }
        self.send(ports, fields, &options, (0, ecn::NOT_ECT));
        self.collect();
        let known = self.known.get(&ports).copied().unwrap_or_default();
        fields = tcp::Fields {
            sequence: fields.sequence.wrapping_add(1),
            acknowledgement: known.next,
            flags: ACK,
            window: u16::MAX,
        };
        let options = if stamped { stamp(known.clock) } else { Vec::new() };
        self.now = self.now.after(Duration::from_millis(10));
        self.send(ports, fields, &options, (0, ecn::NOT_ECT));
        if let Some(stream) = self.stack.try_accept() {
            self.streams.push(stream);
        }
    }

    fn application(&mut self, input: &mut Input<'_>) {
        let mut context = Context::from_waker(Waker::noop());
        let which = input.below(self.streams.len());
        match input.byte() % 8 {
            0 => {
                let remote = SocketAddr::new(IpAddr::V4(PEER), 443);
                self.connecting.extend(self.stack.connect(remote));
            }
            1 => self.streams.extend(self.stack.try_accept()),
            2 if !self.connecting.is_empty() => {
                let which = input.below(self.connecting.len());
                match Pin::new(&mut self.connecting[which]).poll(&mut context) {
                    Poll::Pending => {}
                    Poll::Ready(stream) => {
                        self.streams.extend(stream);
                        self.connecting.remove(which);
                    }
                }
            }
            _ if self.streams.is_empty() => {}
            3 | 4 => {
                let data = vec![0x66; usize::from(input.word())];
                let _ = Pin::new(&mut self.streams[which]).poll_write(&mut context, &data);
            }
            5 => {
                let most = usize::from(input.word());
                let take = |data: &[u8]| data.len().min(most);
                let _ = self.streams[which].poll_receive(&mut context, take);
            }
            6 => {
                let _ = Pin::new(&mut self.streams[which]).poll_shutdown(&mut context);
            }
            _ => {
                let stream = self.streams.remove(which);
                if input.byte() % 2 == 1 {
                    stream.abort();
                }
            }
        }
    }
}
