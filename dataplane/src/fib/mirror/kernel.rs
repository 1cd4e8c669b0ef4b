//! What the kernel says about the network, as plain data.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteType,
    RouteVia,
};

/// `RT_TABLE_DEFAULT` of `linux/rtnetlink.h`, which the kernel asks after the main table.
const TABLE_DEFAULT: u32 = 253;
const TABLE_MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// `ifindex`, never 0.
    pub index: u32,
    /// `IFLA_IFNAME`.
    pub name: String,
    /// Ethernet address; `None` for links that have none.
    pub mac: Option<[u8; 6]>,
    /// Bytes of an IP packet.
    pub mtu: u32,
    /// Administratively up and with carrier.
    pub up: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
    /// `IFLA_INFO_KIND` is `veth`.
    pub veth: bool,
    /// `IFLA_NUM_RX_QUEUES`: as many as the driver could have, not as many as are on.
    pub rx_queues: u32,
    /// `IFLA_NUM_TX_QUEUES`.
    pub tx_queues: u32,
}

/// An address of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface that carries it.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of the on-link prefix.
    pub prefix: u8,
    /// Good as the source of packets to anywhere: scope global, not tentative, not deprecated.
    pub global: bool,
}

/// A route of the main or default table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it covers.
    pub destination: IpNet,
    /// Against other routes to the same destination.
    pub preference: Preference,
    /// `RTN_UNICAST`, or a route that refuses.
    pub kind: RouteKind,
    /// `RTA_PREFSRC`.
    pub source: Option<IpAddr>,
    /// `RTAX_MTU`.
    pub mtu: Option<u32>,
    /// Live next hops; several where the route is multipath.
    pub hops: Vec<NextHop>,
}

/// What the kernel compares of routes to one destination; the least wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preference {
    /// In the default table (253), which is asked after the main one.
    pub default_table: bool,
    /// `RTA_PRIORITY`.
    pub metric: u32,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends on to a next hop.
    Unicast,
    /// `blackhole`, `unreachable` or `prohibit`.
    Refuse,
}

/// One way that a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The interface that it leaves by.
    pub link: u32,
    /// The router; `None` where destinations are on the link. May be IPv6 for an IPv4 route (RFC 8950).
    pub gateway: Option<IpAddr>,
    /// Share among the next hops, 1 to 256.
    pub weight: u16,
}

/// What the kernel knows about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its Ethernet address, if that is usable.
    pub mac: Option<[u8; 6]>,
    /// Has a usable address that nobody has confirmed for a while.
    pub stale: bool,
}

/// Neighbours by link and address.
pub type Neighbours = BTreeMap<(u32, IpAddr), Neighbour>;

/// The kernel's network state, as far as forwarding needs it.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// By `ifindex`.
    pub links: BTreeMap<u32, Link>,
    /// In the kernel's order, which decides between addresses of equal merit.
    pub addresses: Vec<Address>,
    /// In the order of the dump.
    pub routes: Vec<Route>,
    /// Neighbours of all links.
    pub neighbours: Neighbours,
}

impl Link {
    pub(super) fn parse(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            up: message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            loopback: message.header.flags.contains(LinkFlags::Loopback),
            veth: false,
            rx_queues: 1,
            tx_queues: 1,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok(),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::NumRxQueues(n) => link.rx_queues = *n,
                LinkAttribute::NumTxQueues(n) => link.tx_queues = *n,
                LinkAttribute::LinkInfo(infos) => {
                    link.veth = infos
                        .iter()
                        .any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth)));
                }
                _ => {}
            }
        }
        link
    }
}

impl Address {
    /// `None` for families other than IP.
    pub(super) fn parse(message: &AddressMessage) -> Option<Self> {
        let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
        let (mut local, mut address) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => address = Some(*ip),
                AddressAttribute::Flags(bits) => flags = *bits,
                _ => {}
            }
        }
        let unfit = AddressFlags::Tentative | AddressFlags::Dadfailed | AddressFlags::Deprecated;
        Some(Self {
            link: message.header.index,
            // On point-to-point links IFA_ADDRESS is the peer's; elsewhere, and for IPv6, IFA_LOCAL may be missing.
            address: local.or(address)?,
            prefix: message.header.prefix_len,
            global: message.header.scope == AddressScope::Universe && !flags.intersects(unfit),
        })
    }
}

