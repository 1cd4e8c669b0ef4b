//! A wheel of coarse timers: connections wait for something all the time, and hardly ever does it not come.

use headgate_net::clock::Nanos;

/// A tick is 2^27 ns, an eighth of a second.
const SHIFT: u32 = 27;
/// Ticks of a turn: 137 s. What is due later is looked at once each turn.
const SLOTS: u64 = 1024;
/// No key.
const NONE: u32 = u32::MAX;

/// Keys by the tick in which they are to be looked at, each at most once. Those of a slot are a list through the places of all keys, so
/// that one is taken out without a search: who leaves leaves nothing.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The first key of each slot.
    slots: [u32; SLOTS as usize],
    /// A bit for each slot that has a key.
    occupied: [u64; (SLOTS / 64) as usize],
    /// By key.
    places: Vec<WheelPlace>,
    /// The last tick that was looked at.
    tick: u64,
}

/// Where a key is in the list of its slot.
#[derive(Clone, Copy, Debug)]
struct WheelPlace {
    /// When it is to be looked at; 0 where it is in no list.
    tick: u64,
    before: u32,
    after: u32,
}

const NOWHERE: WheelPlace = WheelPlace {
    tick: 0,
    before: NONE,
    after: NONE,
};

impl Default for Wheel {
    fn default() -> Self {
        Self {
            slots: [NONE; SLOTS as usize],
            occupied: [0; (SLOTS / 64) as usize],
            places: Vec::new(),
            tick: 0,
        }
    }
}

impl Wheel {
    /// The tick in which a time has come.
    fn tick_of(due: Nanos) -> u64 {
        due.0.div_ceil(1 << SHIFT)
    }

    /// Has `key` (less than 2^32 - 1) looked at in the tick of `due` or earlier: where that is more than a turn away, or where it is
    /// to be looked at earlier already.
    pub(crate) fn put(&mut self, key: usize, due: Nanos) {
        let tick = Self::tick_of(due).clamp(self.tick + 1, self.tick + SLOTS - 1);
        if key >= self.places.len() {
            self.places.resize(key + 1, NOWHERE);
        }
        if (1..=tick).contains(&self.places[key].tick) {
            return;
        }
        self.remove(key);
        let slot = (tick % SLOTS) as usize;
        let (key, after) = (key as u32, self.slots[slot]);
        self.places[key as usize] = WheelPlace {
            tick,
            before: NONE,
            after,
        };
        if after != NONE {
            self.places[after as usize].before = key;
        }
        self.slots[slot] = key;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Has it not looked at, if it was to be.
    pub(crate) fn remove(&mut self, key: usize) {
        let Some(place) = self.places.get_mut(key).filter(|place| place.tick != 0) else {
            return;
        };
        let WheelPlace { tick, before, after } = std::mem::replace(place, NOWHERE);
        if after != NONE {
            self.places[after as usize].before = before;
        }
        if before != NONE {
            self.places[before as usize].after = after;
            return;
        }
        let slot = (tick % SLOTS) as usize;
        self.slots[slot] = after;
        if after == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// The keys whose time has come go to `due`.
    pub(crate) fn turn(&mut self, now: Nanos, due: &mut Vec<usize>) {
        let to = now.0 >> SHIFT;
        if self.tick == 0 {
            self.tick = to.saturating_sub(1);
        }
        while self.tick < to {
            let Some(next) = self.next_tick().filter(|next| *next <= to) else {
                self.tick = to;
                return;
            };
            self.tick = next;
            let slot = (next % SLOTS) as usize;
            self.occupied[slot / 64] &= !(1 << (slot % 64));
            let mut key = std::mem::replace(&mut self.slots[slot], NONE);
            while key != NONE {
                due.push(key as usize);
                key = std::mem::replace(&mut self.places[key as usize], NOWHERE).after;
            }
        }
    }

    /// Gives back memory that only keys from `keys` on need, none of which is to be looked at.
    pub(crate) fn shrink(&mut self, keys: usize) {
        self.places.truncate(keys);
        self.places.shrink_to_fit();
    }

    /// When there is something to look at.
    pub(crate) fn next(&self) -> Option<Nanos> {
        self.next_tick().map(|tick| Nanos(tick << SHIFT))
    }

    /// The next tick with a key.
    fn next_tick(&self) -> Option<u64> {
        let first = self.tick + 1;
        let slot = first % SLOTS;
        let words = SLOTS / 64;
        // The word of the first slot is looked at twice: its later bits first, its earlier ones last.
        for step in 0..=words {
            let word = (slot / 64 + step) % words;
            let mask = match step {
                0 => u64::MAX << (slot % 64),
                last if last == words => !(u64::MAX << (slot % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word as usize] & mask;
            if bits != 0 {
                let found = word * 64 + u64::from(bits.trailing_zeros());
                return Some(first + (found + SLOTS - slot) % SLOTS);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{SHIFT, SLOTS, Wheel};
    use headgate_net::clock::Nanos;

    fn at(ticks: u64) -> Nanos {
        Nanos(ticks << SHIFT)
    }

    #[derive(Clone, Debug)]
    enum WheelStep {
        Put(usize, u64),
        Remove(usize),
        Turn(u64),
    }

    fn step() -> impl Strategy<Value = WheelStep> {
        prop_oneof![
            4 => (0..40_usize, 1..3 * SLOTS).prop_map(|(key, due)| WheelStep::Put(key, due)),
            2 => (0..40_usize).prop_map(WheelStep::Remove),
            1 => (1..SLOTS / 3).prop_map(WheelStep::Turn),
        ]
    }

    proptest! {
        /// As a map from key to tick would have it.
        #[test]
        fn keys_come_when_they_are_due(steps in prop::collection::vec(step(), 1..300)) {
            let mut wheel = Wheel::default();
            let (mut now, mut waiting) = (10_000, BTreeMap::<usize, u64>::new());
            wheel.turn(at(now), &mut Vec::new());
            for step in steps {
                match step {
                    WheelStep::Put(key, due) => {
                        wheel.put(key, at(now + due));
                        let tick = now + due.min(SLOTS - 1);
                        let known = waiting.entry(key).or_insert(tick);
                        *known = tick.min(*known);
                    }
                    WheelStep::Remove(key) => {
                        wheel.remove(key);
                        waiting.remove(&key);
                    }
                    WheelStep::Turn(ticks) => {
                        now += ticks;
                        let mut due = Vec::new();
                        wheel.turn(at(now), &mut due);
                        due.sort_unstable();
                        let wanted = waiting.extract_if(.., |_, tick| *tick <= now);
                        prop_assert_eq!(due, wanted.map(|(key, _)| key).collect::<Vec<_>>());
                    }
                }
                prop_assert_eq!(wheel.next(), waiting.values().min().copied().map(at));
            }
        }
    }

    #[test]
    fn who_leaves_leaves_nothing() {
        let mut wheel = Wheel::default();
        for client in 0..100_000_usize {
            let key = client % 10;
            wheel.put(key, at(500));
            wheel.put(key, at(40));
            wheel.remove(key);
        }
        assert_eq!((wheel.next(), wheel.places.len()), (None, 10));
        wheel.put(3, at(400));
        wheel.shrink(4);
        assert_eq!((wheel.next(), wheel.places.len()), (Some(at(400)), 4));
    }
}
