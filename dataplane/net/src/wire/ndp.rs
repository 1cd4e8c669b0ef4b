//! Neighbour discovery (RFC 4861), as far as an address's owner needs it.

use std::net::Ipv6Addr;

use super::link::set_link;
use super::{Address, Headers, ICMPV6, Tuple, checksum, craft, put_word};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// ICMPv6 header, target, and one option with a link-layer address.
const LEN: usize = 8 + 16 + 8;
const OPTION_TARGET: u8 = 2;
/// The address is the sender's own, and what neighbours had before is void.
const OVERRIDE: u8 = 0x20;
const SOLICITED: u8 = 0x40;
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// The address that a neighbour solicitation asks for; `None` for what is none, or not a valid one by RFC 4861,
/// section 7.1.1.
#[must_use]
pub fn parse_solicitation(frame: &[u8], headers: &Headers) -> Option<Ipv6Addr> {
    if !headers.v6 || headers.protocol != ICMPV6 {
        return None;
    }
    let ip = frame.get(usize::from(headers.l3)..)?;
    let message = frame.get(usize::from(headers.l4)..usize::from(headers.end))?;
    let target: [u8; 16] = *message.get(8..)?.first_chunk()?;
    let valid = message[0] == SOLICITATION
        && message[1] == 0
        && ip[7] == 255
        && target[0] != 0xff
        && checksum::transport_of(frame, headers) == 0;
    valid.then(|| Ipv6Addr::from(target))
}

/// Turns the solicitation into its advertisement: the address that it asks for is at `mac`. Gives the
/// advertisement's length, `None` where the buffer is too short.
///
/// # Panics
/// Where [`parse_solicitation`] says that there is none.
pub fn advertise(buffer: &mut [u8], headers: &Headers, mac: [u8; 6]) -> Option<usize> {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    let asker = Tuple::<[u8; 16]>::of(buffer, headers).source;
    let target = <[u8; 16]>::read(&buffer[l4 + 8..]);
    let mut asker_mac = [0; 6];
    asker_mac.copy_from_slice(&buffer[6..12]);
    // Somebody who looks for duplicates of its own address has none yet: RFC 4861, section 7.2.4.
    let probe = asker == [0; 16];
    let (to, to_mac) = if probe {
        (ALL_NODES, ALL_NODES_MAC)
    } else {
        (asker, asker_mac)
    };
    let flags = if probe { OVERRIDE } else { OVERRIDE | SOLICITED };
    let end = l3 + 40 + LEN;
    write(buffer.get_mut(l3..end)?, target, to, flags, mac);
    set_link(buffer, mac, to_mac);
    Some(end)
}

/// An unsolicited advertisement (RFC 4861, section 7.2.6) that `address` is at `mac`, as a whole frame.
#[must_use]
pub fn announcement(mac: [u8; 6], address: Ipv6Addr) -> [u8; 14 + 40 + LEN] {
    let mut frame = [0; 14 + 40 + LEN];
    set_link(&mut frame, mac, ALL_NODES_MAC);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    write(&mut frame[14..], address.octets(), ALL_NODES, OVERRIDE, mac);
    frame
}

/// `packet` is 40 + LEN bytes.
fn write(packet: &mut [u8], target: [u8; 16], to: [u8; 16], flags: u8, mac: [u8; 6]) {
    craft::ipv6_header(packet, target, to, ICMPV6, 255);
    let message = &mut packet[40..];
    message.fill(0);
    message[0] = ADVERTISEMENT;
    message[4] = flags;
    message[8..24].copy_from_slice(&target);
    message[24..26].copy_from_slice(&[OPTION_TARGET, 1]);
    message[26..32].copy_from_slice(&mac);
    let tuple = Tuple {
        source: target,
        destination: to,
        ..Tuple::default()
    };
    let sum = checksum::transport(&tuple, ICMPV6, message);
    put_word(message, 2, sum);
}

#[cfg(test)]
mod tests;
