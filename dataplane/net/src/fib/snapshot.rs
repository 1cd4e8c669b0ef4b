//! The kernel's state, as far as forwarding needs it. Plain data: whoever mirrors the kernel fills it in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::ids::PortId;

/// What a [`Fib`](super::Fib) is built from. Order within each list does not matter but where it says so.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Devices, ours and others.
    pub links: Vec<Link>,
    /// Addresses of devices, in the kernel's order: of equally good source addresses the first is taken.
    pub addresses: Vec<DeviceAddress>,
    /// Routes of the tables local and main.
    pub routes: Vec<KernelRoute>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Which devices are our ports, by interface index.
    pub ports: Vec<(PortId, u32)>,
    /// Devices that are none, but whose packets come in by one, by interface index: VLANs of a port, and a bridge or bond that
    /// a port is of.
    pub over_ports: Vec<u32>,
    /// Headgate's own addresses on the way to the kernel.
    pub tap: TapAddresses,
}

/// Addresses that the kernel has a route to by the TAP device: what is sent from them out of a device that is no port is
/// answered to that device. `None` where the device has none of the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapAddresses {
    /// Of IPv4.
    pub v4: Option<Ipv4Addr>,
    /// Of IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl TapAddresses {
    /// That of the family of `other`.
    #[must_use]
    pub fn like(&self, other: IpAddr) -> Option<IpAddr> {
        match other {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }

    /// Those that there are.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.v4.map(IpAddr::V4);
        v4.into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// Whether `address` is one of them.
    #[inline]
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.like(address) == Some(address)
    }
}

/// A network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Interface index, never 0.
    pub index: u32,
    /// `IFLA_ADDRESS` where it is a MAC address; a port without one is left to the kernel.
    pub mac: Option<[u8; 6]>,
    /// `IFLA_MTU`.
    pub mtu: u32,
    /// `IFF_UP`; routes by a device that is down are not used.
    pub up: bool,
}

/// An address of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAddress {
    /// Interface index.
    pub interface: u32,
    /// The address (`IFA_LOCAL` where it is there) and the length of its prefix, host bits kept.
    pub address: IpNet,
    /// Whether its scope is `RT_SCOPE_UNIVERSE`; others are never chosen as a source.
    pub global: bool,
    /// `IFA_F_DEPRECATED`, `IFA_F_TENTATIVE` or `IFA_F_DADFAILED`: never chosen as a source.
    pub avoided: bool,
}

/// Which of the kernel's tables a route is in; the local one is asked first (`ip rule`, preference 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoutingTable {
    /// `RT_TABLE_LOCAL`.
    Local,
    /// `RT_TABLE_MAIN`.
    Main,
}

/// `rtm_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind {
    /// `RTN_UNICAST`: by its next hops.
    Unicast,
    /// `RTN_LOCAL`: the host's own addresses.
    Local,
    /// `RTN_BROADCAST`, `RTN_MULTICAST`, `RTN_ANYCAST` and what else only the kernel handles.
    Kernel,
    /// `RTN_BLACKHOLE`, `RTN_UNREACHABLE`, `RTN_PROHIBIT`.
    Reject,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// Its table.
    pub table: RoutingTable,
    /// `RTA_DST`, or the default prefix of the family where that is missing.
    pub destination: IpNet,
    /// Its type.
    pub kind: RouteKind,
    /// `RTA_PRIORITY`, 0 where missing: of routes to one destination the least counts.
    pub metric: u32,
    /// `RTA_PREFSRC`.
    pub preferred_source: Option<IpAddr>,
    /// `RTA_GATEWAY`/`RTA_VIA` and `RTA_OIF`, or `RTA_MULTIPATH`; leave out hops with `RTNH_F_DEAD`.
    pub hops: Vec<NextHop>,
}

/// One way of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The router; `None` where the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Interface index.
    pub interface: u32,
    /// Share of this hop: `rtnh_hops` + 1, or 1.
    pub weight: u16,
}

/// An entry of the kernel's ARP or NDP table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Interface index.
    pub interface: u32,
    /// `NDA_DST`.
    pub address: IpAddr,
    /// `NDA_LLADDR` while the state is one in which the kernel would use it (`NUD_VALID`: reachable, stale,
    /// delay, probe, permanent, noarp); `None` while it is incomplete or failed.
    pub mac: Option<[u8; 6]>,
}
