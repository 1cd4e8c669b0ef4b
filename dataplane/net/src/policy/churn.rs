//! Long histories of changes: nothing is left behind, and the tables stay those that a start from the same objects makes.
//!
//! `HEADGATE_CHURN=100000 cargo test --release -p headgate-dataplane policy::churn` makes the history longer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use headgate_ring::message::{
    Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange, Protocol, Tier,
};
use ipnet::IpNet;

use super::build::Limits;
use super::{Classifier, Compiled, Decision, PolicyChanges, PolicyKey};

/// SplitMix64: the same history in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn number<T: TryFrom<u64>>(&mut self, end: u64) -> T
    where
        T::Error: std::fmt::Debug,
    {
        T::try_from(self.below(end)).expect("a small number")
    }

    /// Addresses of pods and others around them.
    fn address(&mut self) -> IpAddr {
        if self.one_in(4) {
            Ipv6Addr::new(
                0xfd00,
                0,
                0,
                self.number(3),
                0,
                0,
                self.number(2),
                self.number(40),
            )
            .into()
        } else {
            Ipv4Addr::new(10, 244, self.number(3), self.number(120)).into()
        }
    }

    fn block(&mut self) -> IpNet {
        let address = self.address();
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let length = match self.below(6) {
            0 => 0,
            1 => width,
            2 => width / 2,
            3 => width - 4 - self.number::<u8>(8),
            4 => width / 4,
            _ => self.number(u64::from(width) + 1),
        };
        IpNet::new(address, length)
            .expect("a length of the family")
            .trunc()
    }

    fn group(&mut self) -> GroupId {
        GroupId(self.below(30).into())
    }

    fn peer(&mut self) -> Peer {
        if self.one_in(2) {
            return Peer::Group(self.group());
        }
        let block = self.block();
        let except = (0..self.below(5)).map(|_| self.block());
        let except = except.filter(|e| block.contains(e) && *e != block).collect();
        Peer::Block { block, except }
    }

    fn rule(&mut self, tier: Tier) -> PolicyRule {
        let action = match self.below(3) {
            _ if tier == Tier::NetworkPolicy => Action::Accept,
            0 => Action::Accept,
            1 => Action::Deny,
            _ => Action::Pass,
        };
        let port = |dice: &mut Self| {
            let first: u16 = 1 + dice.number::<u16>(60);
            PortRange {
                protocol: [Protocol::Tcp, Protocol::Udp][dice.number::<usize>(2)],
                first,
                last: first + dice.number::<u16>(3),
            }
        };
        // Some have more ranges than a line holds.
        let ports = if self.one_in(8) { 40 } else { self.below(3) };
        PolicyRule {
            number: 0,
            name: String::new(),
            action,
            only: self.one_in(6).then(|| self.group()),
            peers: (!self.one_in(10)).then(|| (0..self.below(4)).map(|_| self.peer()).collect()),
            ports: (!self.one_in(6)).then(|| (0..ports).map(|_| port(self)).collect()),
        }
    }

    fn policy(&mut self) -> Policy {
        let tier = [
            Tier::NetworkPolicy,
            Tier::NetworkPolicy,
            Tier::Admin,
            Tier::Baseline,
        ][self.number::<usize>(4)];
        let (name, direction) = self.policy_key();
        Policy {
            name,
            tier,
            priority: if tier == Tier::NetworkPolicy {
                0
            } else {
                self.number(4)
            },
            direction,
            subjects: self.group(),
            rules: (0..self.below(4)).map(|_| self.rule(tier)).collect(),
        }
    }

    fn policy_key(&mut self) -> PolicyKey {
        let direction = [Direction::Ingress, Direction::Egress][self.number::<usize>(2)];
        (format!("ns/p{}", self.below(60)), direction)
    }

    fn endpoint(&mut self) -> Endpoint {
        let mut addresses: Vec<IpAddr> = (0..self.below(3)).map(|_| self.address()).collect();
        let mut groups: Vec<GroupId> = (0..self.below(5)).map(|_| self.group()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        groups.sort_unstable();
        groups.dedup();
        Endpoint {
            name: self.endpoint_name(),
            addresses,
            hosts: if self.one_in(5) {
                vec![self.address()]
            } else {
                Vec::new()
            },
            labels: Vec::new(),
            ports: Vec::new(),
            groups,
        }
    }

    fn endpoint_name(&mut self) -> String {
        format!("ns/e{}", self.below(250))
    }

    /// One change; sometimes it is many.
    fn change(&mut self) -> PolicyChanges {
        let (mut endpoints, mut policies) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..if self.one_in(50) { 40 } else { 1 + self.below(2) } {
            match self.below(10) {
                0..4 => {
                    let endpoint = self.endpoint();
                    endpoints.insert(endpoint.name.clone(), Some(Arc::new(endpoint)));
                }
                4..6 => drop(endpoints.insert(self.endpoint_name(), None)),
                6..9 => {
                    let policy = self.policy();
                    policies.insert((policy.name.clone(), policy.direction), Some(Arc::new(policy)));
                }
                _ => drop(policies.insert(self.policy_key(), None)),
            }
        }
        PolicyChanges {
            endpoints: endpoints.into_iter().collect(),
            groups: Vec::new(),
            policies: policies.into_iter().collect(),
        }
    }

    /// A policy that no limit lets pass: each peer has other ports.
    fn too_large(&mut self) -> PolicyChanges {
        let mut changes = self.change();
        let rule = |i: u16| PolicyRule {
            number: 0,
            name: String::new(),
            action: Action::Accept,
            only: None,
            peers: Some(vec![Peer::Block {
                block: IpAddr::from(Ipv4Addr::from_bits(0xc000_0000 + u32::from(i) * 9)).into(),
                except: Vec::new(),
            }]),
            ports: Some(vec![PortRange {
                protocol: Protocol::Tcp,
                first: i + 1,
                last: i + 1,
            }]),
        };
        let mut policy = self.policy();
        (policy.tier, policy.priority) = (Tier::NetworkPolicy, 0);
        policy.rules = (0..8_000).map(rule).collect();
        let key = (policy.name.clone(), policy.direction);
        changes.policies.retain(|(other, _)| *other != key);
        changes.policies.push((key, Some(Arc::new(policy))));
        changes
    }
}

