//! A cluster's rules as nftables sets.
//!
//! A packet finds the chain of its guard by a map from the pod's address (a hash table), and there protocol and port in
//! a set of those that are for any peer, then peer, protocol and port together in a set of ranges (the kernel
//! keeps both as bitmaps for each byte of a key, "pipapo", and intersects them with AVX2). Nothing else is tried one after
//! another. Single addresses and ports in a hash table of their own, before the ranges, are slower: one look-up more.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::policy::expand::{Expansion, Guard, Ports, Side, Span};

/// The table's name.
pub(super) const TABLE: &str = "bench";

/// Elements of the sets that one run of `nft` is given: it needs about a kilobyte for each.
const BATCH: usize = 200_000;

/// The family's words.
struct Family {
    table: &'static str,
    address: &'static str,
    v6: bool,
}

impl Family {
    fn of(expansion: &Expansion) -> Self {
        let (table, address) = if expansion.v6 {
            ("ip6", "ipv6_addr")
        } else {
            ("ip", "ipv4_addr")
        };
        Self {
            table,
            address,
            v6: expansion.v6,
        }
    }

    fn write_span(&self, script: &mut Vec<u8>, span: Span) -> io::Result<()> {
        write!(script, "{}", self.address(span.first))?;
        if span.first != span.last {
            write!(script, "-{}", self.address(span.last))?;
        }
        Ok(())
    }

    fn address(&self, bits: u128) -> IpAddr {
        if self.v6 {
            Ipv6Addr::from_bits(bits).into()
        } else {
            Ipv4Addr::from_bits(u32::try_from(bits).expect("an IPv4 address")).into()
        }
    }
}

/// Scripts that make the rules, to be run in this order.
pub(super) fn scripts(expansion: &Expansion) -> io::Result<Vec<Vec<u8>>> {
    let family = Family::of(expansion);
    let mut scripts = vec![Vec::new()];
    let mut elements = 0;
    writeln!(scripts[0], "add table {} {TABLE}", family.table)?;
    for verdict in ["allowed", "denied"] {
        writeln!(scripts[0], "add counter {} {TABLE} {verdict}", family.table)?;
    }
    for (name, field, side) in [
        ("e", "daddr", &expansion.egress),
        ("i", "saddr", &expansion.ingress),
    ] {
        for (number, guard) in side.guards.iter().enumerate() {
            if elements > BATCH {
                scripts.push(Vec::new());
                elements = 0;
            }
            let script = scripts.last_mut().expect("never empty");
            elements += write_guard(script, &family, &format!("{name}{number}"), field, guard)?;
        }
    }
    let mut last = Vec::new();
    let Family { table, .. } = family;
    writeln!(
        last,
        "add chain {table} {TABLE} main {{ type filter hook prerouting priority raw; }}"
    )?;
    for (name, field, side) in [
        ("e", "saddr", &expansion.egress),
        ("i", "daddr", &expansion.ingress),
    ] {
        if !side.pods.is_empty() {
            write_map(&mut last, &family, name, side)?;
            writeln!(last, "add rule {table} {TABLE} main {table} {field} vmap @{name}")?;
        }
    }
    writeln!(last, "add rule {table} {TABLE} main counter name allowed drop")?;
    scripts.push(last);
    Ok(scripts)
}

/// From pods to the chains of their guards.
fn write_map(script: &mut Vec<u8>, family: &Family, name: &str, side: &Side) -> io::Result<()> {
    let Family { table, address, .. } = family;
    write!(
        script,
        "add map {table} {TABLE} {name} {{ type {address} : verdict; size {}; elements = {{ ",
        side.pods.len()
    )?;
    for (pod, guard) in &side.pods {
        write!(script, "{pod} : jump {name}{guard}, ")?;
    }
    writeln!(script, "}}; }}")
}

/// A guard's chain and sets; returns how many elements they have.
fn write_guard(
    script: &mut Vec<u8>,
    family: &Family,
    name: &str,
    field: &str,
    guard: &Guard,
) -> io::Result<usize> {
    let Family { table, address, .. } = family;
    writeln!(script, "add chain {table} {TABLE} {name}")?;
    if !guard.any.is_empty() {
        let size = guard.any.len();
        write!(
            script,
            "add set {table} {TABLE} {name}a {{ type inet_proto . inet_service; flags interval; size {size}; elements = {{ "
        )?;
        for ports in &guard.any {
            write!(script, "{}, ", Element(ports))?;
        }
        writeln!(script, "}}; }}")?;
        writeln!(
            script,
            "add rule {table} {TABLE} {name} meta l4proto . th dport @{name}a return"
        )?;
    }
    let size: usize = guard.peers.iter().map(|(_, ports)| ports.len()).sum();
    if size > 0 {
        write!(
            script,
            "add set {table} {TABLE} {name}p {{ type {address} . inet_proto . inet_service; flags interval; size {size}; \
             elements = {{ "
        )?;
        for (span, ports) in &guard.peers {
            for ports in ports {
                family.write_span(script, *span)?;
                write!(script, " . {}, ", Element(ports))?;
            }
        }
        writeln!(script, "}}; }}")?;
        writeln!(
            script,
            "add rule {table} {TABLE} {name} {table} {field} . meta l4proto . th dport @{name}p return"
        )?;
    }
    writeln!(script, "add rule {table} {TABLE} {name} counter name denied drop")?;
    Ok(guard.any.len() + size)
}

/// Protocol and port as the fields of an element.
struct Element<'a>(&'a Ports);

impl std::fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ports {
            protocol,
            first,
            last,
        } = self.0;
        match protocol {
            None => write!(f, "0-255 . 0-65535"),
            Some(protocol) if first == last => write!(f, "{protocol} . {first}"),
            Some(protocol) => write!(f, "{protocol} . {first}-{last}"),
        }
    }
}
