//! IP packets: what of them is taken.

use headgate_abi::wire::extension::{self, Kind};
use headgate_abi::wire::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};
use headgate_abi::wire::{icmp, ipv4, ipv6, ndp, ports};
use headgate_abi::{Address, Outcome, PortKey, Rule};

use crate::packet::Cursor;
use crate::{Decision, is_taken, rule};

/// RFC 791.
#[inline(always)]
pub fn v4(mut packet: Cursor) -> Decision<Outcome> {
    use ipv4::field;

    let version_ihl = packet.byte(field::VERSION_IHL)?;
    let destination = Address::mapped(packet.units(field::DESTINATION.start)?);
    let length = ipv4::header_len(version_ihl);
    if ipv4::version(version_ihl) != ipv4::VERSION || length < ipv4::HEADER {
        return Err(Outcome::Malformed);
    }
    let rule = rule(&destination)?;
    let [fragment] = packet.units(field::FRAGMENT.start)?;
    if u16::from_be(fragment) & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET) != 0 {
        return by_fragment(rule);
    }
    if rule.has(Rule::ALL) {
        return Ok(Outcome::Address);
    }
    let protocol = packet.byte(field::PROTOCOL)?;
    packet.skip(length);
    if protocol == ICMP && rule.has(Rule::SOURCE_PORTS | Rule::PORTS) {
        let quoted = quoted_v4(&mut packet)?;
        return by_port(packet.units(ports::SOURCE.start)?, destination, quoted, rule);
    }
    by_segment(packet, destination, protocol, rule)
}

/// Steps to the transport header of the packet that an ICMP error (RFC 792) quotes, and returns its protocol. The
/// packet was sent from the address that the error goes to.
#[inline(always)]
fn quoted_v4(message: &mut Cursor) -> Decision<u8> {
    use ipv4::field;

    if !icmp::v4::is_error(message.byte(icmp::field::TYPE)?) {
        return Err(Outcome::NotTaken);
    }
    message.skip(icmp::HEADER);
    let version_ihl = message.byte(field::VERSION_IHL)?;
    let [fragment] = message.units(field::FRAGMENT.start)?;
    let protocol = message.byte(field::PROTOCOL)?;
    let length = ipv4::header_len(version_ihl);
    // Ports stand in the first fragment only.
    let later = u16::from_be(fragment) & ipv4::FRAGMENT_OFFSET != 0;
    if ipv4::version(version_ihl) != ipv4::VERSION || length < ipv4::HEADER || later {
        return Err(Outcome::NotTaken);
    }
    message.skip(length);
    Ok(protocol)
}

/// The same for ICMPv6 (RFC 4443). Packets with extension headers are none that Headgate has sent.
#[inline(always)]
fn quoted_v6(message: &mut Cursor) -> Decision<u8> {
    use ipv6::field;

    if !icmp::v6::is_error(message.byte(icmp::field::TYPE)?) {
        return Err(Outcome::NotTaken);
    }
    message.skip(icmp::HEADER);
    let version = ipv4::version(message.byte(field::VERSION)?);
    let protocol = message.byte(field::NEXT)?;
    if version != ipv6::VERSION {
        return Err(Outcome::NotTaken);
    }
    message.skip(ipv6::HEADER);
    Ok(protocol)
}

/// RFC 8200.
#[inline(always)]
pub fn v6(mut packet: Cursor) -> Decision<Outcome> {
    use ipv6::field;

    let version = ipv4::version(packet.byte(field::VERSION)?);
    let next = packet.byte(field::NEXT)?;
    let destination = Address(packet.units(field::DESTINATION.start)?);
    packet.skip(ipv6::HEADER);
    if version != ipv6::VERSION {
        return Err(Outcome::Malformed);
    }
    if next == ICMPV6 && is_solicitation(packet) {
        return Ok(Outcome::Ndp);
    }
    let rule = rule(&destination)?;
    match upper_layer(&mut packet, next) {
        Ok(Upper::Stopped(extension::FRAGMENT)) => by_fragment(rule),
        // All of an address is all of it, however odd the packet: user space counts such packets by reason.
        _ if rule.has(Rule::ALL) => Ok(Outcome::Address),
        // At a routing header: this is not the packet's last destination, and the kernel is the router.
        Ok(Upper::Stopped(_)) => Err(Outcome::NotTaken),
        Ok(Upper::Protocol(ICMPV6)) if rule.has(Rule::SOURCE_PORTS | Rule::PORTS) => {
            let quoted = quoted_v6(&mut packet)?;
            by_port(packet.units(ports::SOURCE.start)?, destination, quoted, rule)
        }
        Ok(Upper::Protocol(protocol)) => by_segment(packet, destination, protocol, rule),
        Err(outcome) => Err(outcome),
    }
}

enum Upper {
    /// The cursor is behind the last extension header.
    Protocol(u8),
    /// At a header of this type, behind which there is nothing for us: see [`Kind::stops`].
    Stopped(u8),
}

/// Walks the chain of extension headers that begins with one of type `next`.
///
/// There is no branch on the header's type: the verifier follows every branch of every round, and with three ways
/// through each round the paths would be too many for it.
#[inline(always)]
fn upper_layer(packet: &mut Cursor, mut next: u8) -> Decision<Upper> {
    for _ in 0..=extension::MAX {
        let kind = Kind::of(next);
        if !kind.is_extension() {
            return Ok(Upper::Protocol(next));
        }
        let [next_length, stop] = packet.units(extension::field::NEXT)?;
        if kind.stops(u16::from_be(stop)) {
            return Ok(Upper::Stopped(next));
        }
        let [following, length] = next_length.to_ne_bytes();
        next = following;
        packet.skip(kind.length(length));
    }
    Err(Outcome::TooDeep)
}

/// Whether this is a neighbour solicitation (RFC 4861, section 4.3) for an address that we answer for, be it sent to
/// that address or to a solicited-node multicast address.
#[inline(always)]
fn is_solicitation(message: Cursor) -> bool {
    message.byte(icmp::field::TYPE) == Ok(icmp::v6::NEIGHBOUR_SOLICITATION)
        && message
            .units(ndp::field::TARGET.start)
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
    by_port(segment.units(ports::DESTINATION.start)?, address, protocol, rule)
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
