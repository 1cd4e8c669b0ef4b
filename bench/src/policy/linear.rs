//! The plainest fast list: every policy is looked at, one after another, in arrays without a pointer.
//!
//! It is kinder to the list than those that people have, which hold no groups and look at every rule: here an
//! address's groups are found first, a policy that does not select it costs one comparison, and only the rules of the
//! others are tried.

use std::{collections::HashMap, net::IpAddr, ops::Range};

use headgate_ring::message::{Direction, GroupId, Peer, PolicyRule};

use super::{
    cluster::{Cluster, Connection},
    expand::bits,
};

/// A cluster's policies as lists.
pub(crate) struct Linear {
    /// Groups by their place among the cluster's.
    groups: HashMap<IpAddr, Vec<u32>>,
    egress: List,
    ingress: List,
}

/// The policies of one direction.
#[derive(Default)]
struct List {
    /// The group that each policy guards.
    subjects: Vec<u32>,
    /// Where its rules stand in `rules`.
    policies: Vec<Range<u32>>,
    rules: Vec<Rule>,
    peers: Vec<Addresses>,
    ports: Vec<Ports>,
}

/// Where a rule's peers and ports stand; `None` for any.
struct Rule {
    peers: Option<Range<u32>>,
    ports: Option<Range<u32>>,
}

enum Addresses {
    Group(u32),
    Block {
        first: u128,
        last: u128,
        except: Vec<(u128, u128)>,
    },
}

struct Ports {
    protocol: u8,
    first: u16,
    last: u16,
}

impl Linear {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let numbers: HashMap<GroupId, u32> = cluster.groups.iter().map(|g| g.id).zip(0..).collect();
        let mut linear = Self {
            groups: HashMap::new(),
            egress: List::default(),
            ingress: List::default(),
        };
        for endpoint in &cluster.endpoints {
            for address in &endpoint.addresses {
                let of = endpoint.groups.iter().map(|id| numbers[id]);
                linear.groups.entry(*address).or_default().extend(of);
            }
        }
        for policy in &cluster.policies {
            let list = match policy.direction {
                Direction::Egress => &mut linear.egress,
                Direction::Ingress => &mut linear.ingress,
            };
            let start = place(&list.rules);
            for rule in &policy.rules {
                list.add(rule, &numbers);
            }
            list.subjects.push(numbers[&policy.subjects]);
            list.policies.push(start..place(&list.rules));
        }
        linear
    }

    /// Whether a new connection is allowed.
    pub(crate) fn allows(&self, connection: Connection) -> bool {
        let Connection { src, dst, .. } = connection;
        let [of_src, of_dst] = [src, dst].map(|a| self.groups.get(&a).map_or(&[][..], Vec::as_slice));
        src == dst
            || self.egress.allows(of_src, of_dst, bits(dst), connection)
                && self.ingress.allows(of_dst, of_src, bits(src), connection)
    }
}

impl List {
    fn add(&mut self, rule: &PolicyRule, numbers: &HashMap<GroupId, u32>) {
        let peers = rule.peers.as_ref().map(|peers| {
            let start = place(&self.peers);
            self.peers
                .extend(peers.iter().map(|peer| addresses(peer, numbers)));
            start..place(&self.peers)
        });
        let ports = rule.ports.as_ref().map(|ports| {
            let start = place(&self.ports);
            self.ports.extend(ports.iter().map(|range| Ports {
                protocol: range.protocol.number(),
                first: range.first,
                last: range.last,
            }));
            start..place(&self.ports)
        });
        self.rules.push(Rule { peers, ports });
    }

    fn allows(&self, subject: &[u32], peer_groups: &[u32], peer: u128, connection: Connection) -> bool {
        let mut isolated = false;
        for (group, rules) in self.subjects.iter().zip(&self.policies) {
            if subject.contains(group) {
                isolated = true;
                let rules = &self.rules[range(rules)];
                if rules
                    .iter()
                    .any(|rule| self.matches(rule, peer_groups, peer, connection))
                {
                    return true;
                }
            }
        }
        !isolated
    }

    fn matches(&self, rule: &Rule, groups: &[u32], peer: u128, connection: Connection) -> bool {
        let holds = |addresses: &Addresses| match addresses {
            Addresses::Group(group) => groups.contains(group),
            Addresses::Block { first, last, except } => {
                (*first..=*last).contains(&peer) && !except.iter().any(|(a, z)| (*a..=*z).contains(&peer))
            }
        };
        let covers = |ports: &Ports| {
            ports.protocol == connection.protocol && (ports.first..=ports.last).contains(&connection.dst_port)
        };
        rule.ports
            .as_ref()
            .is_none_or(|r| self.ports[range(r)].iter().any(covers))
            && rule
                .peers
                .as_ref()
                .is_none_or(|r| self.peers[range(r)].iter().any(holds))
    }
}

fn addresses(peer: &Peer, numbers: &HashMap<GroupId, u32>) -> Addresses {
    match peer {
        Peer::Group(id) => Addresses::Group(numbers[id]),
        Peer::Block { block, except } => Addresses::Block {
            first: bits(block.network()),
            last: bits(block.broadcast()),
            except: except
                .iter()
                .map(|e| (bits(e.network()), bits(e.broadcast())))
                .collect(),
        },
    }
}

fn place<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("far fewer than 2^32 rules")
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
