//! What is to be sent: the bytes, how far they went, what the peer's window and congestion allow next.

use headgate_net::clock::Nanos;

use super::cubic::Cubic;
use super::ecn::Yielding;
use super::load::Load;
use super::recovery::Recovery;
use super::rtt::Rtt;
use super::scoreboard::Scoreboard;
use crate::chain::Chain;
use crate::pool::{BLOCK, BlockPool};
use crate::sequence::Seq;

/// What a writer may leave here before anything is known of the path, and however slow it is.
const LEAST_BUFFER: u32 = 32 << 10;

/// Segments under way, however small they are, besides four for each full one.
const SMALL_SEGMENTS: usize = 64;
/// Segments under way: the largest window in those of today's paths.
const MOST_SEGMENTS: usize = 16_384;

#[derive(Debug)]
pub(crate) struct Sender {
    /// Our initial sequence number, that of the SYN.
    pub(super) iss: Seq,
    /// The first number that is not acknowledged.
    pub(super) una: Seq,
    /// After the last one that was sent.
    pub(super) next: Seq,
    /// After the last byte written.
    pub(super) written: Seq,
    chain: Chain,
    /// Whether a FIN follows the bytes.
    pub(super) fin: bool,
    /// The peer's window from `una` on, scaled, the greatest that it ever had, and the segment that told it
    /// (RFC 9293, `SND.WL1` and `SND.WL2`).
    pub(super) window: u32,
    greatest: u32,
    told: (Seq, Seq),
    /// Of the peer's window fields.
    pub(super) scale: u8,
    /// Data in a full segment, by the peer's word and the path's, without options.
    pub(crate) mss: u32,
    most: u32,
    pub(super) board: Scoreboard,
    pub(super) cubic: Cubic,
    pub(super) rtt: Rtt,
    pub(super) recovery: Recovery,
    pub(super) yielding: Yielding,
    pub(super) load: Load,
    pub(super) timer: Option<(Nanos, Timer)>,
    /// When the running timeout began.
    pub(super) since: Nanos,
    /// When data was sent last.
    pub(super) last: Nanos,
}

/// What the timer is for; one at a time, as RFC 8985, section 8 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// RFC 6298.
    Retransmission,
    /// RFC 8985, section 7.
    TailProbe,
    /// RFC 8985, section 6.2, step 5.
    Reordering,
    /// RFC 9293, section 3.8.6.1.
    Persist,
    /// RFC 3168, section 6.1.2.
    Pause,
}

/// The numbers of a segment to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: Seq,
    /// After the last; includes SYN and FIN.
    pub(crate) end: Seq,
    /// The segment of the scoreboard that is sent again.
    pub(super) again: Option<usize>,
}

impl Piece {
    /// Whether it is sent for the first time.
    pub(super) const fn is_new(&self) -> bool {
        self.again.is_none()
    }
}

impl Sender {
    /// With nothing sent, not even the SYN. `most` bounds the buffer.
    pub(crate) fn new(iss: Seq, mss: u32, most: u32) -> Self {
        Self {
            iss,
            una: iss,
            next: iss,
            written: iss + 1,
            chain: Chain::default(),
            fin: false,
            window: 0,
            greatest: 0,
            told: (Seq(0), Seq(0)),
            scale: 0,
            mss,
            most,
            board: Scoreboard::default(),
            cubic: Cubic::new(mss),
            rtt: Rtt::default(),
            recovery: Recovery::default(),
            yielding: Yielding::default(),
            load: Load::default(),
            timer: None,
            since: Nanos(0),
            last: Nanos(0),
        }
    }

    /// The number of the first byte in the chain.
    fn base(&self) -> Seq {
        self.una.max(self.iss + 1).min(self.written)
    }

    /// Bytes written and not acknowledged.
    pub(crate) fn buffered(&self) -> u32 {
        self.written.ahead(self.base())
    }

    /// Bytes written and not sent.
    pub(super) fn unsent(&self) -> u32 {
        self.written.ahead(self.next)
    }

    /// Whether the FIN was sent.
    pub(super) fn fin_sent(&self) -> bool {
        self.written.before(self.next)
    }

    /// Whether everything was acknowledged, the FIN too.
    pub(crate) fn fin_acknowledged(&self) -> bool {
        self.fin && self.written.before(self.una)
    }

