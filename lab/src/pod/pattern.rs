//! Bytes that both ends of a transfer can make.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

const CHUNK: u64 = 64 * 1024;

/// `length` pseudo-random bytes (xorshift64*), the same for the same length and seed, in chunks of 64 KiB.
#[derive(Clone, Debug)]
pub struct Pattern {
    left: u64,
    state: u64,
}

impl Pattern {
    /// `length` bytes that `seed` determines.
    #[must_use]
    pub fn new(length: u64, seed: u64) -> Self {
        // The state must not be 0.
        Self {
            left: length,
            state: seed ^ 0x9e37_79b9_7f4a_7c15 | 1,
        }
    }

    /// The SHA-256 of all bytes, in hexadecimal.
    #[must_use]
    pub fn sha256(self) -> String {
        let mut hash = Context::new(&SHA256);
        for chunk in self {
            hash.update(&chunk);
        }
        hex(hash.finish().as_ref())
    }

    fn word(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl Iterator for Pattern {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let length = self.left.min(CHUNK);
        self.left -= length;
        let words = length.div_ceil(8);
        let mut chunk = Vec::with_capacity(CHUNK as usize);
        for _ in 0..words {
            chunk.extend_from_slice(&self.word().to_le_bytes());
        }
        chunk.truncate(length as usize);
        Some(chunk.into())
    }
}

/// The SHA-256 of `bytes`, in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_exact_and_seeds_matter() {
        for length in [0, 1, 7, 8, 65_535, 65_536, 65_537, 200_001] {
            let bytes: Vec<u8> = Pattern::new(length, 1).flatten().collect();
            assert_eq!(bytes.len() as u64, length);
            assert_eq!(Pattern::new(length, 1).sha256(), sha256_hex(&bytes));
        }
        assert_ne!(Pattern::new(64, 1).sha256(), Pattern::new(64, 2).sha256());
    }

    #[test]
    fn the_hash_is_sha256() {
        // FIPS 180-4's example for "abc".
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
