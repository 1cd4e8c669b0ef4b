//! Nanoseconds of the TCP stack for what an ingress does most, two stacks joined in memory, one thread, no tokio:
//!
//! ```text
//! cargo run --release -p headgate-dataplane --example tcp_ns
//! ```
//!
//! The server's stack alone is timed. Each figure is the median of the rounds; others may share the cores.
#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "measures times")]

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use headgate_net::clock::Nanos;
use headgate_net::record::TcpGauge;
use headgate_net::wire::{Parsed, parse_packet};
use headgate_tcp::{Connecting, SourceAddress, Stack, StackConfig, TcpStream};
use tokio::io::AsyncWrite;

const ROUNDS: usize = 11;

fn main() {
    println!("{:<58} {:>10}", "server side, median of rounds", "ns");
    handshakes();
    for connections in [1, 1_000, 10_000] {
        requests(connections);
    }
    bulk("upload", true);
    bulk("download", false);
}

/// Two stacks and what is between them.
struct Bed {
    client: Stack,
    server: Stack,
    now: Nanos,
    up: Packets,
    down: Packets,
    spent: Duration,
}

/// Packets on their way, in buffers that are used again.
#[derive(Default)]
struct Packets {
    buffers: Vec<Vec<u8>>,
    used: usize,
    total: u64,
}

impl Packets {
    fn collect(&mut self, stack: &Stack, now: Nanos) {
        stack.egress(now, &mut |length, fill| {
            if self.used == self.buffers.len() {
                self.buffers.push(Vec::with_capacity(2_048));
            }
            let buffer = &mut self.buffers[self.used];
            buffer.resize(length, 0);
            fill(buffer);
            self.used += 1;
            self.total += 1;
            true
        });
    }

    fn deliver(&mut self, stack: &Stack, now: Nanos) {
        for packet in &self.buffers[..self.used] {
            match parse_packet(packet) {
                Ok(Parsed::Ip(headers)) => stack.ingress(packet, &headers, now),
                other => panic!("{other:?}"),
            }
        }
        self.used = 0;
    }
}

impl Bed {
    fn new() -> Self {
        let address: IpAddr = [192, 0, 2, 10].into();
        let source: SourceAddress = Rc::new(move |_| Some(address));
        let config = StackConfig {
            // What is under way stays in the caches, as it does where a worker reads 64 packets at a time.
            buffer: 256 << 10,
            time_wait: Duration::from_millis(1),
            ..StackConfig::new(1_024..=65_535, source)
        };
        let (client, server) = (Stack::new(config.clone()), Stack::new(config));
        server.listen([remote()]);
        let now = Nanos(1_000_000_000);
        Self {
            client,
            server,
            now,
            up: Packets::default(),
            down: Packets::default(),
            spent: Duration::ZERO,
        }
    }

    /// Carries packets both ways once; 20 microseconds pass.
    fn step(&mut self) {
        self.now = self.now.after(Duration::from_micros(20));
        self.up.collect(&self.client, self.now);
        let start = Instant::now();
        self.up.deliver(&self.server, self.now);
        self.spent += start.elapsed();
    }

    fn answer(&mut self) {
        let start = Instant::now();
        self.down.collect(&self.server, self.now);
        self.spent += start.elapsed();
        self.down.deliver(&self.client, self.now);
    }

    fn open(&mut self, count: usize) -> Vec<(TcpStream, TcpStream)> {
        let mut pairs = Vec::new();
        while pairs.len() < count {
            let batch = (count - pairs.len()).min(64);
            let mut connecting: Vec<Connecting> = (0..batch)
                .map(|_| self.client.connect(remote()).expect("a port"))
                .collect();
            let mut accepted = Vec::new();
            while accepted.len() < batch {
                self.step();
                accepted.extend(std::iter::from_fn(|| self.server.try_accept()));
                self.answer();
            }
            let mut opened: Vec<TcpStream> = connecting.iter_mut().map(connected).collect();
            for stream in accepted {
                let peer = opened.iter().position(|c| c.local_addr() == stream.peer_addr());
                pairs.push((opened.swap_remove(peer.expect("one end each")), stream));
            }
        }
        pairs
    }

