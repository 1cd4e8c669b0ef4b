//! The Internet checksum (RFC 1071), fast enough not to show in a profile.

use std::net::IpAddr;

/// The ones' complement sum of `bytes`, not yet folded or inverted, in the byte order of the machine: sums add up,
/// as long as every part but the last is of even length.
#[must_use]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    // 2^32 words of 32 bits fit; LLVM turns this into vector additions.
    let total: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)))
        .sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_ne_bytes(last))
}

/// The sum of the pseudo header of a TCP segment of `length` bytes (RFC 9293 section 3.1, RFC 8200 section 8.1).
#[must_use]
pub(super) fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> u64 {
    let address = |address| match address {
        IpAddr::V4(a) => sum(&std::net::Ipv4Addr::octets(&a)),
        IpAddr::V6(a) => sum(&std::net::Ipv6Addr::octets(&a)),
    };
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    address(source) + address(destination) + sum(&length.to_be_bytes()) + sum(&[0, 6])
}

/// Folds a sum into the checksum field's two bytes as they stand in the packet. A sum over data that holds its own
/// right checksum folds to zero.
#[must_use]
pub(super) fn fold(sum: u64) -> [u8; 2] {
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let folded = u16::try_from(sum).unwrap_or(u16::MAX);
    (!folded).to_ne_bytes()
}
