//! What a connection sends next.

use std::net::SocketAddr;

use headgate_net::clock::Nanos;
use headgate_net::wire::ecn;
use headgate_net::wire::tcp::Fields;

use super::sender::Piece;
use super::{Tcb, TcpState, timestamp};
use crate::option::{OptionBytes, SackBlocks, Timestamps};
use crate::packets::Header;
use crate::pool::BlockPool;
use crate::segment::{ACK, CWR, FIN, PSH, RST, SYN};
use crate::sequence::Seq;

/// A segment that may be sent. Nothing has changed until [`Tcb::sent`] says that it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) header: Header,
    /// The first byte of its data, and how many.
    pub(crate) data: (Seq, usize),
    piece: Option<Piece>,
}

impl Tcb {
    /// The next segment, if one is due.
    pub(crate) fn next(
        &self,
        ends: (SocketAddr, SocketAddr),
        pool: &BlockPool,
        now: Nanos,
    ) -> Option<Outgoing> {
        let blocks = self.blocks();
        let bare = |flags, sequence| self.bare(ends, (flags, sequence), &blocks, (pool, now));
        if self.reset {
            return Some(bare(RST | ACK, self.sender.next));
        }
        if self.state == TcpState::Closed {
            return None;
        }
        // Most often nothing is to be sent: options are written only for what is.
        let spare = OptionBytes::blocks_len(&blocks, self.clock.is_some()) as u32;
        if let Some(piece) = self.sender.piece(self.sender.mss.saturating_sub(spare).max(1)) {
            let options = OptionBytes::of_segment(self.timestamps(now), &blocks);
            return Some(self.with(ends, piece, options, (pool, now)));
        }
        if self.acknowledgement.due.is_some_and(|due| due <= now) {
            return Some(bare(ACK, self.sender.next));
        }
        // A number that was acknowledged: the peer answers with what it expects, and its window.
        let asks = self.ask || self.sender.recovery.overrides_window();
        asks.then(|| bare(ACK, self.sender.una - 1))
    }

    fn blocks(&self) -> SackBlocks {
        if self.sack {
            self.receiver.blocks()
        } else {
            SackBlocks::default()
        }
    }

    fn timestamps(&self, now: Nanos) -> Option<Timestamps> {
        self.clock.map(|clock| Timestamps {
            value: timestamp(now, clock.offset),
            echo: clock.recent,
        })
    }

    fn bare(
        &self,
        ends: (SocketAddr, SocketAddr),
        (flags, sequence): (u8, Seq),
        blocks: &SackBlocks,
        (pool, now): (&BlockPool, Nanos),
    ) -> Outgoing {
        let options = OptionBytes::of_segment(self.timestamps(now), blocks);
        let window = self.receiver.window(pool.pressed());
        self.outgoing(ends, (flags, sequence, window), options)
    }

    fn outgoing(
        &self,
        ends: (SocketAddr, SocketAddr),
        (flags, sequence, window): (u8, Seq, u16),
        options: OptionBytes,
    ) -> Outgoing {
        let acknowledgement = if flags & ACK == 0 { 0 } else { self.receiver.next.0 };
        let flags = if flags & (SYN | RST) == 0 {
            flags | self.ecn.echoes()
        } else {
            flags
        };
        let fields = Fields {
            sequence: sequence.0,
            acknowledgement,
            flags,
            window,
        };
        Outgoing {
            header: Header {
                ends,
                fields,
                ecn: ecn::NOT_ECT,
                options,
            },
            data: (sequence, 0),
            piece: None,
        }
    }

    fn with(
        &self,
        ends: (SocketAddr, SocketAddr),
        piece: Piece,
        options: OptionBytes,
        (pool, now): (&BlockPool, Nanos),
    ) -> Outgoing {
        if piece.start == self.sender.iss {
            return self.syn(ends, piece, now);
        }
        let written = self.sender.written;
        let data = piece.end.min(written).ahead(piece.start);
        let fin = if written.before(piece.end) { FIN } else { 0 };
        let push = if data > 0 && written.at_most(piece.end) {
            PSH
        } else {
            0
        };
        let window = self.receiver.window(pool.pressed());
        let mut outgoing = self.outgoing(ends, (ACK | fin | push, piece.start, window), options);
        // New data alone (RFC 3168, sections 6.1.4 and 6.1.5).
        if self.sender.yielding.on && data > 0 && piece.is_new() {
            outgoing.header.ecn = ecn::ECT_0;
            if self.sender.yielding.tells {
                outgoing.header.fields.flags |= CWR;
            }
        }
        outgoing.data.1 = data as usize;
        outgoing.piece = Some(piece);
        outgoing
    }

    /// Ours, or one that answers another that crossed it.
    fn syn(&self, ends: (SocketAddr, SocketAddr), piece: Piece, now: Nanos) -> Outgoing {
        let answers = self.state == TcpState::SynReceived;
        let mss = self.limits.mss(usize::from(self.overhead));
        let echo = self.clock.map_or(0, |clock| clock.recent);
        let value = timestamp(now, self.offset);
        let options = if answers {
            let scale = (self.receiver.scale > 0 || self.sender.scale > 0).then_some(self.receiver.scale);
            let timestamps = self.clock.map(|_| Timestamps { value, echo });
            OptionBytes::of_syn(mss, scale, self.sack, timestamps)
        } else {
            OptionBytes::of_syn(
                mss,
                Some(self.limits.scale()),
                true,
                Some(Timestamps { value, echo }),
            )
        };
        let flags = if answers {
            SYN | ACK
        } else {
            SYN | self.ecn.asks(!piece.is_new())
        };
        let mut outgoing = self.outgoing(
            ends,
            (flags, piece.start, self.receiver.unscaled_window()),
            options,
        );
        outgoing.piece = Some(piece);
        outgoing
    }

    /// A segment from `next` was handed out.
    pub(crate) fn sent(&mut self, outgoing: &Outgoing, now: Nanos) {
        let fields = &outgoing.header.fields;
        if fields.flags & RST != 0 {
            self.reset = false;
            return;
        }
        if fields.flags & ACK != 0 {
            self.acknowledged = self.receiver.next;
            self.acknowledgement.due = None;
            self.acknowledgement.pending = 0;
        }
        if fields.flags & SYN == 0 {
            self.receiver.told(fields.window);
            self.sender.yielding.tells &= fields.flags & CWR == 0;
        } else {
            self.ecn.syn_sent(fields.flags);
        }
        match &outgoing.piece {
            Some(piece) => self.sender.sent(piece, now),
            None if fields.sequence != self.sender.next.0 => {
                self.ask = false;
                self.sender.recovery.take_persisted();
            }
            None => {}
        }
    }

    /// Nothing more is sent for now: sets the timer.
    pub(crate) fn rests(&mut self, now: Nanos) {
        self.sender.rearm(now, self.sack);
    }
}
