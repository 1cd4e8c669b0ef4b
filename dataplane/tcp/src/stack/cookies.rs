//! SYN cookies (RFC 4987, section 3.6): where as many handshakes have begun as are remembered, what a connection begins with
//! is written into the answer's numbers, and read from what the client sends back. A flood costs no memory, and nobody
//! else loses a handshake for it.
//!
//! ```text
//!  initial number   31         8 7      3 2     0        timestamp   31        6 5    4      3       0
//!                  │ keyed hash │ minute │ MSS   │                  │  the time │ECN │ SACK │ shift   │
//! ```

use std::hash::BuildHasher;
use std::time::Duration;

use super::Inner;
use crate::engine::{Handshake, timestamp};
use crate::handshake::Numbers;
use crate::key::ConnectionKey;
use crate::option::{TcpOptions, Timestamps};
use crate::segment::Segment;
use crate::sequence::Seq;
use headgate_net::clock::Nanos;

/// What a cookie can say of an MSS: the largest that is not above the client's.
const SIZES: [u16; 8] = [64, 536, 1_220, 1_300, 1_380, 1_440, 1_460, 8_940];
/// A cookie is taken back within this and the next one.
const PERIOD: Duration = Duration::from_secs(64);
const PERIODS: u32 = 32;
/// For so long after the last cookie they are looked for in segments of no connection.
pub(super) const VALID: Duration = Duration::from_secs(128);

/// The bits of a timestamp that are the cookie's.
const BITS: u32 = 6;
const SHIFT: u32 = 0b1111;
const SACK: u32 = 0b1_0000;
const ECN: u32 = 0b10_0000;
/// In place of a shift: the client does not scale.
const NO_SHIFT: u32 = 15;

impl Inner {
    /// What answers a SYN without a record of it: the numbers, and our timestamp where the client has sent one. `asked` says
    /// that it asked for explicit congestion notification.
    pub(super) fn cookie(
        &self,
        key: &ConnectionKey,
        irs: Seq,
        offered: &TcpOptions,
        asked: bool,
    ) -> (Seq, Option<u32>) {
        let mss = offered.mss.unwrap_or(SIZES[1]);
        let size = SIZES.iter().rposition(|size| *size <= mss).unwrap_or(0) as u32;
        let period = self.period();
        let iss = self.cookie_hash(key, irs, period, size) | period << 3 | size;
        let scale = offered.scale.map_or(NO_SHIFT, u32::from);
        let sack = if offered.sack_permitted { SACK } else { 0 };
        let bits = scale | sack | if asked { ECN } else { 0 };
        let value = offered.timestamps.map(|_| {
            let now = timestamp(self.now, self.numbers(key).offset);
            let value = now >> BITS << BITS | bits;
            // Never ahead of the time: what follows must not look older (RFC 7323, section 5.3).
            if Seq(now).before(Seq(value)) {
                value.wrapping_sub(1 << BITS)
            } else {
                value
            }
        });
        (Seq(iss), value)
    }

    /// The handshake that a segment finishes, if its numbers are a cookie's.
    pub(super) fn handshake_of(
        &self,
        key: &ConnectionKey,
        segment: &Segment<'_>,
    ) -> Option<(Numbers, Handshake)> {
        let (irs, iss) = (segment.sequence - 1, segment.acknowledgement - 1);
        let (period, size) = (iss.0 >> 3 & (PERIODS - 1), iss.0 & 7);
        let age = self.period().wrapping_sub(period) & (PERIODS - 1);
        if age > 1 || self.cookie_hash(key, irs, period, size) != iss.0 & !0xff {
            return None;
        }
        let numbers = Numbers {
            iss,
            offset: self.numbers(key).offset,
        };
        let mut options = TcpOptions {
            mss: SIZES.get(size as usize).copied(),
            timestamps: segment.options.timestamps,
            ..TcpOptions::default()
        };
        let mut ecn = false;
        if let Some(Timestamps { echo, .. }) = segment.options.timestamps {
            options.scale = Some(echo & SHIFT)
                .filter(|scale| *scale != NO_SHIFT)
                .map(|scale| scale as u8);
            options.sack_permitted = echo & SACK != 0;
            ecn = echo & ECN != 0;
        }
        let handshake = Handshake {
            irs,
            options,
            ecn,
            answered: None,
        };
        Some((numbers, handshake))
    }

    fn period(&self) -> u32 {
        (self.now.since(Nanos(0)).as_secs() / PERIOD.as_secs()) as u32 & (PERIODS - 1)
    }

    fn cookie_hash(&self, key: &ConnectionKey, irs: Seq, period: u32, size: u32) -> u32 {
        (self.secret.hash_one((key, irs.0, period, size)) as u32) & !0xff
    }
}
