//! Which of the kernel's routes are in force.

use std::collections::HashSet;

use ipnet::IpNet;

use super::snapshot::{KernelRoute, NextHop, RouteKind, RoutingTable, Snapshot};

/// A destination and the route or routes that serve it: more than one only where IPv6 lists the paths of one
/// multipath route as routes of their own.
pub(super) struct Selected<'a> {
    pub(super) destination: IpNet,
    /// Never empty; what is not a matter of paths is the first one's.
    pub(super) routes: Vec<&'a KernelRoute>,
}

/// Devices that packets can leave by.
pub(super) struct Up(HashSet<u32>);

impl Up {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self(snapshot.links.iter().filter(|l| l.up).map(|l| l.index).collect())
    }

    /// The hops of a route whose device is up.
    pub(super) fn hops<'a>(&self, route: &'a KernelRoute) -> impl Iterator<Item = &'a NextHop> {
        route.hops.iter().filter(|hop| self.0.contains(&hop.interface))
    }

    fn serves(&self, route: &KernelRoute) -> bool {
        route.kind != RouteKind::Unicast || self.hops(route).next().is_some()
    }
}

/// The routes in force, by destination: of each table the least metric that can be used; and since the local
/// table is asked first, whatever the lengths, what it holds hides all of main inside.
pub(super) fn in_force<'a>(snapshot: &'a Snapshot, up: &Up) -> Vec<Selected<'a>> {
    let mut routes: Vec<(IpNet, &KernelRoute)> = snapshot
        .routes
        .iter()
        .filter(|r| up.serves(r))
        .map(|r| (r.destination.trunc(), r))
        .collect();
    // Wider destinations stand before those inside them. Stable: equal routes stay in the kernel's order.
    routes.sort_by_key(|(net, route)| (net.addr(), net.prefix_len(), route.table, route.metric));
    let mut local: Option<IpNet> = None;
    let mut selected = Vec::new();
    for same in routes.chunk_by(|a, b| a.0 == b.0 && a.1.table == b.1.table) {
        let (destination, first) = same[0];
        let hidden = local.is_some_and(|local| local.contains(&destination));
        if hidden && first.table == RoutingTable::Main {
            continue;
        }
        if !hidden && first.table == RoutingTable::Local {
            local = Some(destination);
        }
        let joined = |route: &KernelRoute| {
            destination.addr().is_ipv6()
                && (route.kind, route.metric) == (first.kind, first.metric)
                && first.kind == RouteKind::Unicast
        };
        let mut routes = vec![first];
        routes.extend(
            same[1..]
                .iter()
                .map(|(_, route)| *route)
                .filter(|route| joined(route)),
        );
        selected.push(Selected { destination, routes });
    }
    selected
}
