//! From messages to tables, one change at a time.
//!
//! ```text
//! endpoint ─ addresses ─► host ─► class = (identity, node) ─► sets that hold it, or region
//!          └ groups ─► identity ─► guards                                 │
//! policy ── subjects, only ─► groups      └────── cell of guard and class ┘
//!        └─ rules ─► sets: groups, and blocks ─► nodes of the trie
//! ```
//!
//! - An *identity* is the groups of an address; a *node* is a block that policies name. Both together are a *class*, and
//!   what sets of peers hold it follows from them and never changes.
//! - A *guard* is those groups of an identity that policies of one direction have as subjects, or rules in `only`.
//! - A *set* is one peer of rules. It keeps a list of its classes while there are few of them. One with many is *wide*: a
//!   class has the combination of its wide sets as a *region* instead, and guards have cells for regions.
//!
//! All of these are numbered and counted (`intern`). A change first puts policies, sets, blocks and endpoints right, then
//! computes the cells of guards whose rules changed, and of classes and regions that are new. What nobody uses any more
//! goes at certain points, so that within one change no number has two meanings. A state compiled from nothing is one
//! large change.

mod change;
mod endpoints;
mod guards;
mod intern;
mod policies;
mod program;
mod sets;
mod trie;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{Direction, Endpoint, Group, GroupId, Peer, Policy};

use super::compiled::{Class, Compiled, TableCounts};
use super::ports::LineCounts;
use crate::double_buffered::DoubleBuffered;
use crate::hash::Keyed;
use crate::lpm::Lpm;
use change::Recompilation;
use endpoints::{ClassInfo, GroupInfo, Identity};
use guards::{GuardInfo, LISTED};
use intern::Interner;
use policies::Rules;
use sets::SetInfo;
use trie::Trie;

/// The most bytes that the tables from classes to verdicts may take: more than ten times what 10,000 ordinary
/// policies need.
pub const MEMORY_LIMIT: usize = 1 << 29;

/// The policies tell too many kinds of addresses and ports apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policies need tables of more than {limit} bytes, this one most of them: name fewer different peers or ports"
)]
pub struct TooLarge {
    /// That takes most; a NetworkPolicy, where there is one.
    pub policy: PolicyKey,
    /// The limit, in bytes.
    pub limit: usize,
}

/// Name and direction of a policy.
pub type PolicyKey = (String, Direction);

/// What differs from the state before, each object once; `None` takes it away.
#[derive(Clone, Debug, Default)]
pub struct PolicyChanges {
    /// Checked endpoints, by name.
    pub endpoints: Vec<(String, Option<Arc<Endpoint>>)>,
    /// Groups, by id. Decisions need only their ids, which endpoints and policies name.
    pub groups: Vec<(GroupId, Option<Arc<Group>>)>,
    /// Checked policies, by name and direction.
    pub policies: Vec<(PolicyKey, Option<Arc<Policy>>)>,
}

/// Keeps [`Compiled`] up to date.
///
/// It holds two copies of the tables: one that was published last, and the one before, which readers have let go by then
/// and the next change edits.
#[derive(Debug)]
pub struct Classifier {
    model: Entities,
    /// What was published last.
    front: Arc<Compiled>,
    /// Behind by the last change, or equal if `level`.
    back: Arc<Compiled>,
    level: bool,
    limits: Limits,
}

/// Where the classifier does otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most bytes of the tables from classes to verdicts; see [`MEMORY_LIMIT`].
    pub(super) bytes: usize,
    /// A set of peers with more classes than this becomes wide.
    pub(super) wide: usize,
    /// A wide one with fewer becomes narrow: far enough below `wide` that a pod that comes and goes does not flip it.
    pub(super) narrow: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: MEMORY_LIMIT,
            wide: 256,
            narrow: 128,
        }
    }
}

/// What the tables are made from, apart from the objects themselves, which stand in the tables.
#[derive(Debug)]
struct Entities {
    endpoint_places: Places<String>,
    policy_places: Places<PolicyKey>,
    group_places: Places<GroupId>,
    /// By the policy's place.
    rules: Vec<Option<Arc<Rules>>>,
    groups: Interner<GroupId>,
    group_info: Vec<GroupInfo>,
    identities: Interner<Arc<[u32]>>,
    identity_info: Vec<Identity>,
    trie: Trie,
    /// The class of each endpoint's address.
    hosts: BTreeMap<IpAddr, u32>,
    /// By identity and node.
    classes: Interner<(u32, u32)>,
    class_info: Vec<ClassInfo>,
    sets: Interner<Peer>,
    set_info: Vec<SetInfo>,
    /// By sorted wide sets.
    regions: Interner<Arc<[u32]>>,
    /// By side and sorted groups.
    guards: Interner<(usize, Arc<[u32]>)>,
    guard_info: Vec<GuardInfo>,
    /// How many sets the guards list, and the regions.
    listed_sets: usize,
    listed_regions: usize,
    lines: LineCounts,
}

