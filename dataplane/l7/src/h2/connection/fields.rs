//! Header blocks that come: what begins a stream, and what ends one behind its body.

use super::incoming::{HeaderBlock, Lost, Received, Sections, Taken};
use super::streams::{ResetBy, StreamState};
use super::{H2Connection, MAX_STREAMS, Parting, STREAM_WINDOW};
use crate::h1::MAX_HEAD;
use crate::h2::frame::{self, ErrorCode, FrameHead};

/// Bytes of a header block, as it is coded, at most; what is larger is no head that anybody would answer.
const MAX_BLOCK: usize = 2 * MAX_HEAD;

const BEGINS_AGAIN: Lost = Lost(ErrorCode::STREAM_CLOSED, "a stream that is over begins again");

impl H2Connection {
    pub(super) fn headers(&mut self, head: FrameHead, block: &[u8], sections: &mut Sections) -> Taken {
        let ends = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.fields(head.stream, ends, block, sections);
        }
        self.incoming.block = Some(HeaderBlock {
            stream: head.stream,
            ends,
            bytes: block.to_vec(),
        });
        Ok(None)
    }

    pub(super) fn continuation(&mut self, head: FrameHead, more: &[u8], sections: &mut Sections) -> Taken {
        // Small ones without end are CVE-2024-27316.
        self.costs(1)?;
        let Some(mut block) = self.incoming.block.take() else {
            return Ok(None);
        };
        if block.bytes.len() + more.len() > MAX_BLOCK {
            return Err(Lost(
                ErrorCode::ENHANCE_YOUR_CALM,
                "a header block has more than 64 KiB",
            ));
        }
        block.bytes.extend_from_slice(more);
        if head.has(frame::END_HEADERS) {
            return self.fields(block.stream, block.ends, &block.bytes, sections);
        }
        self.incoming.block = Some(block);
        Ok(None)
    }

    /// Reads a whole header block, which must be read whatever becomes of its stream: the next ones build on it.
    fn fields(&mut self, id: u32, ends: bool, block: &[u8], sections: &mut Sections) -> Taken {
        let known = self.streams.find(id);
        let answers = self.asking.is_some();
        let follows = known.is_some_and(|place| !answers || self.streams.known[place].answered);
        let decoded = match follows {
            true => {
                sections.trailers.clear();
                self.decoder
                    .decode(block, |name, value| sections.trailers.take(name, value))
            }
            false if answers => {
                sections.response.clear();
                self.decoder
                    .decode(block, |name, value| sections.response.take(name, value))
            }
            false => {
                sections.request.clear();
                self.decoder
                    .decode(block, |name, value| sections.request.take(name, value))
            }
        };
        decoded.map_err(|bad| Lost(ErrorCode::COMPRESSION_ERROR, bad.0))?;
        if id.is_multiple_of(2) {
            return Err(Lost(ErrorCode::PROTOCOL_ERROR, "a stream has an even number"));
        }
        match known {
            Some(place) if follows => return self.trailers(place, ends, sections),
            Some(place) => return self.answer(place, ends, sections),
            None => {}
        }
        if id <= self.last {
            if answers || self.is_late(id) {
                self.costs(1)?;
                return Ok(None);
            }
            return Err(BEGINS_AGAIN);
        }
        if answers {
            return Err(Lost(ErrorCode::PROTOCOL_ERROR, "what nobody asked is answered"));
        }
        if self.parting == Parting::Closed {
            // The client does not know yet, and will ask elsewhere.
            self.costs(1)?;
            return Ok(None);
        }
        self.last = id;
        if self.streams.len() >= MAX_STREAMS as usize {
            self.stream_error(id, ErrorCode::REFUSED_STREAM)?;
            return Ok(None);
        }
        Ok(Some(Received::Request(id, ends)))
    }

    /// The head of an answer, be it an interim one.
    fn answer(&mut self, place: usize, ends: bool, sections: &mut Sections) -> Taken {
        let stream = &mut self.streams.known[place];
        let id = stream.id;
        match stream.reset {
            Some(ResetBy::Us | ResetBy::Loss) => return self.costs(1).map(|()| None),
            Some(ResetBy::Peer | ResetBy::Refusal | ResetBy::Enough) => return Err(BEGINS_AGAIN),
            None => {}
        }
        stream.answered = !sections.response.is_interim();
        stream.remote_ended = ends;
        if !self.keep_head(place, &mut sections.response, ends) {
            self.stream_error(id, ErrorCode::ENHANCE_YOUR_CALM)?;
        }
        Ok(None)
    }

    fn trailers(&mut self, place: usize, ends: bool, sections: &Sections) -> Taken {
        let stream = &self.streams.known[place];
        let (id, over) = (stream.id, stream.remote_ended);
        match stream.reset {
            Some(ResetBy::Us | ResetBy::Loss) => return self.costs(1).map(|()| None),
            Some(ResetBy::Peer | ResetBy::Refusal | ResetBy::Enough) => return Err(BEGINS_AGAIN),
            None => {}
        }
        if over || !ends {
            let why = if over {
                ErrorCode::STREAM_CLOSED
            } else {
                ErrorCode::PROTOCOL_ERROR
            };
            self.stream_error(id, why)?;
            return Ok(None);
        }
        let lines = sections.trailers.finish().map(<[u8]>::to_vec);
        self.end_by_trailers(place, lines.ok())?;
        Ok(None)
    }

    /// Begins the stream of a request that may be answered.
    pub(crate) fn open(&mut self, id: u32, ends: bool, expected: Option<u64>) -> usize {
        let mut stream = StreamState::new(id, self.peer.window, STREAM_WINDOW, self.now);
        (stream.remote_ended, stream.expected) = (ends, expected);
        self.streams.add(stream)
    }

    /// Refuses a request whose fields are malformed (RFC 9113, section 8.1.1).
    pub(crate) fn refuse(&mut self, id: u32) -> Result<(), Lost> {
        self.stream_error(id, ErrorCode::PROTOCOL_ERROR)
    }

    /// The trailers that have come, as lines; `None` where they are malformed.
    fn end_by_trailers(&mut self, place: usize, lines: Option<Vec<u8>>) -> Result<(), Lost> {
        let stream = &mut self.streams.known[place];
        let short = stream.expected.is_some_and(|left| left > 0);
        match lines {
            Some(lines) if !short => {
                stream.trailers = lines;
                stream.remote_ended = true;
                stream.wake();
                Ok(())
            }
            _ => {
                let id = stream.id;
                self.stream_error(id, ErrorCode::PROTOCOL_ERROR)
            }
        }
    }
}
