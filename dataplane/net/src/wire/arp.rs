//! ARP for Ethernet and IPv4 (RFC 826).

use std::net::Ipv4Addr;

use headgate_abi::wire::arp::{ETHERNET, LEN, LENGTHS, REPLY, REQUEST, field};

use super::ethernet::{self, Mac, ether_type, set_link, set_type};
use super::{put_word, word};

/// The address that a request at `l3` asks for; `None` for whatever is not a request.
#[must_use]
pub fn parse_request(frame: &[u8], l3: u16) -> Option<Ipv4Addr> {
    let arp: &[u8; LEN] = frame.get(usize::from(l3)..)?.first_chunk()?;
    let head =
        [field::HARDWARE, field::PROTOCOL, field::LENGTHS, field::OPERATION].map(|f| word(arp, f.start));
    let asked = head == [ETHERNET, ether_type::IPV4, LENGTHS, REQUEST];
    // A sender that is not one host would have the answer go to all.
    let sane = arp[field::SENDER_MAC.start] & 1 == 0;
    (asked && sane).then(|| address(arp, &field::TARGET).into())
}

/// Turns the request into its reply: the address that it asks for is at `mac`. Gives the reply's length.
///
/// # Panics
/// Where [`parse_request`] says that there is no request at `l3`.
pub fn reply(frame: &mut [u8], l3: u16, mac: Mac) -> usize {
    let l3 = usize::from(l3);
    let arp = &mut frame[l3..l3 + LEN];
    let mut asker = Mac::default();
    asker.copy_from_slice(&arp[field::SENDER_MAC]);
    let (asker_address, target) = (address(arp, &field::SENDER), address(arp, &field::TARGET));
    write(arp, REPLY, (mac, target), (asker, asker_address));
    set_link(frame, mac, asker);
    l3 + LEN
}

/// An announcement that `address` is at `mac` (RFC 5227, section 3), as a whole frame: for neighbours that still hold
/// another machine's.
#[must_use]
pub fn announcement(mac: Mac, address: Ipv4Addr) -> [u8; ethernet::HEADER + LEN] {
    let mut frame = [0; ethernet::HEADER + LEN];
    set_link(&mut frame, mac, [0xff; 6]);
    set_type(&mut frame, ether_type::ARP);
    let address = address.octets();
    let arp = &mut frame[ethernet::HEADER..];
    write(arp, REQUEST, (mac, address), (Mac::default(), address));
    frame
}

fn write(arp: &mut [u8], operation: u16, sender: (Mac, [u8; 4]), target: (Mac, [u8; 4])) {
    put_word(arp, field::HARDWARE.start, ETHERNET);
    put_word(arp, field::PROTOCOL.start, ether_type::IPV4);
    put_word(arp, field::LENGTHS.start, LENGTHS);
    put_word(arp, field::OPERATION.start, operation);
    arp[field::SENDER_MAC].copy_from_slice(&sender.0);
    arp[field::SENDER].copy_from_slice(&sender.1);
    arp[field::TARGET_MAC].copy_from_slice(&target.0);
    arp[field::TARGET].copy_from_slice(&target.1);
}

fn address(arp: &[u8], field: &headgate_abi::wire::Field) -> [u8; 4] {
    super::Address::read(&arp[field.start..field.end])
}

#[cfg(test)]
mod tests;
