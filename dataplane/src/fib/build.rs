//! From the kernel's lists to look-up tables.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::snapshot::{Link, NextHop, Route, RouteKind, Snapshot, Table};
use super::{Entry, Exit, Fib, Hop, HopId, Lookup, Path, source};
use crate::lpm::Lpm;
use crate::verdict::PortId;

/// Number of the entry for addresses that no route holds.
const NO_ROUTE: u32 = 0;

impl Fib {
    /// Arranges a snapshot of the kernel's state.
    #[must_use]
    pub fn build(snapshot: &Snapshot, generation: u64) -> Self {
        let mut builder = Builder::new(snapshot);
        let mut prefixes: Vec<(IpNet, u32)> = Vec::new();
        let locals = effective(snapshot, Table::Local);
        let mains = effective(snapshot, Table::Main);
        let local_nets = Lpm::build(locals.keys().map(|net| (*net, 1)), 0);
        // The local table is asked first, whatever the lengths: what it holds hides more specific routes.
        let hidden = |net: &IpNet| local_nets.lookup(net.network()) == 1 && covered(&locals, net);
        for (net, route) in mains.iter().filter(|(net, _)| !hidden(net)).chain(&locals) {
            prefixes.push((*net, builder.route(route)));
        }
        Self {
            generation,
            lpm: Lpm::build(prefixes, NO_ROUTE),
            routes: builder.routes,
            paths: builder.paths,
            hops: builder.hops,
            neighbours: builder.neighbours,
            port_macs: port_macs(snapshot),
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

/// Whether a route of the table holds all of `net`.
fn covered(table: &BTreeMap<IpNet, Route>, net: &IpNet) -> bool {
    let mut wider = Some(*net);
    std::iter::from_fn(|| {
        let this = wider?;
        wider = this.supernet();
        Some(this)
    })
    .any(|net| table.contains_key(&net.trunc()))
}

/// The route in force for each destination of a table: the least metric of those that can be used.
///
/// IPv6 lists the paths of one multipath route as routes of their own; those of one metric are joined.
fn effective(snapshot: &Snapshot, table: Table) -> BTreeMap<IpNet, Route> {
    let mut routes: BTreeMap<IpNet, Route> = BTreeMap::new();
    for route in snapshot.routes.iter().filter(|r| r.table == table) {
        let mut route = route.clone();
        route
            .hops
            .retain(|hop| snapshot.links.iter().any(|l| l.index == hop.interface && l.up));
        if route.kind == RouteKind::Unicast && route.hops.is_empty() {
            continue;
        }
        let net = route.destination.trunc();
        match routes.get_mut(&net) {
            Some(best) if best.metric < route.metric => {}
            Some(best) if best.metric == route.metric => {
                if matches!(net, IpNet::V6(_)) && best.kind == RouteKind::Unicast && best.kind == route.kind {
                    best.hops.append(&mut route.hops);
                }
            }
            _ => {
                routes.insert(net, route);
            }
        }
    }
    routes
}

struct Builder<'a> {
    snapshot: &'a Snapshot,
    links: HashMap<u32, Link>,
    ports: HashMap<u32, PortId>,
    routes: Vec<Entry>,
    paths: Vec<Path>,
    hops: Vec<Hop>,
    neighbours: HashMap<(PortId, IpAddr), HopId, crate::hash::Keyed>,
}

impl<'a> Builder<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut builder = Self {
            snapshot,
            links: snapshot.links.iter().map(|l| (l.index, *l)).collect(),
            ports: HashMap::new(),
            routes: vec![Entry::Answer(Lookup::Unreachable)],
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
                #[expect(clippy::cast_possible_truncation, reason = "the kernel bounds its neighbours")]
                let id = HopId(self.hops.len() as u32);
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

    /// The number of the entry for a route.
    fn route(&mut self, route: &Route) -> u32 {
        let entry = match route.kind {
            RouteKind::Local => Entry::Answer(Lookup::Local),
            RouteKind::Kernel => Entry::Answer(Lookup::Kernel),
            RouteKind::Reject => Entry::Answer(Lookup::Unreachable),
            RouteKind::Unicast => self.unicast(route),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "fewer routes than 2^31 fit the kernel's memory"
        )]
        let number = self.routes.len() as u32;
        self.routes.push(entry);
        number
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "fewer paths than 2^32; the share is below 2^32"
    )]
    fn unicast(&mut self, route: &Route) -> Entry {
        let first = self.paths.len() as u32;
        let total: u64 = route.hops.iter().map(|h| u64::from(h.weight.max(1))).sum();
        let mut sum = 0;
        for hop in &route.hops {
            sum += u64::from(hop.weight.max(1));
            let upper = (sum * u64::from(u32::MAX) / total) as u32;
            let path = self.path(route, hop, upper);
            self.paths.push(path);
        }
        Entry::Paths {
            first,
            count: route.hops.len() as u32,
        }
    }

    fn path(&self, route: &Route, hop: &NextHop, upper: u32) -> Path {
        let dst = route.destination.addr();
        let next_hop = hop.gateway.unwrap_or(dst);
        let source = route
            .preferred_source
            .or_else(|| source::select(self.snapshot, hop.interface, next_hop, dst));
        Path {
            exit: self.exit(hop),
            upper,
            source,
        }
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
