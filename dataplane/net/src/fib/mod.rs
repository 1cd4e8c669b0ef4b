//! Routes and neighbours as the kernel has them, arranged for look-ups.
//!
//! A [`Fib`] is built from a [`Snapshot`] of the kernel's state and then only read; a change makes a new one.
//! Nothing here speaks to the kernel.

mod build;
mod select;
mod snapshot;
mod source;

use std::net::IpAddr;

pub use snapshot::{
    DeviceAddress, KernelRoute, Link, Neighbour, NextHop, RouteKind, RoutingTable, Snapshot, TapAddresses,
};

use crate::hash;
use crate::ids::PortId;
use crate::lpm::Lpm;

/// A next hop in a [`Fib`] publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HopId(pub u32);

/// How a frame leaves towards a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The port that it leaves by.
    pub port: PortId,
    /// The port's own MAC address.
    pub source_mac: [u8; 6],
    /// The neighbour's MAC address.
    pub destination_mac: [u8; 6],
    /// Largest IP packet on the link, in bytes.
    pub mtu: u32,
}

/// Where packets for an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Out of one of our ports, with everything known; see [`Fib::hop`].
    Hop(HopId),
    /// Out of one of our ports, but the neighbour's MAC address is not known.
    Unresolved {
        /// The port.
        port: PortId,
        /// The gateway, or the destination itself where it is on the link. A gateway may be of the other
        /// family (RFC 8950), and an IPv6 one mostly is link-local.
        neighbour: IpAddr,
    },
    /// Out of a device that is not ours: the kernel's to send. Multicast and broadcast addresses, too.
    Kernel,
    /// The host's own address.
    Local,
    /// No route, or one that rejects (blackhole, unreachable, prohibit).
    Unreachable,
}

/// The forwarding table of one publication.
#[derive(Clone, Debug)]
pub struct Fib {
    /// Counts the snapshots; hops belong to one.
    pub publication: u64,
    lpm: Lpm,
    routes: Vec<RouteEntry>,
    paths: Vec<Path>,
    hops: Vec<Hop>,
    /// Neighbours on our ports whose MAC address is known.
    neighbours: std::collections::HashMap<(PortId, IpAddr), HopId, hash::Keyed>,
    /// MAC addresses of our ports, by their number.
    port_macs: Vec<Option<[u8; 6]>>,
    tap: TapAddresses,
}

/// What a prefix leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RouteEntry {
    Answer(Lookup),
    /// `paths[first..first + count]`, `count > 0`.
    Paths {
        first: u32,
        count: u32,
    },
}

/// One way of a route: an element of `Fib::paths`.
#[derive(Clone, Copy, Debug)]
struct Path {
    exit: Exit,
    /// The hash decides for this path up to here; the last path of a route has `u32::MAX`.
    upper: u32,
    /// Source address for packets of our own that go this way.
    source: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
enum Exit {
    /// The same for every destination.
    Answer(Lookup),
    /// The destination is itself the neighbour on this port.
    Link(PortId),
}

impl Default for Fib {
    fn default() -> Self {
        Self::build(&Snapshot::default(), 0)
    }
}

impl Fib {
    /// Where packets for `dst` go. Of several paths one is chosen by the destination alone.
    #[inline]
    #[must_use]
    pub fn lookup(&self, dst: IpAddr) -> Lookup {
        match self.path(dst) {
            Ok(Path {
                exit: Exit::Answer(answer),
                ..
            }) => *answer,
            Ok(Path {
                exit: Exit::Link(port),
                ..
            }) => match self.neighbours.get(&(*port, dst)) {
                Some(hop) => Lookup::Hop(*hop),
                None => Lookup::Unresolved {
                    port: *port,
                    neighbour: dst,
                },
            },
            Err(answer) => answer,
        }
    }

    /// The hop of a [`Lookup::Hop`] of this publication.
    ///
    /// # Panics
    /// When the hop is of another publication that had more.
    #[inline]
    #[must_use]
    pub fn hop(&self, id: HopId) -> &Hop {
        &self.hops[id.0 as usize]
    }

    /// The MAC address of one of our ports; `None` while its device has none, or is not there.
    #[inline]
    #[must_use]
    pub fn port_mac(&self, port: PortId) -> Option<[u8; 6]> {
        self.port_macs.get(usize::from(port.0)).copied().flatten()
    }

    /// The hop to a neighbour on one of our ports, once its link-layer address is known.
    #[must_use]
    pub fn neighbour(&self, port: PortId, address: IpAddr) -> Option<HopId> {
        self.neighbours.get(&(port, address)).copied()
    }

    /// The address to send from when we speak to `dst` ourselves (SNAT, connections to pods): the route's
    /// preferred source, else an address of the device that the route leaves by, of `dst`'s family, valid, of
    /// global scope and not deprecated, best one whose prefix holds the next hop; else such an address of any
    /// device. `None` when there is none, or no route.
    ///
    /// Answers that would not come in by a port have to be sent to the TAP device: where `dst` is the host's own, or behind a
    /// device that no port belongs to, it is [`Snapshot::tap`]'s address, if there is one.
    #[must_use]
    pub fn source_address(&self, dst: IpAddr) -> Option<IpAddr> {
        match self.path(dst) {
            Ok(path) => path.source,
            Err(Lookup::Local) => self.tap.like(dst),
            Err(_) => None,
        }
    }

    /// Whether `address` is one that the kernel reaches Headgate at, by the TAP device.
    #[inline]
    #[must_use]
    pub fn is_tap(&self, address: IpAddr) -> bool {
        self.tap.contains(address)
    }

    /// Whether `address` is the host's own.
    #[inline]
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.routes[self.lpm.lookup(address) as usize] == RouteEntry::Answer(Lookup::Local)
    }

    /// Bytes on the heap, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.lpm.memory()
            + size_of_val(self.routes.as_slice())
            + size_of_val(self.paths.as_slice())
            + size_of_val(self.hops.as_slice())
            + self.neighbours.capacity() * (size_of::<((PortId, IpAddr), HopId)>() + 1)
    }

    fn path(&self, dst: IpAddr) -> Result<&Path, Lookup> {
        match self.routes[self.lpm.lookup(dst) as usize] {
            RouteEntry::Answer(answer) => Err(answer),
            RouteEntry::Paths { first, count: 1 } => Ok(&self.paths[first as usize]),
            RouteEntry::Paths { first, count } => {
                let paths = &self.paths[first as usize..(first + count) as usize];
                let hash = (hash::mix_address(0, dst, 0) >> 32) as u32;
                let chosen = paths.partition_point(|p| p.upper < hash);
                Ok(&paths[chosen.min(paths.len() - 1)])
            }
        }
    }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
