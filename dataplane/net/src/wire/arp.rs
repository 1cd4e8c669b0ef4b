//! ARP for Ethernet and IPv4 (RFC 826).

use std::net::Ipv4Addr;

use super::link::set_link;
use super::{put_word, word};

/// Bytes of an ARP packet with Ethernet and IPv4 addresses.
const LEN: usize = 28;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// The address that a request at `l3` asks for; `None` for whatever is not a request.
#[must_use]
pub fn parse_request(frame: &[u8], l3: u16) -> Option<Ipv4Addr> {
    let arp: &[u8; LEN] = frame.get(usize::from(l3)..)?.first_chunk()?;
    // Ethernet, IPv4, six bytes, four bytes, request.
    let asked = arp[..8] == [0, 1, 8, 0, 6, 4, 0, 1];
    // A sender that is not one host would have the answer go to all.
    let sane = arp[8] & 1 == 0;
    (asked && sane).then(|| Ipv4Addr::new(arp[24], arp[25], arp[26], arp[27]))
}

/// Turns the request into its reply: the address that it asks for is at `mac`. Gives the reply's length.
///
/// # Panics
/// Where [`parse_request`] says that there is no request at `l3`.
pub fn reply(frame: &mut [u8], l3: u16, mac: [u8; 6]) -> usize {
    let l3 = usize::from(l3);
    let arp = &mut frame[l3..l3 + LEN];
    debug_assert_eq!(word(arp, 6), REQUEST);
    let mut sender = [0; 10];
    sender.copy_from_slice(&arp[8..18]);
    let mut target = [0; 4];
    target.copy_from_slice(&arp[24..28]);
    put_word(arp, 6, REPLY);
    arp[8..14].copy_from_slice(&mac);
    arp[14..18].copy_from_slice(&target);
    arp[18..28].copy_from_slice(&sender);
    let [a, b, c, d, e, f, ..] = sender;
    set_link(frame, mac, [a, b, c, d, e, f]);
    l3 + LEN
}

/// An announcement that `address` is at `mac` (RFC 5227, section 3), as a whole frame: for neighbours that still hold
/// another machine's.
#[must_use]
pub fn announcement(mac: [u8; 6], address: Ipv4Addr) -> [u8; 14 + LEN] {
    let mut frame = [0; 14 + LEN];
    set_link(&mut frame, mac, [0xff; 6]);
    frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&address.octets());
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

#[cfg(test)]
mod tests;
