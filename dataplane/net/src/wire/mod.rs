//! Frames as bytes: parsing, checksums, rewriting, and the answers that need no more than the question.
//!
//! [`parse`] reads a frame once and gives [`Headers`], plain offsets, that everything else takes along.
//!
//! # Panics
//!
//! [`parse`] and everything named `parse_*` take any bytes and never panic. What takes a frame *and* what parsing
//! said of it panics only where the two do not belong together: `Headers` are good for the frame that they
//! came from, as long as nothing has written to its headers or shortened it below `Headers::end`. The
//! answers ([`arp`], [`ndp`], [`echo`], [`reset`], [`error`](mod@error)) take the whole buffer of a frame, give the
//! answer's length, and say `None` where it does not fit.

pub mod arp;
pub mod checksum;
pub mod craft;
pub mod echo;
pub mod error;
#[cfg(any(test, feature = "harness"))]
mod fuzz;
pub mod link;
pub mod ndp;
mod parse;
pub mod quote;
pub mod reset;
mod rewrite;
mod tuple;

#[cfg(any(test, feature = "harness"))]
pub use fuzz::fuzz;
pub use link::set_link;
pub use parse::{Headers, Malformed, Parsed, parse};
pub use rewrite::{Deltas, rewrite};
pub use tuple::{Address, Tuple};

/// IANA protocol number of ICMP (RFC 792).
pub const ICMP: u8 = 1;
/// IANA protocol number of TCP (RFC 9293).
pub const TCP: u8 = 6;
/// IANA protocol number of UDP (RFC 768).
pub const UDP: u8 = 17;
/// IANA protocol number of ICMPv6 (RFC 4443).
pub const ICMPV6: u8 = 58;

/// Bits of the TCP flags byte (RFC 9293, 3.1).
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronises sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Resets the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 0x10;
}

/// The IP packet in a frame, without the link-layer header and without padding behind it; `None` where there is
/// none.
#[must_use]
pub fn ip_packet(frame: &[u8]) -> Option<&[u8]> {
    match parse(frame) {
        Ok(Parsed::Ip(headers)) => frame.get(usize::from(headers.l3)..usize::from(headers.end)),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put_word(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}
