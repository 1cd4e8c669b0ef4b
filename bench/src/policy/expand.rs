//! A cluster's policies as plain rules, for those who know no groups: the peers are ranges of addresses, the ports
//! are ranges of numbers, and no two rules of a guard overlap, so that their order does not matter.
//!
//! A *guard* stands for all pods that the same policies of a direction select. What its policies allow is the union of
//! their rules; excepts are taken out of their blocks, since what one rule excepts another may allow.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use headgate_ring::message::{Direction, GroupId, Peer, PolicyRule, PortRange};
use ipnet::IpNet;

use super::cluster::Cluster;
#[cfg(test)]
use super::cluster::Connection;

/// Both directions of a cluster.
pub(crate) struct Expansion {
    pub(crate) v6: bool,
    /// Of connections from pods, over destinations.
    pub(crate) egress: Side,
    /// Of connections to pods, over sources.
    pub(crate) ingress: Side,
}

/// All guards of one direction.
pub(crate) struct Side {
    /// The guard of each pod that some policy selects, by its place in `guards`.
    pub(crate) pods: BTreeMap<IpAddr, usize>,
    pub(crate) guards: Vec<Guard>,
}

/// What the pods of a guard may connect to, or be connected from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guard {
    /// With any peer.
    pub(crate) any: Vec<Ports>,
    /// With these peers, besides; sorted, disjoint.
    pub(crate) peers: Vec<(Span, Vec<Ports>)>,
}

/// Addresses from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ports {
    /// The IANA number; `None` stands for any protocol, and then all ports.
    pub(crate) protocol: Option<u8>,
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl Ports {
    const ALL: Self = Self {
        protocol: None,
        first: 0,
        last: u16::MAX,
    };

    #[cfg(test)]
    fn hold(self, protocol: u8, port: u16) -> bool {
        self.protocol.is_none_or(|p| p == protocol) && (self.first..=self.last).contains(&port)
    }
}

impl Span {
    fn of(net: IpNet) -> Self {
        Self {
            first: bits(net.network()),
            last: bits(net.broadcast()),
        }
    }
}

/// An address as a number of its family.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

impl Expansion {
    /// Of NetworkPolicies, whose rules all accept.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let members = members(cluster);
        Self {
            v6: cluster.v6,
            egress: Side::new(cluster, &members, Direction::Egress),
            ingress: Side::new(cluster, &members, Direction::Ingress),
        }
    }

    /// How many rules there are: a peer and a range of ports each.
    pub(crate) fn rules(&self) -> usize {
        [&self.egress, &self.ingress].map(Side::rules).iter().sum()
    }

    /// How many there are when each pod has its guard's for itself.
    pub(crate) fn rules_of_pods(&self) -> usize {
        let of = |side: &Side| {
            let rules: Vec<usize> = side.guards.iter().map(Guard::rules).collect();
            side.pods.values().map(|guard| rules[*guard]).sum::<usize>()
        };
        of(&self.egress) + of(&self.ingress)
    }

    /// Looks through all rules of the guards of both ends.
    #[cfg(test)]
    pub(crate) fn allows(&self, connection: Connection) -> bool {
        let Connection {
            src,
            dst,
            protocol,
            dst_port,
        } = connection;
        let side = |side: &Side, subject, peer: IpAddr| {
            let peer = bits(peer);
            side.pods.get(&subject).is_none_or(|guard| {
                let Guard { any, peers } = &side.guards[*guard];
                let meant = peers
                    .iter()
                    .filter(|(span, _)| (span.first..=span.last).contains(&peer));
                any.iter()
                    .chain(meant.flat_map(|(_, ports)| ports))
                    .any(|p| p.hold(protocol, dst_port))
            })
        };
        side(&self.egress, src, dst) && side(&self.ingress, dst, src)
    }
}

/// The addresses of each group.
fn members(cluster: &Cluster) -> HashMap<GroupId, Vec<IpAddr>> {
    let mut members: HashMap<GroupId, Vec<IpAddr>> = HashMap::new();
    for endpoint in &cluster.endpoints {
        for group in &endpoint.groups {
            members.entry(*group).or_default().extend(&endpoint.addresses);
        }
    }
    members
}

impl Side {
    fn new(cluster: &Cluster, members: &HashMap<GroupId, Vec<IpAddr>>, direction: Direction) -> Self {
        let mut policies: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
        for (number, policy) in cluster.policies.iter().enumerate() {
            if policy.direction == direction {
                for pod in members.get(&policy.subjects).into_iter().flatten() {
                    policies.entry(*pod).or_default().push(number);
                }
            }
        }
        let mut side = Self {
            pods: BTreeMap::new(),
            guards: Vec::new(),
        };
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        for (pod, numbers) in policies {
            let guard = *known.entry(numbers).or_insert_with_key(|numbers| {
                let rules = numbers.iter().flat_map(|n| &cluster.policies[*n].rules);
                side.guards.push(Guard::new(rules, members));
                side.guards.len() - 1
            });
            side.pods.insert(pod, guard);
        }
        side
    }

