//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use std::net::IpAddr;

use super::{Address, Headers, Tuple};

/// The one's complement sum of 16-bit words, not yet folded; an odd last byte is the high half of a word. Sums of parts
/// that begin at even offsets may be added.
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> u64 {
    u16::from_be_bytes(fold(native(bytes)).to_ne_bytes()).into()
}

/// The sum of words as the machine reads them: its bytes only have to change places once, after folding (RFC 1071, 2 B),
/// and LLVM makes vector additions of it.
#[inline]
fn native(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    // 2^32 words of 32 bits fit.
    let total: u64 = words.iter().map(|w| u64::from(u32::from_ne_bytes(*w))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_ne_bytes(last))
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
    u16::from_be_bytes((!fold(native(bytes))).to_ne_bytes())
}

/// Whether `bytes` have a correct checksum in them.
#[inline]
#[must_use]
pub fn is_right(bytes: &[u8]) -> bool {
    fold(native(bytes)) == u16::MAX
}

/// A change of the words under a checksum: the one's complement sum of `!old + new` over the words that change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(pub u16);

impl Delta {
    /// Of a TTL that goes down by one: it is the high half of its word, which becomes 0x0100 less, whatever it was.
    pub const OF_HOP: Self = Self::between(0x0100, 0);

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

/// The checksum over a transport segment and its pseudo header (RFC 9293 3.1, RFC 8200 8.1): what belongs into the
/// field where that is zero, and 0 where the field holds it already. For UDP 0 is to be sent as 0xffff.
#[must_use]
pub fn transport<A: Address>(tuple: &Tuple<A>, protocol: u8, segment: &[u8]) -> u16 {
    with_pseudo_header(tuple.source.sum() + tuple.destination.sum(), protocol, segment)
}

/// [`transport`] between addresses of whichever family.
#[must_use]
pub fn transport_between(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let address = |address| match address {
        IpAddr::V4(a) => std::net::Ipv4Addr::octets(&a).sum(),
        IpAddr::V6(a) => std::net::Ipv6Addr::octets(&a).sum(),
    };
    with_pseudo_header(address(source) + address(destination), protocol, segment)
}

fn with_pseudo_header(addresses: u32, protocol: u8, segment: &[u8]) -> u16 {
    !fold(u64::from(addresses) + u64::from(protocol) + segment.len() as u64 + sum(segment))
}

/// [`transport`] over the packet in `frame`.
///
/// # Panics
/// Where `headers` are of another frame.
#[must_use]
pub fn transport_of(frame: &[u8], headers: &Headers) -> u16 {
    let segment = headers.segment(frame);
    if headers.v6 {
        transport(&Tuple::<[u8; 16]>::of(frame, headers), headers.protocol, segment)
    } else {
        transport(&Tuple::<[u8; 4]>::of(frame, headers), headers.protocol, segment)
    }
}

#[cfg(test)]
mod tests;
