//! Sorted maps and sets that mostly hold one thing or a few, of which there are thousands.
//!
//! A node of a `BTreeMap` has room for eleven entries, also where there is one: the routes of 5,000 hosts, each a map of
//! one route, took 29 MiB. These take what their entries take, and become a `BTreeMap` where they are many after all.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};
use std::fmt;

/// Entries in a sorted list at most; more of them make a tree.
const FEW: usize = 8;

/// A map in the order of its keys.
#[derive(Clone)]
pub(crate) struct FewMap<K, V>(Entries<K, V>);

#[derive(Clone)]
enum Entries<K, V> {
    /// Sorted, and without room to spare.
    List(Vec<(K, V)>),
    Tree(BTreeMap<K, V>),
}

impl<K, V> Default for FewMap<K, V> {
    fn default() -> Self {
        Self(Entries::List(Vec::new()))
    }
}

impl<K: Ord, V> FewMap<K, V> {
    fn find<Q: Ord + ?Sized>(list: &[(K, V)], key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        list.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    /// What there is at a key.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match &self.0 {
            Entries::List(list) => Self::find(list, key).ok().map(|at| &list[at].1),
            Entries::Tree(tree) => tree.get(key),
        }
    }

    /// Whether there is anything at a key.
    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Puts a value at a key and gives the one that was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let list = match &mut self.0 {
            Entries::Tree(tree) => return tree.insert(key, value),
            Entries::List(list) => list,
        };
        match Self::find(list, &key) {
            Ok(at) => Some(std::mem::replace(&mut list[at].1, value)),
            Err(at) if list.len() < FEW => {
                list.reserve_exact(1);
                list.insert(at, (key, value));
                None
            }
            Err(_) => {
                let mut tree: BTreeMap<K, V> = std::mem::take(list).into_iter().collect();
                tree.insert(key, value);
                self.0 = Entries::Tree(tree);
                None
            }
        }
    }

    /// What there is at a key, made first where there is nothing.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        K: Clone,
        V: Default,
    {
        if !self.contains_key(&key) {
            self.insert(key.clone(), V::default());
        }
        match &mut self.0 {
            Entries::Tree(tree) => tree.entry(key).or_default(),
            Entries::List(list) => {
                // It is there.
                let at = Self::find(list, &key).unwrap_or_default();
                &mut list[at].1
            }
        }
    }

    /// Removes what there is at a key, and gives it.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match &mut self.0 {
            Entries::Tree(tree) => {
                let removed = tree.remove(key);
                if tree.is_empty() {
                    *self = Self::default();
                }
                removed
            }
            Entries::List(list) => {
                let at = Self::find(list, key).ok()?;
                let (_, removed) = list.remove(at);
                list.shrink_to_fit();
                Some(removed)
            }
        }
    }
}

impl<K, V> FewMap<K, V> {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Entries::List(list) => list.len(),
            Entries::Tree(tree) => tree.len(),
        }
    }

    /// All entries, in the order of their keys.
    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        match &self.0 {
            Entries::List(list) => Iter::List(list.iter()),
            Entries::Tree(tree) => Iter::Tree(tree.iter()),
        }
    }

    /// The keys, in their order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }
}

/// The entries of a [`FewMap`].
#[derive(Debug)]
pub(crate) enum Iter<'a, K, V> {
    /// Of a list.
    List(std::slice::Iter<'a, (K, V)>),
    /// Of a tree.
    Tree(btree_map::Iter<'a, K, V>),
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::List(list) => list.next().map(|(key, value)| (key, value)),
            Self::Tree(tree) => tree.next(),
        }
    }
}

impl<'a, K, V> IntoIterator for &'a FewMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for FewMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for FewMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for FewMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for FewMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A set in its order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct FewSet<T>(FewMap<T, ()>);

impl<T> Default for FewSet<T> {
    fn default() -> Self {
        Self(FewMap::default())
    }
}

impl<T: Ord> FewSet<T> {
    /// Adds a thing. Says whether it was not there.
    pub(crate) fn insert(&mut self, thing: T) -> bool {
        self.0.insert(thing, ()).is_none()
    }

    /// Removes a thing. Says whether it was there.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, thing: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.remove(thing).is_some()
    }

    /// Whether a thing is in it.
    pub(crate) fn contains<Q: Ord + ?Sized>(&self, thing: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.contains_key(thing)
    }

    /// What is in it and not in another.
    pub(crate) fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.iter().filter(|thing| !other.contains(*thing))
    }
}

impl<T> FewSet<T> {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it, in its order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.keys()
    }
}

impl<T: Ord> FromIterator<T> for FewSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(things: I) -> Self {
        Self(things.into_iter().map(|thing| (thing, ())).collect())
    }
}

impl<T: fmt::Debug> fmt::Debug for FewSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
