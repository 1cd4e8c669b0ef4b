//! IPv6: a root of 65,536 entries by the first 16 bits, and below it two kinds of nodes of 64 bytes.
//!
//! ```text
//! trie node: 8 bits, placed where         runs of the upper 64 bits, where there are
//! prefixes part (path compression)        few: one comparison for each
//! ┌ prefix    bits that must agree ─────┐ ┌ starts       ┬ 2a00.. ┬ 2a01.. ┬ …  5 ┐
//! │ position  where its 8 bits begin    │ └ values    v  ┴   v    ┴   c    ┴ …  6 ┘
//! │ miss      value when they do not    │
//! │ starts    0 ┬ 16 ┬ 32 ┬ …  8 runs   │   v: a value
//! │ values    v ┴ c  ┴ v  ┴ …           │   c: another node
//! └─────────────────────────────────────┘
//! ```
//!
//! A trie node with more runs has a table of 256 entries elsewhere.

use super::{CHILD, DENSE, Prefix, Tables, by_root, groups, number};
use std::hint::select_unpredictable;

use crate::double_buffered::DoubleBuffered;

const ROOT: u8 = 16;
const STRIDE: u8 = 8;
const ENTRIES: usize = 1 << STRIDE;
/// The last place where a stride fits.
const LAST: u8 = 128 - STRIDE;

/// The most runs that a node holds itself.
const RUNS: usize = 8;

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Node6 {
    /// Where each run starts, ascending from 0; unused places hold 255.
    starts: [u8; RUNS],
    /// Their entries, unused places repeating the last; in a dense node the first is its table.
    values: [u32; RUNS],
    /// The bits in front of the stride, others zero; upper half first.
    prefix: [u64; 2],
    /// What holds for addresses that do not begin with `prefix`.
    miss: u32,
    /// How many bits of the address stand in front of the stride: 16 to 56, or 64 to `LAST`.
    position: u8,
    dense: bool,
}

/// The most starts of runs that a node of them holds; the first run has none.
const STARTS: usize = 5;

/// Runs of the upper half of addresses.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Runs {
    /// Where the second run starts, and so on; unused places hold the last number.
    starts: [u64; STARTS],
    /// Entries; unused places repeat the last.
    values: [u32; STARTS + 1],
}

/// Marks entries that lead to [`Runs`], with `CHILD`.
const RUNS_NODE: u32 = DENSE;

#[derive(Clone, Debug)]
pub(super) struct Table6 {
    /// One entry for each /16.
    root: DoubleBuffered<u32>,
    nodes: DoubleBuffered<Node6>,
    free: Vec<u32>,
    runs: DoubleBuffered<Runs>,
    free_runs: Vec<u32>,
    dense: Tables,
}

impl Table6 {
    pub(super) fn new(default: u32) -> Self {
        Self {
            root: DoubleBuffered::filled(default, 1 << ROOT),
            nodes: DoubleBuffered::default(),
            free: Vec::new(),
            runs: DoubleBuffered::default(),
            free_runs: Vec::new(),
            dense: Tables::default(),
        }
    }

    /// Makes the addresses of some /16s map by these prefixes, which are all inside, and where none is to `inherited`.
    pub(super) fn rebuild(
        &mut self,
        roots: std::ops::RangeInclusive<usize>,
        inherited: u32,
        prefixes: Vec<Prefix<u128>>,
    ) {
        let (values, prefixes) = by_root(&roots, inherited, prefixes, top);
        for (root, value, group) in groups(roots, values, &prefixes, top) {
            let old = self.root[root];
            if old & CHILD != 0 {
                self.release(old);
            }
            let entry = self.subtree(group, value);
            if entry != old {
                *self.root.edit(root) = entry;
            }
        }
    }

    /// Gives back a node and all below it.
    fn release(&mut self, entry: u32) {
        let number = entry & !(CHILD | RUNS_NODE);
        let below = if entry & RUNS_NODE != 0 {
            self.free_runs.push(number);
            self.runs[number as usize].values.to_vec()
        } else {
            self.free.push(number);
            let node = self.nodes[number as usize].clone();
            if node.dense {
                self.dense.release(node.values[0]).to_vec()
            } else {
                node.values.to_vec()
            }
        };
        // Unused places repeat the last one.
        for group in below
            .chunk_by(|a, b| a == b)
            .filter(|group| group[0] & CHILD != 0)
        {
            self.release(group[0]);
        }
    }

