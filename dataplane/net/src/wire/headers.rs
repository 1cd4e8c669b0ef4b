//! Where the headers of a packet stand, and what may be wrong with them.

use std::net::IpAddr;

use headgate_abi::wire::{Field, ipv4, ipv6};
use thiserror::Error;

use super::Address;

/// Lies or nonsense in headers that are ours to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Malformed {
    /// The frame ends before its headers do.
    #[error("the frame ends inside its headers")]
    Truncated,
    /// An IPv4 EtherType before another version, or an IPv6 one.
    #[error("the IP version contradicts the EtherType")]
    BadVersion,
    /// Shorter than the fixed part, or longer than the packet.
    #[error("a header length that cannot be")]
    BadHeaderLength,
    /// Longer than the frame, or shorter than the header.
    #[error("an IP or UDP length that cannot be")]
    BadLength,
    /// Of the IPv4 header.
    #[error("wrong IPv4 header checksum")]
    BadChecksum,
    /// More than [`extension::MAX`](super::ipv6::extension::MAX).
    #[error("too many IPv6 extension headers")]
    TooManyHeaders,
}

/// Where the headers of an IP packet stand; all offsets count from the start of the frame, or of the packet where there is
/// no frame around it.
///
/// `l3 < l4 <= end <= frame.len()`. The fixed part of a TCP, UDP, ICMP or ICMPv6 header lies wholly in
/// `l4..end`, and so does all that a TCP data offset or a UDP length claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The IP header.
    pub l3: u16,
    /// What follows IPv4 options or IPv6 extension headers.
    pub l4: u16,
    /// The end of the IP packet; what comes behind it in the frame is padding.
    pub end: u16,
    /// 0 where the protocol is neither TCP nor UDP.
    pub source_port: u16,
    /// 0 where the protocol is neither TCP nor UDP.
    pub destination_port: u16,
    /// The IANA number of what stands at `l4`.
    pub protocol: u8,
    /// See [`tcp_flag`](super::tcp_flag); 0 where the protocol is not TCP.
    pub tcp_flags: u8,
    /// Whether the IP header is IPv6's.
    pub v6: bool,
}

impl Headers {
    /// The IP packet, without padding behind it.
    ///
    /// # Panics
    /// Where they are of another frame.
    #[inline]
    #[must_use]
    pub fn packet<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[usize::from(self.l3)..usize::from(self.end)]
    }

    /// Source and destination.
    ///
    /// # Panics
    /// Where they are of another frame.
    #[must_use]
    pub fn addresses(&self, frame: &[u8]) -> (IpAddr, IpAddr) {
        let l3 = self.l3.into();
        if self.v6 {
            <[u8; 16]>::both(frame, l3).map(Address::ip).into()
        } else {
            <[u8; 4]>::both(frame, l3).map(Address::ip).into()
        }
    }

    /// What stands behind the IP header and its options or extensions.
    ///
    /// # Panics
    /// Where they are of another frame.
    #[inline]
    #[must_use]
    pub fn segment<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[usize::from(self.l4)..usize::from(self.end)]
    }
}

/// A part of an IP packet, and where it stands: offsets count as those of [`Headers`] do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The IP header.
    pub l3: u16,
    /// The part of the packet's payload.
    pub payload: u16,
    /// The end of the fragment.
    pub end: u16,
    /// Where the part belongs in the whole payload, in bytes; a multiple of 8. 0 for the first fragment.
    pub offset: u16,
    /// The two halves of the identification; IPv4 has the lower one only.
    pub(super) identification: [u16; 2],
    /// What the whole payload begins with: the IANA number of a protocol, or in IPv6 of an extension header.
    pub next: u8,
    /// Whether other fragments come behind this one.
    pub more: bool,
    /// Whether the IP header is IPv6's.
    pub v6: bool,
}

impl Fragment {
    /// To whom.
    ///
    /// # Panics
    /// Where it is of another frame.
    #[must_use]
    pub fn destination(&self, frame: &[u8]) -> IpAddr {
        let at = |field: Field| &frame[usize::from(self.l3) + field.start..];
        if self.v6 {
            <[u8; 16]>::read(at(ipv6::field::DESTINATION)).ip()
        } else {
            <[u8; 4]>::read(at(ipv4::field::DESTINATION)).ip()
        }
    }

    /// What all fragments of a packet have in common, beside addresses and in IPv4 the protocol.
    #[must_use]
    pub const fn identification(&self) -> u32 {
        (self.identification[0] as u32) << 16 | self.identification[1] as u32
    }
}

/// Frames are cut, so that every offset fits.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "frames are cut to 65,535 bytes at the start"
)]
pub(super) const fn offset(at: usize) -> u16 {
    at as u16
}
