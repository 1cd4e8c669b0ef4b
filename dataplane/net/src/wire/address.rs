//! Addresses as they stand in packets.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::IpAddr;

use headgate_abi::wire::{ipv4, ipv6};

/// An IPv4 (`[u8; 4]`) or IPv6 (`[u8; 16]`) address as it stands in a packet.
pub trait Address: Copy + Eq + Hash + Default + Debug + Send + Sync + 'static {
    /// Whether this is the IPv6 one.
    const V6: bool;
    /// Bytes of an address.
    const LEN: usize;
    /// Where the source address stands in the IP header; the destination follows it.
    const SOURCE: usize;
    /// Bytes of an IP header without options or extensions.
    const HEADER: usize;
    /// Where the TTL or hop limit stands in it.
    const HOP_LIMIT: usize;

    /// Reads an address from the front of `bytes`.
    ///
    /// # Panics
    /// Where there are fewer than `LEN`.
    fn read(bytes: &[u8]) -> Self;

    /// Writes the address to the front of `bytes`.
    ///
    /// # Panics
    /// Where there are fewer than `LEN`.
    fn write(self, bytes: &mut [u8]);

    /// Source and destination of the IP packet that begins at `l3`.
    ///
    /// # Panics
    /// Where there is less than a header.
    #[inline]
    fn both(frame: &[u8], l3: usize) -> [Self; 2] {
        let addresses = &frame[l3 + Self::SOURCE..][..2 * Self::LEN];
        [Self::read(addresses), Self::read(&addresses[Self::LEN..])]
    }

    /// The address for tables that hold both families.
    fn ip(self) -> IpAddr;

    /// The other way; `None` for an address of the other family.
    fn from_ip(ip: IpAddr) -> Option<Self>;

    /// The address as two words, for hashing.
    fn words(self) -> (u64, u64);

    /// The sum of its 16-bit words, for checksums.
    fn sum(self) -> u32;
}

impl Address for [u8; 4] {
    const V6: bool = false;
    const LEN: usize = 4;
    const SOURCE: usize = ipv4::field::SOURCE.start;
    const HEADER: usize = ipv4::HEADER;
    const HOP_LIMIT: usize = ipv4::field::TTL;

    #[inline]
    fn read(bytes: &[u8]) -> Self {
        [bytes[0], bytes[1], bytes[2], bytes[3]]
    }

    #[inline]
    fn write(self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&self);
    }

    #[inline]
    fn ip(self) -> IpAddr {
        IpAddr::from(self)
    }

    #[inline]
    fn from_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(a) => Some(a.octets()),
            IpAddr::V6(_) => None,
        }
    }

    #[inline]
    fn words(self) -> (u64, u64) {
        (0, u32::from_ne_bytes(self).into())
    }

    #[inline]
    fn sum(self) -> u32 {
        let all = u32::from_be_bytes(self);
        (all >> 16) + (all & 0xffff)
    }
}

impl Address for [u8; 16] {
    const V6: bool = true;
    const LEN: usize = 16;
    const SOURCE: usize = ipv6::field::SOURCE.start;
    const HEADER: usize = ipv6::HEADER;
    const HOP_LIMIT: usize = ipv6::field::HOP_LIMIT;

    #[inline]
    fn read(bytes: &[u8]) -> Self {
        let mut address = [0; 16];
        address.copy_from_slice(&bytes[..16]);
        address
    }

    #[inline]
    fn write(self, bytes: &mut [u8]) {
        bytes[..16].copy_from_slice(&self);
    }

    #[inline]
    fn ip(self) -> IpAddr {
        IpAddr::from(self)
    }

    #[inline]
    fn from_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V6(a) => Some(a.octets()),
            IpAddr::V4(_) => None,
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of the address")]
    fn words(self) -> (u64, u64) {
        let all = u128::from_ne_bytes(self);
        ((all >> 64) as u64, all as u64)
    }

    #[inline]
    fn sum(self) -> u32 {
        let (words, _) = self.as_chunks::<2>();
        words.iter().map(|w| u32::from(u16::from_be_bytes(*w))).sum()
    }
}
