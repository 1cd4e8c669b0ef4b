//! The IPv4 header (RFC 791).

pub use headgate_abi::wire::ipv4::{
    DONT_FRAGMENT, FRAGMENT_OFFSET, HEADER, MORE_FRAGMENTS, VERSION, field, header_len, version,
};

use super::checksum::{self, Delta};
use super::{Address, HOP_LIMIT, Malformed, packet_len, put_word, word};

/// The part of a header that all packets have; its version is right, and its length can be.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Header<'a>(&'a [u8; HEADER]);

impl<'a> Ipv4Header<'a> {
    /// The header at the front of `packet`. Whether options, the checksum and the rest of the packet are there is another
    /// question.
    ///
    /// # Errors
    /// [`Malformed`], as [`parse`](super::parse) says it.
    #[inline]
    pub fn of(packet: &'a [u8]) -> Result<Self, Malformed> {
        let fixed: &[u8; HEADER] = packet.first_chunk().ok_or(Malformed::Truncated)?;
        if version(fixed[field::VERSION_IHL]) != VERSION {
            return Err(Malformed::BadVersion);
        }
        if header_len(fixed[field::VERSION_IHL]) < HEADER {
            return Err(Malformed::BadHeaderLength);
        }
        Ok(Self(fixed))
    }

    /// The header without options.
    #[inline]
    #[must_use]
    pub const fn bytes(self) -> &'a [u8; HEADER] {
        self.0
    }

    /// Bytes of the header with its options.
    #[inline]
    #[must_use]
    pub const fn header_len(self) -> usize {
        header_len(self.0[field::VERSION_IHL])
    }

    /// Bytes of the packet.
    #[inline]
    #[must_use]
    pub fn total_len(self) -> usize {
        word(self.0, field::LENGTH.start).into()
    }

    /// What fragments of one packet have in common.
    #[must_use]
    pub fn identification(self) -> u16 {
        word(self.0, field::IDENTIFICATION.start)
    }

    /// Whether the packet is one of several fragments.
    #[inline]
    #[must_use]
    pub fn is_fragment(self) -> bool {
        word(self.0, field::FRAGMENT.start) & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    }

    /// Where in the whole packet's payload the fragment belongs, in bytes.
    #[must_use]
    pub fn fragment_offset(self) -> u16 {
        // The upper bits are shifted out.
        word(self.0, field::FRAGMENT.start) << 3
    }

    /// Whether other fragments come behind this one.
    #[must_use]
    pub fn more_fragments(self) -> bool {
        word(self.0, field::FRAGMENT.start) & MORE_FRAGMENTS != 0
    }

    /// Whether routers may fragment the packet.
    #[must_use]
    pub fn may_be_fragmented(self) -> bool {
        word(self.0, field::FRAGMENT.start) & DONT_FRAGMENT == 0
    }

    /// What follows the options.
    #[inline]
    #[must_use]
    pub const fn protocol(self) -> u8 {
        self.0[field::PROTOCOL]
    }

    /// From whom.
    #[inline]
    #[must_use]
    pub fn source(self) -> [u8; 4] {
        Address::read(&self.0[field::SOURCE])
    }

    /// To whom.
    #[inline]
    #[must_use]
    pub fn destination(self) -> [u8; 4] {
        Address::read(&self.0[field::DESTINATION])
    }
}

/// Writes the header without options of a packet that fills `packet`, and its checksum.
///
/// # Panics
/// Where `packet` is shorter than the header or longer than 65,535 bytes.
pub fn write<A: Address>(packet: &mut [u8], source: A, destination: A, protocol: u8) {
    let total = packet_len(packet.len());
    let ip = &mut packet[..HEADER];
    ip.fill(0);
    ip[field::VERSION_IHL] = VERSION << 4 | (HEADER / 4) as u8;
    put_word(ip, field::LENGTH.start, total);
    // So that the identification may be zero (RFC 6864, 4.1).
    put_word(ip, field::FRAGMENT.start, DONT_FRAGMENT);
    ip[field::TTL] = HOP_LIMIT;
    ip[field::PROTOCOL] = protocol;
    source.write(&mut ip[field::SOURCE]);
    destination.write(&mut ip[field::DESTINATION]);
    fill_checksum(ip);
}

/// Writes the checksum of `header`, which ends with its options.
///
/// # Panics
/// Where that is shorter than a header.
pub fn fill_checksum(header: &mut [u8]) {
    put_word(header, field::CHECKSUM.start, 0);
    let sum = checksum::checksum(header);
    put_word(header, field::CHECKSUM.start, sum);
}

/// Updates the checksum of the header at the front of `ip`.
///
/// # Panics
/// Where there is none.
#[inline]
pub fn update_checksum(ip: &mut [u8], delta: Delta) {
    let sum = delta.apply(word(ip, field::CHECKSUM.start));
    put_word(ip, field::CHECKSUM.start, sum);
}
