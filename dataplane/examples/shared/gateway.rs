//! An L7 stage between clients and pods, in memory, on one thread, in virtual time. All but the stage is driven by hand,
//! so that what is counted is the gateway's work alone: both of its TCP ends, TLS, HTTP and the choice of a pod.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headgate_dataplane::config::Tables;
use headgate_l7::{Stage, StageConfig};
use headgate_net::clock::Nanos;
use headgate_net::wire::{Headers, Parsed, parse_packet};
use headgate_tcp::{SourceAddress, Stack, StackConfig, TcpStream};
use tokio::io::AsyncWrite;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// Where clients are.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Where the gateway is on the pods' side, whose addresses all begin with 10.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 1);
/// What passes from one turn to the next.
const TURN: Duration = Duration::from_micros(20);
/// More turns than any exchange takes.
pub(crate) const MAX_TURNS: usize = 2_000;
/// How often tasks are let run in a turn: one may wake another.
const YIELDS: usize = 3;

/// Runs the work of a turn, and counts it or not.
pub(crate) type Around = fn(&mut dyn FnMut());

/// Does not count.
pub(crate) fn uncounted(work: &mut dyn FnMut()) {
    work();
}

pub(crate) struct Gateway {
    /// Dropped before the stage, whose tasks it runs.
    runtime: LocalRuntime,
    stage: Stage,
    clients: Stack,
    pods: Stack,
    serving: Vec<Serving>,
    /// What pods answer.
    answer: Vec<u8>,
    now: Nanos,
    up: Packets,
    down: Packets,
}

/// A connection to a pod.
struct Serving {
    stream: TcpStream,
    got: Vec<u8>,
    due: Vec<u8>,
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

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers[..self.used].iter().map(Vec::as_slice)
    }
}

impl Gateway {
    /// Whose pods, at these endpoints, answer every request with `body` bytes.
    pub(crate) fn new(tables: &Tables, endpoints: impl Iterator<Item = SocketAddr>, body: usize) -> Self {
        let pods = Stack::new(config(GATEWAY));
        pods.listen(endpoints);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nserver: pod\r\ncontent-length: {body}\r\n\r\n"
        );
        let mut answer = head.into_bytes();
        answer.resize(answer.len() + body, b'x');
        let mut gateway = Self {
            runtime: Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build_local(LocalOptions::default())
                .expect("a runtime"),
            stage: Stage::new(StageConfig::new(config(GATEWAY))),
            clients: Stack::new(config(CLIENT)),
            pods,
            serving: Vec::new(),
            answer,
            now: Nanos(1_000_000_000),
            up: Packets::default(),
            down: Packets::default(),
        };
        gateway.configure(tables);
        gateway
    }

    /// Has the stage work by these tables, as a worker does it.
    pub(crate) fn configure(&mut self, tables: &Tables) {
        let policy = Arc::clone(&tables.policy);
        let allows =
            move |client, pod: SocketAddr| policy.decide(client, pod.ip(), 6, pod.port()).is_allowed();
        let l7 = Arc::clone(tables.l7().expect("compiled"));
        self.stage.configure(l7, Rc::new(allows), tables.publication);
    }

    /// Carries packets to the stage, has it work, and carries what it sends to clients and pods, who answer.
    pub(crate) fn turn(&mut self, around: Around) {
        self.now = self.now.after(TURN);
        let (now, up, down) = (self.now, &mut self.up, &mut self.down);
        for stack in [&self.clients, &self.pods] {
            stack.egress(now, &mut |length, fill| up.push(length, fill));
        }
        // The pipeline has read them before the stage gets them.
        let packets: Vec<(&[u8], Headers)> = up.iter().map(|packet| (packet, headers(packet))).collect();
        let (runtime, stage) = (&self.runtime, &mut self.stage);
        around(&mut || {
            runtime.block_on(async {
                for (packet, headers) in &packets {
                    stage.ingress(packet, headers, now);
                }
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
                stage.egress(now, &mut |length, fill| down.push(length, fill));
            });
        });
        for packet in down.iter() {
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

    /// Has pods take connections and answer what has come whole.
    fn serve(&mut self) {
        self.serving.extend(
            std::iter::from_fn(|| self.pods.try_accept()).map(|stream| Serving {
                stream,
                got: Vec::new(),
                due: Vec::new(),
            }),
        );
        for serving in &mut self.serving {
            receive(&serving.stream, &mut serving.got);
            while let Some(length) = whole(&serving.got) {
                serving.got.drain(..length);
                serving.due.extend_from_slice(&self.answer);
            }
            send(&mut serving.stream, &mut serving.due);
        }
    }

    /// A client's connection.
    pub(crate) fn connect(&mut self, listener: SocketAddr, around: Around) -> TcpStream {
        let mut connecting = self.clients.connect(listener).expect("a port");
        for _ in 0..MAX_TURNS {
            self.turn(around);
            if let Poll::Ready(connected) = Pin::new(&mut connecting).poll(&mut context()) {
                return connected.expect("a connection");
            }
        }
        panic!("no connection after {MAX_TURNS} turns");
    }

    /// Clients' end of all connections.
    pub(crate) fn clients(&self) -> &Stack {
        &self.clients
    }
}

fn config(address: Ipv4Addr) -> StackConfig {
    let address = IpAddr::from(address);
    let source: SourceAddress = Rc::new(move |_| Some(address));
    StackConfig {
        buffer: 128 << 10,
        time_wait: Duration::from_millis(1),
        ..StackConfig::new(20_000..=60_000, source)
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Appends what has arrived; whether more may come.
pub(crate) fn receive(stream: &TcpStream, to: &mut Vec<u8>) -> bool {
    let mut take = |data: &[u8]| {
        to.extend_from_slice(data);
        data.len()
    };
    loop {
        match stream.poll_receive(&mut context(), &mut take) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(_) => return false,
            Poll::Pending => return true,
        }
    }
}

/// Sends what there is room for and takes it out of `data`.
pub(crate) fn send(stream: &mut TcpStream, data: &mut Vec<u8>) {
    while !data.is_empty() {
        match Pin::new(&mut *stream).poll_write(&mut context(), data) {
            Poll::Ready(Ok(written)) if written > 0 => drop(data.drain(..written)),
            _ => return,
        }
    }
}

/// The length of the request or answer that `bytes` begin with, once it is there as a whole; it has a
/// `content-length`, or else no body.
pub(crate) fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).expect("ASCII");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().expect("a number"))
    });
    let total = head + length.unwrap_or(0);
    (bytes.len() >= total).then_some(total)
}

fn headers(packet: &[u8]) -> Headers {
    match parse_packet(packet) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}
