//! The wire between two ends, each a kernel behind a TAP device or a stack of ours, and what was seen on it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use headgate_net::{
    clock::{Clock, Nanos},
    wire::{Parsed, parse_packet},
};
use headgate_tcp::{Connecting, Stack, StackConfig};
use headgate_xsk::tap::Tap;

use super::congestion::Said;
use super::ends::End;
use crate::{Impairment, Namespace, impair::Line, names};

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 10), Ipv4Addr::new(198, 51, 100, 10)];
const PORT: u16 = 8080;
/// Of whoever is not a kernel.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const ETHERNET: usize = 14;
/// For how long nothing is sent on a connection that is over.
const QUIET: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Kernel,
    Ours,
}

/// What both ends are told, as far as the one of a kind can be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// Kernels offer neither timestamps nor SACK nor scaling, and take none.
    pub(super) plain: bool,
    pub(super) mtu: Option<u16>,
    pub(super) keep_alive: Option<Duration>,
    /// Both ask for explicit congestion notification, and what finds more bytes than this waiting for their turn on the line is
    /// marked, if it may be.
    pub(super) marks: Option<usize>,
}

/// What a side sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Kinds of options of its SYN.
    offered: Vec<u8>,
    /// Whether segments after it had timestamps: all, or none.
    timestamps: Option<bool>,
    /// Whether it sent SACK blocks that the other had not allowed.
    unasked: bool,
    fin: bool,
    reset: bool,
    closed_window: bool,
    probes: bool,
    most: usize,
}

impl Summary {
    /// What was used of what was offered.
    pub(super) fn used(&self) -> (Option<bool>, bool, bool, bool) {
        (self.timestamps, self.unasked, self.fin, self.reset)
    }
}

enum Side {
    Kernel { namespace: Namespace, tap: Tap },
    Ours(Stack),
}

/// Removes a namespace.
struct Removed(Namespace);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip")
            .args(["netns", "del", self.0.name()])
            .status();
    }
}

pub(super) struct Wire {
    sides: [Side; 2],
    lines: [Line; 2],
    /// What was said about congestion.
    pub(super) said: [Said; 2],
    pub(super) summaries: [Summary; 2],
    clock: Clock,
    options: Options,
    /// The next number of each side, and when anything was carried last.
    next: [Option<u32>; 2],
    carried: Instant,
    _namespaces: Vec<Removed>,
}

impl Wire {
    pub(super) fn make(kinds: [Kind; 2], options: Options, impairment: Impairment) -> Self {
        let prefix = names::unique_prefix().unwrap();
        let mut namespaces = Vec::new();
        let mut side = |index: usize| match kinds[index] {
            Kind::Kernel => {
                let namespace = Namespace::create(&format!("{prefix}-{index}")).unwrap();
                namespaces.push(Removed(namespace.clone()));
                let tap = kernel(&namespace, index, options);
                Side::Kernel { namespace, tap }
            }
            Kind::Ours => Side::Ours(stack(index, options)),
        };
        let sides = [side(0), side(1)];
        Self {
            sides,
            lines: [impairment.seed, impairment.seed + 1]
                .map(|seed| Line::new(Impairment { seed, ..impairment })),
            said: Default::default(),
            summaries: Default::default(),
            clock: Clock::start(),
            options,
            next: [None; 2],
            carried: Instant::now(),
            _namespaces: namespaces,
        }
    }

    /// Opens the connection: the client's end and the server's.
    pub(super) fn meet(&mut self) -> [End; 2] {
        let listener = self.listen();
        let mut connecting = None;
        let mut server = None;
        let mut client = None;
        let start = Instant::now();
        self.turn();
        while client.is_none() || server.is_none() {
            assert!(start.elapsed() < Duration::from_secs(10), "nobody connects");
            if client.is_none() {
                client = self.connect(&mut connecting);
            }
            if server.is_none() {
                server = self.accept(listener.as_ref());
            }
            self.turn();
        }
        [client, server].map(|end| {
            let end = end.unwrap();
            if let End::Kernel(stream) = &end {
                stream.set_nonblocking(true).unwrap();
                self.keep_alive(stream);
            }
            end
        })
    }

