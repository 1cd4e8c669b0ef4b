use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn blocks_are_nobody_elses_and_memory_goes_back(steps in proptest::collection::vec((any::<bool>(), any::<u16>()), 0..2_000)) {
        let mut pool = BlockPool::new(500 * BLOCK);
        let mut held: Vec<BlockId> = Vec::new();
        for (take, pick) in steps {
            if take {
                match pool.take(true) {
                    Some(block) => {
                        prop_assert!(!held.contains(&block));
                        pool.bytes_mut(block).fill(block as u8);
                        held.push(block);
                    }
                    None => prop_assert_eq!(held.len(), 500),
                }
            } else if !held.is_empty() {
                let block = held.swap_remove(usize::from(pick) % held.len());
                prop_assert!(pool.bytes(block).iter().all(|byte| *byte == block as u8));
                pool.give(block);
            }
            prop_assert_eq!(pool.used(), held.len());
        }
        let distinct: HashSet<_> = held.iter().collect();
        prop_assert_eq!(distinct.len(), held.len());
        held.drain(..).for_each(|block| pool.give(block));
        let kept = pool.slabs.iter().filter(|slab| !slab.bytes.is_empty()).count();
        prop_assert!(kept <= SPARE && kept == pool.spare, "{} slabs", kept);
    }
}

#[test]
fn the_lowest_blocks_go_first_so_that_the_highest_slabs_drain() {
    let mut pool = BlockPool::new(10 * SLAB * BLOCK);
    let blocks: Vec<_> = (0..3 * SLAB).map(|_| pool.take(true).unwrap()).collect();
    pool.give(blocks[5]);
    pool.give(blocks[SLAB + 5]);
    assert_eq!(pool.take(true), Some(5));
}
