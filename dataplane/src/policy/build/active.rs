//! A multiset of numbered things that knows a fingerprint of what is in it.

use crate::hash;

/// Which things hold at the moment, each counted.
///
/// The fingerprint is the sum of a random-looking number for each thing present: it changes in one step, and two
/// different combinations share one with a probability near 2^-128.
#[derive(Clone, Debug)]
pub(super) struct Active {
    counts: Vec<u32>,
    /// Where each thing that is present stands in `present`.
    places: Vec<u32>,
    present: Vec<u32>,
    fingerprint: u128,
}

impl Active {
    /// None of the things below `count` is present.
    pub(super) fn new(count: usize) -> Self {
        Self {
            counts: vec![0; count],
            places: vec![0; count],
            present: Vec::new(),
            fingerprint: 0,
        }
    }

    /// Adds one of `thing`.
    pub(super) fn enter(&mut self, thing: u32) {
        let count = &mut self.counts[thing as usize];
        *count += 1;
        if *count == 1 {
            self.places[thing as usize] = u32::try_from(self.present.len()).unwrap_or(u32::MAX);
            self.present.push(thing);
            self.fingerprint = self.fingerprint.wrapping_add(token(thing));
        }
    }

    /// Takes one of `thing` away; there must be one.
    pub(super) fn leave(&mut self, thing: u32) {
        let count = &mut self.counts[thing as usize];
        *count -= 1;
        if *count == 0 {
            let place = self.places[thing as usize];
            self.present.swap_remove(place as usize);
            if let Some(moved) = self.present.get(place as usize) {
                self.places[*moved as usize] = place;
            }
            self.fingerprint = self.fingerprint.wrapping_sub(token(thing));
        }
    }

    pub(super) fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// How many things are numbered.
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn contains(&self, thing: u32) -> bool {
        self.counts[thing as usize] != 0
    }

    /// What is present, in no order.
    pub(super) fn present(&self) -> &[u32] {
        &self.present
    }
}

fn token(thing: u32) -> u128 {
    let word = |seed| u128::from(hash::mix(seed, thing.into(), 0, 0));
    word(1) << 64 | word(2)
}
