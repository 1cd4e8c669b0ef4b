//! Neighbour discovery (RFC 4861), as far as an address's owner needs it.

use std::net::Ipv6Addr;

use headgate_abi::wire::ndp::field;

use super::ethernet::{self, Mac, addresses, ether_type, set_link, set_type};
use super::icmp::{self, v6};
use super::{Address, Headers, ICMPV6, Tuple, checksum, ipv6};

/// An option with a link-layer address: type, length in units of 8 bytes, address.
const OPTION: usize = 8;
const OPTION_TARGET: [u8; 2] = [2, 1];
/// ICMPv6 header, target, and one option.
const LEN: usize = field::OPTIONS + OPTION;
/// The hop limit that shows that no router has passed the message on.
const HOP_LIMIT: u8 = 255;
/// The address is the sender's own, and what neighbours had before is void.
const OVERRIDE: u8 = 0x20;
const SOLICITED: u8 = 0x40;
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];

/// Whether the packet is a message of neighbour discovery.
///
/// # Panics
/// Where `headers` are of another frame.
#[must_use]
pub fn is_ndp(frame: &[u8], headers: &Headers) -> bool {
    let range = v6::FIRST_OF_NDP..=v6::LAST_OF_NDP;
    headers.v6 && headers.protocol == ICMPV6 && range.contains(&headers.segment(frame)[icmp::field::TYPE])
}

/// The address that a neighbour solicitation asks for; `None` for what is none, or not a valid one by RFC 4861,
/// section 7.1.1. Nor is one behind extension headers, which nobody sends and a fragment header makes invalid
/// (RFC 6980, section 5).
#[must_use]
pub fn parse_solicitation(frame: &[u8], headers: &Headers) -> Option<Ipv6Addr> {
    if !headers.v6 || headers.protocol != ICMPV6 {
        return None;
    }
    let (ip, message) = (headers.packet(frame), headers.segment(frame));
    let target = message.get(field::TARGET).map(<[u8; 16]>::read)?;
    let valid = message[icmp::field::TYPE] == v6::NEIGHBOUR_SOLICITATION
        && message[icmp::field::CODE] == 0
        && ip[ipv6::field::HOP_LIMIT] == HOP_LIMIT
        && usize::from(headers.l4 - headers.l3) == ipv6::HEADER
        && !Ipv6Addr::from(target).is_multicast()
        && checksum::transport_of(frame, headers) == 0;
    valid.then(|| Ipv6Addr::from(target))
}

/// Turns the solicitation into its advertisement: the address that it asks for is at `mac`. Gives the
/// advertisement's length, `None` where the buffer is too short.
///
/// # Panics
/// Where [`parse_solicitation`] says that there is none.
pub fn advertise(buffer: &mut [u8], headers: &Headers, mac: Mac) -> Option<usize> {
    let l3 = usize::from(headers.l3);
    let asker = Tuple::<[u8; 16]>::of(buffer, headers).source;
    let target = <[u8; 16]>::read(&headers.segment(buffer)[field::TARGET]);
    let (asker_mac, _) = addresses(buffer);
    // Somebody who looks for duplicates of its own address has none yet: RFC 4861, section 7.2.4.
    let probe = asker == [0; 16];
    let (to, to_mac) = if probe {
        (ALL_NODES, ALL_NODES_MAC)
    } else {
        (asker, asker_mac)
    };
    let flags = if probe { OVERRIDE } else { OVERRIDE | SOLICITED };
    let end = l3 + ipv6::HEADER + LEN;
    write(buffer.get_mut(l3..end)?, target, to, flags, mac);
    set_link(buffer, mac, to_mac);
    Some(end)
}

/// An unsolicited advertisement (RFC 4861, section 7.2.6) that `address` is at `mac`, as a whole frame.
#[must_use]
pub fn announcement(mac: Mac, address: Ipv6Addr) -> [u8; ethernet::HEADER + ipv6::HEADER + LEN] {
    let mut frame = [0; ethernet::HEADER + ipv6::HEADER + LEN];
    set_link(&mut frame, mac, ALL_NODES_MAC);
    set_type(&mut frame, ether_type::IPV6);
    let packet = &mut frame[ethernet::HEADER..];
    write(packet, address.octets(), ALL_NODES, OVERRIDE, mac);
    frame
}

/// `packet` is as long as its header and `LEN`.
fn write(packet: &mut [u8], target: [u8; 16], to: [u8; 16], flags: u8, mac: Mac) {
    ipv6::write(packet, target, to, ICMPV6, HOP_LIMIT);
    let message = &mut packet[ipv6::HEADER..];
    message.fill(0);
    message[icmp::field::TYPE] = v6::NEIGHBOUR_ADVERTISEMENT;
    message[field::FLAGS] = flags;
    message[field::TARGET].copy_from_slice(&target);
    let (kind, address) = message[field::OPTIONS..].split_at_mut(OPTION_TARGET.len());
    kind.copy_from_slice(&OPTION_TARGET);
    address.copy_from_slice(&mac);
    let tuple = Tuple {
        source: target,
        destination: to,
        ..Tuple::default()
    };
    icmp::fill_checksum(message, &tuple);
}

#[cfg(test)]
mod tests;