    /// A peer and a range of ports each.
    pub(crate) fn rules(&self) -> usize {
        self.guards.iter().map(Guard::rules).sum()
    }
}

impl Guard {
    fn rules(&self) -> usize {
        self.any.len() + self.peers.iter().map(|(_, ports)| ports.len()).sum::<usize>()
    }

    fn new<'a>(rules: impl Iterator<Item = &'a PolicyRule>, members: &HashMap<GroupId, Vec<IpAddr>>) -> Self {
        let mut any = Vec::new();
        let mut spans: Vec<(Span, Vec<Ports>)> = Vec::new();
        for rule in rules {
            let ports = ports_of(rule);
            match &rule.peers {
                None => any.extend(ports),
                Some(peers) => {
                    let of_rule = peers.iter().flat_map(|p| spans_of(p, members));
                    spans.extend(of_rule.map(|span| (span, ports.clone())));
                }
            }
        }
        Self {
            any: union(&any),
            peers: disjoint(&spans),
        }
    }
}

fn ports_of(rule: &PolicyRule) -> Vec<Ports> {
    let ports = |range: &PortRange| Ports {
        protocol: Some(range.protocol.number()),
        first: range.first,
        last: range.last,
    };
    match &rule.ports {
        None => vec![Ports::ALL],
        Some(ranges) => ranges.iter().map(ports).collect(),
    }
}

fn spans_of(peer: &Peer, members: &HashMap<GroupId, Vec<IpAddr>>) -> Vec<Span> {
    match peer {
        Peer::Group(id) => {
            let pods = members.get(id).into_iter().flatten();
            pods.map(|a| Span::of((*a).into())).collect()
        }
        Peer::Block { block, except } => without(Span::of(*block), except),
    }
}

/// What is left of a span.
fn without(span: Span, except: &[IpNet]) -> Vec<Span> {
    let mut holes: Vec<Span> = except.iter().map(|e| Span::of(*e)).collect();
    holes.sort_unstable();
    let mut left = Vec::new();
    let mut next = Some(span.first);
    for hole in holes {
        if let Some(first) = next.filter(|first| *first < hole.first) {
            left.push(Span {
                first,
                last: hole.first - 1,
            });
        }
        next = next.and_then(|first| Some(first.max(hole.last.checked_add(1)?)));
    }
    if let Some(first) = next.filter(|first| *first <= span.last) {
        let last = span.last;
        left.push(Span { first, last });
    }
    left
}

/// Spans that may overlap, cut so that they do not; each part has the ports of all that it was a part of.
fn disjoint(spans: &[(Span, Vec<Ports>)]) -> Vec<(Span, Vec<Ports>)> {
    // What begins and ends where; nothing ends that reaches the last address of all.
    let mut turns: BTreeMap<u128, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (number, (span, _)) in spans.iter().enumerate() {
        turns.entry(span.first).or_default().0.push(number);
        if let Some(end) = span.last.checked_add(1) {
            turns.entry(end).or_default().1.push(number);
        }
    }
    let mut parts: Vec<(Span, Vec<Ports>)> = Vec::new();
    let mut open = BTreeSet::new();
    let mut turns = turns.into_iter().peekable();
    while let Some((first, (begin, end))) = turns.next() {
        open.extend(begin);
        end.iter().for_each(|number| {
            open.remove(number);
        });
        if !open.is_empty() {
            let last = turns.peek().map_or(u128::MAX, |(next, _)| next - 1);
            let ports: Vec<Ports> = open.iter().flat_map(|number| spans[*number].1.clone()).collect();
            add(&mut parts, Span { first, last }, union(&ports));
        }
    }
    parts
}

/// Adds a part, or makes the last one longer.
fn add(parts: &mut Vec<(Span, Vec<Ports>)>, span: Span, ports: Vec<Ports>) {
    match parts.last_mut() {
        Some((last, same)) if last.last + 1 == span.first && *same == ports => last.last = span.last,
        _ => parts.push((span, ports)),
    }
}

/// Ranges that may overlap, joined; sorted.
fn union(ports: &[Ports]) -> Vec<Ports> {
    if ports.contains(&Ports::ALL) {
        return vec![Ports::ALL];
    }
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    let mut joined: Vec<Ports> = Vec::new();
    for next in sorted {
        match joined.last_mut() {
            Some(last) if last.protocol == next.protocol && next.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(next.last);
            }
            _ => joined.push(next),
        }
    }
    joined
}
