//! The stack: all connections of a worker, and the packets in and out.

mod egress;
mod ingress;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use super::connection::Connection;
use super::handshake::{Expiring, HalfOpen, TimeWait};
use super::key::ConnectionKey;
use super::options::StackConfig;
use super::packets::Replies;
use super::ports::{Ports, destination};
use super::socket::{Socket, Stateless};
use headgate_net::bucket::TokenBucket;
use headgate_net::clock::Nanos;
use headgate_net::hash::Keyed;
use headgate_net::record::{TcpCount, TcpGauge};

/// How long a client may take to finish a handshake. It sends its SYN again meanwhile if our answer was lost.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a key leads to.
#[derive(Clone, Copy)]
enum IndexEntry {
    Connection(usize),
    HalfOpen(usize),
    TimeWait(usize),
}

/// Everything behind a [`Stack`](super::Stack).
pub(super) struct Inner {
    pub(super) config: StackConfig,
    pub(super) connections: Slab<Connection>,
    index: HashMap<ConnectionKey, IndexEntry, Keyed>,
    half_open: Expiring<HalfOpen>,
    time_wait: Expiring<TimeWait>,
    pub(super) listeners: HashSet<SocketAddr>,
    /// Established, for `accept`.
    pub(super) accepted: VecDeque<usize>,
    pub(super) acceptor: Option<Waker>,
    /// Connections that may have something to send.
    queue: VecDeque<usize>,
    timers: BinaryHeap<Reverse<(Nanos, usize)>>,
    replies: Replies,
    /// A packet that was made and that nobody took.
    stash: Option<Vec<u8>>,
    interface: Stateless,
    /// For connections over narrower paths, by MTU; as many as [`TooBig`](super::too_big::TooBig) tells apart.
    narrow: BTreeMap<usize, Stateless>,
    /// Answers SYNs: a socket that forgets each at once.
    greeter: Socket,
    pool: Vec<Socket>,
    ports: Ports,
    seeds: Seeds,
    /// Resets that may still be sent.
    resets: TokenBucket,
    /// The last time that the worker told.
    pub(super) now: Nanos,
    /// Told when the queue fills outside of `ingress` and `egress`.
    pub(super) wake: Rc<Notify>,
}

/// Random numbers from the system's generator, fetched by the block.
pub(super) struct Seeds {
    block: [u8; 512],
    used: usize,
}

impl Seeds {
    fn next(&mut self) -> u64 {
        if self.used + 8 > self.block.len() {
            getrandom::fill(&mut self.block).expect("the system's random generator works");
            self.used = 0;
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.block[self.used..self.used + 8]);
        self.block[self.used..self.used + 8].fill(0);
        self.used += 8;
        u64::from_ne_bytes(bytes)
    }
}

impl Inner {
    pub(super) fn new(config: StackConfig) -> Self {
        let mut seeds = Seeds {
            block: [0; 512],
            used: 512,
        };
        let mut greeter = Socket::new(config.buffer);
        greeter.prepare(&config);
        Self {
            connections: Slab::new(),
            index: HashMap::with_hasher(Keyed::with_secret(seeds.next())),
            half_open: Expiring::new(config.max_half_open, HANDSHAKE),
            time_wait: Expiring::new(config.max_time_wait, config.time_wait),
            listeners: HashSet::new(),
            accepted: VecDeque::new(),
            acceptor: None,
            queue: VecDeque::new(),
            timers: BinaryHeap::new(),
            replies: Replies::default(),
            stash: None,
            interface: Stateless::new(config.mtu, 0),
            narrow: BTreeMap::new(),
            greeter,
            pool: Vec::new(),
            ports: Ports::new(config.source_ports.clone(), seeds.next() as u32),
            seeds,
            resets: TokenBucket::new(config.max_resets, config.max_resets),
            now: Nanos(0),
            wake: Rc::new(Notify::new()),
            config,
        }
    }

    pub(super) fn random(&mut self) -> u64 {
        self.seeds.next()
    }

    /// Writes down what it holds now.
    pub(super) fn note(&self) {
        let record = &self.config.record;
        record.now.set_len(TcpGauge::Connections, self.connections.len());
        record.now.set_len(TcpGauge::HalfOpen, self.half_open.len());
        record.now.set_len(TcpGauge::TimeWait, self.time_wait.len());
        record.now.set_len(TcpGauge::Pooled, self.pool.len());
        record.events.set(TcpCount::RepliesDropped, self.replies.dropped);
    }

    /// As [`Stack::half_open`](super::Stack::half_open).
    pub(super) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// As [`Stack::unfinished`](super::Stack::unfinished).
    pub(super) fn unfinished(&mut self) -> usize {
        let left = self.connections.iter_mut().map(|(_, connection)| connection);
        let left = left.filter(|connection| connection.linger.is_some());
        left.filter_map(|connection| connection.socket.as_mut())
            .filter_map(|socket| (socket.left_to_send() > 0).then_some(()))
            .count()
    }

    /// Whether nothing of any connection is left.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.index.is_empty() && self.accepted.is_empty()
    }

    fn take_socket(&mut self) -> Socket {
        let mut socket = self.pool.pop().unwrap_or_else(|| Socket::new(self.config.buffer));
        socket.prepare(&self.config);
        socket
    }

    /// Opens a connection; its SYN leaves with the next egress.
    pub(super) fn connect(&mut self, remote: SocketAddr) -> Option<usize> {
        if self.connections.len() >= self.config.max_connections {
            self.config.record.events.count(TcpCount::RefusedFull);
            return None;
        }
        let address = (self.config.source_address)(remote.ip())?;
        let offset = self.index.hasher().hash_one(destination(address, remote));
        let index = &self.index;
        let free = |port| !index.contains_key(&ConnectionKey::new(SocketAddr::new(address, port), remote));
        let Some(port) = self.ports.take((offset >> 32) as u32, free) else {
            self.config.record.events.count(TcpCount::PortsExhausted);
            return None;
        };
        let local = SocketAddr::new(address, port);
        let key = ConnectionKey::new(local, remote);
        let mut socket = self.take_socket();
        let mut interface = Stateless::new(self.config.mtu, self.seeds.next());
        if !socket.connect(&mut interface, local, remote) {
            self.recycle(socket);
            return None;
        }
        let id = self
            .connections
            .insert(Connection::new(key, local, remote, socket));
        self.index.insert(key, IndexEntry::Connection(id));
        self.enqueue(id);
        self.wake.notify_one();
        Some(id)
    }

    /// Puts a connection in the queue for egress.
    pub(super) fn enqueue(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        if !connection.queued && connection.socket.is_some() {
            connection.queued = true;
            self.queue.push_back(id);
        }
    }

    /// As [`Self::enqueue`], from a task: tells the worker.
    pub(super) fn enqueue_and_wake(&mut self, id: usize) {
        if self.queue.is_empty() {
            self.wake.notify_one();
        }
        self.enqueue(id);
    }

    fn recycle(&mut self, mut socket: Socket) {
        if self.pool.len() < self.config.pooled {
            socket.prepare(&self.config);
            self.pool.push(socket);
        }
    }
}
