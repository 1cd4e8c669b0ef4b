//! IP packets: what of them is taken.

use headgate_abi::{Address, Outcome, PortKey, Rule};

use crate::packet::Cursor;
use crate::{Decision, is_taken, rule};

const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// IPv6 extension headers that are looked through at most. RFC 8200 (section 4.1) has a packet carry seven,
/// and real ones carry one.
const EXTENSIONS: usize = 8;

/// RFC 791.
#[inline(always)]
pub fn v4(mut packet: Cursor) -> Decision<Outcome> {
    const MORE_FRAGMENTS_OR_OFFSET: u16 = 0x3fff;

    let version_length = packet.byte(0)?;
    let destination = Address::mapped(packet.units(16)?);
    let length = usize::from(version_length & 0xf) * 4;
    if version_length >> 4 != 4 || length < 20 {
        return Err(Outcome::Malformed);
    }
    let rule = rule(&destination)?;
    let [fragment] = packet.units(6)?;
    if u16::from_be(fragment) & MORE_FRAGMENTS_OR_OFFSET != 0 {
        return by_fragment(rule);
    }
    if rule.has(Rule::ALL) {
        return Ok(Outcome::Address);
    }
    let protocol = packet.byte(9)?;
    packet.skip(length);
    if protocol == ICMP && rule.has(Rule::SOURCE_PORTS | Rule::PORTS) {
        let quoted = quoted_v4(&mut packet)?;
        return by_port(packet.units(0)?, destination, quoted, rule);
    }
    by_segment(packet, destination, protocol, rule)
}

/// Steps to the transport header of the packet that an ICMP error (RFC 792) quotes, and returns its protocol. The
/// packet was sent from the address that the error goes to.
#[inline(always)]
fn quoted_v4(icmp: &mut Cursor) -> Decision<u8> {
    const OFFSET: u16 = 0x1fff;

    // Destination unreachable, time exceeded, parameter problem.
    if !matches!(icmp.byte(0)?, 3 | 11 | 12) {
        return Err(Outcome::NotTaken);
    }
    icmp.skip(8);
    let version_length = icmp.byte(0)?;
    let [fragment] = icmp.units(6)?;
    let protocol = icmp.byte(9)?;
    // Ports stand in the first fragment only.
    if version_length >> 4 != 4 || u16::from_be(fragment) & OFFSET != 0 {
        return Err(Outcome::NotTaken);
    }
    icmp.skip(usize::from(version_length & 0xf) * 4);
    Ok(protocol)
}

/// The same for ICMPv6 (RFC 4443). Packets with extension headers are none that Headgate has sent.
#[inline(always)]
fn quoted_v6(icmp: &mut Cursor) -> Decision<u8> {
    // Destination unreachable, packet too big, time exceeded, parameter problem.
    if !matches!(icmp.byte(0)?, 1..=4) {
        return Err(Outcome::NotTaken);
    }
    icmp.skip(8);
    let version = icmp.byte(0)? >> 4;
    let protocol = icmp.byte(6)?;
    if version != 6 {
        return Err(Outcome::NotTaken);
    }
    icmp.skip(40);
    Ok(protocol)
}

/// RFC 8200.
#[inline(always)]
pub fn v6(mut packet: Cursor) -> Decision<Outcome> {
    let version = packet.byte(0)? >> 4;
    let next = packet.byte(6)?;
    let destination = Address(packet.units(24)?);
    packet.skip(40);
    if version != 6 {
        return Err(Outcome::Malformed);
    }
    if next == ICMP_V6 && is_solicitation(packet) {
        return Ok(Outcome::Ndp);
    }
    let rule = rule(&destination)?;
    match upper_layer(&mut packet, next) {
        Ok(Upper::Fragment) => by_fragment(rule),
        // All of an address is all of it, however odd the packet: user space counts such packets by reason.
        _ if rule.has(Rule::ALL) => Ok(Outcome::Address),
        Ok(Upper::Protocol(ICMP_V6)) if rule.has(Rule::SOURCE_PORTS | Rule::PORTS) => {
            let quoted = quoted_v6(&mut packet)?;
            by_port(packet.units(0)?, destination, quoted, rule)
        }
        Ok(Upper::Protocol(protocol)) => by_segment(packet, destination, protocol, rule),
        Err(outcome) => Err(outcome),
    }
}

