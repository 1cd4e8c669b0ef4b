//! The Ethernet header.

/// Bytes of an Ethernet header without tags.
pub const HEADER: usize = 14;

/// Writes the addresses of a frame's Ethernet header.
///
/// # Panics
/// Where the frame has fewer than 12 bytes.
#[inline]
pub fn set_link(frame: &mut [u8], source: [u8; 6], destination: [u8; 6]) {
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
}

/// Sends a frame back where it came from; for answers to frames that were addressed to one host.
///
/// # Panics
/// Where the frame has fewer than 12 bytes.
pub fn swap_link(frame: &mut [u8]) {
    let (destination, rest) = frame.split_at_mut(6);
    destination.swap_with_slice(&mut rest[..6]);
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
    frame.copy_within(l3 - 2.., HEADER - 2);
    l3 - HEADER
}
