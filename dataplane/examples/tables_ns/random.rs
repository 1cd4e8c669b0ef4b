//! Inputs drawn from a seed.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Random numbers that are the same in every run (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// An address whose first `length` bits are those of `top`.
    pub(crate) fn v4(&mut self, top: u32, length: u8) -> IpAddr {
        let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
        (top & !host | (self.next() >> 32) as u32 & host)
            .to_be_bytes()
            .into()
    }

    /// An address whose first `length` bits are those of the 16 bits `top`.
    pub(crate) fn v6(&mut self, top: u16, length: u8) -> IpAddr {
        let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
        let random = u128::from(self.next()) << 64 | u128::from(self.next());
        Ipv6Addr::from_bits(u128::from(top) << 112 & !host | random & host).into()
    }
}

pub(crate) fn block(address: IpAddr, length: u8) -> IpNet {
    IpNet::new_assert(address, length).trunc()
}