    fn listen(&self) -> Option<TcpListener> {
        let address = SocketAddr::new(IpAddr::V4(ADDRESSES[1]), PORT);
        match &self.sides[1] {
            Side::Kernel { namespace, .. } => {
                let listener = namespace.enter(|| TcpListener::bind(address)).unwrap().unwrap();
                listener.set_nonblocking(true).unwrap();
                Some(listener)
            }
            Side::Ours(stack) => {
                stack.listen([address]);
                None
            }
        }
    }

    fn connect(&self, connecting: &mut Option<Caller>) -> Option<End> {
        let address = SocketAddr::new(IpAddr::V4(ADDRESSES[1]), PORT);
        let caller = connecting.get_or_insert_with(|| match &self.sides[0] {
            Side::Kernel { namespace, .. } => {
                let namespace = namespace.clone();
                Caller::Kernel(thread::spawn(move || {
                    namespace.enter(|| TcpStream::connect(address)).unwrap().unwrap()
                }))
            }
            Side::Ours(stack) => Caller::Ours(Box::pin(stack.connect(address).unwrap())),
        });
        match caller {
            Caller::Kernel(thread) => {
                if !thread.is_finished() {
                    return None;
                }
                match connecting.take() {
                    Some(Caller::Kernel(thread)) => Some(End::Kernel(thread.join().unwrap())),
                    _ => None,
                }
            }
            Caller::Ours(future) => {
                let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(stream) => Some(End::Ours(stream.unwrap())),
                    std::task::Poll::Pending => None,
                }
            }
        }
    }

    fn accept(&self, listener: Option<&TcpListener>) -> Option<End> {
        match (&self.sides[1], listener) {
            (Side::Ours(stack), _) => stack.try_accept().map(End::Ours),
            (_, Some(listener)) => listener.accept().ok().map(|(stream, _)| End::Kernel(stream)),
            _ => None,
        }
    }

    fn keep_alive(&self, stream: &TcpStream) {
        use rustix::net::sockopt;
        let Some(time) = self.options.keep_alive else {
            return;
        };
        sockopt::set_tcp_keepidle(stream, time).unwrap();
        sockopt::set_tcp_keepintvl(stream, time).unwrap();
        sockopt::set_socket_keepalive(stream, true).unwrap();
    }

    /// Carries what there is, and waits a moment where there is nothing.
    pub(super) fn turn(&mut self) {
        let now = self.clock.now();
        let mut idle = true;
        for from in 0..2 {
            for mut packet in packets(&self.sides[from], now) {
                idle = false;
                self.watch(from, &packet);
                let waits = self.lines[from].waits(Instant::now());
                let full = self.options.marks.is_some_and(|most| waits > most);
                self.said[from].watch(&mut packet, full);
                let to = &self.sides[1 - from];
                self.lines[from].push(&packet, Instant::now(), &mut |packet| deliver(to, packet, now));
            }
            let to = &self.sides[1 - from];
            self.lines[from].release(Instant::now(), &mut |packet| deliver(to, packet, now));
        }
        if idle {
            thread::sleep(Duration::from_micros(100));
        } else {
            self.carried = Instant::now();
        }
    }

    /// What each side sent. Whoever asks for a sign of life first keeps the other from asking, so that either did is what counts.
    pub(super) fn summaries(&self) -> [Summary; 2] {
        let probes = self.summaries.iter().any(|side| side.probes);
        self.summaries.clone().map(|side| Summary { probes, ..side })
    }

    /// What the kernel of a side says of its connections, if it is one.
    pub(super) fn connections(&self, side: usize) -> Option<String> {
        match &self.sides[side] {
            Side::Kernel { namespace, .. } => Some(namespace.run_ok("ss", &["-tinoH"]).unwrap()),
            Side::Ours(_) => None,
        }
    }

    /// Frames that the line had no room for.
    pub(super) fn overflowed(&self) -> u64 {
        self.lines.iter().map(|line| line.counts.overflowed).sum()
    }

    /// Whether nothing has been carried for a while.
    pub(super) fn is_quiet(&self) -> bool {
        self.carried.elapsed() > QUIET
    }

    fn watch(&mut self, from: usize, packet: &[u8]) {
        let tcp = &packet[usize::from(packet[0] & 15) * 4..];
        let header = usize::from(tcp[12] >> 4) * 4;
        let (flags, data) = (tcp[13], tcp.len() - header);
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let kinds = kinds(&tcp[20..header]);
        let allowed = self.summaries.iter().all(|side| side.offered.contains(&4));
        // Where both have closed, what comes late or twice is answered by a reset, by a kernel too.
        let closed = self.summaries.iter().all(|side| side.fin);
        let summary = &mut self.summaries[from];
        summary.reset |= flags & 4 != 0 && !closed;
        if flags & 2 != 0 {
            summary.offered.clone_from(&kinds);
            summary.offered.sort_unstable();
            self.next[from] = Some(sequence.wrapping_add(1));
            return;
        }
        if flags & 4 != 0 {
            return;
        }
        summary.timestamps = Some(summary.timestamps.unwrap_or(true) && kinds.contains(&8));
        summary.unasked |= kinds.contains(&5) && !allowed;
        summary.fin |= flags & 1 != 0;
        summary.closed_window |= tcp[14..16] == [0, 0];
        summary.most = summary.most.max(data);
        let next = self.next[from].get_or_insert(sequence);
        // What keeps alive asks with a number that was acknowledged.
        summary.probes |= self.options.keep_alive.is_some() && sequence.wrapping_add(1) == *next && data <= 1;
        let end = sequence.wrapping_add(data as u32);
        if end.wrapping_sub(*next) < 1 << 31 {
            *next = end;
        }
    }
}

