//! The chunked coding (RFC 9112, section 7.1), read byte by byte: a line ends with CR and LF and nothing else, a size is
//! hexadecimal digits, and what stands behind it is no control character.

/// Bytes of a line of a size and its extensions, at most.
const MAX_LINE: u16 = 4 << 10;
/// What many servers read a size into is an `i64`; and the line end behind the data is counted, too.
const MAX_SIZE: u64 = i64::MAX as u64;
/// Bytes of all trailers.
pub(crate) const MAX_TRAILERS: usize = 8 << 10;

/// What is wrong with the framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadFraming(pub(crate) &'static str);

/// Where the reader stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// Within a size.
    Digits,
    /// Blanks between a size and its extensions.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// Finds the data of chunks.
#[derive(Debug, Default)]
pub(crate) struct ChunkedReader {
    at: At,
    /// Bytes of the chunk that are left; the size while it is read.
    left: u64,
    /// Bytes of the line that were read.
    line: u16,
    /// The lines of trailers, as they came.
    pub(super) trailers: Vec<u8>,
}

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkStep {
    /// So many bytes of framing, and no more of them are here.
    Framing(usize),
    /// So many bytes of framing, and then so many of data.
    Data(usize, usize),
    /// So many bytes of framing, with which the body ends.
    End(usize),
}

impl ChunkedReader {
    /// Looks at what is next; `bytes` that are told of are never seen again.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<ChunkStep, BadFraming> {
        for (place, byte) in bytes.iter().enumerate() {
            if self.at == At::Data {
                let length = usize::try_from(self.left)
                    .map_or(bytes.len() - place, |left| left.min(bytes.len() - place));
                self.left -= length as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                return Ok(ChunkStep::Data(place, length));
            }
            self.byte(*byte)?;
            if self.at == At::End {
                return Ok(ChunkStep::End(place + 1));
            }
        }
        Ok(ChunkStep::Framing(bytes.len()))
    }

    fn byte(&mut self, byte: u8) -> Result<(), BadFraming> {
        self.at = match self.at {
            At::Size => {
                (self.left, self.line) = (digit(byte).ok_or(BadFraming("a chunk's size is no number"))?, 1);
                At::Digits
            }
            At::Digits | At::Blank | At::Extension => self.size(byte)?,
            At::SizeLf => {
                expect(byte, b'\n', "a chunk's size does not end with a line")?;
                if self.left == 0 {
                    At::TrailerStart
                } else {
                    At::Data
                }
            }
            At::DataCr => {
                expect(byte, b'\r', "a chunk is longer than its size")?;
                At::DataLf
            }
            At::DataLf => {
                expect(byte, b'\n', "a chunk is longer than its size")?;
                At::Size
            }
            At::TrailerStart if byte == b'\r' => At::EndLf,
            At::TrailerStart | At::Trailer => self.trailer(byte)?,
            At::TrailerLf => {
                expect(byte, b'\n', "a trailer does not end with a line")?;
                self.trailers.extend_from_slice(b"\r\n");
                At::TrailerStart
            }
            At::EndLf => {
                expect(byte, b'\n', "the last chunk does not end with a line")?;
                At::End
            }
            At::Data | At::End => self.at,
        };
        Ok(())
    }

    /// A byte of a size's line, after the first digit.
    fn size(&mut self, byte: u8) -> Result<At, BadFraming> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(BadFraming("a chunk's extensions are too long"));
        }
        match (self.at, byte) {
            (_, b'\r') => Ok(At::SizeLf),
            (At::Digits, byte) if digit(byte).is_some() => {
                let size = self
                    .left
                    .checked_mul(16)
                    .map(|size| size | digit(byte).unwrap_or_default());
                self.left = size
                    .filter(|size| *size < MAX_SIZE)
                    .ok_or(BadFraming("a chunk's size is too large"))?;
                Ok(At::Digits)
            }
            (At::Digits | At::Blank, b';') => Ok(At::Extension),
            (At::Digits | At::Blank, b' ' | b'\t') => Ok(At::Blank),
            (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => Ok(At::Extension),
            _ => Err(BadFraming("a chunk's size is no number")),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<At, BadFraming> {
        match byte {
            b'\r' => return Ok(At::TrailerLf),
            b'\n' | 0 => return Err(BadFraming("a trailer does not end with a line")),
            _ => {}
        }
        if self.trailers.len() >= MAX_TRAILERS {
            return Err(BadFraming("the trailers are too long"));
        }
        self.trailers.push(byte);
        Ok(At::Trailer)
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

fn expect(byte: u8, wanted: u8, reason: &'static str) -> Result<(), BadFraming> {
    if byte == wanted {
        Ok(())
    } else {
        Err(BadFraming(reason))
    }
}
