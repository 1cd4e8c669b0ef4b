//! What a block is made of (RFC 7541, section 5).

use std::ops::Range;

use super::{CompressionError, huffman};

/// What is left of a block.
pub(super) struct Block<'b>(pub(super) &'b [u8]);

/// Where a string is.
pub(super) enum StringPlace<'b> {
    /// In the block, or in the static table.
    Here(&'b [u8]),
    Scratch(Range<usize>),
}

impl<'b> StringPlace<'b> {
    pub(super) fn of(&self, scratch: &'b [u8]) -> &'b [u8] {
        match self {
            Self::Here(text) => text,
            // Of this very scratch.
            Self::Scratch(range) => scratch.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl<'b> Block<'b> {
    /// An integer of which the first byte has `prefix` bits (section 5.1). No more bytes are read than a `u32` may need.
    pub(super) fn integer(&mut self, prefix: u32) -> Result<usize, CompressionError> {
        const CUT: CompressionError = CompressionError("the block ends within an integer");
        const LARGE: CompressionError = CompressionError("an integer is too large");
        let (first, mut rest) = self.0.split_first().ok_or(CUT)?;
        let most = (1_u32 << prefix) - 1;
        let mut number = u32::from(*first) & most;
        if number == most {
            for shift in (0..).step_by(7) {
                let (byte, behind) = rest.split_first().ok_or(CUT)?;
                rest = behind;
                let part = u32::from(byte & 0x7f);
                if shift > 28 || part > u32::MAX >> shift {
                    return Err(LARGE);
                }
                number = number.checked_add(part << shift).ok_or(LARGE)?;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        self.0 = rest;
        usize::try_from(number).map_err(|_| LARGE)
    }

    /// A string (section 5.2), which is added to `scratch` if it is coded.
    pub(super) fn string(&mut self, scratch: &mut Vec<u8>) -> Result<StringPlace<'b>, CompressionError> {
        const CUT: CompressionError = CompressionError("the block ends within a string");
        let coded = self.0.first().ok_or(CUT)? & 0x80 != 0;
        let length = self.integer(7)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        if !coded {
            return Ok(StringPlace::Here(text));
        }
        let start = scratch.len();
        huffman::decode(text, scratch)?;
        Ok(StringPlace::Scratch(start..scratch.len()))
    }
}
