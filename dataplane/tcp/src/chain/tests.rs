use proptest::prelude::*;

use super::*;

proptest! {
    /// Beside bytes by offset, as a map would keep them.
    #[test]
    fn bytes_stay_where_they_were_put(steps in proptest::collection::vec((0usize..30_000, 1usize..9_000, 0usize..12_000), 1..60)) {
        let mut pool = BlockPool::new(64 * BLOCK);
        let mut chain = Chain::default();
        let mut expected: VecDeque<Option<u8>> = VecDeque::new();
        for (n, (offset, length, advance)) in steps.into_iter().enumerate() {
            let data: Vec<u8> = (0..length).map(|at| (at * 7 + n) as u8).collect();
            let written = chain.write(&mut pool, offset, &data);
            if expected.len() < offset + written {
                expected.resize(offset + written, None);
            }
            for (at, byte) in data[..written].iter().enumerate() {
                expected[offset + at] = Some(*byte);
            }
            for (at, byte) in expected.iter().enumerate() {
                if let Some(byte) = byte {
                    prop_assert_eq!(chain.slice(&pool, at, 1), &[*byte][..]);
                }
            }
            if expected.iter().take(offset + written).skip(offset).all(Option::is_some) && written > 0 {
                let mut got = vec![0; written];
                chain.read(&pool, offset, &mut got);
                prop_assert_eq!(&got, &data[..written]);
            }
            let advance = advance.min(expected.len());
            chain.advance(&mut pool, advance);
            expected.drain(..advance);
            if expected.is_empty() {
                chain.clear(&mut pool);
                prop_assert_eq!(pool.used(), 0);
            }
        }
        chain.clear(&mut pool);
        prop_assert_eq!(pool.used(), 0);
    }
}
