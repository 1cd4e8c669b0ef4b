//! What is different about a connection to a pod, on which we ask and the pod answers.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use super::calm::Calm;
use super::heads::AnswerHead;
use super::incoming::Incoming;
use super::streams::{ResetBy, StreamTable};
use super::window::ReceiveWindow;
use super::{H2Connection, Parting, PeerSettings, SharedConnection};
use crate::buffer::Buffer;
use crate::h1::MAX_HEAD;
use crate::h2::frame::{self, FrameKind, PREFACE, settings};
use crate::h2::head::ResponseSection;
use crate::h2::hpack::Decoder;
use headgate_net::clock::Nanos;

/// Streams of a connection at most, and before the pod has said how many it takes (RFC 9113, section 6.5.2, recommends no less).
const MAX_STREAMS: usize = 256;
const STREAMS_UNTOLD: usize = 100;
/// What a pod may send of all streams together. What holds it back is the window of each: else a client that reads slowly
/// would hold back all others.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// What a pod may send of one stream to begin with, and at most, in bytes.
pub(super) const STREAM_WINDOW: u32 = frame::DEFAULT_WINDOW;
const STREAM_WINDOW_MOST: u32 = 1 << 20;
/// By how much those of all streams of a connection grow together, in bytes: who reads fast and then no more would else have a
/// megabyte lie here for each.
const GROWTH: u32 = 16 << 20;
/// Answers' heads that nobody has looked at, of one stream: a few interim ones, and the one that counts.
const MAX_HEADS: usize = 8;
/// Room for heads that is kept for the next answers.
const SPARE_HEADS: usize = 64;

/// Our side of a connection to a pod.
#[expect(clippy::vec_box, reason = "the boxes go in and out, not what is in them")]
#[derive(Debug)]
pub(super) struct Asking {
    /// How far it is with its beginning.
    way: Arrival,
    /// The number of the next stream; even once there are no more.
    next: u32,
    /// The last stream of which the pod may have seen something.
    seen: u32,
    /// Streams that the pod takes at once.
    most: usize,
    told: bool,
    /// Nothing new is asked: the pod has said so, or does not answer.
    over: bool,
    spare: Vec<Box<AnswerHead>>,
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Coming,
    There,
    Failed(ErrorKind),
}

impl H2Connection {
    /// One to a pod, which is not there yet. The pod takes so many streams, where it has told that of another connection.
    pub(crate) fn to_pod(most: Option<usize>, now: Nanos) -> SharedConnection {
        let mut out = Buffer::default();
        let to = out.own();
        to.extend_from_slice(PREFACE);
        let pairs = [
            (settings::ENABLE_PUSH, 0),
            (settings::MAX_HEADER_LIST_SIZE, MAX_HEAD as u32),
        ];
        frame::write_settings(&pairs, to);
        let more = CONNECTION_WINDOW - frame::DEFAULT_WINDOW;
        frame::write(FrameKind::WindowUpdate, 0, 0, &more.to_be_bytes(), to);
        Rc::new(RefCell::new(Self {
            out,
            incoming: Incoming::of_pod(),
            decoder: Decoder::new(super::TABLE),
            streams: StreamTable::default(),
            peer: PeerSettings::default(),
            send_window: frame::DEFAULT_WINDOW.into(),
            receive_window: ReceiveWindow::new(CONNECTION_WINDOW, now),
            most_unread: STREAM_WINDOW_MOST,
            growth: GROWTH,
            last: 0,
            parting: Parting::No,
            calm: Calm::of_pod(now),
            asking: Some(Asking {
                way: Arrival::Coming,
                next: 1,
                seen: 0,
                most: most.unwrap_or(STREAMS_UNTOLD),
                told: false,
                over: false,
                spare: Vec::new(),
            }),
            line: std::collections::VecDeque::new(),
            waker: None,
            now,
        }))
    }

