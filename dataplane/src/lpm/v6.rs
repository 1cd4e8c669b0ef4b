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

use super::{CHILD, Prefix, runs};

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
    /// Their entries, unused places repeating the last; in a dense node the first is its table's number.
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
    root: Box<[u32]>,
    nodes: Vec<Node>,
    /// Tables of 256 entries, one after another.
    dense: Vec<u32>,
}

impl Table {
    pub(super) fn build(mut prefixes: Vec<Prefix<u128>>, default: u32) -> Self {
        let mut table = Self {
            root: vec![default; 1 << ROOT].into(),
            nodes: Vec::new(),
            dense: Vec::new(),
        };
        prefixes.sort_by_key(|p| p.length);
        let short = prefixes.partition_point(|p| p.length <= ROOT);
        for prefix in prefixes.drain(..short) {
            let start = top(prefix.bits);
            table.root[start..start + (1 << (ROOT - prefix.length))].fill(prefix.value);
        }
        prefixes.sort_by_key(|p| (p.bits, p.length));
        for group in prefixes.chunk_by(|a, b| top(a.bits) == top(b.bits)) {
            let entry = top(group[0].bits);
            table.root[entry] = table.subtree(group, table.root[entry]);
        }
        table.nodes.shrink_to_fit();
        table.dense.shrink_to_fit();
        table
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
            let entry = index(group[0].bits, position);
            entries[entry] = self.subtree(&longer, entries[entry]);
        }
        let mut node = Node::new(first.bits & mask(position), position, inherited);
        if !node.hold(&entries) {
            node.dense = true;
            node.values[0] = number(self.dense.len() / ENTRIES);
            self.dense.extend(entries);
        }
        self.nodes.push(node);
        CHILD | number(self.nodes.len() - 1)
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
                self.dense[(node.values[0] as usize) << STRIDE | index]
            } else {
                node.run(index)
            };
        }
        entry
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.root) + size_of_val(self.nodes.as_slice()) + size_of_val(self.dense.as_slice())
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
        for (place, (start, value)) in runs(entries).enumerate() {
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
    fn run(&self, index: usize) -> u32 {
        let run: usize = self
            .starts
            .iter()
            .map(|start| usize::from(usize::from(*start) <= index))
            .sum();
        self.values[(run - 1) % RUNS]
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
            let start = index(prefix.bits, position);
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
fn index(address: u128, position: u8) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "only 8 bits are kept")]
    let index = (address >> (LAST - position)) as u8;
    index.into()
}

#[inline]
fn top(address: u128) -> usize {
    (address >> (128 - ROOT)) as usize
}

fn number(index: usize) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "fewer nodes than prefixes, and memory ends before 2^30"
    )]
    let number = index as u32;
    number
}
