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
        let rule = self.addresses.get(&canonical(address)).copied();
        rule.or(self.has_ports(address).then(AddressRule::default))
    }

    fn has_ports(&self, address: IpAddr) -> bool {
        self.ports.iter().any(|(of, _, _)| *of == canonical(address))
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
            0x8100 | 0x88a8 | 0x9100 if tags < 2 => {
                rest.get(..4)?;
                rest = &rest[2..];
                tags += 1;
            }
            0x8100 | 0x88a8 | 0x9100 => return Some(Outcome::TooDeep),
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
    let segment = packet.get(length..).unwrap_or_default();
    let ports = rules.has_ports(destination) || rule.source_ports.is_some();
    if header[9] == 1 && ports {
        if ![3, 11, 12].contains(segment.first()?) {
            return Some(Outcome::NotTaken);
        }
        let quoted = segment.get(8..)?;
        let fixed = quoted.get(..10)?;
        if fixed[0] >> 4 != 4 || fixed[0] & 15 < 5 || u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff != 0 {
            return Some(Outcome::NotTaken);
        }
        let inner = quoted.get(usize::from(fixed[0] & 15) * 4..)?;
        return by_port(rules, rule, destination, fixed[9], inner.get(..2)?);
    }
    port(rules, rule, destination, header[9], segment)
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
            (43, [_, _, _, left, ..]) if *left != 0 => return all(Some(Outcome::NotTaken)),
            (0 | 43 | 60 | 135 | 139 | 140, [_, units, _, _, ..]) => 8 * (usize::from(*units) + 1),
            (51, [_, units, _, _, ..]) => 4 * (usize::from(*units) + 2),
            (0 | 43 | 60 | 135 | 139 | 140 | 51 | 44, _) => return all(None),
            (58, message) if !rule.all && (rules.has_ports(destination) || rule.source_ports.is_some()) => {
                if !(1..=4).contains(message.first()?) {
                    return Some(Outcome::NotTaken);
                }
                let quoted = message.get(8..)?;
                let protocol = *quoted.get(6)?;
                if quoted[0] >> 4 != 6 {
                    return Some(Outcome::NotTaken);
                }
                return by_port(rules, rule, destination, protocol, quoted.get(40..42)?);
            }
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
    if ![6, 17, 132].contains(&protocol) || !(rules.has_ports(to) || rule.source_ports.is_some()) {
        return Some(Outcome::NotTaken);
    }
    by_port(rules, rule, to, protocol, segment.get(2..4)?)
}

/// By the port of our end.
fn by_port(rules: &Rules, rule: AddressRule, to: IpAddr, protocol: u8, port: &[u8]) -> Option<Outcome> {
    let port = u16::from_be_bytes([port[0], port[1]]);
    let reserved = rule
        .source_ports
        .is_some_and(|(first, last)| first <= port && port <= last);
    Some(if ![6, 17, 132].contains(&protocol) {
        Outcome::NotTaken
    } else if reserved && protocol != 132 {
        Outcome::SourcePort
    } else if rules.ports.contains(&(canonical(to), protocol, port)) {
        Outcome::Port
    } else {
        Outcome::NotTaken
    })
}
