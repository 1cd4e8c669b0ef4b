//! The UDP header (RFC 768).

use super::{Malformed, packet_len, ports, put_word, word};

/// Bytes of a header.
pub const HEADER: usize = 8;

/// The header's fields.
pub mod field {
    use headgate_abi::wire::Field;

    pub use super::ports::{DESTINATION, SOURCE};

    /// Bytes of the datagram, header included.
    pub const LENGTH: Field = 4..6;
    /// Over the datagram and the pseudo header; 0 where there is none, which IPv4 alone allows.
    pub const CHECKSUM: Field = 6..8;
}

/// A header whose datagram ends within the packet.
#[derive(Clone, Copy, Debug)]
pub struct UdpHeader<'a>(&'a [u8; HEADER]);

impl<'a> UdpHeader<'a> {
    /// The header at the front of `segment`, which ends where the packet does.
    ///
    /// # Errors
    /// [`Malformed`], as [`parse`](super::parse) says it.
    #[inline]
    pub fn of(segment: &'a [u8]) -> Result<Self, Malformed> {
        let header = Self(segment.first_chunk().ok_or(Malformed::Truncated)?);
        let length = usize::from(word(header.0, field::LENGTH.start));
        if length < HEADER || length > segment.len() {
            return Err(Malformed::BadLength);
        }
        Ok(header)
    }

    /// From which port.
    #[inline]
    #[must_use]
    pub fn source_port(self) -> u16 {
        word(self.0, field::SOURCE.start)
    }

    /// To which port.
    #[inline]
    #[must_use]
    pub fn destination_port(self) -> u16 {
        word(self.0, field::DESTINATION.start)
    }
}

/// Writes the header of a datagram that fills `datagram`, with checksum zero.
///
/// # Panics
/// Where it is shorter, or longer than 65,535 bytes.
pub fn write(datagram: &mut [u8], source_port: u16, destination_port: u16) {
    let length = packet_len(datagram.len());
    put_word(datagram, field::SOURCE.start, source_port);
    put_word(datagram, field::DESTINATION.start, destination_port);
    put_word(datagram, field::LENGTH.start, length);
    put_word(datagram, field::CHECKSUM.start, 0);
}