enum Caller {
    Kernel(JoinHandle<TcpStream>),
    Ours(std::pin::Pin<Box<Connecting>>),
}

/// Kinds of TCP options, without the fillers.
fn kinds(mut options: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some(&kind) = options.first() {
        let length = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(options[1]),
        };
        if kind > 1 {
            kinds.push(kind);
        }
        options = &options[length..];
    }
    kinds
}

fn kernel(namespace: &Namespace, index: usize, options: Options) -> Tap {
    let tap = namespace.enter(|| Tap::create("t0")).unwrap().unwrap();
    let (own, other) = (ADDRESSES[index], ADDRESSES[1 - index]);
    let mtu = options.mtu.unwrap_or(1_500);
    let mac = MAC.map(|byte| format!("{byte:02x}")).join(":");
    // The MSS that is told follows from the route; what is sent, from what the peer tells.
    namespace
        .ip(&[
            format!("addr add {own}/32 dev t0"),
            format!("route add {other} dev t0 advmss {} congctl cubic", mtu - 40),
            format!("neigh replace {other} lladdr {mac} dev t0 nud permanent"),
        ])
        .unwrap();
    if options.marks.is_some() {
        namespace.sysctl("ipv4/tcp_ecn", "1").unwrap();
    }
    if options.plain {
        for key in ["tcp_timestamps", "tcp_sack", "tcp_window_scaling"] {
            namespace.sysctl(&format!("ipv4/{key}"), "0").unwrap();
        }
    }
    tap
}

fn stack(index: usize, options: Options) -> Stack {
    let own = IpAddr::V4(ADDRESSES[index]);
    let mut config = StackConfig::new(40_000..=49_999, Rc::new(move |_| Some(own)));
    config.ask_ecn = options.marks.is_some();
    config.mtu = usize::from(options.mtu.unwrap_or(1_500));
    if let Some(keep_alive) = options.keep_alive {
        config.keep_alive = keep_alive;
    }
    Stack::new(config)
}

/// IP packets that a side sends now.
fn packets(side: &Side, now: Nanos) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    match side {
        Side::Ours(stack) => stack.egress(now, &mut |length, fill| {
            let mut packet = vec![0; length];
            fill(&mut packet);
            packets.push(packet);
            true
        }),
        Side::Kernel { tap, .. } => {
            let mut frame = [0; 1_600];
            while let Ok(length) = tap.read(&mut frame) {
                // IPv4 and TCP; kernels ask for neighbours and groups of their own accord.
                if frame[12..14] == [8, 0] && frame[ETHERNET + 9] == 6 {
                    packets.push(frame[ETHERNET..length].to_vec());
                }
            }
        }
    }
    packets
}

fn deliver(side: &Side, packet: &[u8], now: Nanos) {
    match side {
        Side::Ours(stack) => {
            if let Ok(Parsed::Ip(headers)) = parse_packet(packet) {
                stack.ingress(packet, &headers, now);
            }
        }
        Side::Kernel { tap, .. } => {
            let frame = [&tap.mac()[..], &MAC, &[8, 0], packet].concat();
            // A device that takes no more loses the frame, as any does.
            let _ = tap.write(&frame);
        }
    }
}
