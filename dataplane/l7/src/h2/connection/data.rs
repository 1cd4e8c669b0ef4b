//! DATA that comes (RFC 9113, section 6.1): moved to its stream as it arrives, whether or not its frame is whole.

use super::H2Connection;
use super::Parting;
use super::incoming::{DataRest, Lost};
use super::streams::ResetBy;
use crate::buffer::Buffer;
use crate::h2::frame::{self, ErrorCode, FRAME_HEAD, FrameHead};

impl H2Connection {
    /// Begins with a DATA frame, of which what matters has come. `false` where it has not.
    pub(super) fn begin_data(&mut self, head: FrameHead, inbox: &mut Buffer) -> Result<bool, Lost> {
        let mut padding = 0;
        let mut before = FRAME_HEAD;
        if head.has(frame::PADDED) && head.length > 0 {
            let Some(length) = inbox.bytes().get(FRAME_HEAD) else {
                return Ok(false);
            };
            (padding, before) = (usize::from(*length), FRAME_HEAD + 1);
        }
        let head_of_payload = before - FRAME_HEAD;
        if head.has(frame::PADDED) && head.length < 1 + padding {
            return Err(Lost(
                ErrorCode::PROTOCOL_ERROR,
                "the padding is larger than the frame",
            ));
        }
        let data = head.length - head_of_payload - padding;
        inbox.consume(before);
        if !self.receive_window.arrives(head.length as u32) {
            return Err(Lost(
                ErrorCode::FLOW_CONTROL_ERROR,
                "more has come than the window allowed",
            ));
        }
        if data == 0 && !head.has(frame::END_STREAM) {
            self.costs(1)?;
        }
        self.calm.moves(data);
        self.admit_data(head, data)?;
        self.discard(head_of_payload + padding);
        self.incoming.data = Some(DataRest {
            stream: head.stream,
            data,
            padding,
            ends: head.has(frame::END_STREAM),
        });
        Ok(true)
    }

    /// Whether the stream of a DATA frame may have it.
    fn admit_data(&mut self, head: FrameHead, data: usize) -> Result<(), Lost> {
        let id = head.stream;
        let Some(place) = self.streams.find(id) else {
            if self.is_beyond(id) {
                return Err(Lost(ErrorCode::PROTOCOL_ERROR, "a stream begins with DATA"));
            }
            // What a pod says too late is no reason to give up what others have asked it.
            let told = self.asking.is_some() || self.parting == Parting::Closed || self.is_late(id);
            return if told {
                Ok(())
            } else {
                self.stream_error(id, ErrorCode::STREAM_CLOSED)
            };
        };
        let stream = &mut self.streams.known[place];
        if matches!(stream.reset, Some(ResetBy::Us | ResetBy::Loss)) {
            return Ok(());
        }
        if stream.remote_ended || stream.reset.is_some() {
            return self.stream_error(id, ErrorCode::STREAM_CLOSED);
        }
        if stream.asks && !stream.answered {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        if !stream.receive_window.arrives(head.length as u32) {
            return self.stream_error(id, ErrorCode::FLOW_CONTROL_ERROR);
        }
        if let Some(left) = &mut stream.expected {
            let data = data as u64;
            if *left < data || head.has(frame::END_STREAM) && *left > data {
                return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
            }
            *left -= data;
        }
        // Nobody reads padding.
        self.stream_reads(place, head.length - data);
        Ok(())
    }

    /// Moves what has come of a DATA frame to its stream. `false` where more is to come.
    pub(super) fn take_data(&mut self, inbox: &mut Buffer) -> bool {
        let Some(rest) = &mut self.incoming.data else {
            return true;
        };
        let length = rest.data.min(inbox.len());
        rest.data -= length;
        let (id, ends) = (rest.stream, rest.ends && rest.data == 0);
        let done = rest.data == 0;
        let padding = if done {
            rest.padding.min(inbox.len() - length)
        } else {
            0
        };
        rest.padding -= padding;
        let whole = done && rest.padding == 0;
        let place = self
            .streams
            .find(id)
            .filter(|place| self.streams.known[*place].reset.is_none());
        match place {
            Some(place) => {
                let stream = &mut self.streams.known[place];
                let news = length > 0 || ends && !stream.remote_ended;
                stream.inbox.append(&inbox.bytes()[..length]);
                stream.remote_ended |= ends;
                if news {
                    stream.wake();
                }
            }
            None => self.discard(length),
        }
        inbox.consume(length + padding);
        if whole {
            self.incoming.data = None;
        }
        whole
    }
}
