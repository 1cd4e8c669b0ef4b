//! The walk over all prefixes that finds the classes of addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{Direction, Peer, Policy};
use ipnet::IpNet;

use super::active::Active;
use super::sets::PeerSets;
use crate::hash::Keyed;

/// What begins to hold at a prefix.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A peer's block: its addresses are in the set.
    Enter(Direction, u32),
    /// A peer's except: not any more, by this peer.
    Leave(Direction, u32),
    /// The address is a subject of the policy.
    Subject(Direction, u32),
}

/// One direction's part of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Side {
    /// Number of the combination of policies that select the address.
    pub(super) group: u32,
    /// Number of the combination of peer sets that hold the address.
    pub(super) column: u32,
}

/// A class: addresses with the same combinations on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sides {
    pub(super) ingress: Side,
    pub(super) egress: Side,
}

pub(super) struct Walk {
    events: Vec<(IpNet, What)>,
    pub(super) ingress: Combinations,
    pub(super) egress: Combinations,
    classes: HashMap<Sides, u32, Keyed>,
    in_order: Vec<Sides>,
}

/// The combinations of one direction that the walk has met.
pub(super) struct Combinations {
    sets: Active,
    policies: Active,
    columns: HashMap<u128, u32, Keyed>,
    /// The peer sets of each column, sorted.
    members: Vec<Box<[u32]>>,
    group_numbers: HashMap<u128, u32, Keyed>,
    /// The policies of each group.
    pub(super) groups: Vec<Vec<u32>>,
}

/// Columns in an order that puts those alike next to each other, so that rows' bits cluster.
pub(super) struct Columns {
    /// The place of each column, by its number of the walk.
    pub(super) order: Vec<u32>,
    /// The columns of each peer set: `places[starts[set]..starts[set + 1]]`.
    starts: Vec<usize>,
    places: Vec<u32>,
}

