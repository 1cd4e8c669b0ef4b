//! A queue of [records](crate::record) in shared memory with one writer and one reader, each in its own process.
//!
//! Positions count words from the start of the session and do not wrap within centuries; a position modulo the
//! capacity is an index. Each side keeps its own position private and only publishes it: what the peer scribbles
//! over it is overwritten, never believed. The other side's position is believed within bounds: it must not
//! move back, and what lies between the two must fit.
//!
//! Ordering. The writer stores a record's words, then its position with `Release`; the reader loads that
//! position with `Acquire`, so it sees the words. The reader stores zeros over what it read, then its position with
//! `Release`; the writer loads that with `Acquire` before it writes there again, so its words come after those
//! zeros. The words themselves can be `Relaxed`. With a hostile peer there is no order at all, and none is needed:
//! a record is copied first and checked afterwards.
//!
//! Waking. Who is about to sleep sets its `WAITS` word and looks at the ring once more; who has moved its position
//! looks at the other's `WAITS` word. A `SeqCst` fence stands between the store and the load on both sides, so at
//! least one of the two sees the other's store: a wake-up is never lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use zeroize::{Zeroize, Zeroizing};

use crate::record::{Corruption, Expected, FIRST, HEADER, Header, padding};
use crate::shm::{AtomicU64, Mapping, WORD, fence};

// Words of a ring's control block: each in cache lines of its own, so that the sides do not slow each other down.
const WRITE_POSITION: usize = 0;
const READ_POSITION: usize = 16;
const READER_WAITS: usize = 32;
const WRITER_WAITS: usize = 48;
/// Words of a control block.
const CONTROL: usize = 64;
/// Words in front of the first ring's data: both control blocks, rounded up to a page.
const DATA: usize = 512;

/// Most payload bytes in one record of any ring.
const RECORD_BYTES_MAX: usize = 64 << 10;

/// Where two rings lie in a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes of the ring that the control plane writes: a power of two within [`crate::limits`].
    to_data: u32,
    /// Bytes of the ring that the dataplane writes, likewise.
    to_control: u32,
}

/// One of the two rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    ToData,
    ToControl,
}

impl Layout {
    /// `None` unless both sizes are powers of two within the limits.
    pub(crate) fn new(to_data: u32, to_control: u32) -> Option<Self> {
        let limits = crate::limits::RING_BYTES_MIN..=crate::limits::RING_BYTES_MAX;
        let possible = |n: u32| n.is_power_of_two() && limits.contains(&n);
        (possible(to_data) && possible(to_control)).then_some(Self { to_data, to_control })
    }

    /// Words of the mapping.
    pub(crate) fn words(self) -> usize {
        DATA + (self.to_data as usize + self.to_control as usize) / WORD
    }

    fn lane(self, memory: Arc<Mapping>, direction: Towards, session: u64) -> Lane {
        let (control, data, bytes, salt) = match direction {
            Towards::ToData => (0, DATA, self.to_data, 0),
            Towards::ToControl => (
                CONTROL,
                DATA + self.to_data as usize / WORD,
                self.to_control,
                1 << 63,
            ),
        };
        let record_bytes = (bytes as usize / 4 - HEADER * WORD).min(RECORD_BYTES_MAX);
        let seed = session ^ salt;
        Lane {
            memory,
            control,
            data,
            capacity: u64::from(bytes) / WORD as u64,
            record_bytes,
            seed,
        }
    }

    /// The writing end of a ring; `memory` has [`Layout::words`] words.
    pub(crate) fn writer(self, memory: Arc<Mapping>, direction: Towards, session: u64) -> RingWriter {
        RingWriter {
            lane: self.lane(memory, direction, session),
            position: 0,
            read_position: 0,
            sequence: 0,
        }
    }

    /// The reading end of a ring; `memory` has [`Layout::words`] words.
    pub(crate) fn reader(self, memory: Arc<Mapping>, direction: Towards, session: u64) -> Reader {
        let lane = self.lane(memory, direction, session);
        Reader {
            lane,
            position: 0,
            write_position: 0,
            sequence: 0,
            remaining: None,
            message: Zeroizing::default(),
        }
    }
}

