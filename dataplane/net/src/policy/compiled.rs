//! Policies compiled for the packet path.
//!
//! ```text
//! src ─ hosts, else blocks ─► class ─ egress guard ──┐
//!                              │ column, region      │
//!                              └──────────────────┐  │
//!                              ┌──────────────────│──┴─► cell ─► ports ─► egress allowed?
//!                              │ column, region   │
//! dst ─ hosts, else blocks ─► class ─ ingress guard ──┴─► cell ─► ports ─► ingress allowed?
//! ```
//!
//! An address's *class* stands for all addresses that the policies cannot tell apart. Its *guard* stands for the
//! policies of one direction that select it. A *cell* says which *ports* a guard opens to a class of peers; where there is
//! none, the cell for the class's *region* does, which stands for the peers that hold very many classes, and else the
//! guard's default. No step depends on the number of policies.

use std::hint::select_unpredictable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use headgate_ring::message::{Direction, Endpoint, Group, GroupId, Policy};

use super::hosts::{Hosts, Owners};
use super::ports::{ALL, Lines, PortsId, port_key};
use super::slots::{Cell, Slots, Wide};
use super::{Decision, Denial, PolicyId};
use crate::double_buffered::DoubleBuffered;
use crate::lpm::Lpm;

/// Every policy of a state, ready to decide. Made by a [`Classifier`](super::Classifier).
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The classes of endpoints' addresses.
    pub(super) hosts: Hosts,
    /// The classes of all others.
    pub(super) blocks: Lpm,
    pub(super) classes: DoubleBuffered<Class>,
    /// By guard and column, see [`cell_key`].
    pub(super) cells: Slots<Cell>,
    pub(super) lines: Lines,
    /// The policies of each guard in the order of their turns, by their places in `policies`.
    pub(super) guards: DoubleBuffered<Arc<[u32]>>,
    pub(super) policies: DoubleBuffered<Option<Arc<Policy>>>,
    pub(super) endpoints: DoubleBuffered<Option<Arc<Endpoint>>>,
    /// The endpoints at each address.
    pub(super) owners: Owners,
    /// How many endpoints run on the node with each address.
    pub(super) nodes: Hosts,
    pub(super) groups: DoubleBuffered<Option<Arc<Group>>>,
    /// Places in `groups`, plus 1.
    pub(super) group_places: Slots<Wide>,
    pub(super) counts: TableCounts,
}

/// What policies make of an address: half a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(32))]
pub(super) struct Class {
    /// As a peer: its number.
    pub(super) column: u32,
    /// As a peer of guards with `REGIONS`; always with the bit [`REGION`].
    pub(super) region: u32,
    /// As a subject of ingress, and of egress; see [`side`].
    pub(super) guards: [Guard; 2],
}

/// The policies of one direction that select an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    /// 0 where no policy selects the address. With [`REGIONS`] where it has cells for regions.
    pub(super) number: u32,
    /// What it opens to peers without a cell.
    pub(super) default: PortsId,
    /// The policy that denies what is not open, or [`SEVERAL`].
    pub(super) denier: u32,
}

/// Marks the columns that are regions.
pub(super) const REGION: u32 = 1 << 31;
/// Marks the guards that have cells for regions.
pub(super) const REGIONS: u32 = 1 << 31;
/// Which policy denies depends on peer and port.
pub(super) const SEVERAL: u32 = u32::MAX;

impl Guard {
    pub(super) const OPEN: Self = Self {
        number: 0,
        default: ALL,
        denier: SEVERAL,
    };
}

impl Class {
    pub(super) const OPEN: Self = Self {
        column: 0,
        region: REGION,
        guards: [Guard::OPEN; 2],
    };
}

/// The place of a direction in [`Class::guards`].
#[inline]
pub(super) const fn side(direction: Direction) -> usize {
    match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    }
}

#[inline]
pub(super) const fn cell_key(guard: u32, column: u32) -> u64 {
    (guard as u64) << 32 | column as u64
}

/// Where an address stands.
#[derive(Clone, Copy)]
struct AddressPlace {
    class: u32,
    /// An endpoint has it.
    host: bool,
}

/// What the tables say of both ends.
#[derive(Clone, Copy)]
struct Open {
    /// By the policies of the source.
    out: bool,
    /// By those of the destination.
    into: bool,
}

impl Open {
    #[inline(always)]
    fn both(self) -> bool {
        self.out & self.into
    }

    fn each(self) -> [(Direction, bool); 2] {
        [(Direction::Egress, self.out), (Direction::Ingress, self.into)]
    }
}

/// How much there is of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableCounts {
    pub(super) classes: usize,
    pub(super) regions: usize,
    pub(super) guards: usize,
    pub(super) blocks: usize,
    pub(super) lines: usize,
    pub(super) builder_bytes: usize,
}

