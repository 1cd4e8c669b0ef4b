//! Buffers that connections have only while something lies in them.

/// Bytes that a buffer takes before whoever fills it has to wait.
pub(crate) const ROOM: usize = 16 << 10;
/// Buffers that are kept for the next who needs one.
const SPARE: usize = 256;
/// A buffer that has grown beyond it goes back to the system.
const KEPT: usize = 2 * ROOM;

/// Bytes that came and were not used yet, or that wait to be sent.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// How many of them are used.
    used: usize,
}

impl Buffer {
    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.used
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether more should be put in.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < ROOM
    }

    /// The first `count` bytes are not needed any more.
    pub(crate) fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used >= self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Where more is added, at the end. `spare` gives the memory, where there is none yet.
    pub(crate) fn fill(&mut self, spare: &mut Spare) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = spare.buffers.pop().unwrap_or_else(|| Vec::with_capacity(ROOM));
        } else if self.used > 0 && self.bytes.len() + ROOM > self.bytes.capacity() {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        &mut self.bytes
    }

    /// Adds bytes, to memory of its own.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.own().extend_from_slice(bytes);
    }

    /// Where more is added, at the end, in memory of its own.
    pub(crate) fn own(&mut self) -> &mut Vec<u8> {
        if self.used > self.bytes.len() / 2 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        &mut self.bytes
    }

    /// Adds what `write` makes of `room` bytes, to memory of its own: `write` returns how many it has made.
    pub(crate) fn append_with<E>(
        &mut self,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let bytes = self.own();
        let before = bytes.len();
        bytes.resize(before + room, 0);
        let written = write(&mut bytes[before..]);
        bytes.truncate(before + written.as_ref().map_or(0, |written| *written));
        written.map(|_| ())
    }

    /// What is there, for who decrypts it where it lies.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used..]
    }

    /// Takes what lies in `other` and gives it its memory, instead of a copy. Nothing must lie here.
    pub(crate) fn trade(&mut self, other: &mut Self) {
        debug_assert!(self.is_empty(), "what lies here would be lost to the other");
        std::mem::swap(self, other);
        other.clear();
    }

    /// Gives the memory back, if nothing lies in it.
    pub(crate) fn settle(&mut self, spare: &mut Spare) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            let mut bytes = std::mem::take(&mut self.bytes);
            if spare.buffers.len() < SPARE && bytes.capacity() <= KEPT {
                bytes.clear();
                spare.buffers.push(bytes);
            }
        }
    }
}

/// Memory for the next buffers, and where records are made.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Vec<Vec<u8>>,
    record: Vec<u8>,
}

impl Spare {
    /// Room of `length` bytes in which anything may lie, until the next who asks.
    pub(crate) fn scratch(&mut self, length: usize) -> &mut [u8] {
        if self.record.len() < length {
            self.record.resize(length, 0);
        }
        &mut self.record[..length]
    }
}

#[cfg(test)]
mod tests;