impl Default for Classifier {
    fn default() -> Self {
        Self::with_limits(Limits::default())
    }
}

impl Classifier {
    /// Without endpoints and policies; everything is allowed.
    pub(super) fn with_limits(limits: Limits) -> Self {
        let mut classifier = Self {
            model: Entities::default(),
            front: Arc::new(Compiled::bare()),
            back: Arc::new(Compiled::bare()),
            level: true,
            limits,
        };
        let unlimited = Limits {
            bytes: usize::MAX,
            ..limits
        };
        let begun = classifier.change(PolicyChanges::default(), unlimited);
        begun.expect("there is no limit");
        classifier
    }

    /// Makes the tables of the changed state, which are to be published. What was published before keeps its content.
    ///
    /// # Errors
    /// When the tables would take more than [`MEMORY_LIMIT`]; the state before stays.
    pub fn update(&mut self, changes: PolicyChanges) -> Result<Arc<Compiled>, TooLarge> {
        if changes.is_empty() {
            return Ok(Arc::clone(&self.front));
        }
        self.change(changes, self.limits).inspect_err(|_| {
            // The model is half changed. What is in force is known by what was published.
            let everything = self.front.everything();
            *self = Self::with_limits(self.limits);
            self.revert(everything);
        })?;
        Ok(Arc::clone(&self.front))
    }

    /// Takes an update back, by what it changed the other way round.
    pub fn revert(&mut self, changes: PolicyChanges) {
        if changes.is_empty() {
            return;
        }
        let bytes = usize::MAX;
        let limits = Limits { bytes, ..self.limits };
        self.change(changes, limits).expect("there is no limit");
    }

    /// What was published last.
    #[must_use]
    pub fn tables(&self) -> &Arc<Compiled> {
        &self.front
    }

    /// Brings the copy that the next change edits up to date, if its readers have let it go. It would be done then, but
    /// somebody may be waiting then.
    pub fn settle(&mut self) {
        if !self.level
            && let Some(back) = Arc::get_mut(&mut self.back)
        {
            back.catch_up(&self.front);
            self.level = true;
        }
    }

    fn change(&mut self, changes: PolicyChanges, limits: Limits) -> Result<(), TooLarge> {
        self.settle();
        if !self.level || Arc::get_mut(&mut self.back).is_none() {
            // Somebody reads old tables for long.
            let mut copy = Compiled::clone(&self.front);
            copy.catch_up(&self.front);
            self.back = Arc::new(copy);
        }
        self.level = false;
        let back = Arc::get_mut(&mut self.back).expect("nobody else has it");
        Recompilation::new(&mut self.model, back, limits).run(changes)?;
        std::mem::swap(&mut self.front, &mut self.back);
        Ok(())
    }
}

impl PolicyChanges {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.groups.is_empty() && self.policies.is_empty()
    }
}

impl Default for Compiled {
    fn default() -> Self {
        let classifier = Classifier::default();
        drop(classifier.back);
        Arc::unwrap_or_clone(classifier.front)
    }
}

impl Compiled {
    /// Compiles checked policies over checked endpoints from nothing.
    ///
    /// # Errors
    /// When the tables would take more than [`MEMORY_LIMIT`].
    pub fn build(endpoints: Vec<Arc<Endpoint>>, policies: Vec<Arc<Policy>>) -> Result<Self, TooLarge> {
        let changes = PolicyChanges {
            endpoints: endpoints.into_iter().map(|e| (e.name.clone(), Some(e))).collect(),
            groups: Vec::new(),
            policies: policies
                .into_iter()
                .map(|p| ((p.name.clone(), p.direction), Some(p)))
                .collect(),
        };
        let mut classifier = Classifier::default();
        classifier.update(changes)?;
        Ok(Arc::unwrap_or_clone(classifier.front))
    }

