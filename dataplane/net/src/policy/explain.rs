//! How a decision comes about, from the policies that select the two addresses.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{Action, Direction, GroupId, Peer, Policy, PolicyRule, Tier};

use super::compiled::{Compiled, REGIONS, side};
use super::{Decision, Denial, End, Explanation, PolicyId, Ruling};

/// One end of a connection, as its policies see it.
#[derive(Clone, Copy)]
struct BothEnds<'a> {
    tables: &'a Compiled,
    /// Places of the policies that select the subject, in the order of their turns.
    policies: &'a [u32],
    subject: IpAddr,
    peer: IpAddr,
    protocol: u8,
    port: u16,
}

/// Whether a policy allows the connection, its place, and that of its rule.
type Word = (bool, u32, Option<usize>);

impl Compiled {
    /// How [`Self::decide`] comes to its decision. Takes a few hundred nanoseconds for each policy that selects an end.
    #[must_use]
    pub fn explain(&self, src: IpAddr, dst: IpAddr, protocol: u8, dst_port: u16) -> Explanation {
        if src == dst {
            return Explanation::default();
        }
        let end = |direction| self.question(direction, (src, dst), protocol, dst_port).end();
        Explanation {
            egress: end(Direction::Egress),
            ingress: end(Direction::Ingress),
        }
    }

    /// Who denies what the tables say is not open, where that is not always the same policy; or nobody, where it is the
    /// pod's own node that it connects with, which the tables do not know. Does not allocate.
    #[cold]
    #[inline(never)]
    pub(super) fn decide_slowly(
        &self,
        open: [(Direction, bool); 2],
        ends: (IpAddr, IpAddr),
        protocol: u8,
        dst_port: u16,
    ) -> Decision {
        for (direction, _) in open.into_iter().filter(|(_, open)| !open) {
            let question = self.question(direction, ends, protocol, dst_port);
            let own_node = self.is_own_node(question.subject, question.peer);
            if let Some(policy) = question.denier(own_node).map(PolicyId) {
                return Decision::Deny(Denial { policy, direction });
            }
        }
        Decision::Allow
    }

    fn question(
        &self,
        direction: Direction,
        (src, dst): (IpAddr, IpAddr),
        protocol: u8,
        port: u16,
    ) -> BothEnds<'_> {
        let (subject, peer) = match direction {
            Direction::Ingress => (dst, src),
            Direction::Egress => (src, dst),
        };
        let class = self.classes[self.class_of(subject) as usize];
        let guard = class.guards[side(direction)].number & !REGIONS;
        BothEnds {
            tables: self,
            policies: &self.guards[guard as usize],
            subject,
            peer,
            protocol,
            port,
        }
    }

    fn known(&self, place: u32) -> Option<&Arc<Policy>> {
        self.policies.get(place as usize)?.as_ref()
    }

    /// Whether a pod with the address `pod` runs on the node with the address `node`.
    pub(super) fn is_own_node(&self, pod: IpAddr, node: IpAddr) -> bool {
        self.endpoints_at(pod)
            .any(|endpoint| endpoint.hosts.binary_search(&node).is_ok())
    }

    fn is_in(&self, address: IpAddr, group: GroupId) -> bool {
        self.endpoints_at(address)
            .any(|endpoint| endpoint.groups.binary_search(&group).is_ok())
    }
}

impl BothEnds<'_> {
    fn end(self) -> End {
        let word = self.word();
        let ruling = |(_, place, rule): Word| {
            let policy = Arc::clone(self.tables.known(place)?);
            Some(Ruling { policy, rule })
        };
        End {
            allowed: word.is_none_or(|(allowed, ..)| allowed),
            by: word.and_then(ruling),
            policies: self
                .policies
                .iter()
                .filter_map(|p| self.tables.known(*p).cloned())
                .collect(),
        }
    }

    /// What decides; `None` where nothing does.
    fn word(&self) -> Option<Word> {
        if let Some((action @ (Action::Accept | Action::Deny), policy, rule)) = self.first_match(Tier::Admin)
        {
            return Some((action == Action::Accept, policy, Some(rule)));
        }
        if let Some((isolating, _)) = self.of_tier(Tier::NetworkPolicy).next() {
            if self.tables.is_own_node(self.subject, self.peer) {
                return None;
            }
            let accepted = self.first_match(Tier::NetworkPolicy);
            return Some(accepted.map_or((false, isolating, None), |(_, policy, rule)| {
                (true, policy, Some(rule))
            }));
        }
        match self.first_match(Tier::Baseline) {
            Some((action @ (Action::Accept | Action::Deny), policy, rule)) => {
                Some((action == Action::Accept, policy, Some(rule)))
            }
            Some((Action::Pass, ..)) | None => None,
        }
    }

    /// Whose word it is that the connection is denied, as the tables say. Rules that could only accept are not looked at:
    /// there may be thousands of them, and a flood of such packets.
    fn denier(&self, own_node: bool) -> Option<u32> {
        if let Some((Action::Deny, policy, _)) = self.first_match(Tier::Admin) {
            return Some(policy);
        }
        match self.of_tier(Tier::NetworkPolicy).next() {
            Some((isolating, _)) => (!own_node).then_some(isolating),
            None => self.first_match(Tier::Baseline).map(|(_, policy, _)| policy),
        }
    }

    fn of_tier(&self, tier: Tier) -> impl Iterator<Item = (u32, &Arc<Policy>)> {
        let known = |place: &u32| Some((*place, self.tables.known(*place)?));
        let policies = self.policies.iter().filter_map(known);
        policies.filter(move |(_, policy)| policy.tier == tier)
    }

    fn first_match(&self, tier: Tier) -> Option<(Action, u32, usize)> {
        self.of_tier(tier).find_map(|(place, policy)| {
            let rule = policy.rules.iter().position(|rule| self.matches(rule))?;
            Some((policy.rules[rule].action, place, rule))
        })
    }

    fn matches(&self, rule: &PolicyRule) -> bool {
        let covers = |ports: &Vec<_>| ports.iter().any(|range| self.covers(range));
        rule.ports.as_ref().is_none_or(covers)
            && rule
                .only
                .is_none_or(|group| self.tables.is_in(self.subject, group))
            && rule
                .peers
                .as_ref()
                .is_none_or(|peers| peers.iter().any(|peer| self.is_peer(peer)))
    }

    fn covers(&self, range: &headgate_ring::message::PortRange) -> bool {
        range.protocol.number() == self.protocol && (range.first..=range.last).contains(&self.port)
    }

    fn is_peer(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Group(group) => self.tables.is_in(self.peer, *group),
            Peer::Block { block, except } => {
                block.contains(&self.peer) && !except.iter().any(|e| e.contains(&self.peer))
            }
        }
    }
}
