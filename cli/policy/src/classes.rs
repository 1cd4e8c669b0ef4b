//! Pods and addresses that the policies cannot tell apart, so that each kind of them is asked about once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use headgate_ring::message::{Direction, Endpoint, GroupId, Protocol};

use super::blocks::{Blocks, Outside};
use super::ports::{Cuts, PortSet};
use super::snapshot::PolicySnapshot;
use headgate_net::policy::Question;

/// The most pairs of classes that are looked at: some ten seconds.
pub(super) const PAIRS: usize = 10_000_000;

/// Pods, or addresses outside, that are alike in every state that is looked at.
#[derive(Debug)]
pub(super) struct EndpointClass {
    pub(super) kind: ClassKind,
    /// For each state, the addresses of one of them.
    addresses: Vec<Vec<IpAddr>>,
    /// For each state, those of another one, if there is one: what it may say to its like.
    others: Option<Vec<Vec<IpAddr>>>,
    /// For each state, the ports that policies of the one (egress) and of the other (ingress) tell apart.
    egress: Vec<Cuts>,
    ingress: Vec<Cuts>,
}

/// What a class is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClassKind {
    /// Names of pods or nodes, sorted.
    Endpoints(Vec<String>),
    /// Addresses that are nobody's.
    Outside(Outside),
}

/// What two classes may say to each other in one family of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) ports: PortSet,
}

/// What tells endpoints apart in one state: for each address, the groups and the narrowest block that it is in.
type ClassKey = Vec<(Vec<GroupId>, usize)>;

/// The classes of the endpoints that are in all of `states`, and of the addresses outside, in the order of their first
/// names, pods before nodes before blocks.
pub(super) fn classes(states: &[&PolicySnapshot]) -> Vec<EndpointClass> {
    let blocks = Blocks::of(states);
    let mut members: BTreeMap<Vec<ClassKey>, Vec<&str>> = BTreeMap::new();
    for endpoint in states.first().iter().flat_map(|state| &state.endpoints) {
        let in_state =
            |state: &&PolicySnapshot| state.endpoint(&endpoint.name).map(|e| key(state, &blocks, e));
        let keys: Option<Vec<ClassKey>> = states.iter().map(in_state).collect();
        // Without an address nobody can speak to it.
        let keys = keys.filter(|keys| keys.iter().all(|key| !key.is_empty()));
        if let Some(keys) = keys {
            members.entry(keys).or_default().push(&endpoint.name);
        }
    }
    let mut members: Vec<_> = members.into_values().collect();
    members.sort_by_key(|names| (!names[0].contains('/'), names[0]));
    let of_endpoints = members
        .into_iter()
        .map(|names| EndpointClass::of_endpoints(states, &names));
    let outsides = blocks.outsides(states).into_iter();
    let outsides = outsides.map(|(outside, address)| EndpointClass::outside(states, outside, address));
    of_endpoints.chain(outsides).collect()
}

fn key(state: &PolicySnapshot, blocks: &Blocks, endpoint: &Endpoint) -> ClassKey {
    let of_address = |address: &IpAddr| {
        let all = state
            .endpoints_at(*address)
            .flat_map(|e| e.groups.iter().copied());
        let groups: BTreeSet<GroupId> = all.collect();
        (groups.into_iter().collect(), blocks.place(*address))
    };
    endpoint.addresses.iter().map(of_address).collect()
}

impl EndpointClass {
    fn of_endpoints(states: &[&PolicySnapshot], names: &[&str]) -> Self {
        let addresses = |name: &&str| {
            let of = |state: &&PolicySnapshot| {
                state
                    .endpoint(name)
                    .map(|e| e.addresses.clone())
                    .unwrap_or_default()
            };
            states.iter().map(of).collect()
        };
        let kind = ClassKind::Endpoints(names.iter().map(|name| (*name).to_owned()).collect());
        Self::new(states, kind, addresses(&names[0]), names.get(1).map(addresses))
    }

    fn outside(states: &[&PolicySnapshot], outside: Outside, address: IpAddr) -> Self {
        let addresses = vec![vec![address]; states.len()];
        // What those outside say to each other does not come this way.
        Self::new(states, ClassKind::Outside(outside), addresses, None)
    }

    fn new(
        states: &[&PolicySnapshot],
        kind: ClassKind,
        addresses: Vec<Vec<IpAddr>>,
        others: Option<Vec<Vec<IpAddr>>>,
    ) -> Self {
        let cuts = |direction| {
            let of = |(state, addresses): (&&PolicySnapshot, &Vec<IpAddr>)| {
                let policies = addresses.iter().flat_map(|a| state.selecting(*a, direction));
                Cuts::of(policies.collect::<Vec<_>>().iter().map(AsRef::as_ref))
            };
            states.iter().zip(&addresses).map(of).collect()
        };
        Self {
            kind,
            egress: cuts(Direction::Egress),
            ingress: cuts(Direction::Ingress),
            addresses,
            others,
        }
    }

