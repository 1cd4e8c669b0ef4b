//! Where connections that we open come from: an address of ours, and a port that is free towards the destination.

use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{IndexEntry, Inner};
use crate::handshake::TimeWait;
use crate::key::ConnectionKey;
use crate::ports::destination;

/// A port in TIME-WAIT is taken again after so long, where there is no other: what is still under way of the connection before
/// has older timestamps than all that will come (RFC 6191, RFC 7323; as often as Linux with `tcp_tw_reuse`).
const OLD_ENOUGH: Duration = Duration::from_secs(1);

impl Inner {
    /// Our end of a new connection, if a port is free; nothing at all where we have no address for the destination.
    pub(super) fn local_end(&mut self, remote: SocketAddr) -> Option<Option<SocketAddr>> {
        let first = (self.config.source_address)(remote.ip())?;
        Some(
            self.free_end(first, remote, false)
                .or_else(|| self.free_end(first, remote, true)),
        )
    }

    fn free_end(&mut self, first: IpAddr, remote: SocketAddr, again: bool) -> Option<SocketAddr> {
        for number in 0.. {
            let (address, range) = self.source(first, remote.ip(), number)?;
            if !again && self.ports.in_use(address, remote) >= range.len() {
                continue;
            }
            let offset = self.index.hasher().hash_one(destination(address, remote));
            let Self {
                index,
                ports,
                time_wait,
                now,
                ..
            } = self;
            let free = |port| {
                let key = ConnectionKey::new(SocketAddr::new(address, port), remote);
                match index.get(&key) {
                    None => true,
                    Some(IndexEntry::TimeWait(place)) => {
                        again && time_wait.get(*place).is_some_and(|record| is_over(record, *now))
                    }
                    Some(_) => false,
                }
            };
            if let Some(port) = ports.find(&range, (offset >> 32) as u32, free) {
                let local = SocketAddr::new(address, port);
                self.forget_time_wait(&ConnectionKey::new(local, remote));
                return Some(local);
            }
        }
        None
    }

    /// What connections to `remote` may come from, by number.
    fn source(&self, first: IpAddr, remote: IpAddr, number: usize) -> Option<(IpAddr, RangeInclusive<u16>)> {
        match number.checked_sub(1) {
            None => Some((first, self.config.source_ports.clone())),
            Some(number) => (self.config.more_sources)(remote, number),
        }
    }

    fn forget_time_wait(&mut self, key: &ConnectionKey) {
        if let Some(IndexEntry::TimeWait(place)) = self.index.get(key).copied() {
            self.index.remove(key);
            let record = self.time_wait.remove(place);
            self.give_port_back(record.and_then(|record| record.opened));
        }
    }

    /// A connection that we have opened, from one end to the other, uses its port no more.
    pub(super) fn give_port_back(&mut self, opened: Option<(SocketAddr, SocketAddr)>) {
        if let Some((local, remote)) = opened {
            self.ports.give_back(local.ip(), remote);
        }
    }

    /// How many source ports are in use towards the destination that has most, and how many there are towards it.
    pub(super) fn ports_of_the_fullest(&self) -> (usize, usize) {
        let Some((remote, used)) = self.ports.fullest() else {
            return (0, self.config.source_ports.len());
        };
        let first = (self.config.source_address)(remote.ip()).unwrap_or(remote.ip());
        let ranges = (0..).map_while(|number| self.source(first, remote.ip(), number));
        (used as usize, ranges.map(|(_, range)| range.len()).sum())
    }
}

fn is_over(record: &TimeWait, now: headgate_net::clock::Nanos) -> bool {
    record.recent.is_some() && now.since(record.since) >= OLD_ENOUGH
}