enum Upper {
    /// The cursor is behind the last extension header.
    Protocol(u8),
    /// The packet is a fragment; where it is cut is for user space to know.
    Fragment,
}

/// Walks the chain of extension headers that begins with one of type `next`.
///
/// There is no branch on the header's type: the verifier follows every branch of every round, and with three ways
/// through each round the paths would be too many for it.
#[inline(always)]
fn upper_layer(packet: &mut Cursor, mut next: u8) -> Decision<Upper> {
    for _ in 0..=EXTENSIONS {
        let kind = KINDS[usize::from(next)];
        if kind == 0 {
            return Ok(Upper::Protocol(next));
        }
        let [next_length, fragment] = packet.units(0)?;
        // A fragment that is the whole packet is none (RFC 6946).
        if u32::from(u16::from_be(fragment)) & kind & FRAGMENT_BITS != 0 {
            return Ok(Upper::Fragment);
        }
        let [following, length] = next_length.to_ne_bytes();
        next = following;
        packet.skip(usize::from(length) * (kind >> UNIT_SHIFT) as usize + 8);
    }
    Err(Outcome::TooDeep)
}

/// Where a fragment header has its offset and its flag for more to come.
const FRAGMENT_BITS: u32 = 0xfff9;
const UNIT_SHIFT: u32 = 24;

/// The extension headers among the 256 types of header: in which unit one counts its length, shifted by [`UNIT_SHIFT`],
/// and which bits of its second two bytes make the packet a fragment. All are eight bytes long at least and do not
/// count those. Types that are none have 0.
static KINDS: [u32; 256] = {
    let mut kinds = [0; 256];
    // Hop-by-hop, routing and destination options; mobility, HIP and shim6 (RFC 6275, 7401, 5533).
    let in_eights = [0, 43, 60, 135, 139, 140];
    let mut i = 0;
    while i < in_eights.len() {
        kinds[in_eights[i]] = 8 << UNIT_SHIFT;
        i += 1;
    }
    // An authentication header counts in fours (RFC 4302, section 2.2).
    kinds[51] = 4 << UNIT_SHIFT;
    // A fragment header has no length; the byte is reserved.
    kinds[44] = FRAGMENT_BITS;
    kinds
};

/// Whether this is a neighbour solicitation (RFC 4861, section 4.3) for an address that we answer for, be it sent to
/// that address or to a solicited-node multicast address.
#[inline(always)]
fn is_solicitation(icmp: Cursor) -> bool {
    const NEIGHBOUR_SOLICITATION: u8 = 135;

    icmp.byte(0) == Ok(NEIGHBOUR_SOLICITATION)
        && icmp
            .units(8)
            .and_then(|target| rule(&Address(target)))
            .is_ok_and(|rule| rule.has(Rule::ALL | Rule::NEIGHBOURS))
}

#[inline(always)]
fn by_fragment(rule: Rule) -> Decision<Outcome> {
    if rule.has(Rule::ALL | Rule::FRAGMENTS) {
        Ok(Outcome::Fragment)
    } else {
        Err(Outcome::FragmentNotTaken)
    }
}

#[inline(always)]
fn by_segment(segment: Cursor, address: Address, protocol: u8, rule: Rule) -> Decision<Outcome> {
    if !matches!(protocol, TCP | UDP | SCTP) || !rule.has(Rule::SOURCE_PORTS | Rule::PORTS) {
        return Err(Outcome::NotTaken);
    }
    by_port(segment.units(2)?, address, protocol, rule)
}

/// By our end's port, in network byte order: where a packet goes, or where the one that an error quotes was from.
#[inline(always)]
fn by_port([port]: [u16; 1], address: Address, protocol: u8, rule: Rule) -> Decision<Outcome> {
    let port = u16::from_be(port);
    if !matches!(protocol, TCP | UDP | SCTP) {
        return Err(Outcome::NotTaken);
    }
    if rule.has(Rule::SOURCE_PORTS) && protocol != SCTP && (rule.first_port..=rule.last_port).contains(&port)
    {
        return Ok(Outcome::SourcePort);
    }
    let key = PortKey {
        address,
        port,
        protocol: protocol.into(),
    };
    if rule.has(Rule::PORTS) && is_taken(&key) {
        return Ok(Outcome::Port);
    }
    Err(Outcome::NotTaken)
}