impl Walk {
    pub(super) fn new(policies: &[Arc<Policy>], ingress: &PeerSets<'_>, egress: &PeerSets<'_>) -> Self {
        let mut events = Vec::new();
        for (direction, sets) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
            for (set, peers) in sets.iter() {
                peers
                    .iter()
                    .for_each(|peer| peer_events(peer, direction, set, &mut events));
            }
        }
        for (number, policy) in (0..).zip(policies) {
            let subject = |a: &IpAddr| (IpNet::from(*a), What::Subject(policy.direction, number));
            events.extend(policy.subjects.iter().map(subject));
        }
        // Wider prefixes stand before those inside them, and nothing leaves before it has entered.
        events.sort_unstable_by_key(|(net, what)| {
            (net.addr(), net.prefix_len(), matches!(what, What::Leave(..)))
        });
        let mut walk = Self {
            events,
            ingress: Combinations::new(ingress.len(), policies.len()),
            egress: Combinations::new(egress.len(), policies.len()),
            classes: HashMap::default(),
            in_order: Vec::new(),
        };
        walk.class();
        walk
    }

    /// Finds the class of each prefix; class 0 is that of addresses in none. Prefixes that change nothing are
    /// left out.
    pub(super) fn run(&mut self) -> Vec<(IpNet, u32)> {
        let mut prefixes = Vec::new();
        let mut path: Vec<(IpNet, std::ops::Range<usize>, u32)> = Vec::new();
        let events = std::mem::take(&mut self.events);
        let mut start = 0;
        for group in events.chunk_by(|a, b| a.0 == b.0) {
            let net = group[0].0;
            while let Some((_, left, _)) = path.pop_if(|(outer, ..)| !outer.contains(&net)) {
                self.leave(&events[left]);
            }
            group.iter().for_each(|(_, what)| self.apply(*what));
            let outer = path.last().map_or(0, |(_, _, class)| *class);
            let class = self.class();
            if class != outer {
                prefixes.push((net, class));
            }
            path.push((net, start..start + group.len(), class));
            start += group.len();
        }
        prefixes
    }

    /// The classes by number.
    pub(super) fn classes(&self) -> impl Iterator<Item = &Sides> {
        self.in_order.iter()
    }

    fn leave(&mut self, events: &[(IpNet, What)]) {
        for (_, what) in events.iter().rev() {
            match *what {
                What::Enter(direction, set) => self.side(direction).sets.leave(set),
                What::Leave(direction, set) => self.side(direction).sets.enter(set),
                What::Subject(direction, policy) => self.side(direction).policies.leave(policy),
            }
        }
    }

    fn apply(&mut self, what: What) {
        match what {
            What::Enter(direction, set) => self.side(direction).sets.enter(set),
            What::Leave(direction, set) => self.side(direction).sets.leave(set),
            What::Subject(direction, policy) => self.side(direction).policies.enter(policy),
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Combinations {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }

    /// The number of the class of the current address.
    fn class(&mut self) -> u32 {
        let sides = Sides {
            ingress: self.ingress.side(),
            egress: self.egress.side(),
        };
        let next = u32::try_from(self.in_order.len()).unwrap_or(u32::MAX);
        *self.classes.entry(sides).or_insert_with(|| {
            self.in_order.push(sides);
            next
        })
    }
}

/// A peer's block enters its set, and its excepts leave it again; what lies in another except leaves once.
fn peer_events(peer: &Peer, direction: Direction, set: u32, events: &mut Vec<(IpNet, What)>) {
    let block = peer.block.trunc();
    if peer.except.iter().any(|except| except.contains(&block)) {
        return;
    }
    events.push((block, What::Enter(direction, set)));
    let inside = peer
        .except
        .iter()
        .map(IpNet::trunc)
        .filter(|except| block.contains(except));
    // Aggregation joins neighbours and swallows what lies inside; the sets of addresses stay the same.
    for except in IpNet::aggregate(&inside.collect()) {
        events.push((except, What::Leave(direction, set)));
    }
}

impl Combinations {
    fn new(sets: usize, policies: usize) -> Self {
        Self {
            sets: Active::new(sets),
            policies: Active::new(policies),
            columns: HashMap::default(),
            members: Vec::new(),
            group_numbers: HashMap::default(),
            groups: Vec::new(),
        }
    }

    fn side(&mut self) -> Side {
        let next = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let column = *self.columns.entry(self.sets.fingerprint()).or_insert_with(|| {
            let mut members = Box::<[u32]>::from(self.sets.present());
            members.sort_unstable();
            self.members.push(members);
            next
        });
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let group = *self
            .group_numbers
            .entry(self.policies.fingerprint())
            .or_insert_with(|| {
                self.groups.push(self.policies.present().to_vec());
                next
            });
        Side { group, column }
    }

    /// The columns in their final order.
    pub(super) fn columns(&self) -> Columns {
        let mut by_members: Vec<usize> = (0..self.members.len()).collect();
        by_members.sort_by_key(|column| &self.members[*column]);
        let mut order = vec![0; self.members.len()];
        for (place, column) in (0..).zip(&by_members) {
            order[*column] = place;
        }
        Columns::transpose(order, &by_members, &self.members, self.sets.len())
    }
}

impl Columns {
    fn transpose(order: Vec<u32>, by_members: &[usize], members: &[Box<[u32]>], sets: usize) -> Self {
        let mut starts = vec![0; sets + 1];
        for set in members.iter().flat_map(|m| m.iter()) {
            starts[*set as usize + 1] += 1;
        }
        for set in 0..sets {
            starts[set + 1] += starts[set];
        }
        let mut ends = starts.clone();
        let mut places = vec![0; starts[sets]];
        for column in by_members {
            for set in &members[*column] {
                let end = &mut ends[*set as usize];
                places[*end] = order[*column];
                *end += 1;
            }
        }
        Self {
            order,
            starts,
            places,
        }
    }

    /// How many columns there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The places of the columns whose addresses are in the set, ascending.
    pub(super) fn of_set(&self, set: u32) -> &[u32] {
        &self.places[self.starts[set as usize]..self.starts[set as usize + 1]]
    }
}
