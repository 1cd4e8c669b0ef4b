use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn key(backend: u8) -> PoolKey<[u8; 4]> {
    PoolKey {
        source: [10, 0, 0, 1],
        backend: [10, 0, 1, backend],
        backend_port: 80,
        protocol: 6,
    }
}

#[test]
fn every_port_once_then_none() {
    let mut pools = Pools::new(40_000..=40_999);
    let taken: HashSet<u16> = (0..1_000).map(|_| pools.take(&key(1), 12_345).unwrap()).collect();
    assert_eq!(taken.len(), 1_000);
    assert!(taken.iter().all(|p| (40_000..=40_999).contains(p)));
    assert_eq!(pools.take(&key(1), 0), Err(PoolsFull));
    // Another backend has ports of its own.
    assert!(pools.take(&key(2), 0).is_ok());
    assert_eq!(pools.in_use(), 1_001);
    pools.give_back(&key(1), 40_777);
    assert_eq!(pools.take(&key(1), 0), Ok(40_777));
}

#[test]
fn a_port_rests_for_a_round() {
    let mut pools = Pools::new(40_000..=40_999);
    let holder = pools.take(&key(1), 0).unwrap();
    let mut last_use = std::collections::HashMap::new();
    for round in 0..5_000_u32 {
        let port = pools.take(&key(1), 0).unwrap();
        assert_ne!(port, holder);
        if let Some(last) = last_use.insert(port, round) {
            assert_eq!(round - last, 999);
        }
        pools.give_back(&key(1), port);
    }
}

#[test]
fn pools_without_ports_in_use_are_gone() {
    let mut pools = Pools::new(1..=65_535);
    for backend in 0..=255 {
        let port = pools.take(&key(backend), u64::MAX).unwrap();
        pools.give_back(&key(backend), port);
        // Giving back twice changes nothing.
        pools.give_back(&key(backend), port);
    }
    assert_eq!((pools.pools.len(), pools.in_use()), (0, 0));
    assert_eq!(pools.spare.len(), 1);
}

proptest! {
    /// Against a set: what is taken was free, is in the range, and fails only when all are taken.
    #[test]
    fn as_a_set(
        first in 1_u16..60_000,
        count in 1_u16..300,
        operations in proptest::collection::vec(any::<(bool, u16)>(), 0..900),
    ) {
        let mut pools = Pools::new(first..=first + (count - 1));
        let mut model: Vec<u16> = Vec::new();
        for (take, random) in operations {
            if take {
                match pools.take(&key(1), random.into()) {
                    Ok(port) => {
                        prop_assert!((first..=first + (count - 1)).contains(&port));
                        prop_assert!(!model.contains(&port));
                        model.push(port);
                    }
                    Err(PoolsFull) => prop_assert_eq!(model.len(), usize::from(count)),
                }
            } else if !model.is_empty() {
                let port = model.swap_remove(usize::from(random) % model.len());
                pools.give_back(&key(1), port);
            }
            prop_assert_eq!(pools.in_use(), model.len());
        }
    }
}
