//! IP packets: what of them is taken.

use headgate_abi::{Address, Outcome, PortKey, Rule};

use crate::packet::Cursor;
use crate::{Decision, is_taken, rule};

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
    by_port(packet, destination, protocol, rule)
}

/// RFC 8200.
#[inline(always)]
pub fn v6(mut packet: Cursor) -> Decision<Outcome> {
    const ICMP: u8 = 58;

    let version = packet.byte(0)? >> 4;
    let next = packet.byte(6)?;
    let destination = Address(packet.units(24)?);
    packet.skip(40);
    if version != 6 {
        return Err(Outcome::Malformed);
    }
    if next == ICMP && is_solicitation(packet) {
        return Ok(Outcome::Ndp);
    }
    let rule = rule(&destination)?;
    match upper_layer(&mut packet, next) {
        Ok(Upper::Fragment) => by_fragment(rule),
        // All of an address is all of it, however odd the packet: user space counts such packets by reason.
        _ if rule.has(Rule::ALL) => Ok(Outcome::Address),
        Ok(Upper::Protocol(protocol)) => by_port(packet, destination, protocol, rule),
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
#[inline(always)]
fn upper_layer(packet: &mut Cursor, mut next: u8) -> Decision<Upper> {
    for _ in 0..=EXTENSIONS {
        // In how many bytes the header counts its length; 0 where it has a fixed one.
        let unit = match next {
            // Hop-by-hop, routing and destination options; mobility, HIP and shim6 (RFC 6275, 7401, 5533).
            0 | 43 | 60 | 135 | 139 | 140 => 8,
            // An authentication header counts in fours, and one less (RFC 4302, section 2.2).
            51 => 4,
            44 => {
                // A fragment that is the whole packet is none (RFC 6946).
                const OFFSET_OR_MORE: u16 = 0xfff9;
                let [fragment] = packet.units(2)?;
                if u16::from_be(fragment) & OFFSET_OR_MORE != 0 {
                    return Ok(Upper::Fragment);
                }
                0
            }
            protocol => return Ok(Upper::Protocol(protocol)),
        };
        next = packet.byte(0)?;
        let length = usize::from(packet.byte(1)?);
        packet.skip(match unit {
            8 => (length + 1) * 8,
            4 => (length + 2) * 4,
            _ => 8,
        });
    }
    Err(Outcome::TooDeep)
}

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
fn by_port(segment: Cursor, address: Address, protocol: u8, rule: Rule) -> Decision<Outcome> {
    if !matches!(protocol, TCP | UDP | SCTP) || !rule.has(Rule::SOURCE_PORTS | Rule::PORTS) {
        return Err(Outcome::NotTaken);
    }
    let [port] = segment.units(2)?;
    let port = u16::from_be(port);
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
