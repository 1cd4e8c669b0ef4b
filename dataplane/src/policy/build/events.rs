//! What begins to hold at each prefix.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::Direction;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::sets::PeerSets;
use crate::policy::flat::{Peer, Policy};

/// At this prefix, and for every address inside, this begins to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) at: Prefix,
    pub(super) what: What,
}

/// A prefix, of IPv4 in the upper 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    bits: u128,
    length: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A peer's block: its addresses are in the set.
    Enter(Direction, u32),
    /// The address is a subject of the policy.
    Subject(Direction, u32),
    /// A peer's except: not in the set any more, by this peer.
    Leave(Direction, u32),
}

/// The events of both families, each in the order of a walk: wider prefixes before those inside them, and at
/// one prefix nothing leaves before it has entered.
pub(super) struct Events {
    pub(super) v4: Vec<Event>,
    pub(super) v6: Vec<Event>,
}

impl Events {
    pub(super) fn collect(policies: &[Arc<Policy>], ingress: &PeerSets<'_>, egress: &PeerSets<'_>) -> Self {
        let mut events = Self {
            v4: Vec::new(),
            v6: Vec::new(),
        };
        for (direction, sets) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
            for (set, peers) in sets.iter() {
                peers
                    .iter()
                    .for_each(|peer| events.add_peer(peer, direction, set));
            }
        }
        for (number, policy) in (0..).zip(policies) {
            for subject in &policy.subjects {
                events.add((*subject).into(), What::Subject(policy.direction, number));
            }
        }
        for family in [&mut events.v4, &mut events.v6] {
            family.sort_unstable_by_key(|e| (e.at, matches!(e.what, What::Leave(..))));
        }
        events
    }

    /// A peer's block enters its set, and its excepts leave it again; what lies in another except leaves once.
    fn add_peer(&mut self, peer: &Peer, direction: Direction, set: u32) {
        let block = peer.block.trunc();
        if peer.except.is_empty() {
            return self.add(block, What::Enter(direction, set));
        }
        if peer.except.iter().any(|except| except.contains(&block)) {
            return;
        }
        self.add(block, What::Enter(direction, set));
        let inside = peer
            .except
            .iter()
            .map(IpNet::trunc)
            .filter(|except| block.contains(except));
        // Aggregation joins neighbours and swallows what lies inside; the addresses stay the same.
        for except in IpNet::aggregate(&inside.collect()) {
            self.add(except, What::Leave(direction, set));
        }
    }

    fn add(&mut self, net: IpNet, what: What) {
        let length = net.prefix_len();
        match net.addr() {
            IpAddr::V4(a) => {
                let bits = u128::from(a.to_bits()) << 96;
                self.v4.push(Event {
                    at: Prefix { bits, length },
                    what,
                });
            }
            IpAddr::V6(a) => self.v6.push(Event {
                at: Prefix {
                    bits: a.to_bits(),
                    length,
                },
                what,
            }),
        }
    }
}

impl Prefix {
    /// Whether all of `other` lies in this prefix.
    pub(super) fn contains(self, other: Self) -> bool {
        let differing = (self.bits ^ other.bits).leading_zeros();
        self.length <= other.length && differing >= self.length.into()
    }

    pub(super) fn v4(self) -> IpNet {
        let address = ((self.bits >> 96) as u32).into();
        Ipv4Net::new_assert(address, self.length).into()
    }

    pub(super) fn v6(self) -> IpNet {
        Ipv6Net::new_assert(self.bits.into(), self.length).into()
    }
}
