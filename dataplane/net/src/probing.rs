//! Open addressing, written once for every hash table of the packet path.
//!
//! Slots are probed one after another from the one that the hash names (its *home*), around the end of the table. Removal
//! leaves no marks: entries behind the gap move up (Knuth, The Art of Computer Programming, 6.4, algorithm R), so that a
//! look-up stays short however long the table has been in use.

/// The first slot from `home` on at which `stop` holds, which must hold somewhere; `mask` is the number of slots, a power
/// of two, less one.
#[inline(always)]
pub(crate) fn probe(home: usize, mask: usize, stop: impl Fn(usize) -> bool) -> usize {
    let mut slot = home;
    while !stop(slot) {
        slot = (slot + 1) & mask;
    }
    slot
}

/// A table whose entries can move up.
pub(crate) trait Probed {
    /// The number of slots, a power of two, less one.
    fn mask(&self) -> usize;

    /// The home of the entry in a slot; `None` for a free slot.
    fn home_at(&self, slot: usize) -> Option<usize>;

    /// Copies the entry of one slot to another.
    fn move_entry(&mut self, from: usize, to: usize);

    /// Moves entries up into the gap until none would be missed by a look-up. Gives the slot that is free then, for the
    /// caller to clear.
    fn close_gap(&mut self, mut gap: usize) -> usize {
        let mask = self.mask();
        let mut slot = (gap + 1) & mask;
        while let Some(home) = self.home_at(slot) {
            // An entry whose home lies behind the gap stays: it would not be found in front of its home.
            if slot.wrapping_sub(home) & mask >= slot.wrapping_sub(gap) & mask {
                self.move_entry(slot, gap);
                gap = slot;
            }
            slot = (slot + 1) & mask;
        }
        gap
    }
}
