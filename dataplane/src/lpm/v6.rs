//! IPv6: a root of 65,536 entries by the first 16 bits, and below it a trie of nodes that look at 8 bits, each
//! placed where its prefixes part (path compression).
//!
//! ```text
//! node, 64 bytes                          dense nodes: 256 entries elsewhere
//! ┌ prefix    bits that must agree ─────┐
//! │ position  where its 8 bits begin    │
//! │ miss      value when they do not    │
//! │ starts    0 ┬ 16 ┬ 32 ┬ …  8 runs   │
//! │ values    v ┴ c  ┴ v  ┴ …           │  c: another node
//! └─────────────────────────────────────┘
//! ```

use super::{CHILD, DENSE, Prefix, Tables, number};
use crate::tracked::Tracked;

const ROOT: u8 = 16;
const STRIDE: u8 = 8;
const ENTRIES: usize = 1 << STRIDE;
/// The last place where a stride fits.
const LAST: u8 = 128 - STRIDE;

/// The most runs that a node holds itself.
const RUNS: usize = 8;

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Node {
    /// Where each run starts, ascending from 0; unused places hold 255.
    starts: [u8; RUNS],
    /// Their entries, unused places repeating the last; in a dense node the first is its table.
    values: [u32; RUNS],
    /// The bits in front of the stride, others zero; upper half first.
    prefix: [u64; 2],
    /// What holds for addresses that do not begin with `prefix`.
    miss: u32,
    /// How many bits of the address stand in front of the stride, at most `LAST`.
    position: u8,
    dense: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    /// One entry for each /16.
    root: Tracked<u32>,
    nodes: Tracked<Node>,
    free: Vec<u32>,
    dense: Tables,
}

impl Table {
    pub(super) fn new(default: u32) -> Self {
        Self {
            root: Tracked::filled(default, 1 << ROOT),
            nodes: Tracked::default(),
            free: Vec::new(),
            dense: Tables::default(),
        }
    }

    /// Makes the addresses of some /16s map by these prefixes, which are all inside, and where none is to `inherited`.
    pub(super) fn rebuild(
        &mut self,
        roots: std::ops::RangeInclusive<usize>,
        inherited: u32,
        mut prefixes: Vec<Prefix<u128>>,
    ) {
        prefixes.sort_by_key(|p| p.length);
        let mut values = vec![inherited; roots.clone().count()];
        let short = prefixes.partition_point(|p| p.length <= ROOT);
        for prefix in prefixes.drain(..short) {
            let start = top(prefix.bits) - roots.start();
            values[start..start + (1 << (ROOT - prefix.length))].fill(prefix.value);
        }
        prefixes.sort_by_key(|p| (p.bits, p.length));
        let mut long = prefixes.chunk_by(|a, b| top(a.bits) == top(b.bits)).peekable();
        for (root, value) in roots.zip(values) {
            let old = self.root[root];
            if old & CHILD != 0 {
                self.release(old);
            }
            let group = long.next_if(|group| top(group[0].bits) == root);
            let entry = self.subtree(group.unwrap_or_default(), value);
            if entry != old {
                *self.root.edit(root) = entry;
            }
        }
    }

    /// Gives back a node and all below it.
    fn release(&mut self, entry: u32) {
        let number = entry ^ CHILD;
        let node = self.nodes[number as usize].clone();
        let below = if node.dense {
            self.dense.release(node.values[0]).to_vec()
        } else {
            node.values.to_vec()
        };
        let mut last = 0;
        for entry in below.into_iter().filter(|e| e & CHILD != 0) {
            // Unused places repeat the last one.
            if entry != last {
                self.release(entry);
            }
            last = entry;
        }
        self.free.push(number);
    }

