//! Sets of ports as cache lines.
//!
//! A set of at most eight ranges is one line, and testing a port compares it with all of them at once. Larger sets are
//! trees of lines. Equal lines are kept once, whoever uses them, and counted.

use std::collections::HashMap;

use super::ranges::Range;
use crate::double_buffered::DoubleBuffered;
use crate::hash::Keyed;

/// Protocol and destination port as one number, so that ranges of ports are ranges of numbers. Protocols
/// without ports (of those that policies can name) share one number, which only rules for any port hold.
#[inline(always)]
pub(super) fn port_key(protocol: u8, port: u16) -> u32 {
    // A table, since protocols come in any order, which a branch would have to guess.
    let (base, mask) = PROTOCOLS[protocol as usize];
    base | port as u32 & mask
}

/// Of each protocol, where its keys begin and which bits of the port count.
static PROTOCOLS: [(u32, u32); 256] = {
    let mut protocols = [(PORT_KEYS - 1, 0); 256];
    protocols[6] = (0, 0xffff);
    protocols[17] = (1 << 16, 0xffff);
    protocols[132] = (2 << 16, 0xffff);
    protocols
};

/// All [`port_key`]s are below this.
pub(super) const PORT_KEYS: u32 = (3 << 16) + 1;

/// Every port of every protocol.
pub(super) const EVERYTHING: Range = (0, PORT_KEYS - 1);

/// How many ranges, or lines of the next level, a line holds.
const WIDTH: usize = 8;

/// Names a set in a [`Lines`]; never 0. With `TREE` the line leads on.
pub(super) type PortsId = u32;

const TREE: u32 = 1 << 31;

/// The empty set.
pub(super) const NONE: PortsId = 1;
/// The set of [`EVERYTHING`].
pub(super) const ALL: PortsId = 2;

/// A cache line. Of a leaf, `first` and `last` are ranges of port keys; of others, `first` is where each child begins,
/// the first one at 0, and `last` are their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(64))]
pub(super) struct PortLine {
    first: [u32; WIDTH],
    last: [u32; WIDTH],
}

impl PortLine {
    const EMPTY: Self = Self {
        first: [u32::MAX; WIDTH],
        last: [0; WIDTH],
    };

    fn of(pairs: &[Range]) -> Self {
        let mut line = Self::EMPTY;
        for (place, (first, last)) in pairs.iter().enumerate() {
            line.first[place] = *first;
            line.last[place] = *last;
        }
        line
    }

    /// Whether some range of this leaf holds the key.
    #[inline(always)]
    fn holds(&self, key: u32) -> bool {
        // No branch to predict: all eight comparisons are a few vector instructions.
        let ranges = self.first.iter().zip(&self.last);
        ranges
            .map(|(first, last)| u32::from(*first <= key) & u32::from(key <= *last))
            .fold(0, |any, one| any | one)
            != 0
    }

    /// The child whose part of the keys this one is in.
    #[inline]
    fn child(&self, key: u32) -> PortsId {
        let begun: u32 = self.first.iter().map(|first| u32::from(*first <= key)).sum();
        self.last[(begun as usize).saturating_sub(1)]
    }
}

/// The sets that are in use, to be read.
#[derive(Clone, Debug)]
pub(super) struct Lines(DoubleBuffered<PortLine>);

impl Default for Lines {
    fn default() -> Self {
        let mut lines = DoubleBuffered::filled(PortLine::EMPTY, 3);
        *lines.edit(ALL as usize) = PortLine::of(&[EVERYTHING]);
        Self(lines)
    }
}

impl Lines {
    /// Whether the set holds the port.
    #[inline(always)]
    pub(super) fn hold(&self, ports: PortsId, key: u32) -> bool {
        if ports & TREE != 0 {
            return self.hold_large(ports, key);
        }
        self.0[ports as usize].holds(key)
    }

    #[inline(never)]
    fn hold_large(&self, mut ports: PortsId, key: u32) -> bool {
        while ports & TREE != 0 {
            ports = self.0[(ports ^ TREE) as usize].child(key);
        }
        self.0[ports as usize].holds(key)
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.0.memory()
    }

    /// See [`DoubleBuffered::catch_up`].
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.0.catch_up(&newer.0);
    }
}

/// Which lines there are, and how many users each has.
#[derive(Debug)]
pub(super) struct LineCounts {
    numbers: HashMap<(PortLine, bool), u32, Keyed>,
    counts: Vec<u32>,
    free: Vec<u32>,
}

impl Default for LineCounts {
    fn default() -> Self {
        let mut counts = Self {
            numbers: HashMap::default(),
            counts: vec![1; 3],
            free: Vec::new(),
        };
        counts.numbers.insert((PortLine::EMPTY, false), NONE);
        counts.numbers.insert((PortLine::of(&[EVERYTHING]), false), ALL);
        counts
    }
}

