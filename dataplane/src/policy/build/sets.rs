//! The distinct lists of peers.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use headgate_ring::message::Direction;

use crate::hash::Keyed;
use crate::policy::flat::{Peer, Policy};

/// The set of rules without peers: every address.
pub(super) const ANY: u32 = 0;

/// The lists of peers of one direction's rules, numbered from 1; 0 is [`ANY`].
#[derive(Debug)]
pub(super) struct PeerSets<'a> {
    lists: Vec<&'a [Peer]>,
    /// The set of each rule of each policy; empty for policies of the other direction.
    of_rules: Vec<Vec<u32>>,
}

impl<'a> PeerSets<'a> {
    pub(super) fn intern(policies: &'a [Arc<Policy>], direction: Direction) -> Self {
        let mut interner = Interner {
            keyed: Keyed::default(),
            lists: vec![&[]],
            by_hash: HashMap::default(),
        };
        let of_policy = |policy: &'a Arc<Policy>| {
            let rules = if policy.direction == direction {
                policy.rules.as_slice()
            } else {
                &[]
            };
            let set = |peers: Option<&'a Vec<Peer>>| peers.map_or(ANY, |list| interner.number(list));
            rules.iter().map(|r| r.peers.as_ref()).map(set).collect()
        };
        let of_rules = policies.iter().map(of_policy).collect();
        Self {
            lists: interner.lists,
            of_rules,
        }
    }

    /// How many sets there are, `ANY` among them.
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// The sets of a policy's rules.
    pub(super) fn of_policy(&self, policy: usize) -> &[u32] {
        &self.of_rules[policy]
    }

    /// Every set but `ANY`, with its peers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &'a [Peer])> {
        (0..).zip(self.lists.iter().copied()).skip(1)
    }
}

struct Interner<'a> {
    keyed: Keyed,
    lists: Vec<&'a [Peer]>,
    by_hash: HashMap<u64, Vec<u32>, Keyed>,
}

impl<'a> Interner<'a> {
    fn number(&mut self, list: &'a [Peer]) -> u32 {
        let mut hasher = self.keyed.build_hasher();
        for peer in list {
            peer.block.hash(&mut hasher);
            peer.except.hash(&mut hasher);
        }
        let candidates = self.by_hash.entry(hasher.finish()).or_default();
        if let Some(known) = candidates.iter().find(|set| self.lists[**set as usize] == list) {
            return *known;
        }
        let number = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        candidates.push(number);
        self.lists.push(list);
        number
    }
}
