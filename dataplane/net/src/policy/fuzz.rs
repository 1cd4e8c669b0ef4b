//! What the fuzz target and the property tests run on arbitrary bytes: a history of changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use headgate_ring::message::{
    Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange, Protocol, Tier,
};
use ipnet::IpNet;

use super::build::Limits;
use super::{Classifier, Decision, PolicyChanges, PolicyKey, reference};

/// The longest history that is tried.
const BUFFER: usize = 2048;

/// Reads `data` as changes of endpoints and policies, and connections to decide on in between; every decision must be the
/// reference's, and in the end nothing may be left behind.
///
/// # Panics
/// Where the tables say something else than the policies: that is a bug.
pub fn fuzz(data: &[u8]) {
    let mut history = History {
        bytes: data[..data.len().min(BUFFER)].iter(),
        endpoints: BTreeMap::new(),
        policies: BTreeMap::new(),
    };
    let wide = usize::from(history.below(6));
    let mut classifier = Classifier::with_limits(Limits {
        wide,
        narrow: wide / 2,
        ..Limits::default()
    });
    while history.goes_on() {
        let changes = history.changes();
        let compiled = classifier.update(changes).expect("a short history is small");
        for _ in 0..history.below(8) {
            let (src, dst) = (history.address(), history.address());
            let (protocol, port) = (history.protocol().number(), history.port());
            let (endpoints, policies) = history.objects();
            let expected = reference::explain(&endpoints, &policies, src, dst, protocol, port);
            assert_eq!(compiled.explain(src, dst, protocol, port), expected);
            let expected = expected.denied().map(|(direction, end)| {
                let by = end.by.as_ref().expect("who denies is known");
                (direction, by.policy.name.clone())
            });
            let decided = match compiled.decide(src, dst, protocol, port) {
                Decision::Allow => None,
                Decision::Deny(denial) => {
                    let policy = compiled.policy(denial.policy).expect("it is in force");
                    Some((denial.direction, policy.name.clone()))
                }
            };
            assert_eq!(
                decided, expected,
                "{src} to {dst}, protocol {protocol}, port {port}"
            );
        }
        // An odd byte has the next change find old tables in use.
        if history.below(2) == 0 {
            drop(compiled);
            classifier.settle();
        }
    }
    let size = classifier.update(history.end()).expect("nothing is small").size();
    let left = (size.classes, size.regions, size.guards, size.cells, size.blocks);
    assert_eq!(left, (2, 0, 0, 0, 2), "something is left behind");
}

/// What bytes say, and what is in force. Few of everything, so that all meets; after the last byte all is 0.
struct History<'a> {
    bytes: std::slice::Iter<'a, u8>,
    endpoints: BTreeMap<String, Arc<Endpoint>>,
    policies: BTreeMap<PolicyKey, Arc<Policy>>,
}

