//! The form of a record in the ring: a header of three words, then the payload padded with zeros to whole words.
//!
//! ```text
//!          63            48 47            32 31                             0
//!         +----------------+----------------+--------------------------------+
//! word 0  | MAGIC          | flags          | length: payload bytes          |
//!         +----------------+----------------+--------------------------------+
//! word 1  | sequence: 0, 1, 2 … in each ring                                |
//!         +---------------------------------+--------------------------------+
//! word 2  | CRC-32                          | remaining: bytes of the        |
//!         |                                 | message from here on           |
//!         +---------------------------------+--------------------------------+
//! ```
//!
//! A message larger than a record is split: the first carries [`FIRST`] and the message's size in `remaining`,
//! each further one what is still to come; in the last, `remaining` equals `length`. The checksum covers the
//! session's number, the header and the payload with its padding, so that a record of another session or of
//! the ring's other direction does not pass.

use crc32fast::Hasher;
use thiserror::Error;

use crate::limits::MESSAGE_BYTES;
use crate::shm::WORD;

/// Words of a header.
pub(crate) const HEADER: usize = 3;
/// In the top 16 bits of a record.
pub(crate) const MAGIC: u16 = 0x4847;
/// The record opens a message.
pub(crate) const FIRST: u16 = 1;

/// What a peer did to the ring that no honest peer does. The session is closed and cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Corruption {
    /// The writer's position left the ring, moved back, or claims more than fits. Positions are in words.
    #[error("write position {found} is not within {low}..={high}")]
    WritePosition {
        /// The position in shared memory.
        found: u64,
        /// The last position seen.
        low: u64,
        /// The read position plus the capacity.
        high: u64,
    },
    /// The reader's position left the ring, moved back, or passed the writer.
    #[error("read position {found} is not within {low}..={high}")]
    ReadPosition {
        /// The position in shared memory.
        found: u64,
        /// The last position seen.
        low: u64,
        /// The write position.
        high: u64,
    },
    /// A record that does not begin as records do.
    #[error("record {sequence} begins with {found:#06x}, not {MAGIC:#06x}")]
    Magic {
        /// The number that the record should have.
        sequence: u64,
        /// What stands there.
        found: u16,
    },
    /// Flags that this version does not know, or `FIRST` where it does not belong.
    #[error("record {sequence} has flags {found:#06x}, not {expected:#06x}")]
    Flags {
        /// The number of the record.
        sequence: u64,
        /// What stands there.
        found: u16,
        /// What belongs there.
        expected: u16,
    },
    /// A record out of order.
    #[error("record numbered {found} where {expected} is due")]
    Sequence {
        /// What stands there.
        found: u64,
        /// What belongs there.
        expected: u64,
    },
    /// An empty record, one above the limit, or one that ends behind what was published.
    #[error("record {sequence} claims {length} bytes; 1 to {limit} are possible")]
    Length {
        /// The number of the record.
        sequence: u64,
        /// Bytes claimed.
        length: u32,
        /// Bytes possible.
        limit: u64,
    },
    /// A message larger than allowed, or parts that do not add up to it.
    #[error("record {sequence} claims {found} bytes of its message to come, {expected}")]
    Remaining {
        /// The number of the record.
        sequence: u64,
        /// Bytes claimed.
        found: u32,
        /// What was possible.
        expected: RemainingBounds,
    },
    /// The checksum does not agree.
    #[error("record {sequence} has checksum {found:#010x}, its content {computed:#010x}")]
    Checksum {
        /// The number of the record.
        sequence: u64,
        /// What stands in the header.
        found: u32,
        /// What the copied content gives.
        computed: u32,
    },
    /// The bytes of a message are not one.
    #[error("the message that ends with record {sequence} does not decode: {reason}")]
    Message {
        /// The number of the message's last record.
        sequence: u64,
        /// The decoder's words.
        reason: String,
    },
}

/// Which values of `remaining` a record may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemainingBounds {
    /// The least.
    pub low: u32,
    /// The most.
    pub high: u32,
}

impl std::fmt::Display for RemainingBounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not within {}..={}", self.low, self.high)
    }
}

/// A record's header, copied out of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: u16,
    /// Payload bytes.
    pub(crate) length: u32,
    pub(crate) sequence: u64,
    pub(crate) remaining: u32,
    pub(crate) checksum: u32,
}

/// What the reader knows about the record to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) sequence: u64,
    /// Payload bytes that were published and that a record may have.
    pub(crate) length_limit: u64,
    /// Bytes of an open message still to come; `None` between messages.
    pub(crate) remaining: Option<u32>,
}

impl Header {
    /// The three words, checksum included.
    pub(crate) fn encode(&self) -> [u64; HEADER] {
        let [w0, w1, w2] = self.words_without_checksum();
        [w0, w1, w2 | u64::from(self.checksum) << 32]
    }

    fn words_without_checksum(&self) -> [u64; HEADER] {
        let w0 = u64::from(MAGIC) << 48 | u64::from(self.flags) << 32 | u64::from(self.length);
        [w0, self.sequence, u64::from(self.remaining)]
    }

    /// The header in `words`, if it is the one that is due. The checksum is not looked at yet.
    pub(crate) fn decode(words: [u64; HEADER], expected: &Expected) -> Result<Self, Corruption> {
        let [w0, found_sequence, w2] = words;
        let sequence = expected.sequence;
        let magic = (w0 >> 48) as u16;
        if magic != MAGIC {
            return Err(Corruption::Magic {
                sequence,
                found: magic,
            });
        }
        if found_sequence != sequence {
            return Err(Corruption::Sequence {
                found: found_sequence,
                expected: sequence,
            });
        }
        let flags = (w0 >> 32) as u16;
        let expected_flags = if expected.remaining.is_none() { FIRST } else { 0 };
        if flags != expected_flags {
            return Err(Corruption::Flags {
                sequence,
                found: flags,
                expected: expected_flags,
            });
        }
        let length = w0 as u32;
        if length == 0 || u64::from(length) > expected.length_limit {
            return Err(Corruption::Length {
                sequence,
                length,
                limit: expected.length_limit,
            });
        }
        let remaining = w2 as u32;
        let bounds = match expected.remaining {
            None => RemainingBounds {
                low: length,
                high: MESSAGE_BYTES as u32,
            },
            Some(exactly) => RemainingBounds {
                low: exactly,
                high: exactly,
            },
        };
        if !(bounds.low..=bounds.high).contains(&remaining) || remaining < length {
            return Err(Corruption::Remaining {
                sequence,
                found: remaining,
                expected: bounds,
            });
        }
        Ok(Self {
            flags,
            length,
            sequence,
            remaining,
            checksum: (w2 >> 32) as u32,
        })
    }

    /// The checksum of this header and `payload`, padding included, in the session and direction of `seed`.
    pub(crate) fn compute_checksum(&self, seed: u64, payload: &[u8]) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(&seed.to_le_bytes());
        for word in self.words_without_checksum() {
            hasher.update(&word.to_le_bytes());
        }
        hasher.update(payload);
        hasher.update(&[0; WORD][..padding(payload.len())]);
        hasher.finalize()
    }
}

/// Zero bytes between a payload's end and the next word.
pub(crate) fn padding(length: usize) -> usize {
    length.next_multiple_of(WORD) - length
}
