//! A wheel of coarse timers: connections wait for something all the time, and hardly ever does it not come.

use headgate_net::clock::Nanos;

/// A tick is 2^27 ns, an eighth of a second.
const SHIFT: u32 = 27;
/// Ticks of a turn: 137 s. What is due later is looked at once each turn.
const SLOTS: u64 = 1024;

/// Keys by the tick in which they are to be looked at.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<usize>>,
    /// A bit for each slot that has a key.
    occupied: [u64; (SLOTS / 64) as usize],
    /// The last tick that was looked at.
    tick: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            slots: vec![Vec::new(); SLOTS as usize],
            occupied: [0; (SLOTS / 64) as usize],
            tick: 0,
        }
    }
}

impl Wheel {
    /// The tick in which a time has come.
    pub(crate) fn tick_of(due: Nanos) -> u64 {
        due.0.div_ceil(1 << SHIFT)
    }

    /// Has `key` looked at in the tick of `due` or, where that is more than a turn away, earlier. Returns the tick.
    pub(crate) fn put(&mut self, key: usize, due: Nanos) -> u64 {
        let tick = Self::tick_of(due).clamp(self.tick + 1, self.tick + SLOTS - 1);
        let slot = (tick % SLOTS) as usize;
        self.slots[slot].push(key);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        tick
    }

    /// The keys whose time has come go to `due`, each with its tick.
    pub(crate) fn turn(&mut self, now: Nanos, due: &mut Vec<(usize, u64)>) {
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
            due.extend(self.slots[slot].drain(..).map(|key| (key, next)));
        }
    }

    /// Gives back memory that no key lies in.
    pub(crate) fn shrink(&mut self) {
        self.slots.iter_mut().for_each(Vec::shrink_to_fit);
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
    use proptest::prelude::*;

    use super::{SHIFT, SLOTS, Wheel};
    use headgate_net::clock::Nanos;

    fn at(ticks: u64) -> Nanos {
        Nanos(ticks << SHIFT)
    }

    proptest! {
        /// As a sorted list would have it, but for what is more than a turn away.
        #[test]
        fn keys_come_when_they_are_due(
            dues in prop::collection::vec(1..3 * SLOTS, 1..50),
            steps in prop::collection::vec(1..SLOTS / 3, 1..40),
        ) {
            let mut wheel = Wheel::default();
            let mut now = 10_000;
            wheel.turn(at(now), &mut Vec::new());
            let mut waiting: Vec<(usize, u64, u64)> = Vec::new();
            for (key, due) in dues.iter().enumerate() {
                let tick = wheel.put(key, at(now + due));
                prop_assert_eq!(tick, now + due.min(&(SLOTS - 1)));
                waiting.push((key, now + due, tick));
            }
            for step in steps {
                let next = waiting.iter().map(|(.., tick)| *tick).min();
                prop_assert_eq!(wheel.next(), next.map(at));
                now += step;
                let mut due = Vec::new();
                wheel.turn(at(now), &mut due);
                for (key, tick) in due {
                    let place = waiting.iter().position(|(k, _, t)| *k == key && *t == tick);
                    let (_, wanted, _) = waiting.swap_remove(place.expect("it was put there"));
                    prop_assert!(tick <= now);
                    if wanted > tick {
                        waiting.push((key, wanted, wheel.put(key, at(wanted))));
                    }
                }
                prop_assert!(waiting.iter().all(|(.., tick)| *tick > now));
            }
        }
    }
}
