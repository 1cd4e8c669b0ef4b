//! One connection: the state machine of RFC 9293, without I/O. Segments and the time go in; segments and a deadline come
//! out.
//!
//! ```text
//!            connect                    SYN of a listener
//!     ┌───────────────┐               (a record of the stack)
//!     ▼               │                         │ its ACK
//!  SYN-SENT ── SYN,ACK of peer ──────▶ ESTABLISHED ◀───┘
//!     │ SYN                 close ┌──────┘  └──────┐ FIN of peer
//!     ▼                           ▼                ▼
//!  SYN-RECEIVED ── close ──▶ FIN-WAIT-1        CLOSE-WAIT
//!                  FIN acked ┌──┘    └── FIN       │ close
//!                            ▼           ▼         ▼
//!                       FIN-WAIT-2    CLOSING   LAST-ACK
//!                            │ FIN       │ acked   │ acked
//!                            ▼           ▼         ▼
//!                         TIME-WAIT ◀────┘      CLOSED
//! ```

mod arrive;
mod cubic;
mod ecn;
mod heard;
mod hystart;
mod load;
mod marks;
mod receiver;
mod recovery;
mod rtt;
mod scoreboard;
mod sender;
mod timers;
mod transmit;

use std::rc::Rc;
use std::time::Duration;

use headgate_net::clock::Nanos;

use crate::option::{MAX_SCALE, TIMESTAMPS_LEN, TcpOptions};
use crate::pool::BlockPool;
use crate::sequence::Seq;

pub(crate) use arrive::SegmentAnswer;
use ecn::Ecn;
pub(crate) use ecn::is_asked_by;
use heard::TICK;
use receiver::Receiver;
use sender::Sender;

/// What a peer's segments hold at least, where it does not say (RFC 9293, MUST-15).
const DEFAULT_MSS: [u16; 2] = [536, 1_220];
/// A time that does not come.
pub(crate) const NEVER: Nanos = Nanos(u64::MAX);

/// Less than any path has; a peer that says less would have us send headers.
const LEAST_MSS: u16 = 64;

/// RFC 9293, section 3.3.2; LISTEN is a record of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpState {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// Both sides closed it.
    Closed,
    /// The peer reset it, or refused it.
    Reset,
    /// The peer was silent for too long.
    TimedOut,
    /// We reset it.
    Aborted,
}

/// What all connections of a stack have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpLimits {
    /// Largest IP packet.
    pub(crate) mtu: usize,
    /// Largest window, and most that a writer may leave.
    pub(crate) buffer: u32,
    pub(crate) ack_delay: Duration,
    /// Whether our SYNs ask for explicit congestion notification.
    pub(crate) ask_ecn: bool,
    pub(crate) keep_alive: Duration,
    /// How long a peer has for its answer to a probe before the next one.
    pub(crate) ask_again: Duration,
    pub(crate) user_timeout: Duration,
    pub(crate) stall_timeout: Duration,
}

impl TcpLimits {
    /// Data in a full segment without options, by our own link; `overhead` is that of the IP header.
    pub(crate) fn mss(&self, overhead: usize) -> u16 {
        let mss = self
            .mtu
            .saturating_sub(overhead + headgate_net::wire::tcp::HEADER);
        u16::try_from(mss).unwrap_or(u16::MAX).max(LEAST_MSS)
    }

    /// What our window fields are shifted by, so that the largest window can be told (RFC 7323, section 2.2).
    pub(crate) fn scale(&self) -> u8 {
        let bits = 32 - (self.buffer >> 16).leading_zeros();
        u8::try_from(bits).unwrap_or(MAX_SCALE).min(MAX_SCALE)
    }
}

/// The timestamps of a connection (RFC 7323, section 3).
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// `TS.Recent`, and when it was taken.
    recent: u32,
    at: Nanos,
    /// Ours count from a number of their own, so that they say nothing of other connections (RFC 7323, section 7.1).
    offset: u32,
}

/// Our timestamp at a time.
pub(crate) fn timestamp(now: Nanos, offset: u32) -> u32 {
    ((now.0 / TICK.as_nanos() as u64) as u32).wrapping_add(offset)
}

/// When an acknowledgement is due.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledgement {
    due: Option<Nanos>,
    /// Bytes that arrived since the last one.
    pending: u32,
    /// The largest segment of the peer: two of these do not wait.
    full: u32,
}

