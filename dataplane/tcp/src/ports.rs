//! Source ports of the connections that we open.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use headgate_net::hash::Keyed;

/// Hands out ports, for each destination from another place (RFC 6056 section 3.3.3), and counts those in use.
#[derive(Debug)]
pub(super) struct Ports {
    next: u32,
    /// By our address and the destination.
    of_pair: HashMap<(IpAddr, SocketAddr), u32, Keyed>,
    /// By the destination, over all of our addresses.
    towards: HashMap<SocketAddr, u32, Keyed>,
}

impl Ports {
    pub(super) fn new(secret: u64, seed: u32) -> Self {
        Self {
            next: seed,
            of_pair: HashMap::with_hasher(Keyed::with_secret(secret)),
            towards: HashMap::with_hasher(Keyed::with_secret(secret)),
        }
    }

    /// A port of `range` for which `free` holds; every port is asked at most once. `offset` is a keyed hash of the destination.
    pub(super) fn find(
        &mut self,
        range: &RangeInclusive<u16>,
        offset: u32,
        mut free: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        let count = u32::try_from(range.len()).ok().filter(|count| *count > 0)?;
        for _ in 0..count {
            let place = self.next.wrapping_add(offset) % count;
            self.next = self.next.wrapping_add(1);
            let port = range.start().checked_add(u16::try_from(place).ok()?)?;
            if free(port) {
                return Some(port);
            }
        }
        None
    }

    /// How many are in use at one of our addresses towards a destination.
    pub(super) fn in_use(&self, local: IpAddr, remote: SocketAddr) -> usize {
        self.of_pair
            .get(&(local, remote))
            .map_or(0, |count| *count as usize)
    }

    pub(super) fn take(&mut self, local: IpAddr, remote: SocketAddr) {
        *self.of_pair.entry((local, remote)).or_default() += 1;
        *self.towards.entry(remote).or_default() += 1;
    }

    pub(super) fn give_back(&mut self, local: IpAddr, remote: SocketAddr) {
        less(&mut self.of_pair, &(local, remote));
        less(&mut self.towards, &remote);
    }

    /// The destination towards which most are in use, and how many. Looks at every destination.
    pub(super) fn fullest(&self) -> Option<(SocketAddr, u32)> {
        let all = self.towards.iter().map(|(remote, count)| (*remote, *count));
        all.max_by_key(|(_, count)| *count)
    }

    /// Whether none is in use.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn is_empty(&self) -> bool {
        self.of_pair.is_empty() && self.towards.is_empty()
    }
}

/// One less, and none of what is not there.
fn less<K: Hash + Eq>(counts: &mut HashMap<K, u32, Keyed>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// What the offset is a hash of: the destination and our own address.
pub(super) fn destination(local: IpAddr, remote: SocketAddr) -> super::key::ConnectionKey {
    super::key::ConnectionKey::new(SocketAddr::new(local, 0), remote)
}
