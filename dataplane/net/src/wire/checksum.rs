//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use super::{Headers, TCP, Tuple, UDP, tuple::Address};

/// The one's complement sum of big-endian 16-bit words, not yet folded; an odd last byte is the high half
/// of a word. Sums of parts that begin at even offsets may be added.
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = words.iter().map(|w| u64::from(u32::from_be_bytes(*w))).sum();
    for (byte, shift) in rest.iter().zip([24, 16, 8]) {
        total += u64::from(*byte) << shift;
    }
    total
}

/// Folds a sum to 16 bits.
#[inline]
#[must_use]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    // At most 0xffff by now.
    let [low, high, ..] = sum.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// The checksum of `bytes` whose checksum field is zero; 0 over bytes with a correct checksum in them.
#[inline]
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// A change of the words under a checksum: the one's complement sum of `!old + new` over the words that change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(pub u16);

impl Delta {
    /// The change from words with the sum `old` to words with the sum `new`.
    #[inline]
    #[must_use]
    pub const fn between(old: u32, new: u32) -> Self {
        Self(fold(!fold(old as u64) as u64 + new as u64))
    }

    /// This change and another one.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(fold(self.0 as u64 + other.0 as u64))
    }

    /// `HC' = ~(~HC + ~m + m')`: equation 3 of RFC 1624.
    #[inline]
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(!checksum as u64 + self.0 as u64)
    }
}

/// Where in its header a transport protocol has its checksum.
#[inline]
#[must_use]
pub const fn transport_offset(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(16),
        UDP => Some(6),
        _ => None,
    }
}

/// The checksum over a transport segment and its pseudo header (RFC 9293 3.1, RFC 8200 8.1): what belongs into the
/// field where that is zero, and 0 where the field holds it already. For UDP 0 is to be sent as 0xffff.
#[must_use]
pub fn transport<A: Address>(tuple: &Tuple<A>, protocol: u8, segment: &[u8]) -> u16 {
    let pseudo = u64::from(tuple.source.sum()) + u64::from(tuple.destination.sum());
    !fold(pseudo + u64::from(protocol) + segment.len() as u64 + sum(segment))
}

/// [`transport`] over the packet in `frame`.
///
/// # Panics
/// Where `headers` are of another frame.
#[must_use]
pub fn transport_of(frame: &[u8], headers: &Headers) -> u16 {
    let segment = &frame[usize::from(headers.l4)..usize::from(headers.end)];
    if headers.v6 {
        transport(&Tuple::<[u8; 16]>::of(frame, headers), headers.protocol, segment)
    } else {
        transport(&Tuple::<[u8; 4]>::of(frame, headers), headers.protocol, segment)
    }
}
