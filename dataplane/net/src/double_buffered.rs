//! A table of which there are two copies: one that workers read, one that is behind by the last change.
//!
//! A change first brings the copy behind up to date, edits it, and then it is published and the other one is
//! behind. So nothing is copied whole for a change, and who reads has a plain slice.

use std::ops::Deref;

use headgate_memory::prefer_huge_pages;

/// Bytes of a huge page where they are smallest.
const HUGE_PAGE: usize = 2 << 20;

/// A vector that notes which of its elements changed since [`DoubleBuffered::catch_up`].
#[derive(Clone, Debug)]
pub(crate) struct DoubleBuffered<T> {
    values: Vec<T>,
    /// Indices changed, some of them several times; those of new elements ascend.
    changed: Vec<u32>,
    /// Everything may have changed; `changed` is empty then.
    all: bool,
}

impl<T> Default for DoubleBuffered<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            changed: Vec::new(),
            all: false,
        }
    }
}

impl<T: Clone> DoubleBuffered<T> {
    /// `count` times the same, in huge pages where they are to be had. What has no room for one, and holds zeros, takes no
    /// memory before they become something else.
    pub(crate) fn filled(value: T, count: usize) -> Self {
        let values = if count * size_of::<T>() < HUGE_PAGE {
            vec![value; count]
        } else {
            let mut values = with_capacity(count);
            values.resize(count, value);
            values
        };
        Self {
            values,
            changed: Vec::new(),
            all: true,
        }
    }

    /// The element to be changed.
    pub(crate) fn edit(&mut self, index: usize) -> &mut T {
        self.note(index);
        &mut self.values[index]
    }

    /// Puts an element at an index, growing by copies of `empty` where that is beyond the end.
    pub(crate) fn put(&mut self, index: usize, value: T, empty: &T) {
        while self.values.len() <= index {
            self.note(self.values.len());
            self.make_room();
            self.values.push(empty.clone());
        }
        *self.edit(index) = value;
    }

    /// Makes this equal to `newer`, which is a copy of this but for the changes that it notes.
    pub(crate) fn catch_up(&mut self, newer: &Self) {
        self.changed.clear();
        self.all = false;
        if newer.all {
            if self.values.capacity() < newer.values.len() {
                self.values = with_capacity(newer.values.capacity());
            }
            self.values.clone_from(&newer.values);
            return;
        }
        for index in &newer.changed {
            let index = *index as usize;
            let value = newer.values[index].clone();
            match self.values.get_mut(index) {
                Some(old) => *old = value,
                None => {
                    self.make_room();
                    self.values.push(value);
                }
            }
        }
    }

    /// Bytes on the heap, without those that elements hold.
    pub(crate) fn memory(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.changed.capacity() * size_of::<u32>()
    }

    /// Room for one element more.
    fn make_room(&mut self) {
        if self.values.len() == self.values.capacity() {
            let mut larger = with_capacity((self.values.len() * 2).max(64));
            larger.append(&mut self.values);
            self.values = larger;
        }
    }

    fn note(&mut self, index: usize) {
        if self.all {
            return;
        }
        match u32::try_from(index) {
            // Beyond this, copying whole is cheaper than picking.
            Ok(index) if self.changed.len() <= 64 + self.values.len() / 8 => self.changed.push(index),
            _ => {
                self.all = true;
                self.changed = Vec::new();
            }
        }
    }
}

/// Room in huge pages where they are to be had.
fn with_capacity<T>(count: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(count);
    prefer_huge_pages(&mut values);
    values
}

impl<T> Deref for DoubleBuffered<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_copies_stay_in_step(batches in proptest::collection::vec(
            proptest::collection::vec((0_usize..300, any::<u8>()), 0..100), 1..12)) {
            let (mut front, mut back) = (DoubleBuffered::<u8>::default(), DoubleBuffered::default());
            let mut plain = Vec::new();
            for batch in batches {
                back.catch_up(&front);
                for (index, value) in batch {
                    if plain.len() <= index {
                        plain.resize(index + 1, 0);
                    }
                    plain[index] = value;
                    back.put(index, value, &0);
                }
                prop_assert_eq!(&*back, plain.as_slice());
                std::mem::swap(&mut front, &mut back);
            }
        }
    }
}
