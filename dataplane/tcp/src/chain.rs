//! A run of bytes in blocks of a [`BlockPool`], by their offset from the first; there may be holes.

use std::collections::VecDeque;

use crate::pool::{BLOCK, BlockId, BlockPool};

/// In place of a block that nothing was written to.
const HOLE: BlockId = BlockId::MAX;

/// Its blocks must be given back ([`Chain::clear`]) before it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    blocks: VecDeque<BlockId>,
    /// Where the first byte is in the first block.
    start: usize,
}

impl Chain {
    /// Writes `data` from `offset` on; how many bytes found memory.
    pub(crate) fn write(&mut self, pool: &mut BlockPool, offset: usize, data: &[u8]) -> usize {
        let mut done = 0;
        while done < data.len() {
            let at = self.start + offset + done;
            let (index, within) = (at / BLOCK, at % BLOCK);
            let Some(block) = self.block(pool, index) else {
                break;
            };
            let length = (BLOCK - within).min(data.len() - done);
            pool.bytes_mut(block)[within..within + length].copy_from_slice(&data[done..done + length]);
            done += length;
        }
        done
    }

    /// The block at `index`, a new one where there was none.
    fn block(&mut self, pool: &mut BlockPool, index: usize) -> Option<BlockId> {
        if let Some(block) = self.blocks.get(index).copied().filter(|block| *block != HOLE) {
            return Some(block);
        }
        let block = pool.take(self.blocks.is_empty())?;
        while self.blocks.len() <= index {
            self.blocks.push_back(HOLE);
        }
        self.blocks[index] = block;
        Some(block)
    }

    /// The bytes from `offset` on that lie side by side, at most `most`. They must have been written.
    pub(crate) fn slice<'p>(&self, pool: &'p BlockPool, offset: usize, most: usize) -> &'p [u8] {
        let at = self.start + offset;
        let (index, within) = (at / BLOCK, at % BLOCK);
        match self.blocks.get(index) {
            Some(block) if *block != HOLE => &pool.bytes(*block)[within..(within + most).min(BLOCK)],
            _ => &[],
        }
    }

    /// Copies the bytes from `offset` on, which must have been written.
    pub(crate) fn read(&self, pool: &BlockPool, offset: usize, to: &mut [u8]) {
        let mut done = 0;
        while done < to.len() {
            let piece = self.slice(pool, offset + done, to.len() - done);
            debug_assert!(!piece.is_empty(), "a hole is read");
            if piece.is_empty() {
                break;
            }
            to[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
    }

    /// Forgets the first `count` bytes. Where nothing else is written, [`Chain::clear`] gives the last block back too.
    pub(crate) fn advance(&mut self, pool: &mut BlockPool, count: usize) {
        self.start += count;
        while self.start >= BLOCK {
            self.start -= BLOCK;
            match self.blocks.pop_front() {
                Some(HOLE) => {}
                Some(block) => pool.give(block),
                None => {
                    self.start = 0;
                    break;
                }
            }
        }
    }

    /// Blocks that it holds.
    #[cfg(any(test, feature = "harness"))]
    pub(crate) fn held(&self) -> usize {
        self.blocks.iter().filter(|block| **block != HOLE).count()
    }

    /// Forgets everything, and gives all memory back.
    pub(crate) fn clear(&mut self, pool: &mut BlockPool) {
        while let Some(block) = self.blocks.pop_front() {
            if block != HOLE {
                pool.give(block);
            }
        }
        self.start = 0;
        // The deque of a connection that was busy once must not stay with one that is idle.
        if self.blocks.capacity() > 8 {
            self.blocks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests;
