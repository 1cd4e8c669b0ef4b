//! Nanoseconds of the L7 stage for a proxied request, between clients and pods in memory, one thread:
//!
//! ```text
//! cargo run --release -p headgate-l7 --example http_ns [CONNECTIONS REQUESTS]
//! ```
//!
//! The stage alone is timed: both of its TCP sides, HTTP and the choice of a pod; with the packets of 32 clients in each batch,
//! as a busy worker has them. Each figure is the median of the rounds; others may share the cores.
#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "measures times")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use headgate_l7::{Changes, Config, Stage, StageConfig};
use headgate_net::clock::Nanos;
use headgate_net::wire::{Headers, Parsed, parse_packet};
use headgate_ring::message::{
    Listener, ListenerProtocol, PathMatch, Route, RouteKind, RouteMatch, RouteOrigin, Upstream, VirtualHost,
    WeightedBackend,
};
use headgate_tcp::{SourceAddress, Stack, StackConfig, TcpStream};
use tokio::io::AsyncWrite;

const ROUNDS: usize = 9;
/// Clients whose packets make a batch.
const BATCH: usize = 32;
/// Bytes of an answer's body.
const BODY: usize = 100;
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 1);
const LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)), 80);
const REQUEST: &[u8] = b"GET /catalogue/items?page=2 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
Accept: text/html,application/xhtml+xml\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n\r\n";

fn main() {
    // For profilers: one round of so many requests.
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().expect("a number"));
    if let (Some(connections), Some(requests)) = (args.next(), args.next()) {
        println!("{:.0}", Bed::new(connections).round(requests));
        return;
    }
    println!("{:<58} {:>10}", "the stage, median of rounds", "ns");
    for connections in [50, 1_000, 10_000] {
        let mut bed = Bed::new(connections);
        let requests = connections.max(20_000);
        let mut figures: Vec<f64> = (0..ROUNDS).map(|_| bed.round(requests)).collect();
        figures.sort_by(f64::total_cmp);
        let name = format!("a request over one of {connections} kept connections");
        println!("{name:<58} {:>10.0}", figures[ROUNDS / 2]);
    }
}

/// Packets on their way, in buffers that are used again.
#[derive(Default)]
struct Packets {
    buffers: Vec<Vec<u8>>,
    used: usize,
}

impl Packets {
    fn push(&mut self, length: usize, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        if self.used == self.buffers.len() {
            self.buffers.push(Vec::with_capacity(2_048));
        }
        let buffer = &mut self.buffers[self.used];
        buffer.resize(length, 0);
        fill(buffer);
        self.used += 1;
        true
    }
}

struct Bed {
    stage: Stage,
    clients: Stack,
    pods: Stack,
    streams: Vec<TcpStream>,
    serving: Vec<(TcpStream, usize)>,
    answer: Vec<u8>,
    now: Nanos,
    up: Packets,
    down: Packets,
    spent: Duration,
}

impl Bed {
    fn new(connections: usize) -> Self {
        let pods = Stack::new(config(GATEWAY));
        pods.listen((0..4).map(pod));
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: pod\r\nDate: Sat, 28 Nov 2026 20:00:00 GMT\r\nContent-Length: {BODY}\r\n\r\n")
                .into_bytes();
        answer.resize(answer.len() + BODY, b'x');
        let mut stage = Stage::new(StageConfig::new(config(GATEWAY)));
        stage.configure(Arc::new(objects()), Rc::new(|_, _| true), 1);
        let mut bed = Self {
            stage,
            clients: Stack::new(config(CLIENT)),
            pods,
            streams: Vec::new(),
            serving: Vec::new(),
            answer,
            now: Nanos(1_000_000_000),
            up: Packets::default(),
            down: Packets::default(),
            spent: Duration::ZERO,
        };
        for _ in 0..connections {
            let mut connecting = bed.clients.connect(LISTENER).expect("a port");
            let stream = loop {
                bed.turn();
                if let Poll::Ready(stream) = Pin::new(&mut connecting).poll(&mut context()) {
                    break stream.expect("a connection");
                }
            };
            bed.streams.push(stream);
        }
        bed.round(connections);
        bed
    }

