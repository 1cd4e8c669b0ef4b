//! Frames as bytes: parsing, checksums, rewriting, and the answers that need no more than the question.
//!
//! [`parse`] reads a frame once and gives [`Headers`], plain offsets, that everything else takes along. Each header has a
//! module with its fields by name, and a view whose constructor says what is wrong: [`ethernet`], [`ipv4`], [`ipv6`] (or
//! [`ip`], whichever it is), [`tcp`], [`udp`], [`icmp`]. What the steering program has to read as they do (fields, tags,
//! extension headers, numbers of protocols) stands in `headgate_abi::wire`.
//!
//! # Panics
//!
//! [`parse`] and everything named `parse_*` take any bytes and never panic. What takes a frame *and* what parsing
//! said of it panics only where the two do not belong together: `Headers` are good for the frame that they
//! came from, as long as nothing has written to its headers or shortened it below `Headers::end`. The
//! answers ([`arp`], [`ndp`], [`echo`], [`reset`], [`error`](mod@error)) take the whole buffer of a frame, give the
//! answer's length, and say `None` where it does not fit.

mod address;
pub mod arp;
pub mod checksum;
#[cfg(any(test, feature = "harness"))]
pub mod craft;
pub mod echo;
pub mod ecn;
pub mod error;
pub mod ethernet;
#[cfg(any(test, feature = "harness"))]
mod fuzz;
mod headers;
pub mod icmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
mod parse;
pub mod quote;
pub mod reset;
mod rewrite;
pub mod tcp;
mod tuple;
pub mod udp;

pub use headgate_abi::wire::ports;
pub use headgate_abi::wire::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};

pub use address::Address;
pub use ethernet::set_link;
#[cfg(any(test, feature = "harness"))]
pub use fuzz::fuzz;
pub use headers::{Fragment, Headers, Malformed};
pub use parse::{Parsed, parse, parse_packet};
pub use rewrite::{Deltas, rewrite};
pub use tcp::flag as tcp_flag;
pub use tuple::Tuple;

/// The IP packet in a frame, without the link-layer header and without padding behind it; `None` where there is
/// none.
#[cfg(any(test, feature = "harness"))]
#[must_use]
pub fn ip_packet(frame: &[u8]) -> Option<&[u8]> {
    match parse(frame) {
        Ok(Parsed::Ip(headers)) => Some(headers.packet(frame)),
        _ => None,
    }
}

/// TTL and hop limit of packets that begin here (RFC 1700, and Linux).
pub const HOP_LIMIT: u8 = 64;

#[inline]
fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
fn put_word(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put_long(bytes: &mut [u8], at: usize, long: u32) {
    bytes[at..at + 4].copy_from_slice(&long.to_be_bytes());
}

/// A length for a header's field. Packets are made in frames, which are shorter than 64 KiB.
fn packet_len(len: usize) -> u16 {
    u16::try_from(len).expect("a packet longer than 65,535 bytes")
}
