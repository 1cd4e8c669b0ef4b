//! Frames that come and say something of the connection or of a stream.

use super::incoming::Lost;
use super::streams::ResetBy;
use super::{H2Connection, PARTING_PING, Parting, TABLE, calm};
use crate::h2::frame::{self, ErrorCode, FrameHead, FrameKind, settings};

/// Bytes of settings that cost as much as a frame: more than there are kinds of them.
const SETTINGS_FOR_ONE: usize = 10 * 6;

impl H2Connection {
    pub(super) fn reset_by_peer(&mut self, id: u32, why: ErrorCode) -> Result<(), Lost> {
        if self.is_beyond(id) {
            return Err(Lost(
                ErrorCode::PROTOCOL_ERROR,
                "a stream is reset that never began",
            ));
        }
        self.costs(calm::RESET)?;
        if let Some(place) = self.streams.find(id) {
            let stream = &mut self.streams.known[place];
            if stream.asks && stream.remote_ended {
                // The answer is whole (RFC 9113, section 8.1).
                stream.reset.get_or_insert(ResetBy::Enough);
                stream.wake();
                return Ok(());
            }
            let refused = stream.asks && why == ErrorCode::REFUSED_STREAM;
            let by = if refused { ResetBy::Refusal } else { ResetBy::Peer };
            let unread = std::mem::take(&mut stream.inbox).len();
            stream.reset.get_or_insert(by);
            stream.wake();
            self.discard(unread);
        }
        Ok(())
    }

    pub(super) fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Lost> {
        self.incoming.settled = true;
        // Each of them may look at all streams.
        self.costs(1 + (payload.len() / SETTINGS_FOR_ONE) as u32)?;
        if head.has(frame::ACK) {
            return Ok(());
        }
        for (name, value) in frame::pairs(payload) {
            match name {
                settings::ENABLE_PUSH if value > u32::from(self.asking.is_none()) => {
                    return Err(Lost(
                        ErrorCode::PROTOCOL_ERROR,
                        "ENABLE_PUSH is none that there may be",
                    ));
                }
                settings::MAX_CONCURRENT_STREAMS => self.limit_streams(value),
                settings::INITIAL_WINDOW_SIZE => self.resize_windows(value)?,
                settings::MAX_FRAME_SIZE => {
                    let value = usize::try_from(value).unwrap_or(usize::MAX);
                    if !(frame::MAX_PAYLOAD..1 << 24).contains(&value) {
                        return Err(Lost(ErrorCode::PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of bounds"));
                    }
                    // Larger ones would only keep other streams waiting.
                    self.peer.max_payload = value.min(frame::MAX_PAYLOAD);
                }
                settings::HEADER_TABLE_SIZE if (value as usize) < TABLE => self.peer.table.shrinks(),
                // We push nothing.
                _ => {}
            }
        }
        frame::write(FrameKind::Settings, frame::ACK, 0, &[], self.out.own());
        Ok(())
    }

    /// The windows of streams change with what they began with (RFC 9113, section 6.9.2).
    fn resize_windows(&mut self, size: u32) -> Result<(), Lost> {
        const LARGE: Lost = Lost(
            ErrorCode::FLOW_CONTROL_ERROR,
            "a window is larger than there may be",
        );
        if size > frame::MAX_WINDOW {
            return Err(LARGE);
        }
        let more = i64::from(size) - i64::from(self.peer.window);
        self.peer.window = size;
        for stream in self.streams.iter_mut() {
            stream.send_window += more;
            if stream.send_window > frame::MAX_WINDOW.into() {
                return Err(LARGE);
            }
            stream.wake();
        }
        Ok(())
    }

    pub(super) fn ping(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Lost> {
        self.costs(1)?;
        if !head.has(frame::ACK) {
            frame::write(FrameKind::Ping, frame::ACK, 0, payload, self.out.own());
        } else if self.parting == Parting::Announced && payload == PARTING_PING {
            // It knows: what it asks for now it has not read.
            self.part(ErrorCode::NO_ERROR);
        }
        Ok(())
    }

    pub(super) fn window_update(&mut self, id: u32, more: u32) -> Result<(), Lost> {
        self.costs(1)?;
        if id == 0 {
            self.send_window += i64::from(more);
            return match more {
                0 => Err(Lost(ErrorCode::PROTOCOL_ERROR, "a window grows by nothing")),
                _ if self.send_window > frame::MAX_WINDOW.into() => Err(Lost(
                    ErrorCode::FLOW_CONTROL_ERROR,
                    "the window is larger than there may be",
                )),
                _ => Ok(()),
            };
        }
        let Some(place) = self.streams.find(id) else {
            let lost = Lost(
                ErrorCode::PROTOCOL_ERROR,
                "a stream that never began has a window",
            );
            return if self.is_beyond(id) { Err(lost) } else { Ok(()) };
        };
        let stream = &mut self.streams.known[place];
        stream.send_window += i64::from(more);
        if more == 0 {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        if stream.send_window > frame::MAX_WINDOW.into() {
            return self.stream_error(id, ErrorCode::FLOW_CONTROL_ERROR);
        }
        stream.wake();
        Ok(())
    }
}