#[derive(Debug)]
pub(crate) struct Tcb {
    state: TcpState,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    limits: Rc<TcpLimits>,
    clock: Option<Clock>,
    offset: u32,
    sack: bool,
    ecn: Ecn,
    /// Bytes of the IP header.
    overhead: u8,
    acknowledgement: Acknowledgement,
    /// The acknowledgement number that was sent last (RFC 7323, `Last.ACK.sent`).
    acknowledged: Seq,
    reset: bool,
    /// Whether the peer is to be asked for a sign of life, or for its window.
    ask: bool,
    asked: Nanos,
    /// When the last segment of the peer arrived.
    heard: Nanos,
    challenged: Option<Nanos>,
    pub(crate) end: ConnectionEnd,
}

/// What the stack draws for a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) iss: Seq,
    /// Of our timestamps.
    pub(crate) offset: u32,
    /// Bytes of the IP header.
    pub(crate) overhead: usize,
    pub(crate) now: Nanos,
}

/// A handshake that a client has finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handshake {
    /// The client's initial sequence number.
    pub(crate) irs: Seq,
    /// What its SYN offered.
    pub(crate) options: TcpOptions,
    /// Whether it and our answer agreed on explicit congestion notification.
    pub(crate) ecn: bool,
    /// When it was answered, if once.
    pub(crate) answered: Option<Nanos>,
}

impl Tcb {
    fn new(limits: &Rc<TcpLimits>, start: Start) -> Self {
        let mss = limits.mss(start.overhead);
        Self {
            state: TcpState::SynSent,
            sender: Sender::new(start.iss, u32::from(mss), limits.buffer),
            receiver: Receiver::new(Seq(0), limits.buffer, limits.scale(), start.now),
            limits: Rc::clone(limits),
            clock: None,
            offset: start.offset,
            sack: false,
            ecn: Ecn::asking(limits.ask_ecn),
            overhead: start.overhead as u8,
            acknowledgement: Acknowledgement::default(),
            acknowledged: Seq(0),
            reset: false,
            ask: false,
            asked: start.now,
            heard: start.now,
            challenged: None,
            end: ConnectionEnd::Closed,
        }
    }

    /// A connection that we open; its SYN is the first segment.
    pub(crate) fn connect(limits: &Rc<TcpLimits>, start: Start) -> Self {
        Self::new(limits, start)
    }

    /// A connection whose SYN was answered by the stack; the segment that finishes the handshake goes to `arrives`.
    pub(crate) fn accept(limits: &Rc<TcpLimits>, start: Start, handshake: &Handshake) -> Self {
        let mut tcb = Self::new(limits, start);
        tcb.agree(handshake.irs, &handshake.options, start.now);
        tcb.state = TcpState::SynReceived;
        tcb.ecn = Ecn::answering(handshake.ecn);
        tcb.sender.yielding.on = handshake.ecn;
        tcb.sender.next = start.iss + 1;
        tcb.sender.una = start.iss + 1;
        tcb.acknowledged = handshake.irs + 1;
        if let Some(answered) = handshake.answered {
            tcb.sender.rtt.sample(start.now.since(answered), start.now);
        }
        tcb
    }

    /// Takes in what the peer's SYN says, and so what both may use.
    fn agree(&mut self, irs: Seq, options: &TcpOptions, now: Nanos) {
        let scale = options.scale.map_or(0, |_| self.limits.scale());
        self.receiver = Receiver::new(irs + 1, self.limits.buffer, scale, now);
        self.sender.scale = options.scale.unwrap_or(0);
        self.sack = options.sack_permitted;
        self.clock = options.timestamps.map(|timestamps| Clock {
            recent: timestamps.value,
            at: now,
            offset: self.offset,
        });
        let default =
            DEFAULT_MSS[usize::from(usize::from(self.overhead) == headgate_net::wire::ipv6::HEADER)];
        let theirs = options.mss.unwrap_or(default).max(LEAST_MSS);
        let ours = self.limits.mss(usize::from(self.overhead));
        self.sender.mss = u32::from(theirs.min(ours)) - self.options_len();
    }

    /// Bytes of options in every segment.
    fn options_len(&self) -> u32 {
        if self.clock.is_some() {
            TIMESTAMPS_LEN as u32
        } else {
            0
        }
    }

