//! What drives the ring in unit tests and in the fuzz targets (`fuzz/`) alike: operations, and a model of what must
//! come of them. A function here panics when the ring does something it must not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::limits::MESSAGE_BYTES;
use crate::message::{ToControl, ToData};
use crate::record::{FIRST, HEADER, Header};
use crate::ring::{Layout, Reader, RingWriter, Towards};
use crate::session::decode;
use crate::shm::{Mapping, WORD};
use crate::transaction::Collector;

/// Bytes of the ring: the smallest, so that it wraps often.
const BYTES: u32 = crate::limits::RING_BYTES_MIN;
/// Its words.
const CAPACITY: usize = BYTES as usize / WORD;
/// Most payload bytes in one of its records.
const RECORD: usize = BYTES as usize / 4 - HEADER * WORD;
const SESSION: u64 = 0x5e55;

thread_local! {
    /// Made once: to make it takes longer than most runs.
    static MEMORY: Arc<Mapping> = Arc::new(Mapping::create(layout().words()).expect("12 KiB can be had").0);
}

fn layout() -> Layout {
    Layout::new(BYTES, BYTES).expect("the sizes are possible")
}

fn ring() -> (RingWriter, Reader) {
    let memory = MEMORY.with(Arc::clone);
    memory
        .words()
        .iter()
        .for_each(|word| word.store(0, Ordering::Relaxed));
    let writer = layout().writer(Arc::clone(&memory), Towards::ToData, SESSION);
    (writer, layout().reader(memory, Towards::ToData, SESSION))
}

/// What honest ends do.
#[derive(Clone, Copy, Debug)]
pub enum Honest {
    /// Begins a message of so many bytes (at least 1), unless one is under way.
    Begin(u16),
    /// Tries to write a record of the message under way.
    Write,
    /// Tries to read a message.
    Read,
    /// The writer is going to sleep.
    WriterSleeps,
    /// The reader is going to sleep.
    ReaderSleeps,
}

/// The ring as one would write it down: records as vectors in a queue.
#[derive(Default)]
struct QueueModel {
    /// Words of each record in the ring, its payload, and whether it ends a message.
    records: VecDeque<(usize, Vec<u8>, bool)>,
    /// Messages begun, to make each differ.
    begun: u8,
    /// What is still to be written of the message under way.
    rest: Vec<u8>,
    first: bool,
    /// What was read of a message whose end has not come.
    arrived: Vec<u8>,
    writer_waits: bool,
    reader_waits: bool,
}

impl QueueModel {
    fn used(&self) -> usize {
        self.records.iter().map(|(words, ..)| words).sum()
    }

    fn begin(&mut self, length: u16) {
        if self.rest.is_empty() {
            self.begun = self.begun.wrapping_add(1);
            self.rest = (0..length.max(1))
                .map(|i| (i as u8).wrapping_mul(7) ^ self.begun)
                .collect();
            self.first = true;
        }
    }

    /// How many bytes a write must take.
    fn write(&mut self) -> usize {
        let taken = self.rest.len().min(RECORD);
        let words = HEADER + taken.div_ceil(WORD);
        if self.used() + words > CAPACITY {
            return 0;
        }
        let payload = self.rest.drain(..taken).collect();
        self.records.push_back((words, payload, self.rest.is_empty()));
        self.first = false;
        taken
    }

    /// What a read must give.
    fn read(&mut self) -> Option<Vec<u8>> {
        while let Some((_, payload, last)) = self.records.pop_front() {
            self.arrived.extend(payload);
            if last {
                return Some(std::mem::take(&mut self.arrived));
            }
        }
        None
    }
}

/// Both ends keep to the rules: each operation does exactly what the model says.
pub fn honest(operations: impl IntoIterator<Item = Honest>) {
    let ((mut writer, mut reader), mut model) = (ring(), QueueModel::default());
    for operation in operations {
        match operation {
            Honest::Begin(length) => model.begin(length),
            Honest::Write if model.rest.is_empty() => {}
            Honest::Write => {
                let (first, rest) = (model.first, model.rest.clone());
                let expected = model.write();
                assert_eq!(writer.write(first, &rest), Ok(expected));
                if expected > 0 {
                    assert_eq!(writer.reader_waits(), std::mem::take(&mut model.reader_waits));
                }
            }
            Honest::Read => {
                let read = reader.read().expect("nobody corrupts the ring");
                assert_eq!(read.as_ref().map(|message| message.to_vec()), model.read());
                let woken = reader.writer_waits();
                assert!(!woken || model.writer_waits, "a wake-up that nobody waits for");
                assert!(
                    woken || !model.writer_waits || model.used() > CAPACITY / 2,
                    "a wake-up is missing"
                );
                model.writer_waits &= !woken;
            }
            Honest::WriterSleeps => {
                writer.set_waits();
                model.writer_waits = true;
            }
            Honest::ReaderSleeps => {
                reader.set_waits();
                model.reader_waits = true;
            }
        }
    }
}

