//! Numbers for things, counted.

use std::collections::HashMap;
use std::hash::Hash;

use crate::hash::Keyed;

/// Gives equal keys the same number while somebody uses it.
///
/// A number whose last user is gone stays until [`Interner::take_orphans`], so that what is let go and taken up again
/// within one change keeps its number and all that hangs on it.
#[derive(Debug)]
pub(super) struct Interner<K> {
    numbers: HashMap<K, u32, Keyed>,
    entries: Vec<InternedEntry<K>>,
    free: Vec<u32>,
    orphans: Vec<u32>,
}

#[derive(Debug)]
struct InternedEntry<K> {
    /// `None` where the number is free.
    key: Option<K>,
    users: u32,
}

impl<K> Default for Interner<K> {
    fn default() -> Self {
        Self {
            numbers: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            orphans: Vec::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Interner<K> {
    /// With `reserved` for the number 0, which is never given up.
    pub(super) fn new(reserved: K) -> Self {
        let mut interner = Self::default();
        interner.acquire(reserved);
        interner
    }

    /// The key's number, with one user more, and whether it is new.
    pub(super) fn acquire(&mut self, key: K) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&key) {
            self.entries[*number as usize].users += 1;
            return (*number, false);
        }
        let entry = InternedEntry {
            key: Some(key.clone()),
            users: 1,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("memory ends before 2^32 things")
            }
        };
        self.numbers.insert(key, number);
        (number, true)
    }

    /// Another user of a number.
    pub(super) fn retain(&mut self, number: u32) {
        self.entries[number as usize].users += 1;
    }

    /// A user less.
    pub(super) fn release(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        entry.users -= 1;
        if entry.users == 0 {
            self.orphans.push(number);
        }
    }

    /// The numbers that nobody uses, each once, with their keys, which are forgotten. The numbers are not given to
    /// others before [`Interner::free`].
    pub(super) fn take_orphans(&mut self) -> Vec<(u32, K)> {
        let orphans = std::mem::take(&mut self.orphans);
        let take = |number: u32| {
            let entry = &mut self.entries[number as usize];
            let key = entry.key.take_if(|_| entry.users == 0)?;
            self.numbers.remove(&key);
            Some((number, key))
        };
        orphans.into_iter().filter_map(take).collect()
    }

    /// Lets a number that was an orphan be given to others.
    pub(super) fn free(&mut self, number: u32) {
        self.free.push(number);
    }

    /// Gives a number another key, if no other number has that.
    pub(super) fn rename(&mut self, number: u32, key: &K) -> bool {
        if self.numbers.contains_key(key) {
            return false;
        }
        let entry = &mut self.entries[number as usize];
        let old = entry.key.replace(key.clone()).expect("the number is in use");
        self.numbers.remove(&old);
        self.numbers.insert(key.clone(), number);
        true
    }

    /// How many users a number has.
    pub(super) fn users(&self, number: u32) -> u32 {
        self.entries[number as usize].users
    }

    /// The key of a number in use.
    pub(super) fn key(&self, number: u32) -> &K {
        self.entries[number as usize]
            .key
            .as_ref()
            .expect("the number is in use")
    }

    /// Whether somebody uses the number.
    pub(super) fn is_used(&self, number: u32) -> bool {
        self.entries[number as usize].users != 0
    }

    /// How many numbers are in use, the one for `reserved` among them.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_live_while_they_are_used() {
        let mut names = Interner::new("reserved");
        let (a, new) = names.acquire("a");
        assert!(new && a == 1);
        assert_eq!(names.acquire("a"), (a, false));
        names.release(a);
        assert!(names.take_orphans().is_empty() && names.is_used(a));
        names.release(a);
        // Taken up again in time, it is no orphan, however often it was let go.
        names.retain(a);
        names.release(a);
        names.retain(a);
        assert!(names.take_orphans().is_empty());
        names.release(a);
        assert_eq!(names.take_orphans(), [(a, "a")]);
        assert_eq!(names.acquire("b"), (2, true), "not free yet");
        names.free(a);
        assert_eq!((names.acquire("a"), names.len()), ((a, true), 3));
        assert!(!names.rename(a, &"b") && names.rename(a, &"c"));
        assert_eq!(
            (names.acquire("c"), names.users(a), *names.key(a)),
            ((a, false), 2, "c")
        );
        assert_eq!((names.acquire("a"), names.len()), ((3, true), 4));
    }
}
