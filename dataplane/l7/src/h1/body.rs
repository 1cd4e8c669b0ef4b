//! Bodies on their way: where they end, and how they are framed for the next hop.

use std::io::Write as _;

use httparse::{EMPTY_HEADER, Status};

pub(crate) use super::chunked::{BadFraming, MAX_TRAILERS};
use super::chunked::{ChunkStep, ChunkedReader};
use super::fields::is_no_trailer;
use super::{Framing, MAX_HEADERS};
use crate::buffer::{Buffer, Spare};

/// Finds the bytes of a body among those that follow a head.
#[derive(Debug)]
pub(crate) enum BodyReader {
    /// Everything was read.
    Done,
    Length(u64),
    Chunked(Box<ChunkedReader>),
    UntilClose,
}

/// What is left of a body is read and thrown away up to so many bytes, so that the connection can stay where the request is
/// answered before its end.
const SHORT_REST: u64 = 256 << 10;

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes of framing before the data.
    pub(crate) skip: usize,
    /// Bytes of data.
    pub(crate) length: usize,
}

impl BodyReader {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// How many bytes are left, where that is known.
    fn left(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Whether so little is left that it is worth reading for the sake of the connection.
    pub(crate) fn is_short(&self) -> bool {
        self.left().is_some_and(|left| left <= SHORT_REST)
    }

    /// The next piece of `bytes`, which is read with it; trailers are added to `trailers` at the end. Nothing is read where
    /// nothing is left of `bytes` or the body.
    pub(crate) fn next(&mut self, bytes: &[u8], trailers: &mut Vec<u8>) -> Result<Piece, BadFraming> {
        let (skip, length) = match self {
            Self::Done => (0, 0),
            Self::Length(left) => {
                let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= length as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                (0, length)
            }
            Self::Chunked(chunks) => match chunks.step(bytes)? {
                ChunkStep::Framing(skip) => (skip, 0),
                ChunkStep::Data(skip, length) => (skip, length),
                ChunkStep::End(skip) => {
                    passed_on(&chunks.trailers, trailers)?;
                    *self = Self::Done;
                    (skip, 0)
                }
            },
            Self::UntilClose => (0, bytes.len()),
        };
        Ok(Piece { skip, length })
    }

    /// The connection has ended; whether the body has, too.
    pub(crate) fn close(&mut self) -> bool {
        if matches!(self, Self::UntilClose) {
            *self = Self::Done;
        }
        self.is_done()
    }
}

/// Writes the trailers that may be passed on.
fn passed_on(lines: &[u8], to: &mut Vec<u8>) -> Result<(), BadFraming> {
    if lines.is_empty() {
        return Ok(());
    }
    const BAD: BadFraming = BadFraming("a trailer is no header field");
    let whole = [lines, b"\r\n"].concat();
    let mut fields = [EMPTY_HEADER; MAX_HEADERS];
    let Ok(Status::Complete((_, fields))) = httparse::parse_headers(&whole, &mut fields) else {
        return Err(BAD);
    };
    for field in fields
        .iter()
        .filter(|field| !is_no_trailer(field.name.as_bytes()))
    {
        for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
            to.extend_from_slice(part);
        }
    }
    Ok(())
}

/// Frames a body for the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyWriter {
    /// As it is: its length was told, or it ends with the connection.
    Raw,
    Chunked,
}

impl BodyWriter {
    /// Adds a piece, which is not empty.
    pub(crate) fn piece(self, piece: &[u8], to: &mut Vec<u8>) {
        if self == Self::Chunked {
            // Into memory, which takes everything.
            let _ = write!(to, "{:x}\r\n", piece.len());
            to.extend_from_slice(piece);
            to.extend_from_slice(b"\r\n");
        } else {
            to.extend_from_slice(piece);
        }
    }

    /// Moves a piece, which is not empty, from the front of one buffer to the end of another; all that lies there goes as it is where
    /// nothing stands before it.
    pub(crate) fn carry(self, length: usize, from: &mut Buffer, to: &mut Buffer, spare: &mut Spare) {
        if self == Self::Raw && length == from.len() && to.is_empty() {
            return to.trade(from);
        }
        self.piece(&from.bytes()[..length], to.fill(spare));
        from.consume(length);
    }

    /// Adds what ends the body, with trailers as lines.
    pub(crate) fn end(self, trailers: &[u8], to: &mut Vec<u8>) {
        if self == Self::Chunked {
            for part in [&b"0\r\n"[..], trailers, b"\r\n"] {
                to.extend_from_slice(part);
            }
        }
    }
}