impl History<'_> {
    fn goes_on(&self) -> bool {
        !self.bytes.as_slice().is_empty()
    }

    fn below(&mut self, end: u8) -> u8 {
        self.bytes.next().copied().unwrap_or(0) % end
    }

    fn changes(&mut self) -> PolicyChanges {
        let (mut endpoints, mut policies) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..=self.below(4) {
            if self.below(2) == 0 {
                let name = format!("ns/e{}", self.below(8));
                let endpoint = (self.below(4) != 0).then(|| Arc::new(self.endpoint(&name)));
                endpoints.insert(name, endpoint);
            } else {
                let key = (format!("ns/p{}", self.below(6)), self.direction());
                let policy = (self.below(4) != 0).then(|| Arc::new(self.policy(&key)));
                policies.insert(key, policy);
            }
        }
        follow(&mut self.endpoints, &endpoints);
        follow(&mut self.policies, &policies);
        PolicyChanges {
            endpoints: endpoints.into_iter().collect(),
            groups: Vec::new(),
            policies: policies.into_iter().collect(),
        }
    }

    fn end(&self) -> PolicyChanges {
        PolicyChanges {
            endpoints: self.endpoints.keys().map(|name| (name.clone(), None)).collect(),
            groups: Vec::new(),
            policies: self.policies.keys().map(|key| (key.clone(), None)).collect(),
        }
    }

    fn objects(&self) -> (Vec<Arc<Endpoint>>, Vec<Arc<Policy>>) {
        (
            self.endpoints.values().cloned().collect(),
            self.policies.values().cloned().collect(),
        )
    }

    fn endpoint(&mut self, name: &str) -> Endpoint {
        Endpoint {
            name: name.into(),
            addresses: self.sorted(3, Self::address),
            hosts: self.sorted(2, Self::address),
            labels: Vec::new(),
            ports: Vec::new(),
            groups: self.sorted(4, Self::group),
        }
    }

    fn policy(&mut self, (name, direction): &PolicyKey) -> Policy {
        let tier = [Tier::NetworkPolicy, Tier::Admin, Tier::Baseline][usize::from(self.below(3))];
        let rule = |history: &mut Self| PolicyRule {
            number: 0,
            name: String::new(),
            action: match tier {
                Tier::NetworkPolicy => Action::Accept,
                _ => [Action::Accept, Action::Deny, Action::Pass][usize::from(history.below(3))],
            },
            only: (history.below(4) == 0).then(|| history.group()),
            peers: (history.below(4) != 0).then(|| history.some(4, Self::peer)),
            ports: (history.below(4) != 0).then(|| history.some(4, Self::range)),
        };
        Policy {
            name: name.clone(),
            tier,
            priority: if tier == Tier::NetworkPolicy {
                0
            } else {
                self.below(2).into()
            },
            direction: *direction,
            subjects: self.group(),
            rules: self.some(4, rule),
        }
    }

    fn peer(&mut self) -> Peer {
        if self.below(2) == 0 {
            return Peer::Group(self.group());
        }
        let block = self.block(0);
        let except = self.some(3, |history| history.block(block.prefix_len() + 1));
        let inside = except.into_iter().filter(|e| block.contains(e) && *e != block);
        Peer::Block {
            block,
            except: inside.collect(),
        }
    }

    /// A block of at least this length, where there are such.
    fn block(&mut self, least: u8) -> IpNet {
        let address = self.address();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = (u16::from(least) + u16::from(self.below(40))).min(width);
        let length = u8::try_from(length).expect("at most 128");
        IpNet::new(address, length).expect("within the width").trunc()
    }

    fn range(&mut self) -> PortRange {
        let first = self.port();
        PortRange {
            protocol: self.protocol(),
            first,
            last: first.saturating_add(self.below(8).into()),
        }
    }

    fn address(&mut self) -> IpAddr {
        match self.below(3) {
            0 => Ipv4Addr::new(10, 244, self.below(2), self.below(8) * 36).into(),
            1 => Ipv4Addr::new(192, self.below(2), self.below(4) * 80, self.below(4)).into(),
            _ => Ipv6Addr::new(0xfd00, 0, 0, self.below(3).into(), 0, 0, 0, self.below(4).into()).into(),
        }
    }

    fn group(&mut self) -> GroupId {
        GroupId(self.below(6).into())
    }

    fn direction(&mut self) -> Direction {
        [Direction::Ingress, Direction::Egress][usize::from(self.below(2))]
    }

    fn protocol(&mut self) -> Protocol {
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp][usize::from(self.below(3))]
    }

    fn port(&mut self) -> u16 {
        u16::from(self.below(12)) * 5 + 1
    }

    fn some<T>(&mut self, most: u8, one: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most)).map(|_| one(self)).collect()
    }

    fn sorted<T: Ord>(&mut self, most: u8, one: impl Fn(&mut Self) -> T) -> Vec<T> {
        let mut all = self.some(most, one);
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn follow<K: Clone + Ord, V: Clone>(all: &mut BTreeMap<K, V>, changes: &BTreeMap<K, Option<V>>) {
    for (key, change) in changes {
        match change {
            Some(value) => drop(all.insert(key.clone(), value.clone())),
            None => drop(all.remove(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn any_history_ends_well(data in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            super::fuzz(&data);
        }
    }

    #[test]
    fn seeds_end_well() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/policy");
        let seeds: Vec<_> = std::fs::read_dir(seeds).expect("the seeds").collect();
        assert!(!seeds.is_empty());
        for seed in seeds {
            super::fuzz(&std::fs::read(seed.expect("a seed").path()).expect("a file"));
        }
    }
}