    /// Until nothing is left of any connection.
    fn drain(&mut self) {
        while self.client.status().now[TcpGauge::Connections]
            + self.server.status().now[TcpGauge::Connections]
            > 0
        {
            self.step();
            self.answer();
        }
    }
}

fn remote() -> SocketAddr {
    ([198, 51, 100, 10], 80).into()
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn connected(connecting: &mut Connecting) -> TcpStream {
    match Pin::new(connecting).poll(&mut context()) {
        Poll::Ready(Ok(stream)) => stream,
        other => panic!("not connected: {other:?}"),
    }
}

fn read(stream: &TcpStream) -> usize {
    let mut total = 0;
    while let Poll::Ready(Ok(taken @ 1..)) = stream.poll_receive(&mut context(), |data| data.len()) {
        total += taken;
    }
    total
}

fn write(stream: &mut TcpStream, data: &[u8]) -> usize {
    match Pin::new(stream).poll_write(&mut context(), data) {
        Poll::Ready(Ok(written)) => written,
        _ => 0,
    }
}

fn report(what: &str, mut rounds: Vec<f64>) {
    rounds.sort_by(f64::total_cmp);
    println!("{what:<58} {:>10.0}", rounds[rounds.len() / 2]);
}

/// SYN to the last FIN.
fn handshakes() {
    let mut bed = Bed::new();
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        bed.spent = Duration::ZERO;
        let count = 2_000;
        for _ in 0..count / 64 {
            drop(bed.open(64));
            bed.drain();
        }
        rounds.push(bed.spent.as_nanos() as f64 / (count / 64 * 64) as f64);
    }
    rounds.remove(0);
    report("a connection opened and closed", rounds);
}

/// One segment each way, like a small request and its answer, round and round over many connections.
fn requests(connections: usize) {
    let mut bed = Bed::new();
    let mut pairs = bed.open(connections);
    let (request, answer) = ([b'q'; 200], [b'a'; 1_000]);
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        bed.spent = Duration::ZERO;
        let mut count = 0;
        while count < 20_000 {
            for batch in pairs.chunks_mut(64) {
                batch
                    .iter_mut()
                    .for_each(|(client, _)| assert_eq!(write(client, &request), request.len()));
                bed.step();
                let start = Instant::now();
                for (_, server) in batch.iter_mut() {
                    assert_eq!(read(server), request.len());
                    assert_eq!(write(server, &answer), answer.len());
                }
                bed.spent += start.elapsed();
                bed.answer();
                batch
                    .iter()
                    .for_each(|(client, _)| assert_eq!(read(client), answer.len()));
                count += batch.len();
            }
        }
        rounds.push(bed.spent.as_nanos() as f64 / count as f64);
    }
    rounds.remove(0);
    report(
        &format!("200 bytes in and 1000 out, {connections} connections"),
        rounds,
    );
}

/// One connection, as fast as it goes.
fn bulk(what: &str, up: bool) {
    let mut bed = Bed::new();
    let mut pair = bed.open(1).pop().expect("one");
    let data = vec![7; 64 << 10];
    let mut rounds = Vec::new();
    let total = 20 << 20;
    let mut packets = (0, 0);
    for _ in 0..=ROUNDS {
        bed.spent = Duration::ZERO;
        packets = (bed.up.total, bed.down.total);
        let mut done = 0;
        while done < total {
            if up {
                while write(&mut pair.0, &data) > 0 {}
            }
            bed.step();
            let start = Instant::now();
            if up {
                done += read(&pair.1);
            } else {
                while write(&mut pair.1, &data) > 0 {}
            }
            bed.spent += start.elapsed();
            bed.answer();
            if !up {
                done += read(&pair.0);
            }
        }
        packets = (bed.up.total - packets.0, bed.down.total - packets.1);
        rounds.push(bed.spent.as_nanos() as f64 / (done as f64 / 1_460.0));
    }
    rounds.remove(0);
    report(
        &format!(
            "{what}, each 1460 bytes ({} packets up, {} down)",
            packets.0, packets.1
        ),
        rounds,
    );
}