impl LineCounts {
    /// Names the set of normal ranges, and counts a user of it.
    pub(super) fn acquire(&mut self, ranges: &[Range], lines: &mut Lines) -> PortsId {
        if ranges.len() <= WIDTH {
            return self.line(PortLine::of(ranges), false, lines);
        }
        let mut level: Vec<(u32, PortsId)> = ranges
            .chunks(WIDTH)
            .map(|part| (part[0].0, self.line(PortLine::of(part), false, lines)))
            .collect();
        level[0].0 = 0;
        while level.len() > 1 {
            level = level
                .chunks(WIDTH)
                .map(|part| (part[0].0, self.line(PortLine::of(part), true, lines)))
                .collect();
        }
        level[0].1
    }

    /// Counts another user of a set.
    pub(super) fn retain(&mut self, ports: PortsId) {
        self.counts[(ports & !TREE) as usize] += 1;
    }

    /// Counts a user less.
    pub(super) fn release(&mut self, ports: PortsId, lines: &Lines) {
        let number = ports & !TREE;
        let count = &mut self.counts[number as usize];
        *count -= 1;
        if *count == 0 {
            let line = lines.0[number as usize];
            let tree = ports & TREE != 0;
            self.numbers.remove(&(line, tree));
            self.free.push(number);
            if tree {
                let children = line.last.iter().zip(line.first);
                children
                    .filter(|(_, first)| *first != u32::MAX)
                    .for_each(|(child, _)| self.release(*child, lines));
            }
        }
    }

    /// How many distinct lines there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Counts a user of a line. A line of a tree that is there already gives back its children, which it counts itself.
    fn line(&mut self, line: PortLine, tree: bool, lines: &mut Lines) -> PortsId {
        let mark = if tree { TREE } else { 0 };
        if let Some(number) = self.numbers.get(&(line, tree)) {
            let number = *number;
            self.counts[number as usize] += 1;
            if tree {
                let children = line.last.iter().zip(line.first);
                children
                    .filter(|(_, first)| *first != u32::MAX)
                    .for_each(|(child, _)| self.release(*child, lines));
            }
            return number | mark;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.counts.push(0);
            u32::try_from(self.counts.len() - 1).unwrap_or(u32::MAX)
        });
        self.counts[number as usize] = 1;
        self.numbers.insert((line, tree), number);
        lines.0.put(number as usize, line, &PortLine::EMPTY);
        number | mark
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ranges::normalize;
    use super::*;

    fn ranges(most: usize) -> impl Strategy<Value = Vec<Range>> {
        proptest::collection::vec((0_u32..PORT_KEYS, 0_u32..3), 0..most).prop_map(|all| {
            let mut ranges = all
                .into_iter()
                .map(|(first, more)| (first, (first + more).min(PORT_KEYS - 1)))
                .collect();
            normalize(&mut ranges);
            ranges
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sets_hold_what_their_ranges_hold(sets in proptest::collection::vec(
            prop_oneof![3 => ranges(9), 1 => ranges(700)], 1..12)) {
            let (mut counts, mut lines) = (LineCounts::default(), Lines::default());
            let ids: Vec<_> = sets.iter().map(|set| counts.acquire(set, &mut lines)).collect();
            for (set, id) in sets.iter().zip(&ids) {
                prop_assert_eq!(counts.acquire(set, &mut lines), *id);
                counts.release(*id, &lines);
                let edges = set.iter().flat_map(|(a, b)| [*a, *b, a.saturating_sub(1), b + 1]);
                for key in edges.chain([0, PORT_KEYS - 1]) {
                    let held = set.iter().any(|(first, last)| (*first..=*last).contains(&key));
                    prop_assert_eq!(lines.hold(*id, key), held, "{}", key);
                }
            }
            ids.iter().for_each(|id| counts.release(*id, &lines));
            prop_assert_eq!(counts.len(), 2, "nothing is left behind");
        }
    }

    #[test]
    fn the_fixed_sets_are_what_they_say() {
        let (mut counts, mut lines) = (LineCounts::default(), Lines::default());
        assert_eq!(counts.acquire(&[], &mut lines), NONE);
        assert_eq!(counts.acquire(&[EVERYTHING], &mut lines), ALL);
        for key in [0, 65_535, 65_536, PORT_KEYS - 1] {
            assert!(lines.hold(ALL, key) && !lines.hold(NONE, key));
        }
        counts.release(NONE, &lines);
        counts.release(ALL, &lines);
        assert!(lines.hold(ALL, 0), "they are never freed");
    }
}
