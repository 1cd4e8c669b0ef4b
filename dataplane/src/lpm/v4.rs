//! IPv4: a root of 65,536 entries by the upper half of the address, and below it a node for each further byte.
//!
//! ```text
//! root[a >> 16] → value | node of the third byte → value | node of the fourth byte → value
//!
//! sparse node, 64 bytes: starts ┌ 0 ┬ 16 ┬ 32 ┬ 255 … ┐   dense node, 1 KiB: one value for each byte
//!                        values └ 7 ┴  9 ┴  7 ┴   7 … ┘
//! ```
//!
//! A sparse node lists its runs of equal entries: one cache line where a table of 256 would take sixteen.

use super::{CHILD, DENSE, Prefix, runs};

const CHUNK: usize = 256;

#[derive(Clone, Debug)]
pub(super) struct Table {
    /// One entry for each /16.
    root: Box<[u32]>,
    sparse: Vec<Sparse>,
    /// Dense nodes of 256 entries, one after another.
    dense: Vec<u32>,
}

/// The most runs that a sparse node holds.
const RUNS: usize = 12;

/// A node of at most [`RUNS`] runs.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Sparse {
    /// Where each run starts, ascending from 0; unused places hold 255.
    starts: [u8; 16],
    /// Their entries; unused places repeat the last.
    values: [u32; RUNS],
}

/// Bytes that dense nodes may take where sparse ones would do. Dense nodes are faster while they stay in the
/// cache, and beyond this they would not.
const DENSE_BYTES: usize = 2 << 20;

impl Table {
    pub(super) fn build(prefixes: Vec<Prefix<u32>>, default: u32) -> Self {
        let mut table = Self {
            root: Box::default(),
            sparse: Vec::new(),
            dense: Vec::new(),
        };
        let flat = Flat::build(prefixes, default);
        let few = flat.few();
        table.root = flat
            .root
            .iter()
            .map(|entry| table.pack(*entry, &flat.chunks, few))
            .collect();
        table.sparse.shrink_to_fit();
        table.dense.shrink_to_fit();
        table
    }

    /// The entry that stands for one of the flat table, its chunks packed: those of at most `few` runs sparsely.
    fn pack(&mut self, entry: u32, chunks: &[u32], few: usize) -> u32 {
        if entry & CHILD == 0 {
            return entry;
        }
        let start = (entry ^ CHILD) as usize * CHUNK;
        let entries: Vec<u32> = chunks[start..start + CHUNK]
            .iter()
            .map(|e| self.pack(*e, chunks, few))
            .collect();
        let packed = match Sparse::of(&entries).filter(|_| runs(&entries).nth(few).is_none()) {
            Some(sparse) => {
                self.sparse.push(sparse);
                CHILD as usize | (self.sparse.len() - 1)
            }
            None => {
                self.dense.extend(&entries);
                (CHILD | DENSE) as usize | (self.dense.len() / CHUNK - 1)
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are at most 2^24 + 2^16 chunks"
        )]
        let packed = packed as u32;
        packed
    }

    #[inline]
    pub(super) fn lookup(&self, address: u32) -> u32 {
        let [_, _, third, fourth] = address.to_be_bytes();
        let mut entry = self.root[(address >> 16) as usize];
        if entry & CHILD != 0 {
            entry = self.step(entry, third);
            if entry & CHILD != 0 {
                entry = self.step(entry, fourth);
            }
        }
        entry
    }

    #[inline]
    fn step(&self, entry: u32, byte: u8) -> u32 {
        if entry & DENSE != 0 {
            return self.dense[((entry & !(CHILD | DENSE)) as usize) << 8 | usize::from(byte)];
        }
        let node = &self.sparse[(entry ^ CHILD) as usize];
        // Counts instead of searching: no branch to predict, and sixteen comparisons are one instruction.
        let run: u8 = node.starts.iter().map(|start| u8::from(*start <= byte)).sum();
        node.values[usize::from(run - 1).min(RUNS - 1)]
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.root) + size_of_val(self.sparse.as_slice()) + size_of_val(self.dense.as_slice())
    }
}

impl Sparse {
    fn of(entries: &[u32]) -> Option<Self> {
        let mut node = Self {
            starts: [u8::MAX; 16],
            values: [entries[CHUNK - 1]; RUNS],
        };
        for (place, (start, value)) in runs(entries).enumerate() {
            *node.values.get_mut(place)? = value;
            node.starts[place] = start;
        }
        Some(node)
    }
}

/// The table in its plain form, while it is built: every chunk has 256 entries.
struct Flat {
    root: Vec<u32>,
    chunks: Vec<u32>,
}

impl Flat {
    fn build(mut prefixes: Vec<Prefix<u32>>, default: u32) -> Self {
        let mut flat = Self {
            root: vec![default; 1 << 16],
            chunks: Vec::new(),
        };
        // Shorter ones first: each overwrites what is there, and chunks start from the entry that they replace.
        prefixes.sort_by_key(|p| p.length);
        prefixes.iter().for_each(|prefix| flat.insert(*prefix));
        flat
    }

    /// The number of runs up to which chunks are to be sparse: the least with which the others fit `DENSE_BYTES`,
    /// or all that a sparse node can hold.
    fn few(&self) -> usize {
        let mut by_runs = [0; RUNS + 1];
        for chunk in self.chunks.chunks_exact(CHUNK) {
            by_runs[runs(chunk).take(RUNS + 1).count() - 1] += CHUNK * size_of::<u32>();
        }
        let mut dense: usize = by_runs.iter().sum();
        (0..RUNS)
            .find(|few| {
                let fits = dense <= DENSE_BYTES;
                dense -= by_runs[*few];
                fits
            })
            .unwrap_or(RUNS)
    }

    fn insert(&mut self, Prefix { bits, length, value }: Prefix<u32>) {
        let [high, low, third, fourth] = bits.to_be_bytes().map(usize::from);
        let high = high << 8 | low;
        if length <= 16 {
            self.root[high..high + (1 << (16 - length))].fill(value);
            return;
        }
        let start = Self::descend(&mut self.root[high], &mut self.chunks) + third;
        if length <= 24 {
            self.chunks[start..start + (1 << (24 - length))].fill(value);
            return;
        }
        let mut entry = self.chunks[start];
        let second = Self::descend(&mut entry, &mut self.chunks) + fourth;
        self.chunks[start] = entry;
        self.chunks[second..second + (1 << (32 - length))].fill(value);
    }

    /// Makes the entry lead to a chunk, which takes over its value, and says where that chunk starts.
    fn descend(entry: &mut u32, chunks: &mut Vec<u32>) -> usize {
        if *entry & CHILD == 0 {
            let chunk = chunks.len() / CHUNK;
            chunks.resize(chunks.len() + CHUNK, *entry);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "there are at most 2^24 + 2^16 chunks"
            )]
            let child = CHILD | chunk as u32;
            *entry = child;
        }
        (*entry ^ CHILD) as usize * CHUNK
    }
}