impl Compiled {
    /// Decides on a new connection from its first packet: the client's address as it came, the pod's address
    /// and port after balancing. `protocol` is the IANA number.
    #[inline(always)]
    #[must_use]
    pub fn decide(&self, src: IpAddr, dst: IpAddr, protocol: u8, dst_port: u16) -> Decision {
        // Each family by itself, and addresses in registers: `IpAddr`s would be copied, and read before they are written.
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.decide_v4(src, dst, protocol, dst_port),
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                self.decide_v6(src.to_bits(), dst.to_bits(), protocol, dst_port)
            }
            _ => self.decide_mixed(src, dst, protocol, dst_port),
        }
    }

    fn decide_v4(&self, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, dst_port: u16) -> Decision {
        let (from, to) = (self.place_v4(src), self.place_v4(dst));
        let open = self.open(from, to, protocol, dst_port);
        if open.both() | (src == dst) {
            return Decision::Allow;
        }
        let denial = self.denial(from, to, open);
        if denial.policy.0 == SEVERAL || self.node_v4(src) || self.node_v4(dst) {
            return self.decide_slowly(open.each(), (src.into(), dst.into()), protocol, dst_port);
        }
        Decision::Deny(denial)
    }

    fn decide_v6(&self, src: u128, dst: u128, protocol: u8, dst_port: u16) -> Decision {
        let (from, to) = (self.place_v6(src), self.place_v6(dst));
        let open = self.open(from, to, protocol, dst_port);
        if open.both() | (src == dst) {
            return Decision::Allow;
        }
        let denial = self.denial(from, to, open);
        if denial.policy.0 == SEVERAL || self.node_v6(src) || self.node_v6(dst) {
            let ends = (Ipv6Addr::from_bits(src).into(), Ipv6Addr::from_bits(dst).into());
            return self.decide_slowly(open.each(), ends, protocol, dst_port);
        }
        Decision::Deny(denial)
    }

    /// Between families, which no packet is.
    #[cold]
    fn decide_mixed(&self, src: IpAddr, dst: IpAddr, protocol: u8, dst_port: u16) -> Decision {
        let open = self.open(self.place(src), self.place(dst), protocol, dst_port);
        self.decide_slowly(open.each(), (src, dst), protocol, dst_port)
    }

    #[inline(always)]
    fn open(&self, from: AddressPlace, to: AddressPlace, protocol: u8, dst_port: u16) -> Open {
        let key = port_key(protocol, dst_port);
        Open {
            out: self.opens(from, Direction::Egress, to, key),
            into: self.opens(to, Direction::Ingress, from, key),
        }
    }

    /// Who denies; the policy may be [`SEVERAL`].
    #[inline(always)]
    fn denial(&self, from: AddressPlace, to: AddressPlace, open: Open) -> Denial {
        let (subject, direction) = if open.out {
            (to, Direction::Ingress)
        } else {
            (from, Direction::Egress)
        };
        let guard = &self.classes[subject.class as usize].guards[side(direction)];
        Denial {
            policy: PolicyId(guard.denier),
            direction,
        }
    }

    /// Whether some pod runs on a node with this address: a denial may be none, then.
    #[inline(always)]
    fn node_v4(&self, address: Ipv4Addr) -> bool {
        self.nodes.class_v4(address) != 0
    }

    #[inline(always)]
    fn node_v6(&self, address: u128) -> bool {
        self.nodes.class_v6(address) != 0
    }

    /// The class of an address.
    pub(super) fn class_of(&self, address: IpAddr) -> u32 {
        self.place(address).class
    }

    fn place(&self, address: IpAddr) -> AddressPlace {
        match address {
            IpAddr::V4(a) => self.place_v4(a),
            IpAddr::V6(a) => self.place_v6(a.to_bits()),
        }
    }

    #[inline(always)]
    fn place_v4(&self, address: Ipv4Addr) -> AddressPlace {
        match self.hosts.class_v4(address) {
            0 => AddressPlace {
                class: self.blocks.lookup_v4(address),
                host: false,
            },
            class => AddressPlace { class, host: true },
        }
    }

    #[inline(always)]
    fn place_v6(&self, address: u128) -> AddressPlace {
        match self.hosts.class_v6(address) {
            0 => AddressPlace {
                class: self.blocks.lookup_v6(address),
                host: false,
            },
            class => AddressPlace { class, host: true },
        }
    }

    /// Whether the guard of a subject opens the port to a peer.
    #[inline(always)]
    fn opens(&self, subject: AddressPlace, direction: Direction, peer: AddressPlace, key: u32) -> bool {
        // Only endpoints are subjects.
        if !subject.host {
            return true;
        }
        let guard = &self.classes[subject.class as usize].guards[side(direction)];
        guard.number == 0 || self.lines.hold(self.ports(guard, peer.class), key)
    }

    /// What a guard opens to a class of peers.
    #[inline(always)]
    fn ports(&self, guard: &Guard, peer: u32) -> PortsId {
        let number = guard.number & !REGIONS;
        let mut ports = self.cells.get(cell_key(number, peer));
        if guard.number & REGIONS != 0 {
            let region = self.classes[peer as usize].region;
            ports = select_unpredictable(ports == 0, self.cells.get(cell_key(number, region)), ports);
        }
        select_unpredictable(ports == 0, guard.default, ports)
    }

    /// The policy that a [`Denial`] of this table names.
    #[must_use]
    pub fn policy(&self, id: PolicyId) -> Option<&Arc<Policy>> {
        self.policies.get(id.0 as usize)?.as_ref()
    }

    /// All policies with their ids, sorted by name and direction: O(n log n), and an allocation.
    #[must_use]
    pub fn policies(&self) -> Vec<(PolicyId, &Arc<Policy>)> {
        let ids = (0..).map(PolicyId).zip(self.policies.iter());
        let mut all: Vec<_> = ids.filter_map(|(id, p)| Some((id, p.as_ref()?))).collect();
        all.sort_unstable_by(|(_, a), (_, b)| (&a.name, a.direction).cmp(&(&b.name, b.direction)));
        all
    }

    /// The pods and nodes with this address.
    pub fn endpoints_at(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Endpoint>> {
        let owners = self.owners.at(address);
        owners
            .iter()
            .filter_map(|place| self.endpoints[*place as usize].as_ref())
    }

    /// Every pod and node, sorted by name: O(n log n), and an allocation.
    #[must_use]
    pub fn endpoints(&self) -> Vec<&Arc<Endpoint>> {
        let mut all: Vec<_> = self.endpoints.iter().flatten().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// What a group means that policies name.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<&Arc<Group>> {
        let place = self.group_places.get(id.0).checked_sub(1)?;
        self.groups[place as usize].as_ref()
    }

    /// What each group means that policies name, sorted by id: O(n log n), and an allocation.
    #[must_use]
    pub fn groups(&self) -> Vec<&Arc<Group>> {
        let mut all: Vec<_> = self.groups.iter().flatten().collect();
        all.sort_unstable_by_key(|group| group.id);
        all
    }

    /// Sizes of the tables.
    #[must_use]
    pub fn size(&self) -> Size {
        Size {
            classes: self.counts.classes,
            regions: self.counts.regions,
            guards: self.counts.guards,
            cells: self.cells.len(),
            blocks: self.counts.blocks,
            port_lines: self.counts.lines,
            addresses_bytes: self.hosts.memory() + self.blocks.memory() + self.classes.memory(),
            verdicts_bytes: self.verdicts_bytes(),
            names_bytes: self.owners.memory()
                + self.nodes.memory()
                + self.guards.memory()
                + self.policies.memory()
                + self.endpoints.memory()
                + self.groups.memory()
                + self.group_places.memory(),
            builder_bytes: self.counts.builder_bytes,
        }
    }

    pub(super) fn verdicts_bytes(&self) -> usize {
        self.cells.memory() + self.lines.memory()
    }

    /// Bytes on the heap of one copy of the tables, without endpoints and policies themselves. A
    /// [`Classifier`](super::Classifier) holds two, and [`Size::builder_bytes`].
    #[must_use]
    pub fn memory(&self) -> usize {
        let size = self.size();
        size.addresses_bytes + size.verdicts_bytes + size.names_bytes
    }

    /// Makes this equal to `newer`, which is a copy of this but for one change.
    pub(super) fn catch_up(&mut self, newer: &Self) {
        self.hosts.catch_up(&newer.hosts);
        self.blocks.catch_up(&newer.blocks);
        self.classes.catch_up(&newer.classes);
        self.cells.catch_up(&newer.cells);
        self.lines.catch_up(&newer.lines);
        self.guards.catch_up(&newer.guards);
        self.policies.catch_up(&newer.policies);
        self.endpoints.catch_up(&newer.endpoints);
        self.owners.catch_up(&newer.owners);
        self.nodes.catch_up(&newer.nodes);
        self.groups.catch_up(&newer.groups);
        self.group_places.catch_up(&newer.group_places);
        self.counts = newer.counts;
    }
}

/// How large a [`Compiled`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Kinds of addresses that the policies tell apart.
    pub classes: usize,
    /// Distinct combinations of the peers that hold very many classes.
    pub regions: usize,
    /// Distinct combinations of policies that select an address, of both directions.
    pub guards: usize,
    /// Distinct pairs of a guard and a class or region that it opens other ports to than to everybody.
    pub cells: usize,
    /// Blocks that policies name.
    pub blocks: usize,
    /// Distinct lines of eight ranges of ports.
    pub port_lines: usize,
    /// Bytes of the tables from addresses to classes.
    pub addresses_bytes: usize,
    /// Bytes of the tables from classes and ports to verdicts.
    pub verdicts_bytes: usize,
    /// Bytes of the tables that say what decided, without endpoints and policies themselves.
    pub names_bytes: usize,
    /// Bytes of what is kept to change the tables, about.
    pub builder_bytes: usize,
}
