//! Memory for what connections have sent or received and nobody has acknowledged or read: blocks of one size from a
//! budget, in slabs that go back to the system when all their blocks are free.

/// Bytes of a block. A small request and its answer take one each, for as long as they are under way.
pub(crate) const BLOCK: usize = 4096;

/// SackBlocks of a slab, one bit each. A slab is what the allocator is asked for, and large enough that it asks the system.
const SLAB: usize = 64;
/// Slabs without a block in use that are kept for the next burst.
const SPARE: usize = 4;

/// The number of a block: who holds it writes there alone, and gives it back once.
pub(crate) type BlockId = u32;

/// All blocks of a stack.
pub(crate) struct BlockPool {
    slabs: Vec<BlockSlab>,
    /// No slab before this one has a free block.
    first: usize,
    used: usize,
    /// Slabs that have memory and no block in use.
    spare: usize,
    limit: usize,
    /// Of them, kept for those who hold nothing.
    reserve: usize,
}

#[derive(Default)]
struct BlockSlab {
    /// Empty where the memory went back.
    bytes: Box<[u8]>,
    /// A bit for each block in use.
    used: u64,
}

impl BlockPool {
    /// With at most `budget` bytes; no less than a slab.
    pub(crate) fn new(budget: usize) -> Self {
        let limit = (budget / BLOCK).clamp(SLAB, u32::MAX as usize - 1);
        Self {
            slabs: Vec::new(),
            first: 0,
            used: 0,
            spare: 0,
            limit,
            reserve: limit / 8,
        }
    }

    /// A block with anything in it; `None` where the budget is spent. The last eighth is for those for whom it is the `first`:
    /// who holds much cannot keep the others from saying anything. The lowest free one: so the highest slabs drain.
    pub(crate) fn take(&mut self, first: bool) -> Option<BlockId> {
        let limit = if first {
            self.limit
        } else {
            self.limit - self.reserve
        };
        if self.used >= limit {
            return None;
        }
        while self
            .slabs
            .get(self.first)
            .is_some_and(|slab| slab.used == u64::MAX)
        {
            self.first += 1;
        }
        if self.first == self.slabs.len() {
            self.slabs.push(BlockSlab::default());
        }
        let slab = &mut self.slabs[self.first];
        if slab.bytes.is_empty() {
            slab.bytes = vec![0; SLAB * BLOCK].into_boxed_slice();
        } else if slab.used == 0 {
            self.spare -= 1;
        }
        let bit = (!slab.used).trailing_zeros();
        slab.used |= 1 << bit;
        self.used += 1;
        Some(self.first as u32 * SLAB as u32 + bit)
    }

    /// Takes a block back.
    pub(crate) fn give(&mut self, block: BlockId) {
        let (index, bit) = place(block);
        let slab = &mut self.slabs[index];
        debug_assert!(slab.used & 1 << bit != 0, "block {block} was given back before");
        slab.used &= !(1 << bit);
        self.used -= 1;
        self.first = self.first.min(index);
        if slab.used == 0 {
            if self.spare == SPARE {
                slab.bytes = Box::default();
            } else {
                self.spare += 1;
            }
        }
    }

    pub(crate) fn bytes(&self, block: BlockId) -> &[u8] {
        let (index, bit) = place(block);
        &self.slabs[index].bytes[bit * BLOCK..][..BLOCK]
    }

    pub(crate) fn bytes_mut(&mut self, block: BlockId) -> &mut [u8] {
        let (index, bit) = place(block);
        &mut self.slabs[index].bytes[bit * BLOCK..][..BLOCK]
    }

    /// SackBlocks in use.
    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// Whether so much is in use that nobody should ask for more than the least.
    pub(crate) const fn pressed(&self) -> bool {
        self.used >= self.limit / 4 * 3
    }

    /// Whether everything is in use but for what is kept for those who hold nothing.
    pub(crate) const fn exhausted(&self) -> bool {
        self.used >= self.limit - self.reserve
    }
}

const fn place(block: BlockId) -> (usize, usize) {
    (block as usize / SLAB, block as usize % SLAB)
}

#[cfg(test)]
mod tests;
