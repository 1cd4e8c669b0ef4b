//! The state of one HTTP/2 connection, of a client or to a pod, without its bytes' way in and out: frames come, frames go.
//!
//! ```text
//! bytes ─ receive ─┬─ a block of fields ─▶ whoever answers requests
//!                  ├─ DATA ─▶ a stream's inbox ─▶ StreamEnd::read
//!                  └─ SETTINGS, PING, WINDOW_UPDATE, ... ─▶ answers
//! bytes ◀─ out ◀─ StreamEnd::flush, as both windows and the room here allow; who finds none stands in line
//! ```

mod asking;
mod calm;
mod control;
mod data;
mod end;
mod fields;
#[cfg(any(test, feature = "harness"))]
pub(crate) mod fuzz;
mod heads;
mod incoming;
mod receive;
mod send;
mod streams;
mod window;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use super::frame::{self, ErrorCode, FrameKind, settings};
use super::hpack::Decoder;
use crate::buffer::Buffer;
use crate::h1::MAX_HEAD;
use asking::Asking;
use calm::Calm;
pub(crate) use end::StreamEnd;
use headgate_net::clock::Nanos;
pub(crate) use heads::AnswerHead;
use incoming::Incoming;
pub(crate) use incoming::{Lost, Received, Sections};
use streams::{ResetBy, StreamTable};
use window::ReceiveWindow;

/// Streams that a client may have open at once, as nginx has it by default.
pub(crate) const MAX_STREAMS: u32 = 128;
/// What a client may send of one stream before it hears from us, and of all of them together, in bytes; both grow.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Bytes of a dynamic table (RFC 7541, section 4.2): what either side may use unless told otherwise.
const TABLE: usize = 4_096;
/// Bytes of frames that wait to be sent before streams have to.
const OUT_ROOM: usize = 32 << 10;
/// Beyond so many nothing is read from a client that takes nothing: what it sends would be answered.
const OUT_MOST: usize = 2 * OUT_ROOM;

/// What the two of a connection share: the connection itself and its streams.
pub(crate) type SharedConnection = Rc<RefCell<H2Connection>>;

/// A connection.
#[derive(Debug)]
pub(crate) struct H2Connection {
    /// Frames that wait to be sent.
    pub(crate) out: Buffer,
    incoming: Incoming,
    decoder: Decoder,
    streams: StreamTable,
    peer: PeerSettings,
    /// What we may send of all streams together.
    send_window: i64,
    receive_window: ReceiveWindow,
    /// The largest either of the receive windows may become, in bytes.
    most_unread: u32,
    /// By how much the windows of streams may still grow, all of them together, in bytes.
    growth: u32,
    /// The highest stream that was opened.
    last: u32,
    parting: Parting,
    calm: Calm,
    /// Of a connection to a pod.
    asking: Option<Asking>,
    /// Streams that want to send and had no room.
    line: VecDeque<usize>,
    /// Told when there is something to send.
    waker: Option<Waker>,
    pub(crate) now: Nanos,
}

/// What the peer has told of itself.
#[derive(Clone, Copy, Debug)]
struct PeerSettings {
    /// What we may send of a stream to begin with.
    window: u32,
    /// Bytes of a frame's payload at most.
    max_payload: usize,
    table: PeerTable,
}

/// What the peer believes of the table that our blocks refer to (RFC 7541, section 4.2). They refer to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerTable {
    /// That it may have the size that it has without a word.
    AsEver,
    /// That it will be told of one that is smaller than that.
    ToBeTold,
    /// That it has no size.
    None,
}

impl PeerTable {
    /// It may not be as large as it could be before.
    fn shrinks(&mut self) {
        if *self == Self::AsEver {
            *self = Self::ToBeTold;
        }
    }

    /// Whether the block that goes now has to say so.
    fn is_to_be_told(&mut self) -> bool {
        let told = *self == Self::ToBeTold;
        if told {
            *self = Self::None;
        }
        told
    }
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            window: frame::DEFAULT_WINDOW,
            max_payload: frame::MAX_PAYLOAD,
            table: PeerTable::AsEver,
        }
    }
}

