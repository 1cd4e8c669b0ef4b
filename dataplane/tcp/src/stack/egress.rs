//! Packets out, and timers.

use std::cmp::Reverse;
use std::time::Duration;

use super::{IndexEntry, Inner};
use crate::connection::{LISTENED, Linger};
use crate::engine::{ConnectionEnd, NEVER, TcpState};
use crate::handshake::TimeWait;
use crate::packets::Emit;
use headgate_net::clock::Nanos;
use headgate_net::record::TcpCount;

/// Packets that one connection may send before the next one gets its turn.
const BURST: usize = 64;
/// Timers do not fire more often than this for a connection: whatever is due and sends nothing must not keep the worker
/// busy.
const RESOLUTION: Duration = Duration::from_micros(100);
/// How long a peer may take nothing where memory is short, and how often the others are relieved of such peers.
const SHORT_PATIENCE: Duration = Duration::from_secs(10);
const RELIEF: Duration = Duration::from_millis(100);
/// Timers that are not worth sweeping.
pub(super) const LEAST_TIMERS: usize = 1_024;

impl Inner {
    pub(crate) fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        self.now = now;
        self.fire_timers();
        let (emitted, all) = self.replies.emit(emit);
        let mut sent = emitted;
        let mut ready = all;
        while ready {
            let Some(id) = self.queue.pop_front() else { break };
            ready = self.serve(id, &mut sent, emit);
        }
        self.config.record.events.add(TcpCount::SegmentsOut, sent);
        self.relieve();
        self.feed();
        self.shrink();
    }

    /// Lets a connection send; returns whether there is room for more.
    fn serve(&mut self, id: usize, sent: &mut u64, emit: &mut Emit<'_>) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id).filter(|c| c.queued) else {
            return true;
        };
        connection.queued = false;
        let before = connection.tcb.state();
        connection.tcb.tick(&mut self.pool, now);
        if before != TcpState::Closed && connection.tcb.end == ConnectionEnd::TimedOut {
            self.config.record.events.count(TcpCount::Timeouts);
        }
        self.check_linger(id);
        let connection = &mut self.connections[id];
        let (ends, mut room, mut burst) = ((connection.local, connection.remote), true, 0);
        while burst < BURST && connection.tcb.wants_turn(now) {
            let Some(outgoing) = connection.tcb.next(ends, &self.pool, now) else {
                break;
            };
            let (start, length) = outgoing.data;
            let (sender, pool) = (&connection.tcb.sender, &self.pool);
            room = emit(outgoing.header.packet_len(length), &mut |packet| {
                outgoing
                    .header
                    .write(packet, |data| sender.read(pool, start, data));
            });
            if !room {
                break;
            }
            connection.tcb.sent(&outgoing, now);
            burst += 1;
        }
        connection.tcb.rests(now);
        *sent += burst as u64;
        if !room || burst == BURST {
            self.enqueue(id);
        }
        self.connections[id].wake(self.pool.pressed());
        self.settle(id);
        room
    }

    /// Brings a connection's place in line with its state.
    pub(crate) fn settle(&mut self, id: usize) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let unread = connection.held && connection.tcb.receiver.unread() > 0;
        if connection.tcb.is_done() {
            self.unindex(id);
            if !unread {
                self.release(id);
            }
        } else if connection.tcb.waits_out() && !unread {
            self.wait(id);
        } else {
            self.arm(id);
        }
    }

    /// Takes a connection out of the index: TCP is done with it.
    fn unindex(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        if std::mem::take(&mut connection.indexed) {
            self.index.remove(&connection.key());
            let opened = connection.opened();
            self.give_port_back(opened);
        }
    }

    /// Ends a connection: its memory goes back, and so does its place if no stream holds it.
    fn release(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        connection.tcb.clear(&mut self.pool);
        if !connection.held {
            self.connections.remove(id);
        }
    }

    /// Replaces a connection that has come to TIME-WAIT by a record.
    fn wait(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        let (key, indexed) = (connection.key(), connection.indexed);
        let (next, acknowledged, recent) = connection.tcb.remains();
        let record = TimeWait {
            key,
            next,
            acknowledged,
            recent,
            since: self.now,
            opened: connection.opened(),
            stamp: 0,
        };
        connection.tcb.retire(&mut self.pool);
        connection.wake(false);
        self.unindex(id);
        self.release(id);
        if indexed {
            if let Some((local, remote)) = record.opened {
                self.ports.take(local.ip(), remote);
            }
            let (place, evicted) = self.time_wait.put(record, self.now);
            if let Some(evicted) = evicted {
                self.index.remove(&evicted.key);
                self.give_port_back(evicted.opened);
            }
            self.index.insert(key, IndexEntry::TimeWait(place));
        }
    }

    /// Makes sure that the timer looks at a connection when it has something to do.
    pub(super) fn arm(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        if connection.queued {
            return;
        }
        let linger = connection.linger.as_ref().map_or(NEVER, |linger| linger.until);
        let due = connection.tcb.deadline().min(linger);
        if due == NEVER {
            return;
        }
        let due = due.max(self.now.after(RESOLUTION));
        if connection.armed.is_none_or(|armed| due < armed) {
            connection.armed = Some(due);
            self.timers.push(Reverse((due, id)));
            self.sweep();
        }
    }

    /// Timers that were set to an earlier time are left in the heap; not more of them than of the others.
    fn sweep(&mut self) {
        if self.timers.len() <= self.most_timers {
            return;
        }
        let connections = &self.connections;
        self.timers.retain(|Reverse((due, id))| {
            connections
                .get(*id)
                .is_some_and(|connection| connection.armed == Some(*due))
        });
        self.most_timers = (2 * self.timers.len()).max(LEAST_TIMERS);
    }

    fn fire_timers(&mut self) {
        let now = self.now;
        while let Some(Reverse((due, id))) = self.timers.peek().copied().filter(|t| t.0.0 <= now) {
            self.timers.pop();
            let Some(connection) = self.connections.get_mut(id).filter(|c| c.armed == Some(due)) else {
                continue;
            };
            connection.armed = None;
            connection.tcb.settle();
            self.enqueue(id);
        }
        self.fire_handshakes();
        while let Some((place, _)) = self.time_wait.due(now) {
            if let Some(record) = self.time_wait.remove(place) {
                self.index.remove(&record.key);
                self.give_port_back(record.opened);
            }
        }
    }

    /// Lets writers go on that found no memory.
    fn feed(&mut self) {
        if self.starved.is_empty() || self.pool.exhausted() {
            return;
        }
        for id in std::mem::take(&mut self.starved) {
            let Some(connection) = self.connections.get_mut(id) else {
                continue;
            };
            connection.starved = false;
            connection.writer.wake();
        }
    }

    /// A task gave memory back: `feed` is the next egress' business, which nothing else may call for.
    pub(crate) fn tell_starved(&self) {
        if !self.starved.is_empty() && !self.pool.exhausted() {
            self.wake.notify_one();
        }
    }

    /// Where memory is short, ends those whose peers have taken nothing for long, who hold most first.
    fn relieve(&mut self) {
        if !self.pool.exhausted() || self.now < self.relieved.after(RELIEF) {
            return;
        }
        self.relieved = self.now;
        let stalled = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.tcb.stalls(self.now) >= SHORT_PATIENCE);
        let mut worst: Vec<(u32, usize)> = stalled
            .map(|(id, connection)| (connection.tcb.sender.buffered(), id))
            .collect();
        worst.sort_unstable();
        while self.pool.exhausted()
            && let Some((_, id)) = worst.pop()
        {
            let connection = &mut self.connections[id];
            connection.tcb.abort(&mut self.pool, ConnectionEnd::TimedOut);
            connection.wake(false);
            self.enqueue(id);
            self.count(TcpCount::Timeouts);
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
        let Some(linger) = &connection.linger else {
            return;
        };
        let left = connection.tcb.left_to_send();
        if left < linger.left {
            let until = self.now.after(self.patience(left));
            let last = self.now.after(self.config.linger * LISTENED);
            self.connections[id].linger = Some(Box::new(Linger { until, left, last }));
        } else if self.now >= linger.until
            && !matches!(connection.tcb.state(), TcpState::Closed | TcpState::TimeWait)
        {
            connection.tcb.abort(&mut self.pool, ConnectionEnd::Aborted);
            self.count(TcpCount::LingerExpired);
        }
    }

    pub(crate) fn next_timer(&self) -> Option<Nanos> {
        if !self.queue.is_empty() || !self.replies.is_empty() {
            return Some(self.now);
        }
        let timer = self.timers.peek().map(|t| t.0.0);
        [timer, self.half_open.next(), self.time_wait.next()]
            .into_iter()
            .flatten()
            .min()
    }
}
