//! Netlink's messages as the plain data that a [`Snapshot`] is made of.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteType, RouteVia,
};

use headgate_net::fib::{
    DeviceAddress, KernelRoute, Link, Neighbour, NextHop, RouteKind, RoutingTable, Snapshot,
};
use headgate_net::ids::PortId;

const TABLE_MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;
/// `RT_TABLE_LOCAL` of `linux/rtnetlink.h`.
const TABLE_LOCAL: u32 = 255;

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What forwarding needs of it.
    pub link: Link,
    /// `IFLA_IFNAME`.
    pub name: String,
    /// `IFLA_ALT_IFNAME`, of which there may be several.
    pub other_names: Vec<String>,
    /// `IFF_LOWER_UP`: there is a carrier.
    pub carrier: bool,
    /// `IFLA_INFO_KIND` is `veth`.
    pub veth: bool,
    /// `IFLA_LINK` of a VLAN: the device that its packets are on, with tags.
    pub tagged_on: Option<u32>,
    /// `IFLA_MASTER`: the bridge or bond that it is of.
    pub master: Option<u32>,
    /// `IFLA_NUM_RX_QUEUES`: as many as the driver could have, not as many as are on.
    pub rx_queues: u32,
}

/// [`Neighbour::mac`] by interface index and address.
pub type Neighbours = BTreeMap<(u32, IpAddr), Option<[u8; 6]>>;

/// An element of [`Neighbours`].
type NeighbourRow = ((u32, IpAddr), Option<[u8; 6]>);

/// The kernel's network state, as far as forwarding needs it.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// By interface index.
    pub devices: BTreeMap<u32, Device>,
    /// In the kernel's order.
    pub addresses: Vec<DeviceAddress>,
    /// Of the tables local and main.
    pub routes: Vec<KernelRoute>,
    /// Of all devices.
    pub neighbours: Neighbours,
}

impl Kernel {
    /// The device of this name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.values().find(|device| device.name == name)
    }

    /// What a forwarding table is built from. Neighbours are left out where they are not on one of `ports`, and so
    /// cost nothing on a node with thousands of pods behind other devices.
    #[must_use]
    pub fn snapshot(&self, ports: &[(PortId, u32)]) -> Snapshot {
        let ours = |interface: u32| ports.iter().any(|(_, port)| *port == interface);
        let neighbour = |(&(interface, address), &mac): (&(u32, IpAddr), &Option<[u8; 6]>)| {
            ours(interface).then_some(Neighbour {
                interface,
                address,
                mac,
            })
        };
        Snapshot {
            links: self.devices.values().map(|device| device.link).collect(),
            addresses: self.addresses.clone(),
            routes: self.routes.clone(),
            neighbours: self.neighbours.iter().filter_map(neighbour).collect(),
            ports: ports.to_vec(),
            over_ports: self.over(ports),
            ..Snapshot::default()
        }
    }

    /// Devices whose packets come in by one of `ports`: [`Snapshot::over_ports`].
    fn over(&self, ports: &[(PortId, u32)]) -> Vec<u32> {
        let mut below: Vec<u32> = ports.iter().map(|(_, index)| *index).collect();
        let count = below.len();
        let mut next = 0;
        // Devices upon devices: what is found is itself looked upon.
        while let Some(&index) = below.get(next) {
            next += 1;
            let tagged = self
                .devices
                .values()
                .filter(|above| above.tagged_on == Some(index));
            let master = self.devices.get(&index).and_then(|device| device.master);
            let above: Vec<u32> = tagged.map(|above| above.link.index).chain(master).collect();
            for device in above {
                if !below.contains(&device) {
                    below.push(device);
                }
            }
        }
        below.split_off(count)
    }
}

pub(super) fn device(message: &LinkMessage) -> Device {
    let up = message.header.flags.contains(LinkFlags::Up);
    let link = Link {
        index: message.header.index,
        mac: None,
        mtu: 0,
        up,
    };
    let mut device = Device {
        link,
        name: String::new(),
        other_names: Vec::new(),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
        veth: false,
        tagged_on: None,
        master: None,
        rx_queues: 1,
    };
    let mut below = None;
    let mut vlan = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name.clone_from(name),
            LinkAttribute::PropList(properties) => {
                device.other_names = properties.iter().filter_map(other_name).collect();
            }
            LinkAttribute::Address(bytes) => device.link.mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::Mtu(mtu) => device.link.mtu = *mtu,
            LinkAttribute::NumRxQueues(count) => device.rx_queues = *count,
            LinkAttribute::LinkInfo(infos) => {
                let is = |kind: &InfoKind| {
                    infos
                        .iter()
                        .any(|info| matches!(info, LinkInfo::Kind(k) if k == kind))
                };
                device.veth = is(&InfoKind::Veth);
                vlan = is(&InfoKind::Vlan);
            }
            LinkAttribute::Controller(index) => device.master = Some(*index),
            LinkAttribute::Link(index) => below = Some(*index),
            _ => {}
        }
    }
    // Others have a device below them that their packets go by in another form, such as a tunnel's, or a peer.
    device.tagged_on = below.filter(|_| vlan);
    device
}