    /// Nanoseconds of the stage for a request.
    fn round(&mut self, requests: usize) -> f64 {
        self.spent = Duration::ZERO;
        let mut next = 0;
        let mut done = 0;
        while done < requests {
            let batch: Vec<usize> = (0..BATCH.min(self.streams.len()))
                .map(|n| (next + n) % self.streams.len())
                .collect();
            next += batch.len();
            for stream in &batch {
                let written = Pin::new(&mut self.streams[*stream]).poll_write(&mut context(), REQUEST);
                assert!(matches!(written, Poll::Ready(Ok(length)) if length == REQUEST.len()));
            }
            let mut missing = vec![self.answer.len() + 300; batch.len()];
            let mut left = batch.len();
            for _ in 0..1_000 {
                self.turn();
                for (place, stream) in batch.iter().enumerate() {
                    let got = receive(&self.streams[*stream]);
                    if got > 0 && missing[place] > 0 {
                        missing[place] = 0;
                        left -= 1;
                    }
                }
                if left == 0 {
                    break;
                }
            }
            assert_eq!(left, 0, "an answer did not come");
            done += batch.len();
        }
        self.spent.as_nanos() as f64 / done as f64
    }

    fn turn(&mut self) {
        self.now = self.now.after(Duration::from_micros(20));
        let (now, up, down) = (self.now, &mut self.up, &mut self.down);
        for stack in [&self.clients, &self.pods] {
            stack.egress(now, &mut |length, fill| up.push(length, fill));
        }
        let packets: Vec<(&[u8], Headers)> = up.buffers[..up.used]
            .iter()
            .map(|packet| (packet.as_slice(), headers(packet)))
            .collect();
        let start = Instant::now();
        work(&mut self.stage, &packets, down, now);
        self.spent += start.elapsed();
        for packet in &down.buffers[..down.used] {
            let to = if packet[16] == 10 {
                &self.pods
            } else {
                &self.clients
            };
            to.ingress(packet, &headers(packet), now);
        }
        (up.used, down.used) = (0, 0);
        self.serve();
    }

    /// Has pods answer each request as it comes: it ends with its packet.
    fn serve(&mut self) {
        while let Some(stream) = self.pods.try_accept() {
            self.serving.push((stream, 0));
        }
        for (stream, _) in &mut self.serving {
            if receive(stream) > 0 {
                let written = Pin::new(stream).poll_write(&mut context(), &self.answer);
                assert!(matches!(written, Poll::Ready(Ok(_))));
            }
        }
    }
}

/// What is timed, by a name that profilers know.
#[inline(never)]
fn work(stage: &mut Stage, packets: &[(&[u8], Headers)], down: &mut Packets, now: Nanos) {
    for (packet, headers) in packets {
        stage.ingress(packet, headers, now);
    }
    stage.egress(now, &mut |length, fill| down.push(length, fill));
}

/// Reads what has arrived, and throws it away.
fn receive(stream: &TcpStream) -> usize {
    let mut got = 0;
    while let Poll::Ready(Ok(count @ 1..)) = stream.poll_receive(&mut context(), |data| data.len()) {
        got += count;
    }
    got
}

fn pod(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 244, 1, 10 + n], 8080))
}

fn config(address: Ipv4Addr) -> StackConfig {
    let address = IpAddr::from(address);
    let source: SourceAddress = Rc::new(move |_| Some(address));
    StackConfig::new(20_000..=60_000, source)
}

fn objects() -> Config {
    let host = Arc::new(VirtualHost {
        host: "shop.example.com".into(),
        routes: vec![Route {
            matches: RouteMatch {
                path: PathMatch::Prefix("/".into()),
                method: None,
                headers: Vec::new(),
                query: Vec::new(),
            },
            filters: None,
            backends: vec![WeightedBackend {
                upstream: "shop".into(),
                weight: 1,
            }],
            origin: RouteOrigin {
                kind: RouteKind::Ingress,
                name: "shop/shop".into(),
                rule: "spec.rules[0].http.paths[0]".into(),
            },
        }],
    });
    let upstream = Upstream {
        name: "shop".into(),
        endpoints: (0..4).map(pod).collect(),
    };
    let listener = Listener {
        address: LISTENER,
        protocol: ListenerProtocol::Http,
    };
    let changes = Changes {
        hosts: vec![("shop.example.com", Some(&host))],
        upstreams: vec![("shop", Some(&upstream))],
        listeners: vec![(LISTENER, Some(&listener))],
        ..Changes::default()
    };
    let config = Config::empty().and_then(|config| config.with(&changes));
    config.expect("a configuration")
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn headers(packet: &[u8]) -> Headers {
    match parse_packet(packet) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}
