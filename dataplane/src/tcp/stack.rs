//! The stack: all connections of a worker, and the packets in and out.

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use smoltcp::socket::tcp::State;
use tokio::sync::Notify;

use super::connection::{Connection, End, Linger};
use super::handshake::{Expiring, HalfOpen, TimeWait};
use super::key::{Hashing, Key, hashing};
use super::options::{StackConfig, StackCounters};
use super::packets::{Emit, Nowhere, Outlet, Replies, Small};
use super::ports::Ports;
use super::segment::{ACK, Malformed, RST, SYN, Segment};
use super::socket::{Socket, Stateless};
use crate::clock::Nanos;

/// Packets that one connection may send before the next one gets its turn.
const BURST: usize = 64;

/// How long a client may take to finish a handshake. It sends its SYN again meanwhile if our answer was lost.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a key leads to.
#[derive(Clone, Copy)]
enum Entry {
    Connection(usize),
    HalfOpen(usize),
    TimeWait(usize),
}

/// Everything behind a [`Stack`](super::Stack).
pub(super) struct Inner {
    pub(super) config: StackConfig,
    pub(super) counters: StackCounters,
    pub(super) connections: Slab<Connection>,
    index: HashMap<Key, Entry, Hashing>,
    half_open: Expiring<HalfOpen>,
    time_wait: Expiring<TimeWait>,
    pub(super) listeners: HashSet<SocketAddr>,
    /// Established, for `accept`.
    pub(super) accepted: VecDeque<usize>,
    pub(super) acceptor: Option<Waker>,
    /// Connections that may have something to send.
    queue: VecDeque<usize>,
    timers: BinaryHeap<std::cmp::Reverse<(Nanos, usize)>>,
    replies: Replies,
    /// A packet that was made and that nobody took.
    stash: Option<Vec<u8>>,
    interface: Stateless,
    /// Answers SYNs: a socket that forgets each at once.
    greeter: Socket,
    pool: Vec<Socket>,
    ports: Ports,
    seeds: Seeds,
    resets: Resets,
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

/// Limits resets to a number in each second.
#[derive(Default)]
struct Resets {
    second: u64,
    sent: u32,
}

impl Resets {
    fn allow(&mut self, now: Nanos, limit: u32) -> bool {
        let second = now.0 / 1_000_000_000;
        if self.second != second {
            *self = Self { second, sent: 0 };
        }
        self.sent += 1;
        self.sent <= limit
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
            counters: StackCounters::default(),
            connections: Slab::new(),
            index: HashMap::with_hasher(hashing(seeds.next())),
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
            greeter,
            pool: Vec::new(),
            ports: Ports::new(config.source_ports.clone(), seeds.next() as u32),
            seeds,
            resets: Resets::default(),
            now: Nanos(0),
            wake: Rc::new(Notify::new()),
            config,
        }
    }

    pub(super) fn random(&mut self) -> u64 {
        self.seeds.next()
    }

    pub(super) fn counters(&self) -> StackCounters {
        StackCounters {
            replies_dropped: self.replies.dropped,
            ..self.counters
        }
    }

    pub(super) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    pub(super) fn in_time_wait(&self) -> usize {
        self.time_wait.len()
    }

    pub(super) fn pooled(&self) -> usize {
        self.pool.len()
    }

