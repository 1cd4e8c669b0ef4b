//! IPv6: a trie with strides of 8 bits, each node placed where its prefixes part (path compression).
//!
//! ```text
//! node (64 bytes)                        values
//! ┌ prefix  bits that must agree ──────┐ ┌───┬───┬───┬───┐
//! │ position where the stride begins   │ │ v │ v │ c │ v │  c: another node
//! │ miss    value when they do not     │ └───┴───┴───┴───┘
//! │ bitmap  256 bits: a new value here ├──▲ base + ones up to the index
//! └────────────────────────────────────┘
//! ```

use super::{CHILD, Prefix};

const STRIDE: u8 = 8;
const ENTRIES: usize = 1 << STRIDE;
/// The last place where a stride fits.
const LAST: u8 = 128 - STRIDE;

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Node {
    /// Bit i is set where entry i differs from entry i - 1; bit 0 always is.
    bitmap: [u64; 4],
    /// The bits in front of the stride, others zero; upper half first.
    prefix: [u64; 2],
    /// Where the node's values begin.
    base: u32,
    /// What holds for addresses that do not begin with `prefix`.
    miss: u32,
    /// Ones in the bitmap's words before each.
    ranks: [u8; 4],
    /// How many bits of the address stand in front of the stride, at most `LAST`.
    position: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    root: u32,
    nodes: Vec<Node>,
    values: Vec<u32>,
}

impl Table {
    pub(super) fn build(mut prefixes: Vec<Prefix<u128>>, default: u32) -> Self {
        let mut table = Self {
            root: default,
            nodes: Vec::new(),
            values: Vec::new(),
        };
        prefixes.sort_by_key(|p| (p.bits, p.length));
        let default = match prefixes.iter().rev().find(|p| p.length == 0) {
            Some(p) => p.value,
            None => default,
        };
        prefixes.retain(|p| p.length != 0);
        table.root = table.subtree(&prefixes, default);
        table.values.shrink_to_fit();
        table.nodes.shrink_to_fit();
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
        let node = self.nodes.len();
        self.nodes
            .push(Node::new(first.bits & mask(position), position, inherited));
        for group in prefixes.chunk_by(|a, b| index(a.bits, position) == index(b.bits, position)) {
            let longer: Vec<_> = group
                .iter()
                .filter(|p| p.length > position + STRIDE)
                .copied()
                .collect();
            let entry = index(group[0].bits, position);
            entries[entry] = self.subtree(&longer, entries[entry]);
        }
        self.compress(node, &entries);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "fewer nodes than prefixes, and memory ends before 2^31"
        )]
        let child = CHILD | node as u32;
        child
    }

    fn compress(&mut self, node: usize, entries: &[u32; ENTRIES]) {
        let node = &mut self.nodes[node];
        #[expect(clippy::cast_possible_truncation, reason = "at most 256 values for each node")]
        let base = self.values.len() as u32;
        node.base = base;
        for (i, entry) in entries.iter().enumerate() {
            if i % 64 == 0 {
                // At most 192 ones stand before the last word.
                node.ranks[i / 64] = u8::try_from(self.values.len() - base as usize).unwrap_or(u8::MAX);
            }
            if i == 0 || entries[i - 1] != *entry {
                node.bitmap[i / 64] |= 1 << (i % 64);
                self.values.push(*entry);
            }
        }
    }

    #[inline]
    pub(super) fn lookup(&self, address: u128) -> u32 {
        let mut entry = self.root;
        while entry & CHILD != 0 {
            let node = &self.nodes[(entry ^ CHILD) as usize];
            match node.slot(address) {
                Some(slot) => entry = self.values[slot],
                None => return node.miss,
            }
        }
        entry
    }

    pub(super) fn memory(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.values.len() * size_of::<u32>()
    }
}

impl Node {
    fn new(prefix: u128, position: u8, miss: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the prefix")]
        let prefix = [(prefix >> 64) as u64, prefix as u64];
        Self {
            bitmap: [0; 4],
            prefix,
            base: 0,
            miss,
            ranks: [0; 4],
            position,
        }
    }

    /// Where the value for `address` stands; `None` if the address does not belong here.
    #[inline]
    fn slot(&self, address: u128) -> Option<usize> {
        let prefix = u128::from(self.prefix[0]) << 64 | u128::from(self.prefix[1]);
        if (address ^ prefix) & mask(self.position) != 0 {
            return None;
        }
        let index = index(address, self.position);
        let (word, bit) = (index / 64, index % 64);
        let ones = (self.bitmap[word] << (63 - bit)).count_ones() as usize;
        Some(self.base as usize + usize::from(self.ranks[word]) + ones - 1)
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