    /// What is in force before the first change, but for what [`Recompilation::run`] puts there.
    fn bare() -> Self {
        Self {
            hosts: super::hosts::Hosts::default(),
            blocks: Lpm::build([], 0),
            classes: DoubleBuffered::filled(Class::OPEN, 1),
            cells: super::slots::Slots::default(),
            lines: super::ports::Lines::default(),
            guards: DoubleBuffered::filled(Arc::default(), 1),
            policies: DoubleBuffered::default(),
            endpoints: DoubleBuffered::default(),
            owners: super::hosts::Owners::default(),
            nodes: super::hosts::Hosts::default(),
            groups: DoubleBuffered::default(),
            group_places: super::slots::Slots::default(),
            counts: TableCounts::default(),
        }
    }

    /// All objects as changes of an empty state.
    fn everything(&self) -> PolicyChanges {
        let policies = self.policies();
        PolicyChanges {
            endpoints: self
                .endpoints()
                .into_iter()
                .map(|e| (e.name.clone(), Some(Arc::clone(e))))
                .collect(),
            groups: self
                .groups
                .iter()
                .flatten()
                .map(|g| (g.id, Some(Arc::clone(g))))
                .collect(),
            policies: policies
                .into_iter()
                .map(|(_, p)| ((p.name.clone(), p.direction), Some(Arc::clone(p))))
                .collect(),
        }
    }
}

impl Entities {
    /// Bytes on the heap, about.
    fn memory(&self) -> usize {
        // Lists of a few numbers each, and nodes of maps: what a large cluster was measured to need for each.
        let objects = self.endpoint_places.by_key.len() + self.policy_places.by_key.len();
        let listed = self.hosts.len() + self.classes.len() + self.identities.len() + self.trie.len();
        let lists = (self.listed_sets + self.listed_regions) * LISTED;
        objects * 96 + (listed + self.sets.len() + self.guards.len()) * 160 + lists
    }
}

impl Default for Entities {
    fn default() -> Self {
        Self {
            endpoint_places: Places::default(),
            policy_places: Places::default(),
            group_places: Places::default(),
            rules: Vec::new(),
            groups: Interner::default(),
            group_info: Vec::new(),
            identities: Interner::new(Arc::default()),
            identity_info: vec![Identity::default()],
            trie: Trie::default(),
            hosts: BTreeMap::new(),
            classes: Interner::new((u32::MAX, u32::MAX)),
            class_info: vec![ClassInfo::default()],
            sets: Interner::default(),
            set_info: Vec::new(),
            regions: Interner::new(Arc::default()),
            guards: Interner::new((0, Arc::default())),
            guard_info: vec![GuardInfo::default()],
            listed_sets: 0,
            listed_regions: 0,
            lines: LineCounts::default(),
        }
    }
}

/// The places of objects in a table, which are used again.
#[derive(Debug)]
struct Places<K> {
    by_key: HashMap<K, u32, Keyed>,
    free: Vec<u32>,
}

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self {
            by_key: HashMap::default(),
            free: Vec::new(),
        }
    }
}

impl<K: Eq + Hash> Places<K> {
    /// The place of an object that is there (`Ok`), or is given one now (`Err`).
    fn of(&mut self, key: K) -> Result<u32, u32> {
        let next = u32::try_from(self.by_key.len()).expect("memory ends before 2^32 objects");
        match self.by_key.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(*entry.get()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                Err(*entry.insert(self.free.pop().unwrap_or(next)))
            }
        }
    }

    fn remove(&mut self, key: &K) -> Option<u32> {
        let place = self.by_key.remove(key)?;
        self.free.push(place);
        Some(place)
    }
}

/// The element with this number, which may be new.
fn slot<T: Default>(all: &mut Vec<T>, number: u32) -> &mut T {
    let number = number as usize;
    if all.len() <= number {
        all.resize_with(number + 1, T::default);
    }
    &mut all[number]
}

/// Adds to a sorted list what is not in it yet.
fn enter(list: &mut Vec<u32>, number: u32) {
    if let Err(at) = list.binary_search(&number) {
        list.insert(at, number);
    }
}

/// Takes out of a sorted list what may be in it.
fn leave(list: &mut Vec<u32>, number: u32) {
    if let Ok(at) = list.binary_search(&number) {
        list.remove(at);
    }
}

/// Takes out of an unsorted list what is in it once.
fn drop_from(list: &mut Vec<u32>, number: u32) {
    if let Some(at) = list.iter().position(|n| *n == number) {
        list.swap_remove(at);
    }
}
