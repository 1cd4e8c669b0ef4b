//! Packets out, and timers.

use std::cmp::Reverse;
use std::time::Duration;

use smoltcp::socket::tcp::State;

use super::{IndexEntry, Inner};
use crate::connection::{ConnectionEnd, Linger};
use crate::handshake::TimeWait;
use crate::packets::{Emit, Outlet};
use crate::recovery::{Recovery, RecoveryAction};
use crate::socket::Stateless;
use headgate_net::clock::Nanos;
use headgate_net::record::TcpCount;

/// Packets that one connection may send before the next one gets its turn.
const BURST: usize = 64;

impl Inner {
    pub(crate) fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        self.now = now;
        self.fire_timers();
        let (emitted, all) = self.replies.emit(emit);
        self.config.record.events.add(TcpCount::SegmentsOut, emitted);
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
        self.config
            .record
            .events
            .add(TcpCount::SegmentsOut, outlet.emitted);
        self.stash = outlet.stash.take();
    }

    /// Lets a connection send; returns whether there is room for more.
    fn serve(&mut self, id: usize, outlet: &mut Outlet<'_, '_>) -> bool {
        let Some(connection) = self.connections.get_mut(id).filter(|c| c.queued) else {
            return true;
        };
        connection.queued = false;
        self.check_timers(id);
        let sent = self.burst(id, outlet);
        if sent == BURST || outlet.stash.is_some() {
            self.enqueue(id);
        }
        self.settle(id);
        outlet.stash.is_none()
    }

    /// Sends what a connection may send, up to [`BURST`] packets; returns how many.
    fn burst(&mut self, id: usize, outlet: &mut Outlet<'_, '_>) -> usize {
        let connection = &mut self.connections[id];
        let interface = match connection.mtu {
            None => &mut self.interface,
            Some(mtu) => self.narrow.entry(mtu).or_insert_with(|| Stateless::new(mtu, 0)),
        };
        let mut sent = 0;
        while sent < BURST && outlet.stash.is_none() {
            let Some(socket) = &mut connection.socket else {
                break;
            };
            let open = socket.tcp().is_open();
            if let Some(recovery) = connection.recovery.as_ref().filter(|_| open) {
                if recovery.blocked() && !connection.urgent {
                    break;
                }
                socket.tcp().set_nagle_enabled(recovery.wants_full());
            }
            connection.urgent = false;
            outlet.next = connection.numbers.next;
            let made = socket.egress(interface, self.now, outlet);
            // smoltcp closes a socket while it sends for one reason alone: the peer was silent for too long.
            if open && !socket.tcp().is_open() && socket.tcp().state() == State::Closed {
                connection.end = ConnectionEnd::TimedOut;
                self.config.record.events.count(TcpCount::Timeouts);
            }
            if !made {
                break;
            }
            sent += 1;
            if let Some(sent) = outlet.last.take() {
                connection.sent(sent, self.now);
            }
        }
        sent
    }

    /// Brings a connection's records in line with the state of its socket.
    pub(crate) fn settle(&mut self, id: usize) {
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
                let expected = connection.numbers.expected(tcp.recv_queue(), true);
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
            self.index.insert(key, IndexEntry::TimeWait(place));
        }
    }

    /// Makes sure that the timer looks at a connection when it has something to do.
    fn arm(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let Some(socket) = connection.socket.as_mut().filter(|_| !connection.queued) else {
            return;
        };
        let linger = connection.linger.as_ref().map(|linger| linger.until);
        let recovery = connection.recovery.as_ref();
        // One whose window is full has data to send, and nothing to do before an acknowledgement or a timeout.
        let blocked = recovery.is_some_and(Recovery::blocked) && socket.tcp().is_open();
        let poll = if blocked {
            None
        } else {
            socket.poll_at(&mut self.interface, self.now)
        };
        let timeout = recovery.and_then(Recovery::timer);
        let Some(due) = [poll, linger, timeout].into_iter().flatten().min() else {
            return;
        };
        // Whatever wants to be polled at once and then sends nothing must not keep the worker busy.
        let due = due.max(Nanos(self.now.0 + 1_000_000));
        if connection.armed.is_none_or(|armed| due < armed) {
            connection.armed = Some(due);
            self.timers.push(Reverse((due, id)));
        }
    }

    fn fire_timers(&mut self) {
        let now = self.now;
        while let Some(Reverse((due, id))) = self.timers.peek().copied().filter(|t| t.0.0 <= now) {
            self.timers.pop();
            let Some(connection) = self.connections.get_mut(id).filter(|c| c.armed == Some(due)) else {
                continue;
            };
            connection.armed = None;
            self.enqueue(id);
        }
        while let Some(record) = self.half_open.expire(now) {
            self.index.remove(&record.key);
            self.config.record.events.count(TcpCount::HalfOpenExpired);
        }
        while let Some(record) = self.time_wait.expire(now) {
            self.index.remove(&record.key);
        }
    }

    /// Retransmits what was not acknowledged in time, and gives up on peers that are silent.
    fn check_timers(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let (Some(socket), Some(recovery)) = (&mut connection.socket, &mut connection.recovery) else {
            return;
        };
        if socket.tcp().send_queue() == 0 {
            recovery.settled();
        } else if recovery.timeout(self.now) == RecoveryAction::Retransmit {
            if self.now.since(connection.heard) >= self.config.user_timeout {
                connection.end = ConnectionEnd::TimedOut;
                socket.tcp().abort();
                self.config.record.events.count(TcpCount::Timeouts);
            } else {
                connection.retransmit(&mut self.interface, self.now);
            }
        }
        if self.connections[id].linger.is_some() {
            self.check_linger(id);
        }
    }

    /// How long a connection that its stream has left may go without progress: long enough for retransmissions while
    /// something is left to send, shorter once it only waits for the peer to close.
    pub(crate) fn patience(&self, left: usize) -> Duration {
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
            connection.end = ConnectionEnd::Aborted;
            socket.tcp().abort();
            self.config.record.events.count(TcpCount::LingerExpired);
        }
    }

    pub(crate) fn next_timer(&self) -> Option<Nanos> {
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
