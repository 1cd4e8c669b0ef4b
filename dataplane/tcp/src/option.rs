//! TcpOptions of the TCP header: read from segments that come, written into those that go.

use headgate_net::wire::tcp;

use crate::sequence::Seq;

/// Kinds (RFC 9293, section 3.1; RFC 2018; RFC 7323).
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
}

/// How the timestamps option stands in nearly all segments: two NOPs, kind, length (RFC 7323, appendix A).
const ALIGNED_TIMESTAMPS: [u8; 4] = [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10];
/// Bytes of the timestamps option with its padding.
pub(crate) const TIMESTAMPS_LEN: usize = 12;
/// RFC 7323, section 2.3.
pub(crate) const MAX_SCALE: u8 = 14;
/// Most that a header has room for.
const MAX_LEN: usize = 40;

/// The timestamps option (RFC 7323, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamps {
    pub(crate) value: u32,
    pub(crate) echo: u32,
}

/// Up to four ranges of sequence numbers: first, and after the last (RFC 2018, section 3).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SackBlocks {
    blocks: [(Seq, Seq); 4],
    count: u8,
}

impl SackBlocks {
    /// Adds a block where there is room.
    pub(crate) fn push(&mut self, start: Seq, end: Seq) {
        if let Some(block) = self.blocks.get_mut(usize::from(self.count)) {
            *block = (start, end);
            self.count += 1;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        self.blocks[..usize::from(self.count)].iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.count)
    }
}

/// What the options of a segment say. What is malformed or unknown says nothing (RFC 9293, MUST-7).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TcpOptions {
    pub(crate) mss: Option<u16>,
    /// Not above [`MAX_SCALE`].
    pub(crate) scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: Option<Timestamps>,
    pub(crate) sacks: SackBlocks,
}

impl TcpOptions {
    /// Reads the bytes between the header's fixed part and the data.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if bytes.len() == TIMESTAMPS_LEN && bytes[..4] == ALIGNED_TIMESTAMPS {
            return Self {
                timestamps: timestamps(&bytes[4..]),
                ..Self::default()
            };
        }
        Self::parse(bytes)
    }

    fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        loop {
            match bytes {
                [] | [kind::END, ..] => return options,
                [kind::NOP, rest @ ..] => bytes = rest,
                [kind, length, ..] if *length >= 2 && usize::from(*length) <= bytes.len() => {
                    let (option, rest) = bytes.split_at(usize::from(*length));
                    options.take(*kind, &option[2..]);
                    bytes = rest;
                }
                _ => return options,
            }
        }
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (kind::MSS, [high, low]) => self.mss = Some(u16::from_be_bytes([*high, *low])),
            (kind::SCALE, [scale]) => self.scale = Some((*scale).min(MAX_SCALE)),
            (kind::SACK_PERMITTED, []) => self.sack_permitted = true,
            (kind::TIMESTAMPS, body) => self.timestamps = timestamps(body).or(self.timestamps),
            (kind::SACK, body) if body.len() % 8 == 0 => {
                for block in body.chunks_exact(8) {
                    if let (Some(start), Some(end)) = (long(block), long(&block[4..])) {
                        self.sacks.push(Seq(start), Seq(end));
                    }
                }
            }
            _ => {}
        }
    }
}

fn timestamps(body: &[u8]) -> Option<Timestamps> {
    (body.len() == 8).then_some(Timestamps {
        value: long(body)?,
        echo: long(&body[4..])?,
    })
}

fn long(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// TcpOptions for a segment that goes, a multiple of four bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptionBytes {
    bytes: [u8; MAX_LEN],
    length: usize,
}

impl OptionBytes {
    pub(crate) const NONE: Self = Self {
        bytes: [0; MAX_LEN],
        length: 0,
    };

    fn push<const N: usize>(&mut self, option: [u8; N]) {
        self.bytes[self.length..self.length + N].copy_from_slice(&option);
        self.length += N;
    }

    /// Of a SYN.
    pub(crate) fn of_syn(mss: u16, scale: Option<u8>, sack: bool, timestamps: Option<Timestamps>) -> Self {
        let mut written = Self::NONE;
        let [high, low] = mss.to_be_bytes();
        written.push([kind::MSS, 4, high, low]);
        if let Some(timestamps) = timestamps {
            written.timestamps(timestamps);
        }
        if sack {
            written.push([kind::NOP, kind::NOP, kind::SACK_PERMITTED, 2]);
        }
        if let Some(scale) = scale {
            written.push([kind::NOP, kind::SCALE, 3, scale]);
        }
        written
    }

    /// Of any other segment. As many blocks as fit: three beside timestamps.
    pub(crate) fn of_segment(timestamps: Option<Timestamps>, blocks: &SackBlocks) -> Self {
        let mut written = Self::NONE;
        if let Some(timestamps) = timestamps {
            written.timestamps(timestamps);
        }
        let count = Self::blocks_that_fit(blocks, timestamps.is_some());
        if count > 0 {
            written.push([kind::NOP, kind::NOP, kind::SACK, 2 + 8 * count as u8]);
            for (start, end) in blocks.iter().take(count) {
                written.push(start.0.to_be_bytes());
                written.push(end.0.to_be_bytes());
            }
        }
        written
    }

    /// Bytes that the blocks of a segment take, with their padding.
    pub(crate) fn blocks_len(blocks: &SackBlocks, beside_timestamps: bool) -> usize {
        match Self::blocks_that_fit(blocks, beside_timestamps) {
            0 => 0,
            count => 4 + 8 * count,
        }
    }

    fn blocks_that_fit(blocks: &SackBlocks, beside_timestamps: bool) -> usize {
        let taken = if beside_timestamps { TIMESTAMPS_LEN } else { 0 };
        blocks.len().min((MAX_LEN - taken - 4) / 8)
    }

    fn timestamps(&mut self, timestamps: Timestamps) {
        self.push(ALIGNED_TIMESTAMPS);
        self.push(timestamps.value.to_be_bytes());
        self.push(timestamps.echo.to_be_bytes());
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Bytes of the header with these options.
    pub(crate) const fn header_len(&self) -> usize {
        tcp::HEADER + self.length
    }
}

#[cfg(test)]
mod tests;
