//! Frames of streams that go.

use super::{H2Connection, calm};
use crate::buffer::Buffer;
use crate::h2::frame::{self, END_STREAM, FRAME_HEAD, FrameHead, FrameKind};
use crate::h2::hpack::NO_TABLE;

impl H2Connection {
    /// Our side of a stream has said everything.
    pub(super) fn has_ended(&mut self, place: usize) {
        self.streams.known[place].local_ended = true;
        self.calm.gains(calm::ANSWER);
    }

    /// Writes frames of heads, the first of which begins with a block.
    pub(super) fn write_heads(&mut self, frames: &mut Vec<u8>) {
        if self.peer.table.is_to_be_told()
            && let Some(head) = FrameHead::read(frames)
        {
            let length = head.length + 1;
            FrameHead { length, ..head }.write(self.out.own());
            frames.splice(..FRAME_HEAD, [NO_TABLE]);
        }
        self.out.own().append(frames);
    }

    /// Writes a block as frames.
    pub(super) fn write_block(&mut self, id: u32, block: &[u8], ends: bool) {
        let most = self.peer.max_payload;
        if self.peer.table.is_to_be_told() {
            let block = [&[NO_TABLE], block].concat();
            return frame::write_block(id, &block, ends, most, self.out.own());
        }
        frame::write_block(id, block, ends, most, self.out.own());
    }

    /// Ends a stream by trailers, by their block, or by an empty frame where there are none.
    pub(super) fn write_end(&mut self, place: usize, trailers: &[u8]) {
        let id = self.streams.known[place].id;
        if trailers.is_empty() {
            frame::write(FrameKind::Data, END_STREAM, id, &[], self.out.own());
        } else {
            self.write_block(id, trailers, true);
        }
        self.has_ended(place);
    }

    /// Writes a DATA frame with what lies in `outbox`; with `last` nothing follows that. `false` where no window is open.
    pub(super) fn write_data(&mut self, place: usize, outbox: &mut Buffer, last: bool) -> bool {
        let stream = &mut self.streams.known[place];
        let window = stream.send_window.min(self.send_window);
        let length = usize::try_from(window).unwrap_or(0);
        let length = length.min(outbox.len()).min(self.peer.max_payload);
        if length == 0 {
            if self.send_window <= 0 {
                self.stand_in_line(place);
            }
            return false;
        }
        let last = last && length == outbox.len();
        let head = FrameHead {
            length,
            kind: FrameKind::Data,
            flags: if last { END_STREAM } else { 0 },
            stream: stream.id,
        };
        // A window that is opened byte by byte brings nothing (CVE-2019-9511).
        if length == outbox.len() {
            self.calm.gains(calm::SENT);
        }
        let out = self.out.own();
        head.write(out);
        out.extend_from_slice(&outbox.bytes()[..length]);
        outbox.consume(length);
        stream.send_window -= length as i64;
        self.send_window -= length as i64;
        self.calm.moves(length);
        if last {
            self.has_ended(place);
        }
        true
    }
}