    /// A node of the runs of these prefixes, if there are few enough.
    fn runs(&mut self, prefixes: &[Prefix<u128>], inherited: u32) -> Option<u32> {
        let mut runs: Vec<(u64, u32)> = vec![(0, inherited)];
        // The prefixes around the current one, by their last address's upper half and value.
        let mut around: Vec<(u64, u32)> = Vec::new();
        let mut rest = prefixes;
        while let Some(prefix) = rest.first() {
            while around.last().is_some_and(|(end, _)| *end < upper(prefix.bits)) {
                leave(&mut around, &mut runs, inherited);
            }
            let count = if prefix.length <= 64 {
                around.push((upper(prefix.bits | !mask(prefix.length)), prefix.value));
                begin(&mut runs, upper(prefix.bits), prefix.value);
                1
            } else {
                // All that share an upper half, which is a run of its own.
                let same = |p: &Prefix<u128>| upper(p.bits) == upper(prefix.bits);
                let count = rest.iter().take_while(|p| same(p)).count();
                begin(
                    &mut runs,
                    upper(prefix.bits),
                    CHILD | number(prefixes.len() - rest.len()),
                );
                around.push((
                    upper(prefix.bits),
                    around.last().map_or(inherited, |(_, value)| *value),
                ));
                leave(&mut around, &mut runs, inherited);
                count
            };
            rest = &rest[count..];
            if runs.len() > STARTS + 1 + around.len() {
                return None;
            }
        }
        while !around.is_empty() {
            leave(&mut around, &mut runs, inherited);
        }
        (runs.len() <= STARTS + 1).then(|| self.runs_node(prefixes, &runs, inherited))
    }

    /// A node of these runs. The entries of those that lead on are places in `prefixes`.
    fn runs_node(&mut self, prefixes: &[Prefix<u128>], runs: &[(u64, u32)], inherited: u32) -> u32 {
        let mut node = Runs {
            starts: [u64::MAX; STARTS],
            values: [0; STARTS + 1],
        };
        let mut value = 0;
        for place in 0..=STARTS {
            if let Some((start, entry)) = runs.get(place) {
                value = *entry;
                if place > 0 {
                    node.starts[place - 1] = *start;
                }
                if value & CHILD != 0 {
                    let longer = &prefixes[(value ^ CHILD) as usize..];
                    let end = longer.partition_point(|p| upper(p.bits) == *start);
                    let around = prefixes
                        .iter()
                        .filter(|p| p.length <= 64 && mask(p.length) & longer[0].bits == p.bits);
                    let around = around.max_by_key(|p| p.length).map_or(inherited, |p| p.value);
                    value = self.subtree(&longer[..end], around);
                }
            }
            node.values[place] = value;
        }
        let number = self.free_runs.pop().unwrap_or_else(|| number(self.runs.len()));
        self.runs.put(number as usize, node, &node);
        CHILD | RUNS_NODE | number
    }

    /// The entry for sorted prefixes that share the path to here; addresses in none of them map to `inherited`.
    fn subtree(&mut self, prefixes: &[Prefix<u128>], inherited: u32) -> u32 {
        let (Some(first), Some(last)) = (prefixes.first(), prefixes.last()) else {
            return inherited;
        };
        let below = upper(first.bits) == upper(last.bits) && prefixes.iter().all(|p| p.length > 64);
        if !below && let Some(entry) = self.runs(prefixes, inherited) {
            return entry;
        }
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
        let mut node = Node6::new(first.bits & mask(position), position, inherited);
        if !node.hold(&entries) {
            node.dense = true;
            node.values[0] = CHILD | DENSE | self.dense.add(entries);
        }
        let number = self.free.pop().unwrap_or_else(|| number(self.nodes.len()));
        self.nodes.put(number as usize, node.clone(), &node);
        CHILD | number
    }

