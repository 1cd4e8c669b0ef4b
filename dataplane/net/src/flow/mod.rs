//! The per-worker flow table, NAT and timeouts.
//!
//! A flow is two [`FlowEntry`]s in one table: client to frontend, and pod to source port. Each says all that a
//! packet of its direction needs, so either is found, and answered for, with one look-up.

mod copy;
mod entry;
mod hash;
mod pool;
mod ports;
mod table;
mod timeouts;
mod track;

use std::time::Duration;

pub use copy::{Carried, FlowCopy};
pub use entry::{Direction, FlowEntry, FlowState, NextHop};
pub use hash::{Secret, stage, worker};
pub use pool::PoolsFull;
pub use ports::{InvalidSourcePorts, SourcePortOwner, SourcePorts};
pub use timeouts::Timeouts;
pub use track::Tracked;

use crate::clock::Nanos;
use crate::wire::{Address, Tuple};
use pool::{PoolKey, Pools};
use table::FlowTable;

/// Which worker a flow belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// A keyed hash of the client's 5-tuple says: for links that do not keep a flow on one queue (veth).
    #[default]
    Hash,
    /// The worker whose queue it came in on: for hardware that spreads flows by RSS.
    Queue,
}

/// Where connections are terminated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Termination {
    /// On the worker that owns the flow: each has a stage, of its own number.
    #[default]
    Inline,
    /// On so many stages with cores of their own, at least one, whatever worker got the packet.
    Apart(u8),
}

impl Termination {
    /// How many stages there are beside so many workers.
    #[must_use]
    pub const fn stages(self, workers: u8) -> u8 {
        match self {
            Self::Inline => workers,
            Self::Apart(stages) => stages,
        }
    }
}

/// Time in flow entries: 2^20 ns, about a millisecond, wrapping after 52 days. What is compared is never older than
/// the longest timeout and a round of the sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick(u32);

impl Tick {
    const SHIFT: u32 = 20;

    /// The tick of a time.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "wraps, see the type")]
    pub const fn of(now: Nanos) -> Self {
        Self((now.0 >> Self::SHIFT) as u32)
    }

    /// Ticks that have gone by since `earlier`.
    #[inline]
    const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// So many ticks.
    fn duration(ticks: u32) -> Duration {
        Duration::from_nanos(u64::from(ticks) << Self::SHIFT)
    }

    /// A duration in ticks, rounded up, at most half the range.
    fn count(duration: Duration) -> u32 {
        let ticks = duration.as_nanos().div_ceil(1 << Self::SHIFT);
        u32::try_from(ticks).unwrap_or(u32::MAX).min(u32::MAX / 2)
    }
}

/// What a new flow is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewFlow<A> {
    /// From the client to the frontend.
    pub client: Tuple<A>,
    /// IANA number: TCP or UDP.
    pub protocol: u8,
    /// The pod.
    pub backend: A,
    /// The pod's port.
    pub backend_port: u16,
    /// The address that the pod sees.
    pub source: A,
    /// The state that allowed the flow.
    pub tables_publication: u64,
    /// The Service, by [`Number::short_index`](crate::number::Number::short_index).
    pub service: u16,
}

/// Why a flow cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// There are as many flows as the table may hold.
    Flows,
    /// Every source port is in use towards the backend.
    SourcePorts,
}

/// The flows of one address family and worker.
#[derive(Debug)]
pub struct Flows<A> {
    table: FlowTable<A>,
    pools: Pools<A>,
    /// Ticks by state.
    timeouts: [u32; FlowState::COUNT],
    capacity: usize,
    cursor: usize,
}

impl<A: Address> Flows<A> {
    /// Makes an empty table for `capacity` flows, at least one, that send from `ports`.
    ///
    /// # Panics
    /// Where `ports` is empty or the memory cannot be had.
    #[must_use]
    pub fn new(
        capacity: usize,
        ports: std::ops::RangeInclusive<u16>,
        timeouts: &Timeouts,
        secret: Secret,
    ) -> Self {
        let capacity = capacity.max(1);
        Self {
            table: FlowTable::new(2 * capacity, secret),
            pools: Pools::new(ports),
            timeouts: FlowState::timeouts(timeouts),
            capacity,
            cursor: 0,
        }
    }

    /// How many flows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.table.len() / 2
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Source ports in use, over all backends; as many as flows.
    #[must_use]
    pub fn source_ports_in_use(&self) -> usize {
        self.pools.in_use()
    }

    /// The hash that names a direction's place.
    #[inline]
    #[must_use]
    pub fn hash(&self, tuple: &Tuple<A>, protocol: u8) -> u64 {
        self.table.secret().hash(tuple, protocol)
    }

