//! The walk over all prefixes that finds the classes of addresses.

use std::collections::HashMap;

use headgate_ring::message::Direction;

use super::active::Active;
use super::events::{Event, Prefix, What};
use crate::hash::Keyed;

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
    /// Length of all `members`.
    listed: usize,
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
    /// For so many policies, and sets of peers of each direction.
    pub(super) fn new(policies: usize, ingress_sets: usize, egress_sets: usize) -> Self {
        let mut walk = Self {
            ingress: Combinations::new(ingress_sets, policies),
            egress: Combinations::new(egress_sets, policies),
            classes: HashMap::default(),
            in_order: Vec::new(),
        };
        walk.class();
        walk
    }

    /// Finds the class of each prefix of one family; class 0 is that of addresses in none. Prefixes that change
    /// nothing are left out.
    pub(super) fn run(&mut self, events: &[Event]) -> Vec<(Prefix, u32)> {
        let mut prefixes = Vec::new();
        let mut path: Vec<(&[Event], u32)> = Vec::new();
        for here in events.chunk_by(|a, b| a.at == b.at) {
            while let Some((left, _)) = path.pop_if(|(outer, _)| !outer[0].at.contains(here[0].at)) {
                self.undo(left);
            }
            here.iter().for_each(|event| self.apply(event.what));
            let outer = path.last().map_or(0, |(_, class)| *class);
            let class = self.class();
            if class != outer {
                prefixes.push((here[0].at, class));
            }
            path.push((here, class));
        }
        while let Some((left, _)) = path.pop() {
            self.undo(left);
        }
        prefixes
    }

    /// Bytes of the combinations met.
    pub(super) fn memory(&self) -> usize {
        [&self.ingress, &self.egress]
            .map(|side| side.listed * size_of::<u32>())
            .iter()
            .sum()
    }

    /// The classes by number.
    pub(super) fn classes(&self) -> impl Iterator<Item = &Sides> {
        self.in_order.iter()
    }

    fn undo(&mut self, events: &[Event]) {
        for event in events.iter().rev() {
            match event.what {
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

impl Combinations {
    fn new(sets: usize, policies: usize) -> Self {
        Self {
            sets: Active::new(sets),
            policies: Active::new(policies),
            columns: HashMap::default(),
            members: Vec::new(),
            listed: 0,
            group_numbers: HashMap::default(),
            groups: Vec::new(),
        }
    }

    fn side(&mut self) -> Side {
        let next = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let column = *self.columns.entry(self.sets.fingerprint()).or_insert_with(|| {
            let mut members = Box::<[u32]>::from(self.sets.present());
            members.sort_unstable();
            self.listed += members.len();
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
