//! IPv4: a root of 65,536 entries by the upper half of the address, chunks of 256 entries below it.

use super::{CHILD, Prefix};

const CHUNK: usize = 256;

#[derive(Clone, Debug)]
pub(super) struct Table {
    /// One entry for each /16: a value, or `CHILD` and a chunk's number.
    root: Box<[u32]>,
    /// Chunks of 256 entries, one after another; those for a /16 may lead to those for a /24.
    chunks: Vec<u32>,
}

impl Table {
    pub(super) fn build(mut prefixes: Vec<Prefix<u32>>, default: u32) -> Self {
        let mut table = Self {
            root: vec![default; 1 << 16].into(),
            chunks: Vec::new(),
        };
        // Shorter ones first: each overwrites what is there, and chunks start from the entry that they replace.
        prefixes.sort_by_key(|p| p.length);
        for prefix in &prefixes {
            table.insert(*prefix);
        }
        table.chunks.shrink_to_fit();
        table
    }

    fn insert(&mut self, Prefix { bits, length, value }: Prefix<u32>) {
        let [high, low, third, fourth] = indices(bits);
        let high = high << 8 | low;
        if length <= 16 {
            let end = high + (1 << (16 - length));
            self.root[high..end].fill(value);
            return;
        }
        let first = self.descend_root(high);
        if length <= 24 {
            let start = first * CHUNK + third;
            self.chunks[start..start + (1 << (24 - length))].fill(value);
            return;
        }
        let second = self.descend_chunk(first * CHUNK + third);
        let start = second * CHUNK + fourth;
        self.chunks[start..start + (1 << (32 - length))].fill(value);
    }

    fn descend_root(&mut self, entry: usize) -> usize {
        let (child, chunk) = split(self.root[entry], &mut self.chunks);
        self.root[entry] = child;
        chunk
    }

    fn descend_chunk(&mut self, entry: usize) -> usize {
        let (child, chunk) = split(self.chunks[entry], &mut self.chunks);
        self.chunks[entry] = child;
        chunk
    }

    #[inline]
    pub(super) fn lookup(&self, address: u32) -> u32 {
        let mut entry = self.root[(address >> 16) as usize];
        if entry & CHILD != 0 {
            entry = self.chunks[((entry ^ CHILD) as usize) << 8 | (address >> 8 & 0xff) as usize];
            if entry & CHILD != 0 {
                entry = self.chunks[((entry ^ CHILD) as usize) << 8 | (address & 0xff) as usize];
            }
        }
        entry
    }

    pub(super) fn memory(&self) -> usize {
        (self.root.len() + self.chunks.len()) * size_of::<u32>()
    }
}

/// The entry made to lead to a chunk, and that chunk's number; a new chunk takes over the entry's value.
fn split(entry: u32, chunks: &mut Vec<u32>) -> (u32, usize) {
    if entry & CHILD != 0 {
        return (entry, (entry ^ CHILD) as usize);
    }
    let chunk = chunks.len() / CHUNK;
    chunks.resize(chunks.len() + CHUNK, entry);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are at most 2^24 + 2^16 chunks"
    )]
    let child = CHILD | chunk as u32;
    (child, chunk)
}

fn indices(bits: u32) -> [usize; 4] {
    bits.to_be_bytes().map(usize::from)
}
