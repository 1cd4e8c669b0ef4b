//! The Ethernet header, and tags behind its addresses.

pub use headgate_abi::wire::ethernet::{HEADER, MAX_TAGS, TAG, ether_type, field, is_tag};

use headgate_abi::wire::ethernet::tag;

use super::{Malformed, put_word, word};

/// A MAC address.
pub type Mac = [u8; 6];

/// The EtherType of what a frame carries, tags aside, and where that begins.
///
/// # Errors
/// [`Malformed::Truncated`].
#[inline]
pub fn payload(frame: &[u8]) -> Result<(u16, usize), Malformed> {
    let header: &[u8; HEADER] = frame.first_chunk().ok_or(Malformed::Truncated)?;
    let mut ether_type = word(header, field::TYPE.start);
    let mut at = HEADER;
    let mut tags = 0;
    while is_tag(ether_type) && tags < MAX_TAGS {
        let rest: &[u8; TAG] = frame[at..].first_chunk().ok_or(Malformed::Truncated)?;
        ether_type = word(rest, tag::TYPE.start);
        at += TAG;
        tags += 1;
    }
    Ok((ether_type, at))
}

/// The addresses of a frame: source, destination.
///
/// # Panics
/// Where the frame has fewer than 12 bytes.
#[must_use]
pub fn addresses(frame: &[u8]) -> (Mac, Mac) {
    let (mut source, mut destination) = (Mac::default(), Mac::default());
    source.copy_from_slice(&frame[field::SOURCE]);
    destination.copy_from_slice(&frame[field::DESTINATION]);
    (source, destination)
}

/// Whether a frame was sent to a group of hosts: multicast, or broadcast.
///
/// # Panics
/// Where the frame is empty.
#[must_use]
pub fn is_group(frame: &[u8]) -> bool {
    frame[field::DESTINATION.start] & 1 != 0
}

/// Writes the addresses of a frame's Ethernet header.
///
/// # Panics
/// Where the frame has fewer than 12 bytes.
#[inline]
pub fn set_link(frame: &mut [u8], source: Mac, destination: Mac) {
    frame[field::DESTINATION].copy_from_slice(&destination);
    frame[field::SOURCE].copy_from_slice(&source);
}

/// Writes the EtherType of a frame without tags.
///
/// # Panics
/// Where the frame has fewer than 14 bytes.
#[inline]
pub fn set_type(frame: &mut [u8], ether_type: u16) {
    put_word(frame, field::TYPE.start, ether_type);
}

/// Sends a frame back where it came from; for answers to frames that were addressed to one host.
///
/// # Panics
/// Where the frame has fewer than 12 bytes.
pub fn swap_link(frame: &mut [u8]) {
    let (destination, rest) = frame.split_at_mut(field::SOURCE.start);
    destination.swap_with_slice(&mut rest[..field::DESTINATION.end]);
}

/// Removes VLAN tags before the IP header at `l3`: a route that leaves by one of our ports leaves it untagged.
/// Gives the number of bytes that the frame became shorter.
///
/// # Panics
/// Where `l3` is not within the frame, or less than [`HEADER`].
#[inline]
pub fn untag(frame: &mut [u8], l3: usize) -> usize {
    if l3 == HEADER {
        return 0;
    }
    // The last EtherType stands right before the IP header.
    frame.copy_within(l3 - field::TYPE.len().., field::TYPE.start);
    l3 - HEADER
}