    /// The entry for sorted prefixes that share the path to here; addresses in none of them map to `inherited`.
    fn subtree(&mut self, prefixes: &[Prefix<u128>], inherited: u32) -> u32 {
        let (Some(first), Some(last)) = (prefixes.first(), prefixes.last()) else {
            return inherited;
        };
        let position = position(first, last, prefixes);
        let mut entries = [inherited; ENTRIES];
        fill(&mut entries, prefixes, position);
        for group in prefixes.chunk_by(|a, b| index(a.bits, position) == index(b.bits, position)) {
            let longer: Vec<_> = group
                .iter()
                .filter(|p| p.length > position + STRIDE)
                .copied()
                .collect();
            let entry = usize::from(index(group[0].bits, position));
            entries[entry] = self.subtree(&longer, entries[entry]);
        }
        let mut node = Node::new(first.bits & mask(position), position, inherited);
        if !node.hold(&entries) {
            node.dense = true;
            node.values[0] = CHILD | DENSE | self.dense.add(entries);
        }
        let number = self.free.pop().unwrap_or_else(|| number(self.nodes.len()));
        self.nodes.put(number as usize, node.clone(), &node);
        CHILD | number
    }

    #[inline]
    pub(super) fn lookup(&self, address: u128) -> u32 {
        let mut entry = self.root[top(address)];
        while entry & CHILD != 0 {
            let node = &self.nodes[(entry ^ CHILD) as usize];
            let prefix = u128::from(node.prefix[0]) << 64 | u128::from(node.prefix[1]);
            if (address ^ prefix) & mask(node.position) != 0 {
                return node.miss;
            }
            let index = index(address, node.position);
            entry = if node.dense {
                self.dense.get(node.values[0], index)
            } else {
                node.run(index)
            };
        }
        entry
    }

    pub(super) fn memory(&self) -> usize {
        self.root.memory() + self.nodes.memory() + self.dense.memory()
    }

    /// See [`Tracked::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.root.catch_up(&newer.root);
        self.nodes.catch_up(&newer.nodes);
        self.free.clone_from(&newer.free);
        self.dense.catch_up(&newer.dense);
    }
}

impl Node {
    fn new(prefix: u128, position: u8, miss: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the prefix")]
        let prefix = [(prefix >> 64) as u64, prefix as u64];
        Self {
            starts: [u8::MAX; RUNS],
            values: [0; RUNS],
            prefix,
            miss,
            position,
            dense: false,
        }
    }

    /// Takes the entries in, if they are of few enough runs.
    fn hold(&mut self, entries: &[u32; ENTRIES]) -> bool {
        let (mut starts, mut values) = (self.starts, [entries[ENTRIES - 1]; RUNS]);
        let begins = |i: &u8| *i == 0 || entries[usize::from(*i) - 1] != entries[usize::from(*i)];
        let runs = (0..=u8::MAX).filter(begins).map(|i| (i, entries[usize::from(i)]));
        for (place, (start, value)) in runs.enumerate() {
            if place == RUNS {
                return false;
            }
            starts[place] = start;
            values[place] = value;
        }
        (self.starts, self.values) = (starts, values);
        true
    }

    /// The entry of the run that holds this index.
    #[inline]
    fn run(&self, index: u8) -> u32 {
        let run: u8 = self.starts.iter().map(|start| u8::from(*start <= index)).sum();
        self.values[usize::from(run - 1) % RUNS]
    }
}

/// Where the stride should begin: where addresses part or the shortest prefix is about to end.
fn position(first: &Prefix<u128>, last: &Prefix<u128>, prefixes: &[Prefix<u128>]) -> u8 {
    let common = (first.bits ^ last.bits).leading_zeros();
    let shortest = prefixes.iter().map(|p| p.length).min().unwrap_or(1);
    u8::try_from(common).unwrap_or(LAST).min(shortest - 1).min(LAST)
}

/// Writes the prefixes that end within the stride, the longer over the shorter.
fn fill(entries: &mut [u32; ENTRIES], prefixes: &[Prefix<u128>], position: u8) {
    for length in position + 1..=position + STRIDE {
        for prefix in prefixes.iter().filter(|p| p.length == length) {
            let start = usize::from(index(prefix.bits, position));
            entries[start..start + (1 << (position + STRIDE - length))].fill(prefix.value);
        }
    }
}

/// The first `length` bits, `length <= LAST`.
#[inline]
fn mask(length: u8) -> u128 {
    !(u128::MAX >> length)
}

#[inline]
fn index(address: u128, position: u8) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "only 8 bits are kept")]
    let index = (address >> (LAST - position)) as u8;
    index
}

#[inline]
fn top(address: u128) -> usize {
    (address >> (128 - ROOT)) as usize
}