/// What a peer may do that keeps to no rule.
#[derive(Clone, Debug)]
pub enum Hostile {
    /// The honest writer writes a message of so many bytes, as far as there is room.
    Write(u16),
    /// The honest reader reads.
    Read,
    /// Any word of the mapping (the index is taken modulo its size) gets any value.
    Scribble {
        /// Index of the word.
        word: u16,
        /// What is written there.
        value: u64,
    },
    /// One bit of any word is flipped.
    Flip {
        /// Index of the word.
        word: u16,
        /// Which bit, modulo 64.
        bit: u8,
    },
    /// A record with any header and a right checksum.
    Forge {
        /// Added to the sequence number that is due.
        skip: u8,
        /// The flags.
        flags: u16,
        /// The length claimed, which may differ from that of the payload.
        length: u32,
        /// The bytes of the message claimed to come.
        remaining: u32,
        /// What stands behind the header, at most a record's worth.
        payload: Vec<u8>,
    },
    /// A message with right headers around bytes of the peer's choice.
    Message(Vec<u8>),
}

/// Either end may be hostile: the other one gets messages, nothing, or an error, and stays within the limits.
#[allow(clippy::too_many_lines, reason = "one kind of malice after the other")]
pub fn hostile(operations: impl IntoIterator<Item = Hostile>) {
    let (mut writer, mut reader) = ring();
    let memory = writer.memory();
    let word = |index: u16| &memory.words()[usize::from(index) % memory.words().len()];
    let mut collector = Collector::default();
    let mut sequence = 0;
    for operation in operations {
        match operation {
            Hostile::Write(length) => {
                let message = vec![length as u8; usize::from(length.max(1))];
                let Some(written) = write_all(&mut writer, &message) else {
                    return;
                };
                sequence += written;
            }
            Hostile::Message(bytes) if bytes.is_empty() => {}
            Hostile::Message(bytes) => {
                let Some(written) = write_all(&mut writer, &bytes) else {
                    return;
                };
                sequence += written;
            }
            Hostile::Read => match reader.read() {
                Err(_) => return,
                Ok(message) => {
                    reader.writer_waits();
                    if let Some(bytes) = message {
                        assert!((1..=MESSAGE_BYTES).contains(&bytes.len()));
                        let Ok(message) = decode::<ToData>(&bytes) else {
                            return;
                        };
                        let Ok(_) = collector.take(message, bytes.len()) else {
                            return;
                        };
                    }
                }
            },
            Hostile::Scribble { word: index, value } => word(index).store(value, Ordering::Relaxed),
            Hostile::Flip { word: index, bit } => {
                word(index).fetch_xor(1 << (bit % 64), Ordering::Relaxed);
            }
            Hostile::Forge {
                skip,
                flags,
                length,
                remaining,
                mut payload,
            } => {
                payload.truncate(RECORD);
                let sequence_claimed = sequence + u64::from(skip);
                let header = Header {
                    flags,
                    length,
                    sequence: sequence_claimed,
                    remaining,
                    checksum: 0,
                };
                let Ok(room) = writer.has_room((HEADER + payload.len().div_ceil(WORD)) as u64) else {
                    return;
                };
                if room {
                    writer.put(header, &payload);
                    sequence += 1;
                }
            }
        }
    }
}

/// Writes records of a message while there is room, and gives their number; `None` when the writer found the ring
/// corrupt.
fn write_all(writer: &mut RingWriter, message: &[u8]) -> Option<u64> {
    let (mut sent, mut records) = (0, 0);
    while sent < message.len() {
        match writer.write(sent == 0, &message[sent..]).ok()? {
            0 => break,
            taken => sent += taken,
        }
        records += 1;
    }
    writer.reader_waits();
    Some(records)
}

/// Any bytes are a message or an error; what decodes, encodes to something that decodes to the same.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = decode::<ToData>(bytes) {
        let again = postcard::to_allocvec(&message).expect("what was decoded can be encoded");
        assert_eq!(decode::<ToData>(&again).as_ref(), Ok(&message));
    }
    if let Ok(message) = decode::<ToControl>(bytes) {
        let again = postcard::to_allocvec(&message).expect("what was decoded can be encoded");
        assert_eq!(decode::<ToControl>(&again).as_ref(), Ok(&message));
    }
}

/// Reads operations from bytes; the end of the bytes is the end of the operations.
#[derive(Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// As many bytes as the next two say, or are left.
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(self.u16()?).min(self.0.len());
        let (head, tail) = self.0.split_at(length);
        self.0 = tail;
        Some(head.to_vec())
    }

    /// The next operation of honest ends.
    pub fn honest(&mut self) -> Option<Honest> {
        Some(match self.u8()? % 8 {
            0..=2 => Honest::Write,
            3 | 4 => Honest::Read,
            5 => Honest::WriterSleeps,
            6 => Honest::ReaderSleeps,
            _ => Honest::Begin(self.u16()? % 5000),
        })
    }

    /// The next operation of a hostile peer.
    pub fn hostile(&mut self) -> Option<Hostile> {
        Some(match self.u8()? % 8 {
            0 => Hostile::Write(self.u16()? % 5000),
            1 | 2 => Hostile::Read,
            3 => Hostile::Scribble {
                word: self.u16()?,
                value: self.u64()?,
            },
            4 => Hostile::Flip {
                word: self.u16()?,
                bit: self.u8()?,
            },
            5 => Hostile::Message(self.bytes()?),
            // Most forged headers shall be wrong in few fields.
            kind => {
                let (skip, flags) = (self.u8()?.saturating_sub(250), self.u16()?);
                let flags = if kind == 6 { flags & FIRST } else { flags };
                let (length, remaining, payload) = (self.u32()?, self.u32()?, self.bytes()?);
                let right = payload.len().min(RECORD) as u32;
                let length = if kind == 6 { right } else { length };
                Hostile::Forge {
                    skip,
                    flags,
                    length,
                    remaining,
                    payload,
                }
            }
        })
    }
}
