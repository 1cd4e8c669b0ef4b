use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

proptest! {
    /// Whatever is done to it, also across the size at which it becomes a tree.
    #[test]
    fn a_map_is_a_sorted_map(steps in prop::collection::vec((any::<bool>(), 0..14u8, any::<u8>()), 0..80)) {
        let (mut few, mut reference) = (FewMap::default(), BTreeMap::new());
        for (inserts, key, value) in steps {
            if inserts {
                prop_assert_eq!(few.insert(key, value), reference.insert(key, value));
            } else {
                prop_assert_eq!(few.remove(&key), reference.remove(&key));
            }
            prop_assert_eq!(few.get(&key), reference.get(&key));
            prop_assert_eq!(few.len(), reference.len());
            prop_assert_eq!(few.is_empty(), reference.is_empty());
            prop_assert!(few.iter().eq(reference.iter()));
        }
        *few.get_or_default(3) = 7;
        *reference.entry(3).or_default() = 7;
        prop_assert!(few.iter().eq(reference.iter()));
        // Equal by what is in them, whichever way they came to it.
        let again: FewMap<u8, u8> = reference.into_iter().collect();
        prop_assert!(few == again);
    }

    #[test]
    fn a_set_is_a_sorted_set(one in prop::collection::btree_set(0..20u8, 0..12), other in prop::collection::btree_set(0..20u8, 0..12)) {
        let few = |set: &BTreeSet<u8>| set.iter().rev().copied().collect::<FewSet<u8>>();
        let (a, b) = (few(&one), few(&other));
        prop_assert!(a.iter().eq(&one));
        prop_assert!(a.difference(&b).eq(one.difference(&other)));
        prop_assert_eq!(a == b, one == other);
    }
}

#[test]
fn one_entry_takes_no_more_than_itself() {
    let mut one = FewMap::default();
    one.insert(1, [0u8; 300]);
    one.insert(2, [0u8; 300]);
    one.remove(&1);
    let Entries::List(list) = &one.0 else {
        panic!("two are no tree");
    };
    assert_eq!((list.len(), list.capacity()), (1, 1));
}