    /// Whether another request may be sent by it.
    pub(crate) fn takes_requests(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| {
            !asking.over
                && !matches!(asking.way, Arrival::Failed(_))
                && self.parting == Parting::No
                && self.streams.len() < asking.most
        })
    }

    /// How many streams the pod takes at once, once it has told.
    pub(crate) fn most_streams(&self) -> Option<usize> {
        let asking = self.asking.as_ref()?;
        asking.told.then_some(asking.most)
    }

    /// Whether it has come to the pod.
    pub(crate) fn is_there(&self) -> bool {
        self.asking
            .as_ref()
            .is_some_and(|asking| asking.way == Arrival::There)
    }

    /// It has come to the pod.
    pub(crate) fn arrives(&mut self) {
        self.come_to(Arrival::There);
    }

    /// It has not, and will not.
    pub(crate) fn fails(&mut self, why: ErrorKind) {
        self.come_to(Arrival::Failed(why));
    }

    fn come_to(&mut self, way: Arrival) {
        if let Some(asking) = &mut self.asking {
            asking.way = way;
        }
        for stream in self.streams.iter_mut() {
            stream.wake();
        }
    }

    /// Nothing new is asked over it. It ends when what was is answered.
    pub(crate) fn retire(&mut self) {
        if let Some(asking) = &mut self.asking {
            asking.over = true;
        }
    }

    /// Something of what waited is on its way to the pod.
    pub(crate) fn has_sent(&mut self) {
        if let Some(asking) = &mut self.asking {
            asking.seen = self.last;
        }
    }

    /// The last stream of which a pod may have seen something.
    pub(super) fn seen(&self) -> Option<u32> {
        self.asking.as_ref().map(|asking| asking.seen)
    }

    /// Whether nobody needs it any more.
    pub(crate) fn is_spent(&self) -> bool {
        let over = self
            .asking
            .as_ref()
            .is_some_and(|asking| asking.over || asking.next.is_multiple_of(2));
        self.streams.is_empty() && (over || self.parting == Parting::Closed)
    }

    /// The pod takes so many streams.
    pub(super) fn limit_streams(&mut self, most: u32) {
        if let Some(asking) = &mut self.asking {
            asking.most = usize::try_from(most).map_or(MAX_STREAMS, |most| most.min(MAX_STREAMS));
            asking.told = true;
        }
    }

    /// Begins a stream, by the block of its request's head. `false` where none begins any more.
    pub(super) fn write_request(&mut self, place: usize, block: &[u8], ends: bool) -> bool {
        let Some(asking) = &mut self.asking else {
            return false;
        };
        if asking.over || self.parting == Parting::Closed || asking.next.is_multiple_of(2) {
            self.streams.known[place].reset = Some(ResetBy::Refusal);
            return false;
        }
        let id = asking.next;
        // The last number is odd (RFC 9113, section 5.1.1).
        asking.next = if id + 2 > frame::MAX_WINDOW { 0 } else { id + 2 };
        self.last = id;
        self.streams.number(place, id);
        self.write_block(id, block, ends);
        if ends {
            self.has_ended(place);
        }
        true
    }

    /// The head of an answer has come; its fields are in `section`, which gets room for the next.
    pub(super) fn keep_head(&mut self, place: usize, section: &mut ResponseSection, ends: bool) -> bool {
        let Some(asking) = &mut self.asking else {
            return false;
        };
        let mut head = asking.spare.pop().unwrap_or_default();
        head.section.clear();
        std::mem::swap(&mut head.section, section);
        head.ends = ends;
        let stream = &mut self.streams.known[place];
        let mut end = &mut stream.heads;
        for _ in 0..MAX_HEADS {
            match end {
                None => {
                    *end = Some(head);
                    stream.wake();
                    return true;
                }
                Some(before) => end = &mut before.next,
            }
        }
        false
    }

    /// The next head of a stream's answer.
    pub(super) fn take_head(&mut self, place: usize) -> Option<Box<AnswerHead>> {
        let heads = &mut self.streams.known[place].heads;
        let mut head = heads.take()?;
        *heads = head.next.take();
        Some(head)
    }

    /// A head was looked at.
    pub(super) fn give_back(&mut self, head: Box<AnswerHead>) {
        if let Some(asking) = &mut self.asking
            && asking.spare.len() < SPARE_HEADS
        {
            asking.spare.push(head);
        }
    }

    /// Why there is no connection.
    pub(super) fn failure(&self) -> Option<ErrorKind> {
        match self.asking.as_ref()?.way {
            Arrival::Failed(why) => Some(why),
            Arrival::Coming | Arrival::There => None,
        }
    }

    /// The pod answers nothing beyond a stream (RFC 9113, section 6.8), and what is beyond it was not looked at.
    pub(super) fn told_to_leave(&mut self, last: u32) {
        if self.asking.is_none() {
            // A client may leave as it likes.
            return;
        }
        self.retire();
        for stream in self.streams.iter_mut() {
            if stream.id == 0 || stream.id > last {
                stream.reset.get_or_insert(ResetBy::Refusal);
                stream.wake();
            }
        }
    }
}