/// What both ends of a ring know about it.
#[derive(Debug)]
struct Lane {
    memory: Arc<Mapping>,
    /// Index of the control block.
    control: usize,
    /// Index of the first word of data.
    data: usize,
    /// Words of data, a power of two.
    capacity: u64,
    /// Most payload bytes in a record: a quarter of the ring, so that a few are always under way.
    record_bytes: usize,
    /// Goes into each checksum.
    seed: u64,
}

impl Lane {
    fn control(&self, word: usize) -> &AtomicU64 {
        &self.memory.words()[self.control + word]
    }

    fn load(&self, position: u64) -> u64 {
        self.data(position).load(Ordering::Relaxed)
    }

    fn store(&self, position: u64, value: u64) {
        self.data(position).store(value, Ordering::Relaxed);
    }

    fn data(&self, position: u64) -> &AtomicU64 {
        &self.memory.words()[self.data + (position & (self.capacity - 1)) as usize]
    }

    /// Says that this side is going to sleep. It must look at the ring once more before it does.
    fn set_waits(&self, word: usize) {
        self.control(word).store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Whether the other side sleeps or is about to, after this side has published its position.
    fn take_waits(&self, word: usize) -> bool {
        fence(Ordering::SeqCst);
        self.control(word).load(Ordering::Relaxed) != 0 && self.control(word).swap(0, Ordering::Relaxed) != 0
    }
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct RingWriter {
    lane: Lane,
    /// Words written; `position - read_position <= capacity`.
    position: u64,
    /// The last believed position of the reader.
    read_position: u64,
    /// Of the next record.
    sequence: u64,
}

impl RingWriter {
    #[cfg(any(test, feature = "harness"))]
    pub(crate) fn memory(&self) -> Arc<Mapping> {
        Arc::clone(&self.lane.memory)
    }

    /// Writes and publishes one record if there is room. `rest` is what is still to be sent of a message,
    /// which the record opens if `first`; it carries as many bytes of it as a record may. Gives the
    /// number of bytes taken, 0 when there is no room.
    pub(crate) fn write(&mut self, first: bool, rest: &[u8]) -> Result<usize, Corruption> {
        let payload = &rest[..rest.len().min(self.lane.record_bytes)];
        let words = HEADER + payload.len().div_ceil(WORD);
        if !self.has_room(words as u64)? {
            return Ok(0);
        }
        self.put(
            Header {
                flags: if first { FIRST } else { 0 },
                length: payload.len() as u32,
                sequence: self.sequence,
                remaining: rest.len() as u32,
                checksum: 0,
            },
            payload,
        );
        Ok(payload.len())
    }

    /// Writes and publishes a record for which there is room, filling in the checksum.
    pub(crate) fn put(&mut self, mut header: Header, payload: &[u8]) {
        header.checksum = header.compute_checksum(self.lane.seed, payload);
        for (position, word) in (self.position..).zip(header.encode()) {
            self.lane.store(position, word);
        }
        for (position, chunk) in (self.position + HEADER as u64..).zip(payload.chunks(WORD)) {
            let mut word = [0; WORD];
            word[..chunk.len()].copy_from_slice(chunk);
            self.lane.store(position, u64::from_le_bytes(word));
        }
        self.position += (HEADER + payload.len().div_ceil(WORD)) as u64;
        self.sequence += 1;
        self.lane
            .control(WRITE_POSITION)
            .store(self.position, Ordering::Release);
    }

    /// Whether `words` words are free.
    pub(crate) fn has_room(&mut self, words: u64) -> Result<bool, Corruption> {
        if self.lane.capacity - (self.position - self.read_position) < words {
            self.refresh()?;
        }
        Ok(self.lane.capacity - (self.position - self.read_position) >= words)
    }

    fn refresh(&mut self) -> Result<(), Corruption> {
        let found = self.lane.control(READ_POSITION).load(Ordering::Acquire);
        let (low, high) = (self.read_position, self.position);
        if !(low..=high).contains(&found) {
            return Err(Corruption::ReadPosition { found, low, high });
        }
        self.read_position = found;
        Ok(())
    }

    /// Whether the reader must be woken for what was written.
    pub(crate) fn reader_waits(&self) -> bool {
        self.lane.take_waits(READER_WAITS)
    }

    /// To be called before sleeping until there is room, and followed by another attempt to write.
    pub(crate) fn set_waits(&self) {
        self.lane.set_waits(WRITER_WAITS);
    }
}

/// The reading end, which also puts split messages together.
#[derive(Debug)]
pub(crate) struct Reader {
    lane: Lane,
    /// Words read; `write_position - position <= capacity`.
    position: u64,
    /// The last believed position of the writer.
    write_position: u64,
    /// Of the next record.
    sequence: u64,
    /// Bytes of an open message still to come.
    remaining: Option<u32>,
    /// What has come of it.
    message: Zeroizing<Vec<u8>>,
}

impl Reader {
    /// The next message, `None` when the ring is empty before its end.
    pub(crate) fn read(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Corruption> {
        while self.refresh()? {
            let header = self.read_record()?;
            self.remaining = Some(header.remaining - header.length).filter(|&n| n > 0);
            if self.remaining.is_none() {
                return Ok(Some(std::mem::take(&mut self.message)));
            }
        }
        Ok(None)
    }

    /// The number of the record that was read last.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.sequence.saturating_sub(1)
    }

    /// Whether there is a record.
    fn refresh(&mut self) -> Result<bool, Corruption> {
        if self.position == self.write_position {
            let found = self.lane.control(WRITE_POSITION).load(Ordering::Acquire);
            let (low, high) = (self.write_position, self.position + self.lane.capacity);
            if !(low..=high).contains(&found) {
                return Err(Corruption::WritePosition { found, low, high });
            }
            self.write_position = found;
        }
        Ok(self.position < self.write_position)
    }

    /// Takes one record out of the ring and appends its payload to the message.
    fn read_record(&mut self) -> Result<Header, Corruption> {
        let published = self.write_position - self.position;
        let mut words = [0; HEADER];
        for (position, word) in (self.position..self.write_position).zip(&mut words) {
            *word = self.lane.load(position);
        }
        let behind_header = published.saturating_sub(HEADER as u64) * WORD as u64;
        let expected = Expected {
            sequence: self.sequence,
            length_limit: behind_header.min(self.lane.record_bytes as u64),
            remaining: self.remaining,
        };
        let header = Header::decode(words, &expected)?;
        self.copy_payload(&header)?;
        self.release(HEADER as u64 + u64::from(header.length).div_ceil(WORD as u64));
        self.sequence += 1;
        Ok(header)
    }

    fn copy_payload(&mut self, header: &Header) -> Result<(), Corruption> {
        let length = header.length as usize;
        let padded = length + padding(length);
        if self.remaining.is_none() {
            // Once for the whole message: growing would leave copies of a private key behind.
            self.message.reserve_exact(header.remaining as usize + WORD);
        }
        let start = self.message.len();
        let first = self.position + HEADER as u64;
        for position in first..first + (padded / WORD) as u64 {
            self.message
                .extend_from_slice(&self.lane.load(position).to_le_bytes());
        }
        let computed = header.compute_checksum(self.lane.seed, &self.message[start..]);
        if computed != header.checksum {
            return Err(Corruption::Checksum {
                sequence: header.sequence,
                found: header.checksum,
                computed,
            });
        }
        self.message[start + length..].zeroize();
        self.message.truncate(start + length);
        Ok(())
    }

    /// Wipes what was read, since it may hold a private key, and gives the room back.
    fn release(&mut self, words: u64) {
        for position in self.position..self.position + words {
            self.lane.store(position, 0);
        }
        self.position += words;
        self.lane
            .control(READ_POSITION)
            .store(self.position, Ordering::Release);
    }

    /// Whether the writer must be woken, because it waits for room and there is plenty: for a single record it
    /// would wake up again and again.
    pub(crate) fn writer_waits(&self) -> bool {
        let used = self.write_position - self.position;
        used <= self.lane.capacity / 2 && self.lane.take_waits(WRITER_WAITS)
    }

    /// To be called before sleeping until there is a record, and followed by another attempt to read.
    pub(crate) fn set_waits(&self) {
        self.lane.set_waits(READER_WAITS);
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, loom))]
mod interleavings;
