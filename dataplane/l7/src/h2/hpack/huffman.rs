//! The Huffman code of strings (RFC 7541, section 5.2 and appendix B).

use super::CompressionError;

/// Bits of the code of each byte, and of EOS behind them. The code is canonical: of two codes the longer one is the larger
/// number, and of two of one length that of the larger byte. So the lengths are all there is to it.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];
const LONGEST: u32 = 30;

/// The codes by their lengths.
struct Codes {
    /// All symbols, the shorter codes first.
    symbols: [u16; 257],
    /// For each length the number of symbols with shorter codes, and the first code.
    lengths: [(u16, u32); LONGEST as usize + 1],
}

const CODES: Codes = {
    let (mut symbols, mut lengths) = ([0; 257], [(0, 0); LONGEST as usize + 1]);
    let (mut length, mut count, mut code) = (1, 0, 0_u32);
    while length <= LONGEST as usize {
        code <<= 1;
        lengths[length] = (count as u16, code);
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                symbols[count] = symbol as u16;
                count += 1;
                code += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    Codes { symbols, lengths }
};

/// Bits by which codes are looked up: two of what is frequent, or one of all printable characters that are not rare.
const LOOKED_UP: u32 = 12;

/// What the codes at the begin of some bits stand for, as far as they are whole.
#[derive(Clone, Copy)]
struct Pair {
    /// Two bytes, of which the second may be none.
    bytes: [u8; 2],
    /// 0 where the first code is longer than what is looked up.
    count: u8,
    /// Of the codes together.
    length: u8,
}

static PAIRS: [Pair; 1 << LOOKED_UP] = {
    let none = Pair {
        bytes: [0; 2],
        count: 0,
        length: 0,
    };
    let (mut pairs, mut bits) = ([none; 1 << LOOKED_UP], 0);
    while bits < pairs.len() {
        let place = (bits as u64) << (64 - LOOKED_UP);
        let (first, length) = code_at(place, LOOKED_UP);
        if length > 0 {
            let (second, more) = code_at(place << length, LOOKED_UP - length);
            pairs[bits] = Pair {
                bytes: [first as u8, second as u8],
                count: 1 + (more > 0) as u8,
                length: (length + more) as u8,
            };
        }
        bits += 1;
    }
    pairs
};

/// The symbol of the code at the begin of `bits`, and its length; of no symbol and 0 if that has more than `most` bits.
const fn code_at(bits: u64, most: u32) -> (u16, u32) {
    let mut length = 1;
    while length <= most && length <= LONGEST {
        let (before, first) = CODES.lengths[length as usize];
        let behind = if length < LONGEST {
            CODES.lengths[length as usize + 1].0
        } else {
            257
        };
        let place = ((bits >> (64 - length)) as u32).wrapping_sub(first);
        if place < (behind - before) as u32 {
            return (CODES.symbols[before as usize + place as usize], length);
        }
        length += 1;
    }
    (0, 0)
}

/// Adds what a string stands for, each byte of which may have become 8/5.
pub(super) fn decode(coded: &[u8], to: &mut Vec<u8>) -> Result<(), CompressionError> {
    to.reserve(coded.len() * 8 / 5 + 8);
    let mut bits = Bits::of(coded);
    loop {
        bits.fill();
        if bits.have < Bits::FOUR {
            return bits.finish(to);
        }
        let (mut word, mut count) = (0_u64, 0);
        for _ in 0..Bits::FOUR / LOOKED_UP {
            let pair = bits.pair();
            if pair.count == 0 {
                break;
            }
            word |= u64::from(u16::from_le_bytes(pair.bytes)) << (8 * count);
            count += u32::from(pair.count);
            bits.take(pair.length.into());
        }
        let length = to.len() + count as usize;
        to.extend_from_slice(&word.to_le_bytes());
        to.truncate(length);
        if bits.have >= LONGEST && bits.pair().count == 0 {
            let (byte, length) = bits.long_code()?;
            to.push(byte);
            bits.take(length);
        }
    }
}

/// The bits of a string.
struct Bits<'b> {
    /// Those that come next, from the top on.
    next: u64,
    /// How many of them there are, and maybe some of the byte behind them.
    have: u32,
    /// The bytes behind them.
    rest: &'b [u8],
}

impl<'b> Bits<'b> {
    /// So many are looked up four times.
    const FOUR: u32 = 4 * LOOKED_UP;
    /// There is no room for another byte beside so many.
    const FULL: u32 = 56;

    fn of(coded: &'b [u8]) -> Self {
        Self {
            next: 0,
            have: 0,
            rest: coded,
        }
    }

    /// Takes bytes as there is room for, and are left.
    fn fill(&mut self) {
        if let Some(word) = self.rest.first_chunk::<8>() {
            self.next |= u64::from_be_bytes(*word) >> self.have;
            let bytes = (63 - self.have) / 8;
            self.have += 8 * bytes;
            self.rest = &self.rest[bytes as usize..];
            return;
        }
        while self.have < Self::FULL
            && let [byte, rest @ ..] = self.rest
        {
            self.next |= u64::from(*byte) << (Self::FULL - self.have);
            self.have += 8;
            self.rest = rest;
        }
    }

    fn take(&mut self, length: u32) {
        self.next <<= length;
        self.have -= length;
    }

    fn pair(&self) -> Pair {
        PAIRS[(self.next >> (64 - LOOKED_UP)) as usize]
    }

    /// What a code stands for that is longer than what is looked up, and its length.
    #[cold]
    fn long_code(&self) -> Result<(u8, u32), CompressionError> {
        let (symbol, length) = code_at(self.next, LONGEST);
        let byte = u8::try_from(symbol).map_err(|_| CompressionError("a string goes on behind its end"))?;
        Ok((byte, length))
    }

    /// Adds what the last bits stand for, fewer than [`Self::FOUR`].
    fn finish(mut self, to: &mut Vec<u8>) -> Result<(), CompressionError> {
        // The shortest codes have five.
        let (mut room, mut length) = ([0; 16], 0);
        loop {
            // Padding is ones (section 5.2), so it is as if more of it followed.
            self.next |= u64::MAX >> self.have;
            if self.next == u64::MAX {
                break;
            }
            let pair = self.pair();
            let whole = u32::from(pair.length) <= self.have;
            let (bytes, count, bits) = match pair.count {
                0 => {
                    let (byte, bits) = self.long_code()?;
                    ([byte, 0], 1, bits)
                }
                2 if !whole => (pair.bytes, 1, LENGTHS[usize::from(pair.bytes[0])].into()),
                count => (pair.bytes, count, pair.length.into()),
            };
            if bits > self.have {
                break;
            }
            room[length] = bytes[0];
            room[length + 1] = bytes[1];
            length += usize::from(count);
            self.take(bits);
        }
        to.extend_from_slice(&room[..length]);
        if self.have > 7 || self.next != u64::MAX {
            return Err(CompressionError("the padding of a string is none"));
        }
        Ok(())
    }
}