    #[inline(always)]
    pub(super) fn lookup(&self, address: u128) -> u32 {
        let mut entry = self.root[top(address)];
        if entry & RUNS_NODE != 0 {
            entry = self.runs[(entry & !(CHILD | RUNS_NODE)) as usize].value(upper(address));
        }
        if entry & CHILD == 0 {
            return entry;
        }
        self.below(entry, address)
    }

    #[inline(never)]
    fn below(&self, mut entry: u32, address: u128) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the address")]
        let (upper, lower) = ((address >> 64) as u64, address as u64);
        while entry & CHILD != 0 {
            if entry & RUNS_NODE != 0 {
                entry = self.runs[(entry & !(CHILD | RUNS_NODE)) as usize].value(upper);
                continue;
            }
            let node = &self.nodes[(entry ^ CHILD) as usize];
            // Words of 64 bits, since shifts of 128 are many instructions, and no branch on which of both it is.
            let (half, shift) = (usize::from(node.position >> 6), node.position & 63);
            let word = select_unpredictable(half == 0, upper, lower);
            let front = select_unpredictable(half == 0, 0, upper ^ node.prefix[0]);
            if (word ^ node.prefix[half & 1]) >> 1 >> (63 - shift) | front != 0 {
                return node.miss;
            }
            #[expect(clippy::cast_possible_truncation, reason = "only 8 bits are kept")]
            let index = (word >> (56 - shift)) as u8;
            entry = if node.dense {
                self.dense.get(node.values[0], index)
            } else {
                node.run(index)
            };
        }
        entry
    }

    pub(super) fn memory(&self) -> usize {
        self.root.memory() + self.nodes.memory() + self.runs.memory() + self.dense.memory()
    }

    /// See [`DoubleBuffered::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.root.catch_up(&newer.root);
        self.nodes.catch_up(&newer.nodes);
        self.free.clone_from(&newer.free);
        self.runs.catch_up(&newer.runs);
        self.free_runs.clone_from(&newer.free_runs);
        self.dense.catch_up(&newer.dense);
    }
}

impl Runs {
    #[inline(always)]
    fn value(&self, upper: u64) -> u32 {
        // Counts instead of searching: no branch to predict.
        let [a, b, c, d, e] = self.starts.map(|start| usize::from(start <= upper));
        self.values[(a + b) + (c + d) + e]
    }
}

impl Node6 {
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
    #[inline(always)]
    fn run(&self, index: u8) -> u32 {
        let run: u8 = self.starts.iter().map(|start| u8::from(*start <= index)).sum();
        self.values[usize::from(run - 1) % RUNS]
    }
}

/// Where the stride should begin: where addresses part or the shortest prefix is about to end.
fn position(first: &Prefix<u128>, last: &Prefix<u128>, prefixes: &[Prefix<u128>]) -> u8 {
    let common = (first.bits ^ last.bits).leading_zeros();
    let shortest = prefixes.iter().map(|p| p.length).min().unwrap_or(1);
    match u8::try_from(common).unwrap_or(LAST).min(shortest - 1) {
        // Both halves of the address are words of their own.
        straddling @ 57..64 => straddling.min(56),
        position => position.min(LAST),
    }
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

/// Ends the innermost prefix: what is around it goes on behind it.
fn leave(around: &mut Vec<(u64, u32)>, runs: &mut Vec<(u64, u32)>, inherited: u32) {
    let end = around.pop().map_or(0, |(end, _)| end);
    if let Some(start) = end.checked_add(1) {
        begin(runs, start, around.last().map_or(inherited, |(_, value)| *value));
    }
}

/// Begins a run, in place of the last one where that starts here, too.
fn begin(runs: &mut Vec<(u64, u32)>, start: u64, value: u32) {
    runs.pop_if(|(last, _)| *last == start);
    if runs.last().is_none_or(|(_, last)| *last != value) {
        runs.push((start, value));
    }
}

#[inline(always)]
fn upper(address: u128) -> u64 {
    (address >> 64) as u64
}

#[inline]
fn top(address: u128) -> usize {
    (address >> (128 - ROOT)) as usize
}
