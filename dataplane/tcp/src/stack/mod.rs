//! The stack: all connections of a worker, and the packets in and out.

mod cookies;
mod egress;
mod handshakes;
mod ingress;
mod sources;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use super::connection::Connection;
use super::engine::{Start, Tcb, TcpLimits};
use super::handshake::{Expiring, HalfOpen, Numbers, TimeWait};
use super::key::ConnectionKey;
use super::options::StackConfig;
use super::packets::{Replies, ip_header_len};
use super::pool::{BLOCK, BlockPool};
use super::ports::Ports;
use super::sequence::Seq;
use headgate_net::bucket::TokenBucket;
use headgate_net::clock::Nanos;
use headgate_net::hash::Keyed;
use headgate_net::record::{TcpCount, TcpGauge};

/// Places of connections that are not worth giving back, and how often the others are looked at.
const LEAST_PLACES: usize = 1_024;
const SHRINK: Duration = Duration::from_secs(2);

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
    /// How many of them there may be before those are looked for that mean nothing any more.
    most_timers: usize,
    replies: Replies,
    pub(super) pool: BlockPool,
    limits: Rc<TcpLimits>,
    /// Connections whose writers found no memory.
    pub(super) starved: Vec<usize>,
    /// When memory was short last.
    relieved: Nanos,
    /// When places were given back last.
    shrunk: Nanos,
    /// What initial numbers are made of.
    secret: RandomState,
    /// Until when cookies may come back.
    cookies: Nanos,
    ports: Ports,
    seeds: Seeds,
    /// Resets that may still be sent.
    resets: TokenBucket,
    /// The last time that the worker told.
    pub(super) now: Nanos,
    /// Told when the queue fills outside of `ingress` and `egress`.
    pub(super) wake: Arc<Notify>,
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
        Self {
            connections: Slab::new(),
            index: HashMap::with_hasher(Keyed::with_secret(seeds.next())),
            half_open: Expiring::new(config.max_half_open, handshakes::WAITS),
            time_wait: Expiring::new(config.max_time_wait, [config.time_wait]),
            listeners: HashSet::new(),
            accepted: VecDeque::new(),
            acceptor: None,
            queue: VecDeque::new(),
            timers: BinaryHeap::new(),
            most_timers: egress::LEAST_TIMERS,
            replies: Replies::default(),
            pool: BlockPool::new(config.memory),
            limits: Rc::new(config.limits()),
            starved: Vec::new(),
            relieved: Nanos(0),
            shrunk: Nanos(0),
            secret: RandomState::new(),
            cookies: Nanos(0),
            ports: Ports::new(seeds.next(), seeds.next() as u32),
            seeds,
            resets: TokenBucket::new(config.max_resets, config.max_resets),
            now: Nanos(0),
            wake: Arc::new(Notify::new()),
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
        record.now.set_len(TcpGauge::Buffered, self.pool.used() * BLOCK);
        let (used, limit) = self.ports_of_the_fullest();
        record.now.set_len(TcpGauge::SourcePortsUsed, used);
        record.now.set_len(TcpGauge::SourcePortsLimit, limit);
        record.events.set(TcpCount::RepliesDropped, self.replies.dropped);
    }

    /// Gives back the places of connections that are gone, where few of many are left.
    pub(super) fn shrink(&mut self) {
        let (len, places) = (self.connections.len(), self.connections.capacity());
        if places < LEAST_PLACES || len > places / 4 || self.now < self.shrunk.after(SHRINK) {
            return;
        }
        self.shrunk = self.now;
        self.connections.shrink_to_fit();
        self.time_wait.shrink();
        self.half_open.shrink();
        self.index.shrink_to(2 * self.index.len());
        self.queue.shrink_to(LEAST_PLACES);
        self.accepted.shrink_to(LEAST_PLACES);
    }

    /// As [`Stack::unfinished`](super::Stack::unfinished).
    pub(super) fn unfinished(&self) -> usize {
        let left = self.connections.iter().map(|(_, connection)| connection);
        left.filter(|connection| connection.linger.is_some() && connection.tcb.left_to_send() > 0)
            .count()
    }

    /// Timers in the heap.
    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Whether nothing of any connection is left.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn is_empty(&self) -> bool {
        let none = self.connections.is_empty() && self.index.is_empty() && self.accepted.is_empty();
        none && self.pool.used() == 0 && self.ports.is_empty()
    }

    /// Initial numbers for a connection: those of the same ends follow each other in time, and say nothing of others
    /// (RFC 6528, section 3).
    fn numbers(&self, key: &ConnectionKey) -> Numbers {
        let hash = self.secret.hash_one(key);
        // A number every 4 microseconds (RFC 9293, section 3.4.1).
        let clock = (self.now.0 / 4_000) as u32;
        Numbers {
            iss: Seq((hash as u32).wrapping_add(clock)),
            offset: (hash >> 32) as u32,
        }
    }

    /// Opens a connection; its SYN leaves with the next egress.
    pub(super) fn connect(&mut self, remote: SocketAddr) -> Result<usize, ErrorKind> {
        if self.connections.len() >= self.config.max_connections {
            self.config.record.events.count(TcpCount::RefusedFull);
            return Err(ErrorKind::QuotaExceeded);
        }
        let Some(local) = self.local_end(remote).ok_or(ErrorKind::NetworkUnreachable)? else {
            self.config.record.events.count(TcpCount::PortsExhausted);
            return Err(ErrorKind::AddrNotAvailable);
        };
        let key = ConnectionKey::new(local, remote);
        let Numbers { iss, offset } = self.numbers(&key);
        let start = Start {
            iss,
            offset,
            overhead: ip_header_len(local),
            now: self.now,
        };
        let tcb = Tcb::connect(&self.limits, start);
        let id = self.connections.insert(Connection::new(local, remote, tcb));
        self.index.insert(key, IndexEntry::Connection(id));
        self.ports.take(local.ip(), remote);
        self.enqueue(id);
        self.wake.notify_one();
        Ok(id)
    }

    /// Puts a connection in the queue for egress.
    pub(super) fn enqueue(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        if !connection.queued {
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
}
