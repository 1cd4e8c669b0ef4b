//! Trees without gaps.
//!
//! A tree that grows in the order of its keys, as lists of a cluster come, leaves half of each node empty behind it. One that
//! is made of all its entries at once is full. So what a cluster has at the start is put together anew once it is known; what
//! changes later finds its place in either.

use std::collections::{BTreeMap, BTreeSet};

/// Makes a map take no more room than its entries.
pub fn pack<K: Ord, V>(map: &mut BTreeMap<K, V>) {
    *map = std::mem::take(map).into_iter().collect();
}

/// Likewise a set.
pub fn pack_set<T: Ord>(set: &mut BTreeSet<T>) {
    *set = std::mem::take(set).into_iter().collect();
}
