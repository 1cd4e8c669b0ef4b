//! Cheap hashes for the tables of the packet path.
//!
//! Two kinds, not to be mixed up. [`mix`] has no secret: every node computes the same, which Maglev needs.
//! [`Keyed`] draws a secret for each map: for maps whose keys strangers choose, so that nobody can prepare
//! keys that collide.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

/// Odd constants without structure (digits of pi, as in Blowfish's tables).
const PI: [u64; 4] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
];

/// Multiplies to 128 bits and folds the halves: every bit of the result depends on every bit of both.
#[inline]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    #[expect(clippy::cast_possible_truncation, reason = "the halves of the product")]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}

/// Hashes three words with a seed; the same on every machine and in every run.
#[inline]
#[must_use]
pub const fn mix(seed: u64, a: u64, b: u64, c: u64) -> u64 {
    let low = fold(a ^ PI[0] ^ seed, b ^ PI[1]);
    fold(low ^ PI[2] ^ seed.rotate_left(32), c ^ PI[3])
}

/// An address as two words. IPv4 stands in the range of the mapped addresses (RFC 4291, 2.5.5.2), so tables
/// that hold both families must compare the family besides.
#[inline]
#[must_use]
pub const fn words(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(a) => (0, 0xffff_0000_0000 | a.to_bits() as u64),
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the address")]
        IpAddr::V6(a) => ((a.to_bits() >> 64) as u64, a.to_bits() as u64),
    }
}

/// Hashes an address and one word more; the same on every machine and in every run.
#[inline]
#[must_use]
pub const fn mix_address(seed: u64, address: IpAddr, word: u64) -> u64 {
    let (high, low) = words(address);
    mix(seed, high, low, word)
}

/// Builds hashers with a secret of their own, for `HashMap` in place of SipHash.
#[derive(Clone, Debug)]
pub struct Keyed(u64);

impl Keyed {
    /// With a secret from the system's generator.
    #[must_use]
    pub const fn with_secret(secret: u64) -> Self {
        Self(secret)
    }
}

impl Default for Keyed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u64))
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher;

    fn build_hasher(&self) -> FoldHasher {
        FoldHasher(self.0)
    }
}

/// One multiplication for each word written.
#[derive(Debug)]
pub struct FoldHasher(u64);

impl Hasher for FoldHasher {
    // Whole words apart from the rest: an IPv6 address is two of them, and copies nothing.
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word) ^ 8 << 56);
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(word) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word ^ PI[0], PI[1] ^ self.0.rotate_left(29));
    }

    fn write_u128(&mut self, word: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the word")]
        let halves = ((word >> 64) as u64, word as u64);
        self.write_u64(halves.0);
        self.write_u64(halves.1);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        fold(self.0 ^ PI[2], PI[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn mix_is_the_same_everywhere() {
        // Nodes of one cluster must agree; a changed value splits clusters during a roll-out.
        assert_eq!(mix(0, 0, 0, 0), 12_952_290_121_329_287_290);
    }

    #[test]
    fn every_low_bit_takes_part() {
        let seen: HashSet<u64> = (0..10_000_u32)
            .map(|i| mix_address(7, IpAddr::from(i.to_be_bytes()), 0) & 0xffff)
            .collect();
        // 10,000 balls in 65,536 bins fill 9,280 of them on average.
        assert!((9_100..9_460).contains(&seen.len()), "{} of 9,280", seen.len());
    }

    #[test]
    fn keyed_maps_differ() {
        let (a, b) = (Keyed::default(), Keyed::default());
        assert_ne!(a.hash_one(1_u64), b.hash_one(1_u64));
        assert_eq!(a.hash_one("abc"), a.hash_one("abc"));
        assert_ne!(a.hash_one([1_u8, 0]), a.hash_one([1_u8]));
    }
}