    /// Whether something may be sent or the timer is due.
    pub(super) fn wants_turn(&self, now: Nanos) -> bool {
        self.written != self.next && !(self.fin && self.fin_sent())
            || self.board.lost() > 0
            || self.recovery.is_pending()
            || self.fin && !self.fin_sent()
            || self.timer.is_some_and(|(at, _)| at <= now)
    }

    /// Whether anything that was sent is not acknowledged.
    pub(super) fn outstanding(&self) -> bool {
        self.una != self.next
    }

    /// The congestion window, after a pause what is left of it.
    pub(crate) fn window_now(&self, now: Nanos) -> u32 {
        if self.outstanding() {
            return self.cubic.window();
        }
        let mut cubic = self.cubic;
        self.note_pause(&mut cubic, now);
        cubic.window()
    }

    /// Nothing was under way until now.
    fn note_pause(&self, cubic: &mut Cubic, now: Nanos) {
        if self.last > Nanos(0) {
            cubic.idle(now.since(self.last), self.rtt.timeout(0));
        }
    }

    /// How much a writer may leave here: twice what may be under way.
    fn limit(&self, pressed: bool) -> u32 {
        if pressed {
            return (4 * BLOCK as u32).min(self.most);
        }
        (2 * self.cubic.window()).max(LEAST_BUFFER).min(self.most)
    }

    /// Takes bytes; how many.
    pub(crate) fn write(&mut self, pool: &mut BlockPool, data: &[u8]) -> usize {
        let buffered = self.buffered();
        let room = self.limit(pool.pressed()).saturating_sub(buffered);
        let data = &data[..data.len().min(room as usize)];
        let taken = self.chain.write(pool, buffered as usize, data);
        self.written += taken as u32;
        taken
    }

    /// Whether a writer that waits should be told: a third of its room is free, so that it does not come for each segment.
    pub(crate) fn has_room(&self, pressed: bool) -> bool {
        self.buffered() <= self.limit(pressed) / 3 * 2
    }

    /// Copies the bytes from `start` on.
    pub(crate) fn read(&self, pool: &BlockPool, start: Seq, to: &mut [u8]) {
        self.chain.read(pool, start.ahead(self.base()) as usize, to);
    }

    /// Everything before `ack` was acknowledged: the bytes are not needed any more.
    pub(super) fn forget(&mut self, pool: &mut BlockPool, ack: Seq) {
        let before = self.base();
        self.una = ack;
        let gone = self.base().ahead(before);
        if self.base() == self.written {
            self.chain.clear(pool);
        } else if gone > 0 {
            self.chain.advance(pool, gone as usize);
        }
    }

