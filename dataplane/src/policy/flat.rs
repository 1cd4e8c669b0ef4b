//! Policies with their groups resolved to addresses, the form that the tables are built from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{self, Direction, Endpoint, GroupId, PortRange, Tier};
use ipnet::IpNet;

/// A part of one policy: the subjects for which the same of its rules hold.
#[derive(Debug)]
pub(super) struct Policy {
    /// Its place in [`super::Compiled::policies`].
    pub(super) origin: u32,
    pub(super) direction: Direction,
    pub(super) subjects: Vec<IpAddr>,
    pub(super) rules: Vec<PolicyRule>,
}

#[derive(Debug)]
pub(super) struct PolicyRule {
    pub(super) peers: Option<Vec<Peer>>,
    pub(super) ports: Option<Vec<PortRange>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) block: IpNet,
    pub(super) except: Vec<IpNet>,
}

/// Resolves the groups of the tier NetworkPolicy.
pub(super) fn flatten(endpoints: &[Arc<Endpoint>], policies: &[Arc<message::Policy>]) -> Vec<Arc<Policy>> {
    let mut members: HashMap<GroupId, BTreeSet<IpAddr>> = HashMap::new();
    for endpoint in endpoints {
        for group in &endpoint.groups {
            members.entry(*group).or_default().extend(&endpoint.addresses);
        }
    }
    let none = BTreeSet::new();
    let of = |group: &GroupId| members.get(group).unwrap_or(&none);
    let mut flat = Vec::new();
    for (policy, origin) in policies
        .iter()
        .zip(0..)
        .filter(|(p, _)| p.tier == Tier::NetworkPolicy)
    {
        let mut parts: BTreeMap<Vec<bool>, Vec<IpAddr>> = BTreeMap::new();
        for subject in of(&policy.subjects) {
            let holds =
                |rule: &message::PolicyRule| rule.only.as_ref().is_none_or(|g| of(g).contains(subject));
            parts
                .entry(policy.rules.iter().map(holds).collect())
                .or_default()
                .push(*subject);
        }
        flat.extend(parts.into_iter().map(|(holds, subjects)| {
            let rules = policy.rules.iter().zip(holds).filter(|(_, holds)| *holds);
            Arc::new(Policy {
                origin,
                direction: policy.direction,
                subjects,
                rules: rules.map(|(rule, _)| self::rule(rule, &of)).collect(),
            })
        }));
    }
    flat
}

fn rule<'a>(rule: &message::PolicyRule, of: &impl Fn(&GroupId) -> &'a BTreeSet<IpAddr>) -> PolicyRule {
    let peers = rule.peers.as_ref().map(|peers| {
        let mut blocks = Vec::new();
        for peer in peers {
            match peer {
                message::Peer::Group(group) => blocks.extend(of(group).iter().map(|address| Peer {
                    block: (*address).into(),
                    except: Vec::new(),
                })),
                message::Peer::Block { block, except } => blocks.push(Peer {
                    block: *block,
                    except: except.clone(),
                }),
            }
        }
        blocks
    });
    PolicyRule {
        peers,
        ports: rule.ports.clone(),
    }
}