impl Route {
    /// `None` for routes that forwarding does not ask: other tables, other types, other protocols, encapsulations.
    pub(super) fn parse(message: &RouteMessage) -> Option<Self> {
        let header = &message.header;
        let kind = match header.kind {
            RouteType::Unicast => RouteKind::Unicast,
            RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => RouteKind::Refuse,
            _ => return None,
        };
        let any: IpAddr = match header.address_family {
            AddressFamily::Inet => std::net::Ipv4Addr::UNSPECIFIED.into(),
            AddressFamily::Inet6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        let mut table = u32::from(header.table);
        let (mut destination, mut metric, mut source, mut mtu) = (any, 0, None, None);
        let mut single = NextHop {
            link: 0,
            gateway: None,
            weight: 1,
        };
        let mut hops = Vec::new();
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Table(number) => table = *number,
                RouteAttribute::Destination(to) => destination = ip(to)?,
                RouteAttribute::Priority(priority) => metric = *priority,
                RouteAttribute::PrefSource(from) => source = ip(from),
                RouteAttribute::Metrics(metrics) => mtu = metrics.iter().find_map(mtu_of),
                RouteAttribute::MultiPath(paths) => hops.extend(paths.iter().filter_map(next_hop)),
                // A tunnel's header is not ours to write.
                RouteAttribute::EncapType(_) => return None,
                other => apply(&mut single, other),
            }
        }
        if single.link != 0
            && !message
                .header
                .flags
                .contains(netlink_packet_route::route::RouteFlags::Dead)
        {
            hops.push(single);
        }
        (table == TABLE_MAIN || table == TABLE_DEFAULT).then_some(())?;
        Some(Self {
            destination: IpNet::new(destination, header.destination_prefix_length).ok()?,
            preference: Preference {
                default_table: table == TABLE_DEFAULT,
                metric,
            },
            kind,
            source,
            mtu,
            hops,
        })
    }
}

/// What the attributes of a single next hop and those of one path of several have in common.
fn apply(hop: &mut NextHop, attribute: &RouteAttribute) {
    match attribute {
        RouteAttribute::Oif(index) => hop.link = *index,
        RouteAttribute::Gateway(address) => hop.gateway = ip(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => hop.gateway = Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => hop.gateway = Some((*address).into()),
        _ => {}
    }
}

fn next_hop(path: &RouteNextHop) -> Option<NextHop> {
    if path
        .flags
        .intersects(RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown)
    {
        return None;
    }
    // The kernel counts weights from 0 (rtnh_hops).
    let mut hop = NextHop {
        link: path.interface_index,
        gateway: None,
        weight: u16::from(path.hops) + 1,
    };
    path.attributes
        .iter()
        .for_each(|attribute| apply(&mut hop, attribute));
    Some(hop)
}

fn mtu_of(metric: &netlink_packet_route::route::RouteMetric) -> Option<u32> {
    match metric {
        netlink_packet_route::route::RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

/// The key and the state of a neighbour; `None` for other families, such as a bridge's forwarding entries.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<((u32, IpAddr), Neighbour)> {
    let mut to = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => to = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => to = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
            _ => {}
        }
    }
    use NeighbourState as S;
    // NUD_VALID of the kernel's net/neighbour.h; NUD_NOARP entries carry no address that a frame could use.
    let valid = matches!(
        message.header.state,
        S::Permanent | S::Reachable | S::Probe | S::Stale | S::Delay
    );
    let stale = message.header.state == S::Stale;
    let neighbour = Neighbour {
        mac: mac.filter(|_| valid),
        stale,
    };
    Some(((message.header.ifindex, to?), neighbour))
}