/// How far the connection is with its end (RFC 9113, section 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    No,
    /// The client knows; what it had asked for before it did is still on its way, until it answers our ping.
    Announced,
    /// Nothing new is answered.
    Closed,
}

impl H2Connection {
    /// A client's that begins: `most_unread` is how far windows may grow, in bytes.
    pub(crate) fn new(most_unread: u32, now: Nanos) -> SharedConnection {
        let mut out = Buffer::default();
        let pairs = [
            (settings::MAX_CONCURRENT_STREAMS, MAX_STREAMS),
            (settings::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (settings::MAX_HEADER_LIST_SIZE, MAX_HEAD as u32),
            (settings::ENABLE_CONNECT_PROTOCOL, 1),
            (settings::NO_RFC7540_PRIORITIES, 1),
        ];
        let to = out.own();
        frame::write_settings(&pairs, to);
        let more = CONNECTION_WINDOW - frame::DEFAULT_WINDOW;
        frame::write(FrameKind::WindowUpdate, 0, 0, &more.to_be_bytes(), to);
        Rc::new(RefCell::new(Self {
            out,
            incoming: Incoming::default(),
            decoder: Decoder::new(TABLE),
            streams: StreamTable::default(),
            peer: PeerSettings::default(),
            send_window: frame::DEFAULT_WINDOW.into(),
            receive_window: ReceiveWindow::new(CONNECTION_WINDOW, now),
            most_unread: most_unread.max(CONNECTION_WINDOW),
            // That of the connection is what holds a client back.
            growth: u32::MAX,
            last: 0,
            parting: Parting::No,
            calm: Calm::of_client(now),
            asking: None,
            line: VecDeque::new(),
            waker: None,
            now,
        }))
    }

    /// Whether any stream is not over.
    pub(crate) fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether the client takes so little that nothing more is read from it.
    pub(crate) fn is_stuffed(&self) -> bool {
        self.out.len() >= OUT_MOST
    }

    /// Whether something has come only in part, which the rest must follow.
    pub(crate) fn is_within_head(&self) -> bool {
        self.incoming.is_within_head()
    }

    /// Whoever is told that there is something to send.
    pub(crate) fn wake_by(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn stand_in_line(&mut self, place: usize) {
        self.streams.known[place].in_line = true;
        self.line.push_back(place);
    }

    fn leave_line(&mut self, place: usize) {
        if std::mem::take(&mut self.streams.known[place].in_line) {
            self.line.retain(|waiting| *waiting != place);
        }
    }

    /// Has those send for whom there is room now.
    pub(crate) fn wake_line(&self) {
        if self.send_window <= 0 {
            return;
        }
        let room = OUT_ROOM
            .saturating_sub(self.out.len())
            .div_ceil(frame::MAX_PAYLOAD);
        for place in self.line.iter().take(room) {
            self.streams.known[*place].wake();
        }
    }

    /// Tells the client that the connection ends, and that new requests belong elsewhere. What it asks for until it knows is
    /// answered.
    pub(crate) fn dismiss(&mut self) {
        if self.parting == Parting::No {
            self.parting = Parting::Announced;
            self.write_go_away(frame::MAX_WINDOW, ErrorCode::NO_ERROR);
            frame::write(FrameKind::Ping, 0, 0, &PARTING_PING, self.out.own());
        }
    }

    /// Whether the last answer was the last.
    pub(crate) fn has_parted(&self) -> bool {
        self.parting == Parting::Closed && self.streams.is_empty()
    }

    /// Answers nothing new from here on.
    pub(crate) fn part(&mut self, why: ErrorCode) {
        if self.parting != Parting::Closed {
            self.parting = Parting::Closed;
            // It is about what the peer has begun (RFC 9113, section 6.8), and a pod begins nothing.
            let last = if self.asking.is_some() { 0 } else { self.last };
            self.write_go_away(last, why);
        }
    }

    /// Whether no frame may be about a stream, which has not begun. Of those that are not answered any more it is not known.
    fn is_beyond(&self, id: u32) -> bool {
        id > self.last && self.parting != Parting::Closed || id.is_multiple_of(2)
    }

    /// Answers nothing new, and nothing is wrong.
    pub(crate) fn part_in_peace(&mut self) {
        self.part(ErrorCode::NO_ERROR);
    }

    fn write_go_away(&mut self, last: u32, why: ErrorCode) {
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&last.to_be_bytes());
        payload[4..].copy_from_slice(&why.0.to_be_bytes());
        frame::write(FrameKind::GoAway, 0, 0, &payload, self.out.own());
    }

    /// The connection is gone, and so are all streams; with `reading` only those that were not whole.
    pub(crate) fn lose(&mut self, reading: bool) {
        let seen = self.seen();
        for stream in self.streams.iter_mut() {
            if !(reading && stream.remote_ended) {
                let unseen = seen.is_some_and(|seen| stream.id == 0 || stream.id > seen);
                let by = if unseen { ResetBy::Refusal } else { ResetBy::Loss };
                stream.reset.get_or_insert(by);
                stream.wake();
            }
        }
    }

    /// Ends a stream early, and tells the peer.
    fn reset(&mut self, place: usize, why: ErrorCode) {
        let stream = &mut self.streams.known[place];
        if stream.reset.is_some_and(|by| by != ResetBy::Peer) {
            return;
        }
        stream.reset = Some(ResetBy::Us);
        let unread = std::mem::take(&mut stream.inbox).len();
        stream.wake();
        let id = stream.id;
        if id > 0 {
            self.write_reset(id, why);
        }
        self.discard(unread);
    }

    fn write_reset(&mut self, id: u32, why: ErrorCode) {
        self.remember_reset(id);
        frame::write(FrameKind::RstStream, 0, id, &why.0.to_be_bytes(), self.out.own());
        self.wake();
    }

    /// Nobody has anything to do with a stream any more.
    fn forget(&mut self, place: usize) {
        self.leave_line(place);
        let stream = &self.streams.known[place];
        let unread = stream.inbox.len();
        self.growth = self.growth.saturating_add(stream.receive_window.grown());
        self.streams.remove(place);
        self.discard(unread);
    }

    /// Bytes of DATA frames will be read by nobody, which is no reason for larger windows.
    fn discard(&mut self, bytes: usize) {
        self.have_left(bytes, 0);
    }

    /// Bytes of DATA frames do not lie here any more.
    fn have_left(&mut self, bytes: usize, most: u32) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Some(more) = self.receive_window.reads(bytes, most, self.now) {
            frame::write(FrameKind::WindowUpdate, 0, 0, &more.to_be_bytes(), self.out.own());
            self.wake();
        }
    }

    /// Bytes of a stream were read.
    fn stream_has_read(&mut self, place: usize, bytes: usize) {
        self.have_left(bytes, self.most_unread);
        self.stream_reads(place, bytes);
    }

    /// The same, as far as it concerns the window of the stream alone.
    fn stream_reads(&mut self, place: usize, bytes: usize) {
        let stream = &mut self.streams.known[place];
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if stream.remote_ended || stream.reset.is_some() {
            return;
        }
        let window = &mut stream.receive_window;
        let size = window.size();
        let most = self.most_unread.min(size.saturating_add(self.growth));
        let more = window.reads(bytes, most, self.now);
        self.growth -= window.size() - size;
        if let Some(more) = more {
            let id = stream.id;
            frame::write(
                FrameKind::WindowUpdate,
                0,
                id,
                &more.to_be_bytes(),
                self.out.own(),
            );
            self.wake();
        }
    }
}

/// What our ping says whose answer tells that a client knows of the end.
const PARTING_PING: [u8; 8] = *b"headgate";