    /// Blocks that it holds.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn held(&self) -> usize {
        self.chain.held()
    }

    /// Checks what holds at any time, with windows of at most `most` bytes.
    #[cfg(any(test, feature = "harness"))]
    pub(super) fn check(&mut self, most: u32) {
        assert!(self.board.is_consistent(), "the sums of the scoreboard are wrong");
        let window = self.cubic.window();
        assert!(window <= 4 * most, "a window of {window}");
        assert!(self.next.ahead(self.una) <= 2 * most + 2, "too much is under way");
    }

    /// Gives all memory back; nothing will be sent any more.
    pub(crate) fn clear(&mut self, pool: &mut BlockPool) {
        self.chain.clear(pool);
        self.written = self.base();
        self.board = Scoreboard::default();
        self.timer = None;
    }

    /// Takes the window of a segment `sequence` that acknowledges `ack`, unless an older one comes late (RFC 9293, section
    /// 3.10.7.4); one that acknowledges more is not older, even where its data was sent before. Whether it is another
    /// than before.
    pub(super) fn update_window(&mut self, sequence: Seq, ack: Seq, window: u32, first: bool) -> bool {
        let (at, acknowledged) = self.told;
        let newer =
            self.una.before(ack) || at.before(sequence) || (at == sequence && acknowledged.at_most(ack));
        if !(newer || first) {
            return false;
        }
        self.told = (sequence, ack);
        self.greatest = self.greatest.max(window);
        std::mem::replace(&mut self.window, window) != window
    }

    /// How far back an acknowledgement may lie (RFC 5961, section 5.2).
    pub(super) const fn greatest_window(&self) -> u32 {
        self.greatest
    }

    /// Where the peer's window ends.
    fn edge(&self) -> Seq {
        self.una + self.window
    }

    /// The next piece to send, with at most `mss` bytes of data; `None` where there is nothing, or it must wait.
    pub(crate) fn piece(&self, mss: u32) -> Option<Piece> {
        if self.recovery.prefers_new()
            && let Some(fresh) = self.fresh(mss)
        {
            return Some(fresh);
        }
        self.lost(mss)
            .or_else(|| self.fresh(mss))
            .or_else(|| self.probe(mss))
    }

    /// Whether congestion control lets `length` bytes go; one segment always, if none is under way.
    fn allows(&self, length: u32) -> bool {
        let flying = self.board.flying();
        flying == 0 || flying + length <= self.cubic.window()
    }

    fn lost(&self, mss: u32) -> Option<Piece> {
        let index = self.board.first_lost()?;
        let piece = self.again(index, mss)?;
        self.allows(piece.end.ahead(piece.start)).then_some(piece)
    }

    /// The front of a segment that was sent before.
    fn again(&self, index: usize, mss: u32) -> Option<Piece> {
        let record = self.board.get(index)?;
        let most = record.start + mss;
        // A FIN needs no room, but goes with the last byte only.
        let whole = record.end.min(self.written).at_most(most);
        Some(Piece {
            start: record.start,
            end: if whole { record.end } else { most },
            again: Some(index),
        })
    }

    /// New data, or the FIN.
    fn fresh(&self, mss: u32) -> Option<Piece> {
        if self.next == self.iss {
            return Some(self.new_piece(1));
        }
        if self.yielding.pause.is_some() {
            return None;
        }
        let unsent = self.unsent();
        let fin = self.fin && !self.fin_sent();
        let room = self.edge().ahead(self.next);
        let length = unsent.min(mss).min(room);
        let last = length == unsent;
        if length == 0 {
            return (fin && unsent == 0 && room > 0).then(|| self.new_piece(1));
        }
        // Silly windows (RFC 9293, section 3.8.6.2.1): less than a segment goes if it is the last, or much for this peer.
        if length < mss && !last && length < self.greatest / 2 && !self.recovery.overrides_window() {
            return None;
        }
        (self.allows(length) && !self.is_crowded())
            .then(|| self.new_piece(length + u32::from(fin && last && room > length)))
    }

    /// Whether so many small segments are under way that the rest waits and makes larger ones: each has a record here, and a
    /// peer that has us write single bytes and acknowledges none must not cost more than what it was written.
    fn is_crowded(&self) -> bool {
        let full = self.next.ahead(self.una) / self.mss;
        let most = (SMALL_SEGMENTS + 4 * full as usize).min(MOST_SEGMENTS);
        self.board.flying() > 0 && self.board.len() >= most
    }

    fn new_piece(&self, length: u32) -> Piece {
        Piece {
            start: self.next,
            end: self.next + length,
            again: None,
        }
    }

    /// What a tail loss probe sends (RFC 8985, section 7.3): something new where the window allows it, else the last
    /// segment again.
    fn probe(&self, mss: u32) -> Option<Piece> {
        if !self.recovery.probe_is_due() {
            return None;
        }
        let length = self.unsent().min(mss).min(self.edge().ahead(self.next));
        if length > 0 && self.yielding.pause.is_none() {
            return Some(self.new_piece(length));
        }
        self.again(self.board.last()?, mss)
    }

    /// A piece was handed out.
    pub(crate) fn sent(&mut self, piece: &Piece, now: Nanos) {
        let length = piece.end.ahead(piece.start);
        match piece.again {
            Some(index) => {
                if piece.start == self.una {
                    self.since = now;
                }
                self.board.resent(index, length, now);
            }
            None => {
                if !self.outstanding() {
                    self.since = now;
                    let mut cubic = self.cubic;
                    self.note_pause(&mut cubic, now);
                    self.cubic = cubic;
                }
                self.board.sent(piece.start, piece.end, now);
                self.next = piece.end;
            }
        }
        self.last = now;
        self.note_sent(piece, length, now);
    }

    /// Everything was sent that may be for now: what did not go, the window held back, or there was nothing.
    pub(super) fn note_load(&mut self) {
        let flying = self.board.flying();
        let full = flying + self.mss > self.cubic.window();
        self.load.note(full, flying, (self.una, self.next));
    }

    /// Whether something waits for the peer's window, with nothing under way that would bring news of it.
    pub(super) fn waits_for_window(&self) -> bool {
        let waits = self.unsent() > 0 || (self.fin && !self.fin_sent());
        waits && !self.outstanding() && self.next != self.iss && self.yielding.pause.is_none()
    }
}

#[cfg(test)]
mod tests;
