//! IPv4: a root of 65,536 entries by the upper half of the address, and below it one node that says all of the lower
//! half, where it can.
//!
//! ```text
//! root[a >> 16] → value | node of the lower half → value
//!                       | table by the third byte → value | node | table by the fourth byte → value
//!
//! node, 64 bytes: starts ┌ 0 ┬ 4096 ┬ 8192 ┬ 65535 … ┐   table, 1 KiB: one entry for each byte
//!                 values └ 7 ┴    9 ┴    7 ┴     7 … ┘
//! ```
//!
//! A node lists its runs of equal entries. Where there are more than it holds, there is a table, each entry of which is
//! for fewer.

use super::{CHILD, DENSE, Prefix, Tables, by_root, groups, number};
use crate::double_buffered::DoubleBuffered;

#[derive(Clone, Debug)]
pub(super) struct Table4 {
    /// One entry for each /16.
    root: DoubleBuffered<u32>,
    nodes: DoubleBuffered<Node4>,
    free: Vec<u32>,
    dense: Tables,
}

/// The most runs that a node holds.
const RUNS: usize = 10;
/// Places for starts: a multiple of four is compared faster.
const STARTS: usize = 12;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Node4 {
    /// The lower half of the address where each run starts, ascending from 0; unused places hold 65535.
    starts: [u16; STARTS],
    /// Their values; unused places repeat the last.
    values: [u32; RUNS],
}

/// Where a run of equal values starts in the lower half of the address, and the value.
type Run = (u16, u32);

impl Table4 {
    pub(super) fn new(default: u32) -> Self {
        Self {
            root: DoubleBuffered::filled(default, 1 << 16),
            nodes: DoubleBuffered::default(),
            free: Vec::new(),
            dense: Tables::default(),
        }
    }

    /// Makes the addresses of some /16s map by these prefixes, which are all inside, and where none is to `inherited`.
    pub(super) fn rebuild(
        &mut self,
        roots: std::ops::RangeInclusive<usize>,
        inherited: u32,
        prefixes: Vec<Prefix<u32>>,
    ) {
        let (values, prefixes) = by_root(&roots, inherited, prefixes, top);
        for (root, value, group) in groups(roots, values, &prefixes, top) {
            let old = self.root[root];
            if old & CHILD != 0 {
                self.release(old);
            }
            let entry = match group {
                [] => value,
                _ => self.entry(&runs(group, value), 16),
            };
            if entry != old {
                *self.root.edit(root) = entry;
            }
        }
    }

    #[inline(always)]
    pub(super) fn lookup(&self, address: u32) -> u32 {
        let entry = self.root[top(address)];
        if entry & CHILD == 0 {
            return entry;
        }
        if entry & DENSE != 0 {
            return self.crowded(entry, address);
        }
        self.in_node(entry, address)
    }

    #[inline(always)]
    fn in_node(&self, entry: u32, address: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let low = address as u16;
        self.nodes[(entry ^ CHILD) as usize].value(low)
    }

    #[inline(never)]
    fn crowded(&self, table: u32, address: u32) -> u32 {
        let [_, _, third, fourth] = address.to_be_bytes();
        let entry = self.dense.get(table, third);
        if entry & CHILD == 0 {
            return entry;
        }
        if entry & DENSE != 0 {
            return self.dense.get(entry, fourth);
        }
        self.in_node(entry, address)
    }

    pub(super) fn memory(&self) -> usize {
        self.root.memory() + self.nodes.memory() + self.dense.memory()
    }

    /// See [`DoubleBuffered::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.root.catch_up(&newer.root);
        self.nodes.catch_up(&newer.nodes);
        self.free.clone_from(&newer.free);
        self.dense.catch_up(&newer.dense);
    }

    /// The entry for the runs of a block of this length: 16, 24 or 32.
    fn entry(&mut self, runs: &[Run], length: u8) -> u32 {
        if let [(_, value)] = runs {
            return *value;
        }
        let Some(node) = Node4::of(runs) else {
            return self.table(runs, length);
        };
        let number = self.free.pop().unwrap_or_else(|| number(self.nodes.len()));
        self.nodes.put(number as usize, node, &node);
        CHILD | number
    }

    fn table(&mut self, runs: &[Run], length: u8) -> u32 {
        let (block, size) = (runs[0].0, if length == 16 { 1 << 8 } else { 1 });
        let mut entries = [0; 256];
        for (byte, entry) in (0..).zip(&mut entries) {
            let (first, last) = (block + byte * size, block + byte * size + (size - 1));
            // The run that holds the first address with this byte, and those that start behind it.
            let begin = runs.partition_point(|run| run.0 <= first) - 1;
            let end = runs.partition_point(|run| run.0 <= last);
            let mut part = runs[begin..end].to_vec();
            part[0].0 = first;
            *entry = self.entry(&part, length + 8);
        }
        CHILD | DENSE | self.dense.add(entries)
    }

    /// Gives back a node or table and all below it.
    fn release(&mut self, entry: u32) {
        if entry & DENSE == 0 {
            self.free.push(entry ^ CHILD);
            return;
        }
        for below in self.dense.release(entry).into_iter().filter(|e| e & CHILD != 0) {
            self.release(below);
        }
    }
}

impl Node4 {
    fn of(runs: &[Run]) -> Option<Self> {
        let mut node = Self {
            starts: [u16::MAX; STARTS],
            values: [runs[runs.len() - 1].1; RUNS],
        };
        for (place, (start, value)) in runs.iter().enumerate() {
            *node.values.get_mut(place)? = *value;
            node.starts[place] = *start;
        }
        // What is before is never asked for.
        node.starts[0] = 0;
        Some(node)
    }

    #[inline(always)]
    fn value(&self, low: u16) -> u32 {
        // Counts instead of searching: no branch to predict, and the comparisons are a few vector instructions.
        let run: u16 = self.starts.iter().map(|start| u16::from(*start <= low)).sum();
        self.values[usize::from(run - 1).min(RUNS - 1)]
    }
}

/// The runs of a /16: by sorted prefixes inside of it, and where none is, `inherited`.
fn runs(prefixes: &[Prefix<u32>], inherited: u32) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![(0, inherited)];
    // The prefixes around the current one, by their last address and value.
    let mut around: Vec<(u32, u32)> = Vec::new();
    let leave = |around: &mut Vec<(u32, u32)>, runs: &mut Vec<Run>| {
        let end = around.pop().map_or(0, |(end, _)| end);
        if end & 0xffff != 0xffff {
            begin(
                runs,
                end + 1,
                around.last().map_or(inherited, |(_, value)| *value),
            );
        }
    };
    for prefix in prefixes {
        while around.last().is_some_and(|(end, _)| *end < prefix.bits) {
            leave(&mut around, &mut runs);
        }
        around.push((prefix.bits | u32::MAX >> (prefix.length - 1) >> 1, prefix.value));
        begin(&mut runs, prefix.bits, prefix.value);
    }
    while !around.is_empty() {
        leave(&mut around, &mut runs);
    }
    runs
}

/// Begins a run, in place of the last one where that starts here, too.
fn begin(runs: &mut Vec<Run>, address: u32, value: u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let start = address as u16;
    runs.pop_if(|(last, _)| *last == start);
    if runs.last().is_none_or(|(_, last)| *last != value) {
        runs.push((start, value));
    }
}

#[inline]
fn top(address: u32) -> usize {
    (address >> 16) as usize
}