    /// Brings the place of a hash near, for a [`find`](Self::find) a little later.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// The slot of this direction of a flow, good until a flow is removed.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: u64, tuple: &Tuple<A>, protocol: u8) -> Option<usize> {
        self.table.find(hash, tuple, protocol)
    }

    /// The entry in a slot.
    #[inline]
    #[must_use]
    pub fn entry(&self, slot: usize) -> &FlowEntry<A> {
        self.table.at(slot)
    }

    /// The entry in a slot, to be changed; its key is not.
    #[inline]
    #[must_use]
    pub fn entry_mut(&mut self, slot: usize) -> &mut FlowEntry<A> {
        self.table.at_mut(slot)
    }

    /// Makes a flow and gives the slot of its direction from the client.
    ///
    /// # Errors
    /// [`NoRoom`] where there is none; nothing has changed then.
    pub fn create(&mut self, new: &NewFlow<A>, now: Nanos) -> Result<usize, NoRoom> {
        if self.len() >= self.capacity {
            return Err(NoRoom::Flows);
        }
        let pool = PoolKey {
            source: new.source,
            backend: new.backend,
            backend_port: new.backend_port,
            protocol: new.protocol,
        };
        let random = self.hash(&new.client, new.protocol);
        let port = self
            .pools
            .take(&pool, random)
            .map_err(|PoolsFull| NoRoom::SourcePorts)?;
        let pod = Tuple {
            source: new.source,
            destination: new.backend,
            source_port: port,
            destination_port: new.backend_port,
        };
        let [forward, reverse] = FlowEntry::pair(new, &pod, Tick::of(now));
        // A frontend at the source address and a reserved port: its client could be the pod itself.
        if self
            .find(self.hash(&reverse.key, new.protocol), &reverse.key, new.protocol)
            .is_some()
        {
            self.pools.give_back(&pool, port);
            return Err(NoRoom::SourcePorts);
        }
        self.table.insert(reverse);
        Ok(self.table.insert(forward))
    }

    /// Removes the flow of a slot: both directions and its source port. Every slot number is void afterwards.
    pub fn remove(&mut self, slot: usize) {
        let partner = self.partner(slot);
        let entry = *self.entry(slot);
        let pod = match entry.direction() {
            Direction::FromClient => entry.rewrite,
            Direction::FromPod => entry.key.reversed(),
        };
        match partner {
            Some(partner) => self.table.remove_two(slot, partner),
            None => self.table.remove(slot),
        }
        let pool = PoolKey {
            source: pod.source,
            backend: pod.destination,
            backend_port: pod.destination_port,
            protocol: entry.protocol,
        };
        self.pools.give_back(&pool, pod.source_port);
    }

    /// The slot of the other direction.
    fn partner(&self, slot: usize) -> Option<usize> {
        let entry = self.entry(slot);
        let tuple = entry.rewrite.reversed();
        self.find(self.hash(&tuple, entry.protocol), &tuple, entry.protocol)
    }

    /// Puts both directions in a state.
    fn set_state(&mut self, slot: usize, state: FlowState) {
        if let Some(partner) = self.partner(slot) {
            self.entry_mut(partner).state = state;
        }
        self.entry_mut(slot).state = state;
    }

    /// Looks at the next `budget` slots and removes the flows there that have been idle for too long in both
    /// directions. Gives how many.
    pub fn sweep(&mut self, now: Nanos, budget: usize) -> usize {
        let now = Tick::of(now);
        let before = self.len();
        for _ in 0..budget.min(self.table.slots()) {
            if self.is_idle(self.cursor, now) {
                // What moves into the slot is looked at next.
                self.remove(self.cursor);
            } else {
                self.cursor = (self.cursor + 1) & (self.table.slots() - 1);
            }
        }
        before - self.len()
    }

    /// Whether the slot holds the client's direction of a flow to be removed.
    fn is_idle(&self, slot: usize, now: Tick) -> bool {
        let entry = self.entry(slot);
        if entry.is_free() || entry.direction() == Direction::FromPod {
            return false;
        }
        let timeout = self.timeout(entry.state);
        let idle = |e: &FlowEntry<A>| now.since(e.seen) > timeout;
        idle(entry) && self.partner(slot).is_none_or(|partner| idle(self.entry(partner)))
    }

    /// Ticks that a flow in this state may be idle. Once the table is more than half full, flows that nobody has
    /// answered get less the fuller it is, down to a sixteenth: a flood of first packets must not keep clients out.
    fn timeout(&self, state: FlowState) -> u32 {
        let timeout = self.timeouts[state as usize];
        let free = self.capacity - self.len().min(self.capacity);
        if !state.is_unanswered() || free >= self.capacity / 2 {
            return timeout;
        }
        let scaled = timeout as usize * free / (self.capacity / 2).max(1);
        u32::try_from(scaled).unwrap_or(timeout).max(timeout / 16)
    }

    /// Slots of the table: a [`sweep`](Self::sweep) with this budget is a round.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.table.slots()
    }

    /// The entries of the direction from the client.
    pub fn iter(&self) -> impl Iterator<Item = &FlowEntry<A>> {
        self.table
            .iter()
            .filter(|e| e.direction() == Direction::FromClient)
    }
}

#[cfg(test)]
mod tests;
