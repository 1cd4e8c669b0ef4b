//! Explicit congestion notification (RFC 3168, section 6.1): a congested router marks what it would have to drop, and who gets
//! it says so until the sender says that it has reduced its window.
//!
//! ```text
//!  sender                       congested router                        receiver
//!    │ ── new data, ECT(0) ────────────▶ │ ── the same, CE ────────────▶ │
//!    │ ◀───────────────────────── acknowledgements, ECE ─────────────── │ echoes
//!    │ reduces its window, once          │                               │
//!    │ ── the next new data, CWR ──────────────────────────────────────▶ │ and no more
//! ```

use headgate_net::clock::Nanos;
use headgate_net::wire::ecn;

use crate::segment::{ACK, CWR, ECE, SYN, Segment};
use crate::sequence::Seq;

/// How far the ends have agreed (section 6.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Agreement {
    /// Not at all.
    #[default]
    None,
    /// Our SYN has asked for it, or will.
    Asked,
    /// The SYN went again without asking: whatever the answer, we must not send what routers mark.
    Doubted,
    /// Marks are echoed.
    Made,
}

/// What was agreed, and the receiver's half (section 6.1.3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ecn {
    agreement: Agreement,
    /// Something came marked, and the peer has not told since that it has reduced its window.
    echo: bool,
}

impl Ecn {
    /// Of a connection that we open.
    pub(super) const fn asking(asks: bool) -> Self {
        Self {
            agreement: if asks { Agreement::Asked } else { Agreement::None },
            echo: false,
        }
    }

    /// Of a connection whose client has asked, if our answer was that we do.
    pub(super) const fn answering(agreed: bool) -> Self {
        Self {
            agreement: if agreed { Agreement::Made } else { Agreement::None },
            echo: false,
        }
    }

    pub(super) fn is_agreed(&self) -> bool {
        self.agreement == Agreement::Made
    }

    /// Flags of our SYN. One that goes `again` does not ask: what lies between may drop those that do (section 6.1.1.1).
    pub(super) fn asks(&self, again: bool) -> u8 {
        if self.agreement == Agreement::Asked && !again {
            ECE | CWR
        } else {
            0
        }
    }

    /// A SYN with these flags was sent.
    pub(super) fn syn_sent(&mut self, flags: u8) {
        if self.agreement == Agreement::Asked && flags & ECE == 0 {
            self.agreement = Agreement::Doubted;
        }
    }

    /// The peer's SYN has come, to a connection that we open. Whether what we send may be marked.
    pub(super) fn answered(&mut self, syn: &Segment<'_>) -> bool {
        // An old peer sends back whatever it does not know: both flags, then, and not one (section 6.1.1.2).
        let (agrees, crossed) = match syn.flags & (ACK | ECE | CWR) {
            flags if flags == ACK | ECE => (true, false),
            // It crossed ours, and our answer to it does not agree.
            flags if flags == ECE | CWR => (true, true),
            _ => (false, false),
        };
        let sends = agrees && !crossed && self.agreement == Agreement::Asked;
        let asked = self.agreement != Agreement::None;
        *self = Self::answering(asked && agrees);
        sends
    }

    /// Takes in a segment with data that lies in the window; whether its acknowledgement must not wait, for the peer's window
    /// may be of one segment. A mark that came before [`CWR`] was of what the peer sent before it reduced.
    #[inline]
    pub(super) fn hears(&mut self, segment: &Segment<'_>) -> bool {
        let marked = segment.ecn == ecn::CE;
        let reduced = segment.flags & CWR != 0;
        if !(marked || reduced) || self.agreement != Agreement::Made {
            return false;
        }
        let news = reduced || !self.echo;
        self.echo = marked || (self.echo && !reduced);
        news
    }

    /// The flag of every acknowledgement.
    #[inline]
    pub(super) const fn echoes(&self) -> u8 {
        if self.echo { ECE } else { 0 }
    }
}

/// The sender's half (section 6.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Yielding {
    /// Whether routers may mark what we send.
    pub(super) on: bool,
    /// Whether the next new data tells that the window was reduced.
    pub(super) tells: bool,
    /// Until something beyond it is acknowledged, and so the peer knows that the window was reduced, marks and losses of what
    /// was sent before it ask for no other reduction.
    pub(super) until: Option<Seq>,
    /// The window cannot be less than a segment: until then nothing new is sent, and the how many'th time in a row it is.
    pub(super) pause: Option<Nanos>,
    pub(super) pauses: u8,
    /// Whether a mark had the window reduced, and nobody has counted it.
    pub(super) fresh: bool,
}

impl Yielding {
    /// Whether the window was reduced after what ends here was sent.
    pub(super) fn knows(&self, end: Seq) -> bool {
        self.until.is_some_and(|until| end.at_most(until))
    }

    /// Something up to `ack` was acknowledged.
    pub(super) fn acknowledged(&mut self, ack: Seq, marked: bool) {
        if self.until.is_some_and(|until| until.before(ack)) {
            self.until = None;
            if !marked {
                self.pauses = 0;
            }
        }
    }
}

/// Whether a client's SYN asks, and nothing between has written over what routers mark: no SYN may be sent as one that they
/// can (section 6.1.1), so that a field that is not zero says nothing of what comes behind it. As Linux.
pub(crate) fn is_asked_by(syn: &Segment<'_>) -> bool {
    syn.flags & (SYN | ACK | ECE | CWR) == SYN | ECE | CWR && syn.ecn == ecn::NOT_ECT
}