fn other_name(property: &Prop) -> Option<String> {
    match property {
        Prop::AltIfName(name) => Some(name.clone()),
        _ => None,
    }
}

/// `None` for families other than IP.
pub(super) fn address(message: &AddressMessage) -> Option<DeviceAddress> {
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
    let avoided = AddressFlags::Tentative | AddressFlags::Dadfailed | AddressFlags::Deprecated;
    Some(DeviceAddress {
        interface: message.header.index,
        // On point-to-point links IFA_ADDRESS is the peer's; IPv6 leaves IFA_LOCAL out elsewhere.
        address: IpNet::new(local.or(address)?, message.header.prefix_len).ok()?,
        global: message.header.scope == AddressScope::Universe,
        avoided: flags.intersects(avoided),
    })
}

/// `None` for routes that forwarding does not ask: of other tables, of other protocols, of types unknown.
pub(super) fn route(message: &RouteMessage) -> Option<KernelRoute> {
    let header = &message.header;
    let any: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let mut destination = any;
    let mut route = KernelRoute {
        table: RoutingTable::Main,
        destination: IpNet::new(any, 0).ok()?,
        kind: kind(header.kind)?,
        metric: 0,
        preferred_source: None,
        hops: Vec::new(),
    };
    let mut single = NextHop {
        gateway: None,
        interface: 0,
        weight: 1,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(to) => destination = ip(to)?,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::PrefSource(from) => route.preferred_source = ip(from),
            RouteAttribute::MultiPath(paths) => route.hops.extend(paths.iter().filter_map(next_hop)),
            // A tunnel's header is the kernel's to write.
            RouteAttribute::EncapType(_) => route.kind = RouteKind::Kernel,
            other => apply(&mut single, other),
        }
    }
    if single.interface != 0 && !header.flags.contains(RouteFlags::Dead) {
        route.hops.push(single);
    }
    route.table = match table {
        TABLE_MAIN => RoutingTable::Main,
        TABLE_LOCAL => RoutingTable::Local,
        _ => return None,
    };
    route.destination = IpNet::new(destination, header.destination_prefix_length).ok()?;
    Some(route)
}

fn kind(kind: RouteType) -> Option<RouteKind> {
    match kind {
        RouteType::Unicast => Some(RouteKind::Unicast),
        RouteType::Local => Some(RouteKind::Local),
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => Some(RouteKind::Reject),
        RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => Some(RouteKind::Kernel),
        // `throw` ends the search of this table, and the next one is not mirrored.
        RouteType::Throw | RouteType::Nat | RouteType::ExternalResolve => Some(RouteKind::Kernel),
        _ => None,
    }
}

/// What the attributes of a single next hop and those of one path of several have in common.
fn apply(hop: &mut NextHop, attribute: &RouteAttribute) {
    match attribute {
        RouteAttribute::Oif(index) => hop.interface = *index,
        RouteAttribute::Gateway(address) => hop.gateway = ip(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => hop.gateway = Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => hop.gateway = Some((*address).into()),
        _ => {}
    }
}

fn next_hop(path: &RouteNextHop) -> Option<NextHop> {
    if path.flags.contains(RouteNextHopFlags::Dead) {
        return None;
    }
    // The kernel counts weights from 0 (rtnh_hops).
    let mut hop = NextHop {
        gateway: None,
        interface: path.interface_index,
        weight: u16::from(path.hops) + 1,
    };
    path.attributes
        .iter()
        .for_each(|attribute| apply(&mut hop, attribute));
    Some(hop)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

/// The key and the usable link-layer address of a neighbour; `None` for other families, such as a bridge's forwarding
/// entries.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<NeighbourRow> {
    use NeighbourState as S;
    let (mut to, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => to = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => to = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
            _ => {}
        }
    }
    // NUD_VALID of net/neighbour.h.
    let valid = [S::Permanent, S::Noarp, S::Reachable, S::Probe, S::Stale, S::Delay];
    Some((
        (message.header.ifindex, to?),
        mac.filter(|_| valid.contains(&message.header.state)),
    ))
}
