//! What the fuzz target and the property tests run on arbitrary bytes.

use std::task::{Context, Waker};

use super::{
    CONNECTION_WINDOW, H2Connection, MAX_STREAMS, OUT_MOST, Received, Sections, SharedConnection, StreamEnd,
};
use crate::buffer::{Buffer, ROOM, Spare};
use crate::h1::MAX_HEAD;
use crate::h2::frame::{FRAME_HEAD, PREFACE};
use crate::h2::head::BadRequest;
use headgate_net::clock::Nanos;

/// Takes bytes as what somebody sends over a connection, of a client or to a pod, and what is done about its streams meanwhile:
/// what lies here is what the windows say, and nothing is left of it in the end.
///
/// # Panics
/// Where something in this module does not keep its contract: that is a bug.
pub fn fuzz(data: &[u8]) {
    let [role, rest @ ..] = data else { return };
    let mut play = Play::new(role & 1 != 0);
    let mut rest = rest;
    while let [what, behind @ ..] = rest {
        rest = play.step(*what, behind);
        play.check();
    }
    play.ends.clear();
    let connection = play.connection.borrow();
    assert!(connection.is_idle() && connection.line.is_empty());
}

struct Play {
    connection: SharedConnection,
    inbox: Buffer,
    sections: Sections,
    ends: Vec<StreamEnd>,
    asks: bool,
    lost: bool,
}

impl Play {
    fn new(asks: bool) -> Self {
        let connection = if asks {
            H2Connection::to_pod(None, Nanos(0))
        } else {
            H2Connection::new(1 << 20, Nanos(0))
        };
        let mut play = Self {
            connection,
            inbox: Buffer::default(),
            sections: Sections::default(),
            ends: Vec::new(),
            asks,
            lost: false,
        };
        if !asks {
            play.deliver(PREFACE);
        }
        play
    }

    /// Does one thing; what is left.
    fn step<'d>(&mut self, what: u8, rest: &'d [u8]) -> &'d [u8] {
        let [number, behind @ ..] = rest else { return rest };
        let number = usize::from(*number);
        match what % 8 {
            0 | 1 => return self.frame(what, rest),
            2 => {
                let (bytes, behind) = behind.split_at(number.min(behind.len()));
                self.deliver(bytes);
                return behind;
            }
            3 => self.ask(number),
            4 => self.at(number, |end, cx| {
                let mut to = Buffer::default();
                let _ = end.read(cx, &mut to, ROOM, &mut Spare::default());
                if let std::task::Poll::Ready(Ok(head)) = end.poll_head(cx) {
                    end.give_back(head);
                }
            }),
            5 => self.send(what, number),
            6 if what & 8 != 0 => self.at(number, |end, _| end.abort()),
            6 if what & 16 != 0 => self.at(number, |end, _| end.finish()),
            6 if self.ends.is_empty() => {}
            6 => drop(self.ends.swap_remove(number % self.ends.len())),
            _ => {
                let connection = &mut *self.connection.borrow_mut();
                connection.now = connection
                    .now
                    .after(std::time::Duration::from_millis(number as u64));
                connection.out.clear();
                connection.wake_line();
                if what & 0xf8 == 0xf8 {
                    connection.dismiss();
                }
            }
        }
        behind
    }

    /// A frame; its payload is large now and then.
    fn frame<'d>(&mut self, what: u8, rest: &'d [u8]) -> &'d [u8] {
        let [length, kind, flags, stream, behind @ ..] = rest else {
            return &[];
        };
        let (payload, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        let mut payload = payload.to_vec();
        if what & 8 != 0 {
            payload.resize(usize::from(*length) * 64, 0);
        }
        let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
        let mut bytes = vec![l0, l1, l2, *kind % 11, *flags, 0, 0, 0, *stream];
        assert_eq!(bytes.len(), FRAME_HEAD);
        bytes.extend(payload);
        self.deliver(&bytes);
        behind
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let shared = SharedConnection::clone(&self.connection);
        let mut connection = shared.borrow_mut();
        if self.lost || connection.is_stuffed() {
            return;
        }
        self.inbox.append(bytes);
        loop {
            let (id, ends) = match connection.receive(&mut self.inbox, &mut self.sections) {
                Ok(Received::Nothing) => return,
                Ok(Received::Request(id, ends)) => (id, ends),
                Err(lost) => {
                    connection.part(lost.0);
                    connection.lose(bytes.len().is_multiple_of(2));
                    self.lost = true;
                    return;
                }
            };
            let length = match self.sections.request.finish(ends, || [1, 2]) {
                Err(BadRequest::Malformed(_)) => {
                    self.lost |= connection.refuse(id).is_err();
                    continue;
                }
                Ok(request) if !request.tunnel => request.head.framing.length(),
                _ => None,
            };
            let place = connection.open(id, ends, length);
            drop(connection);
            self.ends.push(StreamEnd::new(&shared, place));
            connection = shared.borrow_mut();
        }
    }

    /// Asks a pod for something.
    fn ask(&mut self, number: usize) {
        let takes = self.asks && self.connection.borrow().takes_requests();
        if takes {
            let mut end = StreamEnd::asking(&self.connection);
            end.head(&[0x82], false);
            if number & 1 != 0 {
                end.end(Vec::new());
            }
            self.ends.push(end);
        }
    }

    fn at(&mut self, number: usize, act: impl FnOnce(&mut StreamEnd, &mut Context<'_>)) {
        let count = self.ends.len().max(1);
        if let Some(end) = self.ends.get_mut(number % count) {
            act(end, &mut Context::from_waker(Waker::noop()));
        }
    }

    /// Sends heads, bytes or the end, as the bits say.
    fn send(&mut self, what: u8, number: usize) {
        let asks = self.asks;
        self.at(number, |end, cx| {
            if what & 8 != 0 && !asks {
                end.head(&[0x88], what & 16 != 0);
            }
            let mut outbox = Buffer::default();
            if what & 32 != 0 {
                outbox.append(&vec![0; 60 * number]);
            }
            if what & 64 != 0 {
                end.end(if what & 128 != 0 { vec![0x82] } else { Vec::new() });
            }
            let _ = end.flush(cx, &mut outbox);
        });
    }

    fn check(&self) {
        let connection = self.connection.borrow();
        let known = &connection.streams.known;
        assert_eq!(known.len(), self.ends.len());
        assert!(self.asks || known.len() <= MAX_STREAMS as usize);
        // What one frame may set off comes on top, and what a stream sends.
        let most = OUT_MOST + ROOM + 2 * MAX_HEAD;
        assert!(
            connection.out.len() <= most,
            "{} bytes wait",
            connection.out.len()
        );
        if self.lost {
            return;
        }
        let lies: usize = known.iter().map(|(_, stream)| stream.inbox.len()).sum();
        let coming = connection.incoming.data.map_or(0, |rest| rest.data);
        assert_eq!(connection.receive_window.unread(), (lies + coming) as i64);
        let window = if self.asks {
            1 << 30
        } else {
            CONNECTION_WINDOW.max(1 << 20)
        };
        assert!(lies <= window as usize, "{lies} bytes lie here");
        for (_, stream) in known {
            assert_eq!(
                stream.in_line,
                connection
                    .line
                    .iter()
                    .any(|place| known[*place].id == stream.id && stream.in_line)
            );
        }
    }
}