    /// Names of the pods or nodes in it.
    pub(super) fn names(&self) -> &[String] {
        match &self.kind {
            ClassKind::Endpoints(names) => names,
            ClassKind::Outside(_) => &[],
        }
    }

    /// Whether it is of addresses that are nobody's.
    pub(super) fn is_outside(&self) -> bool {
        matches!(self.kind, ClassKind::Outside(_))
    }

    /// What it may say to `to` in the state of this place, for each pair of addresses of one family: of the ports in
    /// `asked`, or of all where that is empty. Among the members of one class it is about two of them; nothing
    /// where it has one member, who reaches itself, or is outside.
    pub(super) fn speaks(
        &self,
        state: &PolicySnapshot,
        place: usize,
        to: &Self,
        asked: &[(Protocol, u16)],
    ) -> Vec<Spoken> {
        let single =
            |(protocol, port): &(Protocol, u16)| (PortSet::single(*protocol, *port), *protocol, *port);
        let runs: Vec<_> = if asked.is_empty() {
            self.cuts(place, to).runs().collect()
        } else {
            asked.iter().map(single).collect()
        };
        let spoken = |(from, to)| {
            let mut ports = PortSet::default();
            for (run, protocol, port) in &runs {
                let connection = Question {
                    from,
                    to,
                    protocol: *protocol,
                    port: *port,
                };
                if state.allows(connection) {
                    ports.add(run);
                }
            }
            Spoken { from, to, ports }
        };
        self.pairs(place, to).into_iter().map(spoken).collect()
    }

    /// The addresses, in the state of this place, of a member that is not the one with `addresses`, if there is one.
    pub(super) fn addresses_apart_from(&self, place: usize, addresses: &[IpAddr]) -> Option<&[IpAddr]> {
        let first = &self.addresses[place];
        let other = || Some(self.others.as_ref()?[place].as_slice());
        if first.iter().any(|address| addresses.contains(address)) {
            other()
        } else {
            Some(first)
        }
    }

    /// The runs of ports that decide alike between it and `to` in the state of this place.
    pub(super) fn cuts(&self, place: usize, to: &Self) -> Cuts {
        self.egress[place].and(&to.ingress[place])
    }

    /// Pairs of addresses of one family; none where nobody speaks.
    pub(super) fn pairs(&self, place: usize, to: &Self) -> Vec<(IpAddr, IpAddr)> {
        if self.is_outside() && to.is_outside() {
            return Vec::new();
        }
        let target = if std::ptr::eq(self, to) {
            self.others.as_ref().map(|others| others[place].as_slice())
        } else {
            Some(to.addresses[place].as_slice())
        };
        let pairs = self.addresses[place].iter().flat_map(|from| {
            let family = |to: &&IpAddr| to.is_ipv4() == from.is_ipv4();
            target
                .unwrap_or_default()
                .iter()
                .filter(family)
                .map(|to| (*from, *to))
        });
        pairs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SHOP, snapshot};

    #[test]
    fn pods_are_told_apart_by_groups_and_blocks() {
        let twins = SHOP
            .replace("name: six", "name: six2")
            .replace("::13\"", "::14\"");
        let twins = twins
            .split("---\n")
            .find(|d| d.contains("six2"))
            .unwrap()
            .to_owned();
        let shop = snapshot(&[SHOP, &twins]);
        let classes = classes(&[&shop]);
        let texts: Vec<String> = classes
            .iter()
            .map(|class| match &class.kind {
                ClassKind::Endpoints(names) => names.join(" "),
                ClassKind::Outside(outside) => outside.to_string(),
            })
            .collect();
        let expected = [
            "blog/six blog/six2",
            "shop/db",
            "shop/web",
            "other IPv4",
            "10.0.0.0/8 except 10.9.0.0/16",
            "10.9.0.0/16",
            "any IPv6",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn what_is_said_is_what_single_questions_say() {
        let shop = snapshot(&[SHOP]);
        let classes = classes(&[&shop]);
        for (from, to) in classes
            .iter()
            .flat_map(|from| classes.iter().map(move |to| (from, to)))
        {
            for spoken in from.speaks(&shop, 0, to, &[]) {
                for (protocol, port) in super::super::ports::PROTOCOLS
                    .into_iter()
                    .flat_map(|p| [1, 79, 5431, 5432, 5433, 5434, 65535].map(|port| (p, port)))
                {
                    let connection = Question {
                        from: spoken.from,
                        to: spoken.to,
                        protocol,
                        port,
                    };
                    let allowed = shop.decide(connection).unwrap().is_allowed();
                    assert_eq!(spoken.ports.contains(protocol, port), allowed, "{connection:?}");
                }
            }
        }
    }
}