/// All that is in force.
#[derive(Default)]
struct World {
    endpoints: BTreeMap<String, Arc<Endpoint>>,
    policies: BTreeMap<PolicyKey, Arc<Policy>>,
}

impl World {
    fn follow(&mut self, changes: &PolicyChanges) {
        for (name, endpoint) in &changes.endpoints {
            match endpoint {
                Some(e) => drop(self.endpoints.insert(name.clone(), Arc::clone(e))),
                None => drop(self.endpoints.remove(name)),
            }
        }
        for (key, policy) in &changes.policies {
            match policy {
                Some(p) => drop(self.policies.insert(key.clone(), Arc::clone(p))),
                None => drop(self.policies.remove(key)),
            }
        }
    }

    fn compile(&self) -> Compiled {
        let endpoints = self.endpoints.values().cloned().collect();
        Compiled::build(endpoints, self.policies.values().cloned().collect()).expect("few policies")
    }
}

/// Verdicts on random connections, with the names of those who deny.
fn verdicts(compiled: &Compiled, seed: u64, count: usize) -> Vec<Option<(String, Direction)>> {
    let mut dice = Dice(seed);
    let verdict = |_| {
        let (src, dst) = (dice.address(), dice.address());
        let protocol = [6, 17, 1][dice.number::<usize>(3)];
        match compiled.decide(src, dst, protocol, dice.number(64)) {
            Decision::Allow => None,
            Decision::Deny(denial) => {
                let policy = compiled.policy(denial.policy).expect("who denies is known");
                Some((policy.name.clone(), denial.direction))
            }
        }
    };
    (0..count).map(verdict).collect()
}

fn steps() -> usize {
    let asked = std::env::var("HEADGATE_CHURN").ok();
    asked.map_or(2_000, |steps| steps.parse().expect("a number of changes"))
}

const LIMITS: Limits = Limits {
    bytes: 2 << 20,
    wide: 24,
    narrow: 12,
};

#[test]
fn a_long_history_leaves_nothing_behind() {
    let mut dice = Dice(1);
    let mut classifier = Classifier::with_limits(LIMITS);
    let mut world = World::default();
    // Readers that are slow, each with what it decided when it began.
    let mut held: Vec<(Arc<Compiled>, u64, Vec<_>)> = Vec::new();
    let (mut refusals, mut most) = (0, 0);
    for step in 0..steps() {
        let changes = if dice.one_in(300) {
            dice.too_large()
        } else {
            dice.change()
        };
        let seed = dice.below(u64::MAX);
        let before = verdicts(classifier.tables(), seed, 20);
        match classifier.update(changes.clone()) {
            Ok(_) => world.follow(&changes),
            Err(error) => {
                assert!(!error.policy.0.is_empty());
                assert_eq!(verdicts(classifier.tables(), seed, 20), before);
                refusals += 1;
            }
        }
        if dice.one_in(30) {
            let compiled = Arc::clone(classifier.tables());
            let before = verdicts(&compiled, seed, 100);
            held.push((compiled, seed, before));
        }
        if held.len() > 3 {
            let (compiled, seed, before) = held.remove(0);
            assert_eq!(verdicts(&compiled, seed, 100), before, "published tables change");
        }
        if dice.one_in(2) {
            classifier.settle();
        }
        if step % 500 == 499 {
            let fresh = world.compile();
            assert_eq!(
                verdicts(classifier.tables(), seed, 3_000),
                verdicts(&fresh, seed, 3_000)
            );
            let (grown, fresh_size) = (classifier.tables().size(), fresh.size());
            assert_eq!(
                (grown.classes, grown.guards, grown.blocks),
                (fresh_size.classes, fresh_size.guards, fresh_size.blocks)
            );
            most = most.max(classifier.tables().memory());
            assert!(
                most < 4 * fresh.memory() + (1 << 20),
                "{most} bytes, {} when new",
                fresh.memory()
            );
        }
    }
    assert!(refusals > 0, "the limit was never passed");
}
