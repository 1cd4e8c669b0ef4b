//! Loss and what follows from it: RACK-TLP (RFC 8985), proportional rate reduction (RFC 6937), F-RTO (RFC 5682), and
//! undoing what was done for nothing (RFC 3522, RFC 3708).
//!
//! ```text
//!          something is lost              everything sent before is acknowledged
//!   open ────────────────────▶ recovery ───────────────────────────────────────▶ open
//!    │                            │
//!    └─── timeout ──▶ loss ◀──────┘ timeout
//!                       │ acknowledged, or the timeout was spurious ──▶ open
//! ```

use headgate_net::clock::Nanos;

use super::cubic::Cubic;
use super::ecn::Yielding;
use crate::sequence::Seq;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Open,
    Recovery,
    Loss,
}

#[derive(Debug, Default)]
pub(crate) struct Recovery {
    pub(super) phase: Phase,
    /// Acknowledged, it ends recovery.
    pub(super) point: Seq,
    pub(super) prr: Reduction,
    pub(super) undo: Option<Box<Undo>>,
    /// Timeouts in a row, those of a closed window too, and when the first was.
    pub(super) backoff: u8,
    pub(super) stalled: Option<Nanos>,
    /// Whether the timeout may have been spurious, and new segments that may be sent to find out.
    pub(super) doubtful: bool,
    pub(super) new_first: u8,
    /// Acknowledgements in a row that said nothing new, of peers without SACK.
    pub(super) duplicates: u32,
    /// The number after a tail loss probe, and whether it was something sent before.
    pub(super) tail: Option<(Seq, bool)>,
    pub(super) probe: bool,
    /// Whether the persist timer fired: a small window is used as it is.
    pub(super) persisted: bool,
    /// The reordering window in quarters of the least RTT, the end of the round in which it grew, and recoveries until it
    /// is forgotten.
    pub(super) steps: u32,
    pub(super) widened: Option<Seq>,
    pub(super) persistence: u8,
    pub(super) reordering: Option<Nanos>,
    pub(super) shrunk: Option<Shrunk>,
}

/// RFC 6937 with the safe bound of its successor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reduction {
    pub(super) delivered: u32,
    pub(super) out: u32,
    /// Bytes under way when recovery began.
    pub(super) flight: u32,
}

/// Segments that were made smaller because full ones may not pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shrunk {
    /// What full ones hold.
    pub(super) full: u32,
    /// When to try them again.
    pub(super) again: Nanos,
    pub(super) times: u8,
}

/// What was before a reduction.
#[derive(Debug)]
pub(super) struct Undo {
    /// None where the peer has told of a mark meanwhile, which asks for the reduction too.
    pub(super) cubic: Option<Cubic>,
    pub(super) yielding: Yielding,
    /// When the first segment was sent again.
    pub(super) first: Option<Nanos>,
    /// Segments sent again, less those that the peer had twice. Zero says that nothing was lost.
    pub(super) again: u32,
}

impl Recovery {
    pub(super) const fn prefers_new(&self) -> bool {
        self.new_first > 0
    }

    /// Whether a timer has asked for something to be sent.
    pub(super) const fn is_pending(&self) -> bool {
        self.probe || self.persisted
    }

    pub(super) const fn overrides_window(&self) -> bool {
        self.persisted
    }

    pub(super) const fn probe_is_due(&self) -> bool {
        self.probe
    }

    /// Whether the peer is to be asked for its window; once for each time that the timer fired.
    pub(super) fn take_persisted(&mut self) -> bool {
        std::mem::take(&mut self.persisted)
    }
}
