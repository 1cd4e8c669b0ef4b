//! The slow and obvious oracle: every endpoint, policy, rule, peer and port is looked at for every decision.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{
    Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange, Tier,
};

use super::{End, Explanation, Ruling};

/// Decides straight from the messages, whatever their order. `protocol` is the IANA number.
#[must_use]
pub fn explain(
    endpoints: &[Arc<Endpoint>],
    policies: &[Arc<Policy>],
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    dst_port: u16,
) -> Explanation {
    if src == dst {
        return Explanation::default();
    }
    let mut policies = policies.to_vec();
    policies.sort_by(|a, b| (a.tier, a.priority, &a.name).cmp(&(b.tier, b.priority, &b.name)));
    let connection = |subject, peer| Asked {
        subject,
        peer,
        protocol,
        dst_port,
    };
    Explanation {
        egress: end(endpoints, &policies, Direction::Egress, connection(src, dst)),
        ingress: end(endpoints, &policies, Direction::Ingress, connection(dst, src)),
    }
}

#[derive(Clone, Copy)]
struct Asked {
    subject: IpAddr,
    peer: IpAddr,
    protocol: u8,
    dst_port: u16,
}

fn end(
    endpoints: &[Arc<Endpoint>],
    policies: &[Arc<Policy>],
    direction: Direction,
    connection: Asked,
) -> End {
    let policies: Vec<Arc<Policy>> = policies
        .iter()
        .filter(|p| p.direction == direction && in_group(endpoints, connection.subject, p.subjects))
        .cloned()
        .collect();
    let first_match = |tier| {
        let of_tier = policies.iter().filter(move |p| p.tier == tier);
        of_tier
            .flat_map(|policy| {
                policy
                    .rules
                    .iter()
                    .zip(0_usize..)
                    .map(move |(rule, index)| (policy, rule, index))
            })
            .find(|(_, rule, _)| matches(endpoints, rule, connection))
            .map(|(policy, rule, index)| (policy.clone(), rule.action, index))
    };
    let decided = |allowed, policy, rule| End {
        allowed,
        by: Some(Ruling { policy, rule }),
        policies: policies.clone(),
    };
    match first_match(Tier::Admin) {
        Some((policy, Action::Accept, index)) => return decided(true, policy, Some(index)),
        Some((policy, Action::Deny, index)) => return decided(false, policy, Some(index)),
        Some((_, Action::Pass, _)) | None => {}
    }
    if let Some(isolating) = policies.iter().find(|p| p.tier == Tier::NetworkPolicy) {
        if is_own_node(endpoints, connection) {
            return End {
                allowed: true,
                by: None,
                policies,
            };
        }
        return match first_match(Tier::NetworkPolicy) {
            Some((policy, _, index)) => decided(true, policy, Some(index)),
            None => decided(false, isolating.clone(), None),
        };
    }
    match first_match(Tier::Baseline) {
        Some((policy, Action::Accept, index)) => decided(true, policy, Some(index)),
        Some((policy, Action::Deny, index)) => decided(false, policy, Some(index)),
        Some((_, Action::Pass, _)) | None => End {
            allowed: true,
            by: None,
            policies,
        },
    }
}

fn is_own_node(endpoints: &[Arc<Endpoint>], connection: Asked) -> bool {
    let mut subjects = endpoints
        .iter()
        .filter(|e| e.addresses.contains(&connection.subject));
    subjects.any(|e| e.hosts.contains(&connection.peer))
}

fn in_group(endpoints: &[Arc<Endpoint>], address: IpAddr, group: GroupId) -> bool {
    endpoints
        .iter()
        .any(|e| e.addresses.contains(&address) && e.groups.contains(&group))
}

fn matches(endpoints: &[Arc<Endpoint>], rule: &PolicyRule, connection: Asked) -> bool {
    let Asked {
        subject,
        peer,
        protocol,
        dst_port,
    } = connection;
    let holds = |candidate: &Peer| match candidate {
        Peer::Group(group) => in_group(endpoints, peer, *group),
        Peer::Block { block, except } => block.contains(&peer) && !except.iter().any(|e| e.contains(&peer)),
    };
    let covers = |range: &PortRange| {
        range.protocol.number() == protocol && (range.first..=range.last).contains(&dst_port)
    };
    rule.only.is_none_or(|group| in_group(endpoints, subject, group))
        && rule.peers.as_ref().is_none_or(|peers| peers.iter().any(holds))
        && rule.ports.as_ref().is_none_or(|ports| ports.iter().any(covers))
}
