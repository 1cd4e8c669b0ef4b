//! Copies of flows, for who lists them.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Direction, FlowEntry, FlowState, Flows, Tick};
use crate::clock::Nanos;
use crate::wire::{Address, Tuple};

/// A flow as it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowCopy {
    /// IANA number.
    pub protocol: u8,
    /// Where it stands.
    pub state: FlowState,
    /// Who opened it.
    pub client: SocketAddr,
    /// Where the client connected to.
    pub frontend: SocketAddr,
    /// What the pod takes for the client.
    pub source: SocketAddr,
    /// The pod.
    pub pod: SocketAddr,
    /// From the client.
    pub from_client: Carried,
    /// From the pod.
    pub from_pod: Carried,
    /// Since the last packet of either.
    pub idle: Duration,
}

/// What one direction has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets.
    pub packets: u64,
    /// Bytes of the IP packets.
    pub bytes: u64,
}

impl<A: Address> Flows<A> {
    /// Looks at the slots below `cursor`, downwards, and at no more than `budget` of them; `cursor` follows, and is 0 at the
    /// end. `take` gets a copy of every flow there until it returns false; that flow is the first one of the next time.
    ///
    /// A flow that stays is found once, or twice where others are removed meanwhile: removal moves entries downwards. One
    /// whose entry goes round the end of the table just then may be missed.
    pub fn copy(
        &self,
        cursor: &mut usize,
        budget: usize,
        now: Nanos,
        mut take: impl FnMut(FlowCopy) -> bool,
    ) {
        let stop = cursor.saturating_sub(budget);
        while *cursor > stop {
            let entry = self.entry(*cursor - 1);
            let first = !entry.is_free() && entry.direction() == Direction::FromClient;
            if first && !take(self.copy_of(*cursor - 1, Tick::of(now))) {
                return;
            }
            *cursor -= 1;
        }
    }

    fn copy_of(&self, slot: usize, now: Tick) -> FlowCopy {
        let entry = self.entry(slot);
        let partner = self.partner(slot).map(|slot| self.entry(slot));
        let carried = |entry: &FlowEntry<A>| Carried {
            packets: entry.packets(),
            bytes: entry.bytes(),
        };
        let idle = |entry: &FlowEntry<A>| now.since(entry.seen);
        let ticks = partner.map_or_else(|| idle(entry), |partner| idle(entry).min(idle(partner)));
        let (client, pod) = (entry.client(), entry.pod());
        FlowCopy {
            protocol: entry.protocol,
            state: entry.state,
            client: source(&client),
            frontend: source(&client.reversed()),
            source: source(&pod),
            pod: source(&pod.reversed()),
            from_client: carried(entry),
            from_pod: partner.map(carried).unwrap_or_default(),
            idle: Tick::duration(ticks),
        }
    }
}

fn source<A: Address>(tuple: &Tuple<A>) -> SocketAddr {
    (tuple.source.ip(), tuple.source_port).into()
}