    /// The handshake is finished: what was learnt from lost SYNs says nothing of the path.
    fn establish(&mut self) {
        self.state = TcpState::Established;
        self.sender.cubic = cubic::Cubic::new(self.sender.mss);
        self.sender.recovery = recovery::Recovery::default();
    }

    pub(crate) const fn state(&self) -> TcpState {
        self.state
    }

    /// Whether the ends agreed on explicit congestion notification.
    pub(crate) fn uses_ecn(&self) -> bool {
        self.ecn.is_agreed()
    }

    /// Whether the reader has something to be told: bytes, the end, or an error.
    pub(crate) const fn readable(&self) -> bool {
        self.receiver.unread() > 0 || self.receiver.fin_arrived() || matches!(self.state, TcpState::Closed)
    }

    /// Whether bytes may be written.
    pub(crate) const fn may_write(&self) -> bool {
        matches!(self.state, TcpState::Established | TcpState::CloseWait)
    }

    /// Whether TCP is done with it: nothing arrives for it and nothing goes.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, TcpState::Closed) && !self.reset
    }

    /// Whether nothing remains but to remember it.
    pub(crate) const fn waits_out(&self) -> bool {
        matches!(self.state, TcpState::TimeWait) && self.acknowledgement.due.is_none()
    }

    /// Our next number, what we have acknowledged, and the peer's last timestamp.
    pub(crate) fn remains(&self) -> (Seq, Seq, Option<u32>) {
        let recent = self.clock.map(|clock| clock.recent);
        (self.sender.next, self.receiver.next, recent)
    }

    /// Bytes that the peer has not acknowledged, and the FIN.
    pub(crate) fn left_to_send(&self) -> usize {
        let open = !matches!(self.state, TcpState::Closed | TcpState::TimeWait);
        let fin = open && self.sender.fin && !self.sender.fin_acknowledged();
        self.sender.buffered() as usize + usize::from(fin)
    }

    /// Takes bytes; how many.
    pub(crate) fn write(&mut self, pool: &mut BlockPool, data: &[u8]) -> usize {
        if self.may_write() {
            self.sender.write(pool, data)
        } else {
            0
        }
    }

    /// Lets `take` read from what has arrived. Whether the peer should be told of a larger window.
    pub(crate) fn read(
        &mut self,
        pool: &mut BlockPool,
        now: Nanos,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> bool {
        self.receiver.read(pool, take);
        self.read_some(pool, now)
    }

    /// Throws away what has arrived; how much.
    pub(crate) fn discard(&mut self, pool: &mut BlockPool, now: Nanos) -> usize {
        let discarded = self.receiver.discard(pool);
        self.read_some(pool, now);
        discarded as usize
    }

    fn read_some(&mut self, pool: &BlockPool, now: Nanos) -> bool {
        let rtt = self.sender.rtt.smoothed().unwrap_or(Duration::from_millis(100));
        self.receiver.tune(now, rtt, pool.pressed());
        let open = matches!(
            self.state,
            TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2
        );
        let tell = open
            && self
                .receiver
                .worth_telling(self.acknowledgement.full.max(1), pool.pressed());
        if tell {
            self.acknowledgement.due = Some(now);
        }
        tell
    }

    /// Our side is finished: a FIN follows what was written (RFC 9293, section 3.10.4).
    pub(crate) fn close(&mut self, pool: &mut BlockPool) {
        self.state = match self.state {
            TcpState::SynSent => return self.finish(pool, ConnectionEnd::Aborted),
            TcpState::SynReceived | TcpState::Established => TcpState::FinWait1,
            TcpState::CloseWait => TcpState::LastAck,
            _ => return,
        };
        self.sender.fin = true;
    }

    /// Resets the connection (RFC 9293, section 3.10.5).
    pub(crate) fn abort(&mut self, pool: &mut BlockPool, end: ConnectionEnd) {
        if self.state == TcpState::Closed {
            return;
        }
        let told = !matches!(self.state, TcpState::SynSent | TcpState::TimeWait);
        self.finish(pool, end);
        self.reset = told;
    }

    /// It is over. What arrived before stays for the reader.
    fn finish(&mut self, pool: &mut BlockPool, end: ConnectionEnd) {
        if self.state != TcpState::Closed {
            self.state = TcpState::Closed;
            self.end = end;
        }
        self.reset = false;
        self.acknowledgement.due = None;
        self.ask = false;
        self.sender.clear(pool);
    }

    /// Something else remembers the rest of TIME-WAIT.
    pub(crate) fn retire(&mut self, pool: &mut BlockPool) {
        self.finish(pool, ConnectionEnd::Closed);
    }

    /// Nothing has happened for a while: gives back the memory that only work needs.
    pub(crate) fn settle(&mut self) {
        if !self.sender.outstanding() {
            self.sender.board.settle();
        }
    }

    /// Gives all memory back.
    pub(crate) fn clear(&mut self, pool: &mut BlockPool) {
        self.sender.clear(pool);
        self.receiver.clear(pool);
    }

    /// Blocks of memory that it holds.
    #[cfg(any(test, feature = "harness"))]
    pub(crate) fn held(&self) -> usize {
        self.sender.held() + self.receiver.held()
    }

    /// Checks what holds at any time, with windows of at most `most` bytes.
    #[cfg(any(test, feature = "harness"))]
    pub(crate) fn check(&mut self, most: u32) {
        self.sender.check(most);
        assert!(
            self.receiver.unread() <= 2 * most,
            "more is unread than was asked for"
        );
    }

    /// A router said that packets of at most `mtu` bytes pass, about one that begins at `sequence`. Whether it is believed:
    /// the segment is under way, which nobody who does not see our packets can know (RFC 5927, section 7.2).
    pub(crate) fn narrow(&mut self, mtu: usize, sequence: Seq, now: Nanos) -> bool {
        let headers = usize::from(self.overhead) + headgate_net::wire::tcp::HEADER;
        let mss = (mtu.saturating_sub(headers) as u32).saturating_sub(self.options_len());
        let under_way = self.sender.una.at_most(sequence) && sequence.before(self.sender.next);
        let synchronised = !matches!(
            self.state,
            TcpState::SynSent | TcpState::SynReceived | TcpState::Closed
        );
        let narrower = under_way && synchronised && mss < self.sender.mss;
        if narrower {
            self.sender.narrow(mss.max(u32::from(LEAST_MSS)), now);
        }
        narrower
    }

    /// When `tick` or a transmission is due.
    pub(crate) fn deadline(&self) -> Nanos {
        let timer = self.sender.timer.map_or(NEVER, |(at, _)| at);
        let acknowledgement = self.acknowledgement.due.unwrap_or(NEVER);
        timer.min(acknowledgement).min(self.keep_alive())
    }

    /// Whether [`tick`](Self::tick) or [`next`](Self::next) may have something to do. Asked for each segment that arrives: after
    /// most of them nothing is to be sent but what somebody writes.
    pub(crate) fn wants_turn(&self, now: Nanos) -> bool {
        self.state != TcpState::Established
            || self.acknowledgement.due.is_some_and(|due| due <= now)
            || self.ask
            || self.sender.wants_turn(now)
    }

    /// When the peer is asked for a sign of life next.
    fn keep_alive(&self) -> Nanos {
        let idle = !matches!(
            self.state,
            TcpState::SynSent | TcpState::TimeWait | TcpState::Closed
        ) && !self.sender.outstanding();
        if !idle {
            return NEVER;
        }
        let first = self.heard.after(self.limits.keep_alive);
        first.max(self.asked.after(self.limits.ask_again))
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, pool: &mut BlockPool, now: Nanos) {
        let (heard, user_timeout) = (self.heard, self.limits.user_timeout);
        let patience_over = || now.since(heard) >= user_timeout;
        if self.sender.timer.is_some_and(|(at, _)| at <= now) {
            if patience_over() || self.stalls(now) >= self.limits.stall_timeout {
                return self.give_up(pool);
            }
            self.sender.fire(now);
        }
        if self.keep_alive() <= now {
            if patience_over() {
                return self.give_up(pool);
            }
            self.ask = true;
            self.asked = now;
        }
    }

    /// For how long the peer has taken nothing of what is there for it, though it may answer.
    pub(crate) fn stalls(&self, now: Nanos) -> Duration {
        let since = self.sender.recovery.stalled;
        since.map_or(Duration::ZERO, |since| now.since(since))
    }

    fn give_up(&mut self, pool: &mut BlockPool) {
        self.abort(pool, ConnectionEnd::TimedOut);
    }
}
