//! The dynamic table (RFC 7541, sections 2.3.2 and 4).

use std::collections::VecDeque;

/// What an entry counts beside its bytes (section 4.1).
const OVERHEAD: usize = 32;
/// The size of a table of which nothing was said (RFC 9113, section 6.5.2).
const DEFAULT: usize = 4_096;

/// Fields that the peer may refer to. Their bytes lie one behind the other in one piece of memory, which never gets larger than
/// the table may be; where its end is reached they move to its begin.
#[derive(Debug)]
pub(super) struct DynamicTable {
    entries: VecDeque<TableEntry>,
    bytes: Vec<u8>,
    /// Where in `bytes` the oldest entry begins.
    start: usize,
    /// Of all bytes that were ever added, the number of the first in `bytes`.
    origin: u32,
    /// As section 4.1 counts: `size <= capacity <= limit`.
    size: usize,
    capacity: usize,
    limit: usize,
}

/// Where an entry lies.
#[derive(Clone, Copy, Debug)]
struct TableEntry {
    /// The number of its first byte.
    at: u32,
    name: u32,
    value: u32,
}

impl TableEntry {
    fn length(self) -> usize {
        (self.name + self.value) as usize
    }
}

impl DynamicTable {
    /// A table that the peer may make as large as `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: Vec::new(),
            start: 0,
            origin: 0,
            size: 0,
            capacity: limit.min(DEFAULT),
            limit,
        }
    }

    /// The entry at a place, the newest being at 0.
    pub(super) fn get(&self, place: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(self.entries.len().checked_sub(place + 1)?)?;
        let start = entry.at.wrapping_sub(self.origin) as usize;
        let bytes = self.bytes.get(start..start + entry.length())?;
        bytes.split_at_checked(entry.name as usize)
    }

    /// Changes how large it may be (section 4.3); whether the peer may.
    pub(super) fn resize(&mut self, capacity: usize) -> bool {
        let may = capacity <= self.limit;
        if may {
            self.capacity = capacity;
            self.evict(0);
        }
        may
    }

    /// Adds an entry, in whose place the oldest go (section 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let length = name.len() + value.len();
        self.evict(length + OVERHEAD);
        if length + OVERHEAD > self.capacity {
            return;
        }
        self.make_room(length);
        // What is no larger than the capacity has numbers that fit.
        self.entries.push_back(TableEntry {
            at: self.origin.wrapping_add(self.bytes.len() as u32),
            name: name.len() as u32,
            value: value.len() as u32,
        });
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size += length + OVERHEAD;
    }

    /// Lets the oldest go until an entry of this size fits, or none is left.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.capacity
            && let Some(entry) = self.entries.pop_front()
        {
            self.start += entry.length();
            self.size -= entry.length() + OVERHEAD;
        }
        if self.entries.is_empty() {
            self.origin = self.origin.wrapping_add(self.bytes.len() as u32);
            self.start = 0;
            self.bytes.clear();
            if self.capacity == 0 {
                (self.bytes, self.entries) = (Vec::new(), VecDeque::new());
            }
        }
    }

    /// Makes room for so many bytes behind the others. The memory doubles until it is as large as the table may be.
    fn make_room(&mut self, length: usize) {
        if self.bytes.len() + length <= self.bytes.capacity() {
            return;
        }
        self.bytes.drain(..self.start);
        self.origin = self.origin.wrapping_add(self.start as u32);
        self.start = 0;
        let wanted = (self.bytes.len() + length).next_power_of_two().min(self.capacity);
        self.bytes.reserve_exact(wanted.saturating_sub(self.bytes.len()));
    }

    #[cfg(any(test, feature = "harness"))]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of memory that it holds.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<TableEntry>()
    }
}
