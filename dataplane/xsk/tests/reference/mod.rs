//! What the steering program decides, written slowly and obviously.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use headgate_xsk::{AddressRule, Outcome};

#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) addresses: HashMap<IpAddr, AddressRule>,
    pub(crate) ports: HashSet<(IpAddr, u8, u16)>,
}

impl Rules {
    fn get(&self, address: IpAddr) -> Option<AddressRule> {
        let has_ports = self.ports.iter().any(|(of, _, _)| *of == canonical(address));
        let rule = self.addresses.get(&canonical(address)).copied();
        rule.or(has_ports.then(AddressRule::default))
    }
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The outcome for `packet`, of which nothing is missing at the front.
pub(crate) fn classify(rules: &Rules, packet: &[u8]) -> Outcome {
    walk(rules, packet).unwrap_or(Outcome::Malformed)
}

/// `None` where the packet ends too early.
fn walk(rules: &Rules, packet: &[u8]) -> Option<Outcome> {
    let mut rest = packet.get(12..)?;
    let mut tags = 0;
    loop {
        let kind = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
        rest = &rest[2..];
        match kind {
            0x8100 | 0x88a8 if tags < 2 => {
                rest.get(..4)?;
                rest = &rest[2..];
                tags += 1;
            }
            0x8100 | 0x88a8 => return Some(Outcome::TooDeep),
            0x0800 => return ipv4(rules, rest),
            0x86dd => return ipv6(rules, rest),
            0x0806 => return arp(rules, rest),
            _ => return Some(Outcome::NotIp),
        }
    }
}

fn arp(rules: &Rules, packet: &[u8]) -> Option<Outcome> {
    let packet = packet.get(..28)?;
    if packet[..6] != [0, 1, 8, 0, 6, 4] {
        return Some(Outcome::NotIp);
    }
    let target = <[u8; 4]>::try_from(&packet[24..28]).ok()?;
    Some(match rules.get(Ipv4Addr::from(target).into()) {
        None => Outcome::NotManaged,
        Some(rule) if packet[6..8] == [0, 1] && (rule.all || rule.neighbours) => Outcome::Arp,
        Some(_) => Outcome::NotTaken,
    })
}

fn ipv4(rules: &Rules, packet: &[u8]) -> Option<Outcome> {
    let header = packet.get(..20)?;
    let length = usize::from(header[0] & 15) * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return None;
    }
    let destination = <[u8; 4]>::try_from(&header[16..20]).ok()?;
    let destination = Ipv4Addr::from(destination).into();
    let Some(rule) = rules.get(destination) else {
        return Some(Outcome::NotManaged);
    };
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Some(fragment(rule));
    }
    if rule.all {
        return Some(Outcome::Address);
    }
    port(
        rules,
        rule,
        destination,
        header[9],
        packet.get(length..).unwrap_or_default(),
    )
}

fn ipv6(rules: &Rules, packet: &[u8]) -> Option<Outcome> {
    let header = packet.get(..40)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let destination = <[u8; 16]>::try_from(&header[24..40]).ok()?;
    let destination = Ipv6Addr::from(destination).into();
    let mut rest = &packet[40..];
    if let (58, Some([135, message @ ..])) = (header[6], rest.get(..24)) {
        let target = <[u8; 16]>::try_from(&message[7..23]).ok()?;
        if rules
            .get(Ipv6Addr::from(target).into())
            .is_some_and(|rule| rule.all || rule.neighbours)
        {
            return Some(Outcome::Ndp);
        }
    }
    let Some(rule) = rules.get(destination) else {
        return Some(Outcome::NotManaged);
    };
    let all = |outcome| if rule.all { Some(Outcome::Address) } else { outcome };
    let mut next = header[6];
    for _ in 0..=8 {
        let length = match (next, rest) {
            (44, [_, _, high, low, ..]) if u16::from_be_bytes([*high, *low]) & 0xfff9 != 0 => {
                return Some(fragment(rule));
            }
            (44, [_, _, _, _, ..]) => 8,
            (0 | 43 | 60 | 135 | 139 | 140, [_, units, _, _, ..]) => 8 * (usize::from(*units) + 1),
            (51, [_, units, _, _, ..]) => 4 * (usize::from(*units) + 2),
            (0 | 43 | 60 | 135 | 139 | 140 | 51 | 44, _) => return all(None),
            (protocol, segment) => return all(port(rules, rule, destination, protocol, segment)),
        };
        next = rest[0];
        rest = rest.get(length..).unwrap_or_default();
    }
    all(Some(Outcome::TooDeep))
}

fn fragment(rule: AddressRule) -> Outcome {
    if rule.all || rule.fragments {
        Outcome::Fragment
    } else {
        Outcome::FragmentNotTaken
    }
}

fn port(rules: &Rules, rule: AddressRule, to: IpAddr, protocol: u8, segment: &[u8]) -> Option<Outcome> {
    let to = canonical(to);
    let has_ports = rules.ports.iter().any(|(of, _, _)| *of == to);
    if ![6, 17, 132].contains(&protocol) || !(has_ports || rule.source_ports.is_some()) {
        return Some(Outcome::NotTaken);
    }
    let port = u16::from_be_bytes([*segment.get(2)?, *segment.get(3)?]);
    let reserved = rule
        .source_ports
        .is_some_and(|(first, last)| first <= port && port <= last);
    Some(if reserved && protocol != 132 {
        Outcome::SourcePort
    } else if rules.ports.contains(&(to, protocol, port)) {
        Outcome::Port
    } else {
        Outcome::NotTaken
    })
}
