//! Frames that come.

use super::calm;
use super::incoming::{Lost, Received, Sections, Taken};
use super::{H2Connection, MAX_STREAMS};
use crate::buffer::Buffer;
use crate::h2::frame::{self, ErrorCode, FRAME_HEAD, FrameHead, FrameKind, PREFACE};

/// Streams that we have reset whose frames may still be on their way.
const REMEMBERED: usize = MAX_STREAMS as usize;

impl H2Connection {
    /// Takes what lies in `inbox`, up to the next fields that somebody has to look at, which are in `sections` then.
    pub(crate) fn receive(&mut self, inbox: &mut Buffer, sections: &mut Sections) -> Result<Received, Lost> {
        if !self.incoming.greeted {
            let bytes = inbox.bytes();
            let length = bytes.len().min(PREFACE.len());
            if bytes[..length] != PREFACE[..length] {
                return Err(Lost(ErrorCode::PROTOCOL_ERROR, "there is no preface"));
            }
            if length < PREFACE.len() {
                return Ok(Received::Nothing);
            }
            inbox.consume(length);
            self.incoming.greeted = true;
        }
        loop {
            if self.incoming.data.is_some() && !self.take_data(inbox) {
                return Ok(Received::Nothing);
            }
            let Some(head) = FrameHead::read(inbox.bytes()) else {
                return Ok(Received::Nothing);
            };
            self.check(head)?;
            let step = if head.kind == FrameKind::Data {
                match self.begin_data(head, inbox)? {
                    true => None,
                    false => return Ok(Received::Nothing),
                }
            } else {
                let Some(payload) = inbox.bytes().get(FRAME_HEAD..FRAME_HEAD + head.length) else {
                    return Ok(Received::Nothing);
                };
                let step = self.take(head, payload, sections)?;
                inbox.consume(FRAME_HEAD + head.length);
                step
            };
            if let Some(received) = step {
                return Ok(received);
            }
        }
    }

    /// What is wrong with a frame before its payload is looked at.
    fn check(&self, head: FrameHead) -> Result<(), Lost> {
        let protocol = |reason| Err(Lost(ErrorCode::PROTOCOL_ERROR, reason));
        if head.length > frame::MAX_PAYLOAD {
            return Err(Lost(
                ErrorCode::FRAME_SIZE_ERROR,
                "a frame is larger than we take",
            ));
        }
        if !self.incoming.settled && (head.kind != FrameKind::Settings || head.has(frame::ACK)) {
            return protocol("the first frame is not SETTINGS");
        }
        match &self.incoming.block {
            Some(block) if head.kind != FrameKind::Continuation || head.stream != block.stream => {
                return protocol("a header block is interrupted");
            }
            None if head.kind == FrameKind::Continuation => return protocol("nothing is to be continued"),
            _ => {}
        }
        let of_stream = match head.kind {
            FrameKind::Data | FrameKind::Headers | FrameKind::Priority | FrameKind::RstStream => true,
            FrameKind::Settings | FrameKind::Ping | FrameKind::GoAway => false,
            FrameKind::PushPromise => return protocol("nobody may push anything to us"),
            FrameKind::Continuation | FrameKind::WindowUpdate | FrameKind::Unknown => return Ok(()),
        };
        if of_stream != (head.stream != 0) {
            return protocol("a frame is of no stream, or of one and belongs to none");
        }
        Ok(())
    }

    /// Takes a whole frame that is not DATA.
    fn take(&mut self, head: FrameHead, payload: &[u8], sections: &mut Sections) -> Taken {
        let size = |good: bool| {
            let lost = Lost(
                ErrorCode::FRAME_SIZE_ERROR,
                "a frame has not the size that it has to have",
            );
            if good { Ok(()) } else { Err(lost) }
        };
        match head.kind {
            FrameKind::Headers => {
                let block = frame::stripped(head, payload)
                    .map_err(|why| Lost(why, "the padding is larger than the frame"))?;
                return self.headers(head, block, sections);
            }
            FrameKind::Continuation => return self.continuation(head, payload, sections),
            FrameKind::Priority => {
                self.costs(1)?;
                if payload.len() != 5 {
                    self.stream_error(head.stream, ErrorCode::FRAME_SIZE_ERROR)?;
                }
            }
            FrameKind::RstStream => {
                size(payload.len() == 4)?;
                self.reset_by_peer(head.stream, ErrorCode(frame::number_of(payload)))?;
            }
            FrameKind::Settings => {
                size(payload.len().is_multiple_of(6) && (!head.has(frame::ACK) || payload.is_empty()))?;
                self.settings(head, payload)?;
            }
            FrameKind::Ping => {
                size(payload.len() == 8)?;
                self.ping(head, payload)?;
            }
            FrameKind::GoAway => {
                size(payload.len() >= 8)?;
                self.costs(1)?;
                self.told_to_leave(frame::number(payload));
            }
            FrameKind::WindowUpdate => {
                size(payload.len() == 4)?;
                self.window_update(head.stream, frame::number(payload))?;
            }
            FrameKind::Data | FrameKind::PushPromise | FrameKind::Unknown => self.costs(1)?,
        }
        Ok(None)
    }

    /// Takes something that brings nobody anything.
    pub(super) fn costs(&mut self, cost: u32) -> Result<(), Lost> {
        if self.calm.takes(cost, self.now) {
            return Ok(());
        }
        Err(Lost(
            ErrorCode::ENHANCE_YOUR_CALM,
            "more frames than anything needs",
        ))
    }

    /// Ends a stream, whether or not it is there.
    pub(super) fn stream_error(&mut self, id: u32, why: ErrorCode) -> Result<(), Lost> {
        self.costs(calm::RESET)?;
        match self.streams.find(id) {
            Some(place) => self.reset(place, why),
            None if id > self.last => return Err(Lost(why, "a stream that is not there has an error")),
            None => self.write_reset(id, why),
        }
        Ok(())
    }

    pub(super) fn remember_reset(&mut self, id: u32) {
        let reset = &mut self.incoming.reset;
        if reset.len() >= REMEMBERED {
            reset.remove(0);
        }
        reset.push(id);
    }

    /// A frame for a stream that is over: whether that is to be passed over, since the client did not know.
    pub(super) fn is_late(&self, id: u32) -> bool {
        self.incoming.reset.contains(&id)
    }
}
