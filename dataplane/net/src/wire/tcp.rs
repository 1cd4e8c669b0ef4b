//! The TCP header (RFC 9293, section 3.1).

use std::net::IpAddr;

use super::{Malformed, TCP, checksum, long, ports, put_long, put_word, word};

/// Bytes of a header without options.
pub const HEADER: usize = 20;

/// The header's fields.
pub mod field {
    use headgate_abi::wire::Field;

    pub use super::ports::{DESTINATION, SOURCE};

    /// The number of the first byte of data, or of SYN or FIN.
    pub const SEQUENCE: Field = 4..8;
    /// The number of the byte that is expected next.
    pub const ACKNOWLEDGEMENT: Field = 8..12;
    /// The header's length in words of 4 bytes, in the upper half.
    pub const DATA_OFFSET: usize = 12;
    /// See [`flag`](super::flag).
    pub const FLAGS: usize = 13;
    /// How much the sender takes, not scaled.
    pub const WINDOW: Field = 14..16;
    /// Over the segment and the pseudo header.
    pub const CHECKSUM: Field = 16..18;
}

/// Bits of the flags.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronises sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Resets the connection.
    pub const RST: u8 = 0x04;
    /// The receiver should hand on what it has.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 0x10;
    /// A router was congested on the way to the sender (RFC 3168, section 6.1).
    pub const ECE: u8 = 0x40;
    /// The sender has reduced its congestion window (RFC 3168, section 6.1).
    pub const CWR: u8 = 0x80;
}

/// The part of a header that all segments have; the header ends within its segment.
#[derive(Clone, Copy, Debug)]
pub struct TcpHeader<'a>(&'a [u8; HEADER]);

impl<'a> TcpHeader<'a> {
    /// The header at the front of `segment`, which ends where the segment does.
    ///
    /// # Errors
    /// [`Malformed`], as [`parse`](super::parse) says it.
    #[inline]
    pub fn of(segment: &'a [u8]) -> Result<Self, Malformed> {
        let header = Self(segment.first_chunk().ok_or(Malformed::Truncated)?);
        if header.header_len() < HEADER || header.header_len() > segment.len() {
            return Err(Malformed::BadHeaderLength);
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

    /// The number of the first byte of data, or of SYN or FIN.
    #[must_use]
    pub fn sequence(self) -> u32 {
        long(self.0, field::SEQUENCE.start)
    }

    /// The number of the byte that is expected next, if [`flag::ACK`] is set.
    #[must_use]
    pub fn acknowledgement(self) -> u32 {
        long(self.0, field::ACKNOWLEDGEMENT.start)
    }

    /// Bytes of the header with its options.
    #[inline]
    #[must_use]
    pub fn header_len(self) -> usize {
        usize::from(self.0[field::DATA_OFFSET] >> 4) * 4
    }

    /// See [`flag`].
    #[inline]
    #[must_use]
    pub const fn flags(self) -> u8 {
        self.0[field::FLAGS]
    }

    /// How much the sender takes, not scaled.
    #[must_use]
    pub fn window(self) -> u16 {
        word(self.0, field::WINDOW.start)
    }
}

/// The sequence number of a segment that is cut off behind it, as ICMP errors may quote it.
#[must_use]
pub fn sequence_of(segment: &[u8]) -> Option<u32> {
    let bytes = segment.get(field::SEQUENCE)?;
    Some(long(bytes, 0))
}

/// Gives a segment the checksum that it has between these addresses.
///
/// # Panics
/// Where the segment is shorter than a header.
pub fn fill_checksum(segment: &mut [u8], source: IpAddr, destination: IpAddr) {
    put_word(segment, field::CHECKSUM.start, 0);
    let sum = checksum::transport_between(source, destination, TCP, segment);
    put_word(segment, field::CHECKSUM.start, sum);
}

/// How much of the sequence space a segment with `payload` bytes of data takes: these, and one each for SYN and FIN.
#[must_use]
pub fn sequence_len(payload: usize, flags: u8) -> u32 {
    let flags = u32::from(flags & flag::SYN != 0) + u32::from(flags & flag::FIN != 0);
    u32::try_from(payload).unwrap_or(u32::MAX).wrapping_add(flags)
}

/// The fields of a header that tell segments apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// See [`flag`].
    pub flags: u8,
    /// Not scaled.
    pub window: u16,
}

impl Fields {
    /// The reset that answers `segment`, a whole one with `header`, where there is no connection (RFC 9293, 3.10.7.1).
    pub(super) fn answering(header: TcpHeader<'_>, segment: &[u8]) -> Self {
        if header.flags() & flag::ACK != 0 {
            return Self {
                sequence: header.acknowledgement(),
                flags: flag::RST,
                ..Self::default()
            };
        }
        let length = sequence_len(segment.len() - header.header_len(), header.flags());
        Self {
            acknowledgement: header.sequence().wrapping_add(length),
            flags: flag::RST | flag::ACK,
            ..Self::default()
        }
    }

    /// Writes a header without options and with checksum zero.
    ///
    /// # Panics
    /// Where `segment` is shorter.
    pub fn write(self, segment: &mut [u8], source_port: u16, destination_port: u16) {
        self.write_with(segment, source_port, destination_port, &[]);
    }

    /// Writes a header with `options`, whole words of 4 bytes, and with checksum zero.
    ///
    /// # Panics
    /// Where `segment` is shorter.
    pub fn write_with(self, segment: &mut [u8], source_port: u16, destination_port: u16, options: &[u8]) {
        segment[..HEADER].fill(0);
        segment[HEADER..HEADER + options.len()].copy_from_slice(options);
        put_word(segment, field::SOURCE.start, source_port);
        put_word(segment, field::DESTINATION.start, destination_port);
        put_long(segment, field::SEQUENCE.start, self.sequence);
        put_long(segment, field::ACKNOWLEDGEMENT.start, self.acknowledgement);
        segment[field::DATA_OFFSET] = (((HEADER + options.len()) / 4) as u8) << 4;
        segment[field::FLAGS] = self.flags;
        put_word(segment, field::WINDOW.start, self.window);
    }
}