    /// Whether nothing of any connection is left.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.index.is_empty() && self.accepted.is_empty()
    }

    // Packets in.

    pub(super) fn ingress(&mut self, packet: &[u8], now: Nanos) {
        self.now = now;
        let segment = match Segment::parse(packet) {
            Ok(segment) => segment,
            Err(malformed) => return self.count_malformed(malformed),
        };
        self.counters.segments_in += 1;
        let key = Key::new(segment.destination, segment.source);
        match self.index.get(&key) {
            Some(Entry::Connection(id)) => self.deliver(*id, &segment),
            Some(Entry::HalfOpen(place)) => self.handshake(*place, key, &segment),
            Some(Entry::TimeWait(place)) => self.linger_on(*place, key, &segment),
            None if is_syn(&segment) && self.listeners.contains(&segment.destination) => {
                self.greet(key, &segment, None);
            }
            None => self.refuse(&segment),
        }
    }

    fn count_malformed(&mut self, malformed: Malformed) {
        match malformed {
            Malformed::Header => self.counters.bad_header += 1,
            Malformed::Fragment => self.counters.fragments += 1,
            Malformed::Checksum => self.counters.bad_checksum += 1,
            Malformed::Address => self.counters.bad_address += 1,
        }
    }

    /// A segment for a connection.
    fn deliver(&mut self, id: usize, segment: &Segment<'_>) {
        let connection = &mut self.connections[id];
        let Some(socket) = &mut connection.socket else {
            return;
        };
        if !connection.numbers.fits(segment, self.config.buffer) {
            self.counters.beyond_window += 1;
            return;
        }
        let before = socket.tcp().state();
        self.replies.last = None;
        self.replies.next = connection.numbers.next;
        socket.ingress(&mut self.interface, segment.packet, self.now, &mut self.replies);
        let tcp = socket.tcp();
        let after = tcp.state();
        if let Some(sent) = self.replies.last.filter(|sent| sent.flags & RST == 0) {
            connection.numbers.sent(sent);
        }
        if before == State::SynSent && after != before && segment.has(SYN) {
            connection.numbers.irs = Some(segment.sequence);
            self.counters.connected += u64::from(after == State::Established);
        }
        if after == State::Closed && segment.has(RST) {
            connection.end = End::Reset;
            self.counters.resets_in += 1;
        }
        if let Some(linger) = &mut connection.linger {
            let queued = tcp.recv_queue();
            if queued > 0 {
                connection.numbers.read = connection.numbers.read.wrapping_add(queued as u32);
                while tcp.recv(|data| (data.len(), ())).is_ok() && tcp.can_recv() {}
                linger.discard = linger.discard.saturating_sub(queued);
                if linger.discard == 0 {
                    connection.end = End::Aborted;
                    tcp.abort();
                }
            }
        }
        self.enqueue(id);
    }

    /// A SYN for a listener: answered from a record. `replaces` is the place of an older record with the same key.
    fn greet(&mut self, key: Key, segment: &Segment<'_>, replaces: Option<usize>) {
        if let Some(place) = replaces {
            self.half_open.remove(place);
            self.index.remove(&key);
        }
        if self.connections.len() >= self.config.max_connections {
            self.counters.refused_full += 1;
            return;
        }
        let Some(syn) = Small::copy(segment.packet) else {
            self.counters.bad_header += 1;
            return;
        };
        let seed = self.seeds.next();
        let Some(iss) = self.answer_syn(segment.destination, &syn, seed) else {
            self.counters.bad_header += 1;
            return;
        };
        self.counters.syns += 1;
        let tuple = (key, segment.destination, segment.source);
        let record = HalfOpen::new(tuple, syn, seed, (segment.sequence, iss));
        let (place, evicted) = self.half_open.put(record, self.now);
        if let Some(evicted) = evicted {
            self.index.remove(&evicted.key);
            self.counters.half_open_evicted += 1;
        }
        self.index.insert(key, Entry::HalfOpen(place));
    }

    /// Sends the SYN-ACK that follows from a SYN and a seed; returns its sequence number.
    fn answer_syn(&mut self, local: SocketAddr, syn: &Small, seed: u64) -> Option<u32> {
        let mut interface = Stateless::new(self.config.mtu, seed);
        self.greeter.prepare(&self.config);
        self.greeter.listen(local);
        self.greeter
            .ingress(&mut interface, syn.bytes(), self.now, &mut Nowhere);
        self.replies.last = None;
        self.replies.next = None;
        self.greeter.egress(&mut interface, self.now, &mut self.replies);
        self.replies.last.map(|sent| sent.sequence)
    }

    /// A segment for a handshake that has begun.
    fn handshake(&mut self, place: usize, key: Key, segment: &Segment<'_>) {
        let Some(record) = self.half_open.get(place) else {
            return;
        };
        if segment.has(RST) {
            // RFC 5961 section 3.2: only one that is exactly in order.
            if segment.sequence == record.irs.wrapping_add(1) {
                self.half_open.remove(place);
                self.index.remove(&key);
            }
        } else if is_syn(segment) {
            if segment.sequence == record.irs {
                let (local, syn, seed) = (record.local, record.syn, record.seed);
                self.answer_syn(local, &syn, seed);
            } else {
                self.greet(key, segment, Some(place));
            }
        } else if segment.has(ACK) && !segment.has(SYN) {
            if segment.acknowledgement == record.iss.wrapping_add(1) {
                self.promote(place, key, segment);
            } else {
                self.refuse(segment);
            }
        }
    }

    /// The client has shown that it got our SYN-ACK: from here on it costs buffers.
    fn promote(&mut self, place: usize, key: Key, segment: &Segment<'_>) {
        let Some(record) = self.half_open.remove(place) else {
            return;
        };
        if self.connections.len() >= self.config.max_connections {
            self.index.remove(&key);
            self.counters.refused_full += 1;
            return self.refuse(segment);
        }
        let mut socket = self.take_socket();
        socket.listen(record.local);
        let mut interface = Stateless::new(self.config.mtu, record.seed);
        socket.ingress(&mut interface, record.syn.bytes(), self.now, &mut Nowhere);
        socket.egress(&mut interface, self.now, &mut Nowhere);
        let mut connection = Connection::new(key, record.local, record.remote, socket);
        connection.numbers.irs = Some(record.irs);
        connection.numbers.next = Some(record.iss.wrapping_add(1));
        connection.numbers.acknowledged = record.irs.wrapping_add(1);
        let id = self.connections.insert(connection);
        self.index.insert(key, Entry::Connection(id));
        self.deliver(id, segment);
        self.counters.accepted += 1;
        self.accepted.push_back(id);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.wake();
        }
    }

    /// A segment for a connection in TIME-WAIT (RFC 9293 section 3.10.7.4).
    fn linger_on(&mut self, place: usize, key: Key, segment: &Segment<'_>) {
        let Some(record) = self.time_wait.get(place) else {
            return;
        };
        // RFC 1337: a reset does not end TIME-WAIT.
        if segment.has(RST) {
            return;
        }
        let newer = segment.sequence.wrapping_sub(record.acknowledged) < 1 << 31;
        if is_syn(segment) && newer && self.listeners.contains(&segment.destination) {
            self.time_wait.remove(place);
            self.index.remove(&key);
            return self.greet(key, segment, None);
        }
        // The FIN came again: our last acknowledgement was lost.
        if segment.length() > 0 {
            let packet = super::packets::acknowledgement(segment, record.next, record.acknowledged);
            self.replies.push(packet);
        }
    }

    /// A segment that belongs to nothing.
    fn refuse(&mut self, segment: &Segment<'_>) {
        if segment.has(RST) {
            return;
        }
        if self.resets.allow(self.now, self.config.max_resets) {
            self.counters.resets_out += 1;
            self.replies.next = None;
            self.interface.refuse(segment.packet, self.now, &mut self.replies);
        } else {
            self.counters.resets_suppressed += 1;
        }
    }

    // Connections.

    fn take_socket(&mut self) -> Socket {
        let mut socket = self.pool.pop().unwrap_or_else(|| Socket::new(self.config.buffer));
        socket.prepare(&self.config);
        socket
    }

    /// Opens a connection; its SYN leaves with the next egress.
    pub(super) fn connect(&mut self, remote: SocketAddr) -> Option<usize> {
        if self.connections.len() >= self.config.max_connections {
            self.counters.refused_full += 1;
            return None;
        }
        let address = (self.config.source_address)(remote.ip())?;
        let offset =
            std::hash::BuildHasher::hash_one(self.index.hasher(), super::ports::destination(address, remote));
        let index = &self.index;
        let free = |port| !index.contains_key(&Key::new(SocketAddr::new(address, port), remote));
        let Some(port) = self.ports.take((offset >> 32) as u32, free) else {
            self.counters.ports_exhausted += 1;
            return None;
        };
        let local = SocketAddr::new(address, port);
        let key = Key::new(local, remote);
        let mut socket = self.take_socket();
        let mut interface = Stateless::new(self.config.mtu, self.seeds.next());
        if !socket.connect(&mut interface, local, remote) {
            self.recycle(socket);
            return None;
        }
        let id = self
            .connections
            .insert(Connection::new(key, local, remote, socket));
        self.index.insert(key, Entry::Connection(id));
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

    // Packets out.

    pub(super) fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        self.now = now;
        self.fire_timers();
        let (emitted, all) = self.replies.emit(emit);
        self.counters.segments_out += emitted;
        if !all {
            return;
        }
        let mut outlet = Outlet {
            emit,
            stash: &mut self.stash.take(),
            last: None,
            next: None,
            emitted: 0,
        };
        let mut ready = outlet.unstash();
        while ready {
            let Some(id) = self.queue.pop_front() else { break };
            ready = self.serve(id, &mut outlet);
        }
        self.counters.segments_out += outlet.emitted;
        self.stash = outlet.stash.take();
    }

    /// Lets a connection send; returns whether there is room for more.
    fn serve(&mut self, id: usize, outlet: &mut Outlet<'_, '_>) -> bool {
        let Some(connection) = self.connections.get_mut(id).filter(|c| c.queued) else {
            return true;
        };
        connection.queued = false;
        if connection.linger.is_some() {
            self.check_linger(id);
        }
        let connection = &mut self.connections[id];
        let Some(socket) = &mut connection.socket else {
            return true;
        };
        let open = socket.tcp().is_open();
        let mut sent = 0;
        while sent < BURST && outlet.stash.is_none() {
            outlet.next = connection.numbers.next;
            if !socket.egress(&mut self.interface, self.now, outlet) {
                break;
            }
            sent += 1;
            if let Some(sent) = outlet.last.take() {
                connection.numbers.sent(sent);
                connection.untold = 0;
            }
        }
        if open && socket.tcp().state() == State::Closed && connection.end == End::Closed {
            self.note_closed_by_egress(id);
        }
        if sent == BURST || outlet.stash.is_some() {
            self.enqueue(id);
        }
        self.settle(id);
        outlet.stash.is_none()
    }

    /// smoltcp closes a socket while it sends for one reason alone: the peer was silent for too long.
    fn note_closed_by_egress(&mut self, id: usize) {
        self.connections[id].end = End::TimedOut;
        self.counters.timeouts += 1;
    }

    /// Brings a connection's records in line with the state of its socket.
    pub(super) fn settle(&mut self, id: usize) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(socket) = &mut connection.socket else {
            return;
        };
        let tcp = socket.tcp();
        let unread = if connection.held { tcp.recv_queue() } else { 0 };
        match tcp.state() {
            // A socket that still has a remote end has a reset to send.
            State::Closed if tcp.remote_endpoint().is_none() => {
                if unread == 0 {
                    self.release(id);
                } else {
                    self.unindex(id);
                }
            }
            State::TimeWait if unread == 0 => {
                let expected = connection.numbers.after_fin(tcp.recv_queue());
                if expected == Some(connection.numbers.acknowledged) {
                    self.wait(id);
                } else {
                    self.arm(id);
                }
            }
            _ => self.arm(id),
        }
    }

    /// Takes a connection out of the index: TCP is done with it.
    fn unindex(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        if std::mem::take(&mut connection.indexed) {
            self.index.remove(&connection.key);
        }
    }

    /// Ends a connection: its socket goes back to the pool, and so does its place if no stream holds it.
    fn release(&mut self, id: usize) {
        self.unindex(id);
        let connection = &mut self.connections[id];
        let held = connection.held;
        if let Some(socket) = connection.socket.take() {
            self.recycle(socket);
        }
        if !held {
            self.connections.remove(id);
        }
    }

    /// Replaces a connection that has come to TIME-WAIT by a record.
    fn wait(&mut self, id: usize) {
        let connection = &self.connections[id];
        let (key, indexed) = (connection.key, connection.indexed);
        let next = connection.numbers.next.unwrap_or_default();
        let record = TimeWait::new(key, next, connection.numbers.acknowledged);
        self.release(id);
        if indexed {
            let (place, evicted) = self.time_wait.put(record, self.now);
            if let Some(evicted) = evicted {
                self.index.remove(&evicted.key);
            }
            self.index.insert(key, Entry::TimeWait(place));
        }
    }

    // Time.

    /// Makes sure that the timer looks at a connection when it has something to do.
    fn arm(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let Some(socket) = connection.socket.as_mut().filter(|_| !connection.queued) else {
            return;
        };
        let poll = socket.poll_at(&mut self.interface, self.now);
        let linger = connection.linger.as_ref().map(|linger| linger.until);
        let Some(due) = poll.into_iter().chain(linger).min() else {
            return;
        };
        // Whatever wants to be polled at once and then sends nothing must not keep the worker busy.
        let due = due.max(Nanos(self.now.0 + 1_000_000));
        if connection.armed.is_none_or(|armed| due < armed) {
            connection.armed = Some(due);
            self.timers.push(std::cmp::Reverse((due, id)));
        }
    }

    fn fire_timers(&mut self) {
        let now = self.now;
        while let Some(std::cmp::Reverse((due, id))) = self.timers.peek().copied().filter(|t| t.0.0 <= now) {
            self.timers.pop();
            let Some(connection) = self.connections.get_mut(id).filter(|c| c.armed == Some(due)) else {
                continue;
            };
            connection.armed = None;
            self.enqueue(id);
        }
        while let Some(record) = self.half_open.expire(now) {
            self.index.remove(&record.key);
            self.counters.half_open_expired += 1;
        }
        while let Some(record) = self.time_wait.expire(now) {
            self.index.remove(&record.key);
        }
    }

    /// How long a connection that its stream has left may go without progress: long enough for retransmissions while
    /// something is left to send, shorter once it only waits for the peer to close.
    pub(super) fn patience(&self, left: usize) -> Duration {
        if left > 0 {
            self.config.user_timeout
        } else {
            self.config.linger
        }
    }

    /// Resets a connection that its stream has left and that has made no progress.
    fn check_linger(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let (Some(socket), Some(linger)) = (&mut connection.socket, &connection.linger) else {
            return;
        };
        let left = socket.left_to_send();
        if left < linger.left {
            let discard = linger.discard;
            let until = self.now.after(self.patience(left));
            self.connections[id].linger = Some(Linger { until, left, discard });
        } else if self.now >= linger.until && socket.tcp().is_open() {
            connection.end = End::Aborted;
            socket.tcp().abort();
            self.counters.linger_expired += 1;
        }
    }

    pub(super) fn next_timer(&self) -> Option<Nanos> {
        if !self.queue.is_empty() || !self.replies.is_empty() || self.stash.is_some() {
            return Some(self.now);
        }
        let timer = self.timers.peek().map(|t| t.0.0);
        [timer, self.half_open.next(), self.time_wait.next()]
            .into_iter()
            .flatten()
            .min()
    }
}

fn is_syn(segment: &Segment<'_>) -> bool {
    segment.has(SYN) && !segment.has(ACK) && !segment.has(RST)
}
