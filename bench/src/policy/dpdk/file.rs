//! Rules and connections as `bench/peers/acl.c` reads them.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use crate::policy::{
    cluster::Connection,
    expand::{Expansion, Ports, Span},
};

const MAGIC: &[u8; 8] = b"HGACL 1\n";

/// Writes all of it, each connection with the verdict that is expected.
///
/// # Errors
///
/// What the writer says.
pub(super) fn write(
    out: &mut impl Write,
    expansion: &Expansion,
    connections: &[Connection],
    allowed: &[bool],
) -> io::Result<()> {
    let sides = [&expansion.egress, &expansion.ingress];
    let rules = rules(expansion);
    let mut pods: Vec<IpAddr> = sides.iter().flat_map(|side| side.pods.keys().copied()).collect();
    pods.sort_unstable();
    pods.dedup();
    out.write_all(MAGIC)?;
    for number in [
        usize::from(expansion.v6),
        pods.len(),
        rules.len(),
        connections.len(),
    ] {
        out.write_all(&narrow(number).to_ne_bytes())?;
    }
    for pod in &pods {
        out.write_all(&octets(*pod))?;
        let egress = sides[0].pods.get(pod).map_or(0, |guard| guard + 1);
        let ingress = sides[1]
            .pods
            .get(pod)
            .map_or(0, |guard| sides[0].guards.len() + guard + 1);
        for guard in [egress, ingress] {
            out.write_all(&narrow(guard).to_ne_bytes())?;
        }
    }
    for rule in &rules {
        rule.write(out)?;
    }
    for (connection, allowed) in connections.iter().zip(allowed) {
        out.write_all(&octets(connection.src))?;
        out.write_all(&octets(connection.dst))?;
        out.write_all(&[connection.protocol, u8::from(*allowed)])?;
        out.write_all(&connection.dst_port.to_ne_bytes())?;
    }
    Ok(())
}

/// One rule of the library, whose addresses are prefixes.
struct Rule {
    /// From 1; those of ingress after those of egress.
    guard: usize,
    peer: IpNet,
    ports: Ports,
}

impl Rule {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Ports {
            protocol,
            first,
            last,
        } = self.ports;
        out.write_all(&narrow(self.guard).to_ne_bytes())?;
        out.write_all(&octets(self.peer.network()))?;
        let flags = [protocol.unwrap_or(0), u8::from(protocol.is_none()), 0];
        out.write_all(&[self.peer.prefix_len()])?;
        out.write_all(&flags)?;
        out.write_all(&first.to_ne_bytes())?;
        out.write_all(&last.to_ne_bytes())
    }
}

/// All rules, those of a guard together.
fn rules(expansion: &Expansion) -> Vec<Rule> {
    let mut rules = Vec::new();
    let everywhere = if expansion.v6 {
        IpNet::new_assert(Ipv6Addr::UNSPECIFIED.into(), 0)
    } else {
        IpNet::new_assert(Ipv4Addr::UNSPECIFIED.into(), 0)
    };
    let guards = expansion.egress.guards.iter().chain(&expansion.ingress.guards);
    for (number, guard) in (1..).zip(guards) {
        let mut add = |peer: IpNet, ports: &[Ports]| {
            rules.extend(ports.iter().map(|ports| Rule {
                guard: number,
                peer,
                ports: *ports,
            }));
        };
        add(everywhere, &guard.any);
        for (span, ports) in &guard.peers {
            prefixes(*span, expansion.v6, |peer| add(peer, ports));
        }
    }
    rules
}

pub(super) fn prefixes(span: Span, v6: bool, mut each: impl FnMut(IpNet)) {
    if v6 {
        let [first, last] = [span.first, span.last].map(Ipv6Addr::from_bits);
        Ipv6Subnets::new(first, last, 0).for_each(|net| each(net.into()));
    } else {
        let v4 = |bits| Ipv4Addr::from_bits(u32::try_from(bits).expect("an IPv4 address"));
        Ipv4Subnets::new(v4(span.first), v4(span.last), 0).for_each(|net| each(net.into()));
    }
}

/// In network byte order; an IPv4 address takes the first four.
fn octets(address: IpAddr) -> [u8; 16] {
    let mut octets = [0; 16];
    match address {
        IpAddr::V4(a) => octets[..4].copy_from_slice(&a.octets()),
        IpAddr::V6(a) => octets = a.octets(),
    }
    octets
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("far fewer than 2^32 of anything")
}
