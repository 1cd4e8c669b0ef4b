//! The keyed hash of flows.

use crate::hash::fold;
use crate::ids::{StageId, WorkerId};
use crate::wire::{Address, Tuple};

/// Odd bits of no structure: the fraction of the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The key of the hash. Clients choose what is hashed; without the key they cannot choose where it falls.
#[derive(Clone, Copy)]
pub struct Secret([u64; 4]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Spreads a seed from the system's generator over the key.
    #[must_use]
    pub const fn new(seed: [u64; 2]) -> Self {
        let a = fold(seed[0] ^ GOLDEN, seed[1] | 1);
        let b = fold(seed[1] ^ GOLDEN.rotate_left(17), seed[0] | 1);
        Self([seed[0] ^ b.rotate_left(32), seed[1] ^ a, a | 1, b | 1])
    }

    /// Hashes one direction of a flow: two multiplications for IPv4, four for IPv6.
    #[inline]
    #[must_use]
    pub fn hash<A: Address>(&self, tuple: &Tuple<A>, protocol: u8) -> u64 {
        let [k0, k1, k2, k3] = self.0;
        let ports = u64::from(tuple.source_port) << 32
            | u64::from(tuple.destination_port) << 16
            | u64::from(protocol);
        let (source_high, source_low) = tuple.source.words();
        let (destination_high, destination_low) = tuple.destination.words();
        let addresses = if A::V6 {
            let source = fold(source_high ^ k2, source_low ^ k3);
            fold(destination_high ^ source ^ k1, destination_low ^ k0) ^ source.rotate_left(32)
        } else {
            source_low << 32 | destination_low
        };
        fold(fold(addresses ^ k0, ports ^ k1) ^ k2, k3)
    }
}

/// The worker that a hash names. It uses the high half: the low bits are the place in the worker's table, which
/// would stay half empty if they also chose the worker.
#[inline]
#[must_use]
pub const fn worker(hash: u64, workers: u8) -> WorkerId {
    WorkerId(scaled(hash, workers))
}

/// The L7 stage that the hash of a client's packet names, where stages have cores of their own.
#[inline]
#[must_use]
pub const fn stage(hash: u64, stages: u8) -> StageId {
    StageId(scaled(hash, stages))
}

const fn scaled(hash: u64, count: u8) -> u8 {
    let scaled = (hash >> 32) * count as u64;
    (scaled >> 32).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn workers_and_slots_are_independent_and_even() {
        let secret = Secret::new([1, 2]);
        let mut counts = [[0_u32; 64]; 3];
        for port in 0..60_000 {
            let tuple = Tuple {
                source: [10, 0, 0, 1],
                destination: [10, 0, 0, 2],
                source_port: port,
                destination_port: 80,
            };
            let hash = secret.hash(&tuple, 6);
            counts[usize::from(worker(hash, 3).0)][(hash & 63) as usize] += 1;
        }
        // 312 on average; five standard deviations.
        assert!(
            counts.iter().flatten().all(|c| (224..400).contains(c)),
            "{counts:?}"
        );
    }

    #[test]
    fn every_input_bit_matters_in_the_low_bits() {
        let secret = Secret::new([3, 4]);
        let base = Tuple {
            source: [0x20; 16],
            destination: [0x30; 16],
            source_port: 1,
            destination_port: 2,
        };
        let mut seen = std::collections::HashSet::from([secret.hash(&base, 6) & 0xffff_ffff]);
        for bit in 0..128 {
            let (byte, mask) = (bit / 8, 1 << (bit % 8));
            let mut source = base;
            source.source[byte] ^= mask;
            let mut destination = base;
            destination.destination[byte] ^= mask;
            assert!(seen.insert(secret.hash(&source, 6) & 0xffff_ffff));
            assert!(seen.insert(secret.hash(&destination, 6) & 0xffff_ffff));
        }
        assert!(seen.insert(secret.hash(&base, 17) & 0xffff_ffff));
    }

    proptest! {
        #[test]
        fn a_worker_always_exists(hash in any::<u64>(), workers in 1_u8..) {
            prop_assert!(worker(hash, workers).0 < workers);
            prop_assert!(stage(hash, workers).0 < workers);
        }
    }
}
