//! A client as pods are told of it, and the IDs of requests.

use std::net::{IpAddr, SocketAddr};

/// Who asks, and by which listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) listener: SocketAddr,
    pub(crate) tls: bool,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, listener: SocketAddr, tls: bool) -> Self {
        Self {
            address,
            listener,
            tls,
        }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

/// What a request is found by in logs.
#[derive(Clone, Debug)]
pub(crate) enum RequestId {
    /// The client's, which is short and harmless.
    Given(Box<[u8]>),
    /// 32 hexadecimal digits.
    Made([u8; 32]),
}

impl RequestId {
    pub(crate) fn made_of(random: [u64; 2]) -> Self {
        let mut digits = [0; 32];
        let halves = random
            .iter()
            .flat_map(|bits| [*bits as u32, (*bits >> 32) as u32]);
        for (digits, bits) in digits.chunks_exact_mut(8).zip(halves) {
            digits.copy_from_slice(&hexadecimal(bits));
        }
        Self::Made(digits)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(id) => id,
            Self::Made(id) => id,
        }
    }
}

/// The digits of a number, the lowest one first: all eight at once, each in a byte of a word.
fn hexadecimal(bits: u32) -> [u8; 8] {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let bits = u64::from(bits);
    let bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    let bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    let bits = (bits | bits << 4) & each(0x0f);
    // What is above 9 is carried into the upper half of its byte by 6.
    let letters = (bits + each(6)) >> 4 & each(1);
    (bits + each(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::hexadecimal;

    #[test]
    fn digits_are_those_that_formatting_writes() {
        for bits in [0, 9, 10, 0x0123_4567, 0x89ab_cdef, u32::MAX, 0x9a90_0a09] {
            let mut digits = hexadecimal(bits);
            digits.reverse();
            assert_eq!(digits, format!("{bits:08x}").as_bytes());
        }
    }
}
