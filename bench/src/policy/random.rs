//! Random numbers that are the same in every run.

use std::net::{IpAddr, Ipv6Addr};

/// xorshift64* (Vigna, 2016): quick, and even enough for drawing inputs.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is at most 2^32.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (((self.next() >> 32) * bound as u64) >> 32) as usize
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Any IPv4 address.
    pub(crate) fn v4(&mut self) -> IpAddr {
        ((self.next() >> 32) as u32).to_be_bytes().into()
    }

    /// An address in 2000::/3, where global unicast is.
    pub(crate) fn v6(&mut self) -> IpAddr {
        let random = u128::from(self.next()) << 64 | u128::from(self.next());
        Ipv6Addr::from_bits(1 << 125 | random >> 3).into()
    }
}
