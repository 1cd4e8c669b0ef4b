//! From the kernel's lists to look-up tables.

use std::collections::HashMap;
use std::net::IpAddr;

use super::select::{self, Selected, Up};
use super::snapshot::{KernelRoute, Link, NextHop, RouteKind, Snapshot};
use super::{Exit, Fib, Hop, HopId, Lookup, Path, RouteEntry, source};
use crate::ids::PortId;
use crate::lpm::Lpm;

/// Number of the entry for addresses that no route holds.
const NO_ROUTE: u32 = 0;

impl Fib {
    /// Arranges a snapshot of the kernel's state.
    #[must_use]
    pub fn build(snapshot: &Snapshot, publication: u64) -> Self {
        let mut builder = Builder::new(snapshot);
        let selected = select::in_force(snapshot, &builder.up);
        let prefixes: Vec<_> = selected
            .iter()
            .map(|s| (s.destination, builder.route(s)))
            .collect();
        Self {
            publication,
            lpm: Lpm::build(prefixes, NO_ROUTE),
            routes: builder.routes,
            paths: builder.paths,
            hops: builder.hops,
            neighbours: builder.neighbours,
            port_macs: port_macs(snapshot),
            tap: snapshot.tap,
        }
    }
}

/// The MAC address of each port, by its number.
fn port_macs(snapshot: &Snapshot) -> Vec<Option<[u8; 6]>> {
    let mut macs = Vec::new();
    for (port, interface) in &snapshot.ports {
        let number = usize::from(port.0);
        macs.resize(macs.len().max(number + 1), None);
        macs[number] = snapshot
            .links
            .iter()
            .find(|l| l.index == *interface)
            .and_then(|l| l.mac);
    }
    macs
}

struct Builder<'a> {
    snapshot: &'a Snapshot,
    up: Up,
    links: HashMap<u32, Link>,
    ports: HashMap<u32, PortId>,
    routes: Vec<RouteEntry>,
    paths: Vec<Path>,
    hops: Vec<Hop>,
    neighbours: HashMap<(PortId, IpAddr), HopId, crate::hash::Keyed>,
}

impl<'a> Builder<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut builder = Self {
            snapshot,
            up: Up::of(snapshot),
            links: snapshot.links.iter().map(|l| (l.index, *l)).collect(),
            ports: HashMap::new(),
            routes: vec![RouteEntry::Answer(Lookup::Unreachable)],
            paths: Vec::new(),
            hops: Vec::new(),
            neighbours: HashMap::default(),
        };
        // A port without a MAC address (or without a device) is left to the kernel.
        let has_mac = |interface: &u32| builder.links.get(interface).is_some_and(|l| l.mac.is_some());
        builder.ports = snapshot
            .ports
            .iter()
            .filter(|(_, interface)| has_mac(interface))
            .map(|(port, interface)| (*interface, *port))
            .collect();
        builder.resolve_neighbours();
        builder
    }

    fn resolve_neighbours(&mut self) {
        for neighbour in &self.snapshot.neighbours {
            let (Some(port), Some(link)) = (
                self.ports.get(&neighbour.interface),
                self.links.get(&neighbour.interface),
            ) else {
                continue;
            };
            if let (Some(source_mac), Some(destination_mac)) = (link.mac, neighbour.mac) {
                let id = HopId(number(self.hops.len()));
                self.hops.push(Hop {
                    port: *port,
                    source_mac,
                    destination_mac,
                    mtu: link.mtu,
                });
                self.neighbours.insert((*port, neighbour.address), id);
            }
        }
    }

    /// The number of the entry for a destination.
    fn route(&mut self, selected: &Selected<'_>) -> u32 {
        let entry = match selected.routes[0].kind {
            RouteKind::Local => RouteEntry::Answer(Lookup::Local),
            RouteKind::Kernel => RouteEntry::Answer(Lookup::Kernel),
            RouteKind::Reject => RouteEntry::Answer(Lookup::Unreachable),
            RouteKind::Unicast => self.unicast(selected),
        };
        self.routes.push(entry);
        number(self.routes.len() - 1)
    }

    fn unicast(&mut self, selected: &Selected<'_>) -> RouteEntry {
        let first = self.paths.len();
        let hops = |route| self.up.hops(route).map(move |hop| (route, hop));
        let paths: Vec<(&KernelRoute, &NextHop)> = selected.routes.iter().copied().flat_map(hops).collect();
        let weight = |hop: &NextHop| u64::from(hop.weight.max(1));
        let total: u64 = paths.iter().map(|(_, hop)| weight(hop)).sum();
        let mut sum = 0;
        for (route, hop) in &paths {
            sum += weight(hop);
            // Not above `u32::MAX`, since the sum is not above the total.
            let upper = u32::try_from(sum * u64::from(u32::MAX) / total).unwrap_or(u32::MAX);
            let path = self.path(route, hop, upper);
            self.paths.push(path);
        }
        RouteEntry::Paths {
            first: number(first),
            count: number(paths.len()),
        }
    }

    fn path(&self, route: &KernelRoute, hop: &NextHop, upper: u32) -> Path {
        let dst = route.destination.addr();
        let next_hop = hop.gateway.unwrap_or(dst);
        let source = self
            .tap_address(hop, dst)
            .or(route.preferred_source)
            .or_else(|| source::select(self.snapshot, hop.interface, next_hop, dst));
        Path {
            exit: self.exit(hop),
            upper,
            source,
        }
    }

    /// The source address for what goes where no port sees the answers.
    fn tap_address(&self, hop: &NextHop, dst: IpAddr) -> Option<IpAddr> {
        let by_a_port =
            self.ports.contains_key(&hop.interface) || self.snapshot.over_ports.contains(&hop.interface);
        (!by_a_port).then(|| self.snapshot.tap.like(dst)).flatten()
    }

    fn exit(&self, hop: &NextHop) -> Exit {
        let Some(port) = self.ports.get(&hop.interface).copied() else {
            return Exit::Answer(Lookup::Kernel);
        };
        match hop.gateway {
            None => Exit::Link(port),
            Some(neighbour) => Exit::Answer(match self.neighbours.get(&(port, neighbour)) {
                Some(hop) => Lookup::Hop(*hop),
                None => Lookup::Unresolved { port, neighbour },
            }),
        }
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("the kernel's tables have fewer than 2^32 entries")
}
