//! The slow and obvious oracle: every policy, rule, peer and port is looked at for every decision.

use std::net::IpAddr;
use std::sync::Arc;

use headgate_ring::message::{Direction, Peer, Policy, PolicyRule, PortRange};

use super::{Decision, Denial, PolicyId};

/// Decides straight from the messages; `policies` are sorted by name and direction.
#[must_use]
pub fn decide(policies: &[Arc<Policy>], src: IpAddr, dst: IpAddr, protocol: u8, dst_port: u16) -> Decision {
    if src == dst {
        return Decision::Allow;
    }
    for (direction, subject, peer) in [(Direction::Egress, src, dst), (Direction::Ingress, dst, src)] {
        let isolating = || {
            (0..)
                .zip(policies)
                .filter(move |(_, p)| p.direction == direction && p.subjects.contains(&subject))
        };
        let allowed = isolating()
            .flat_map(|(_, policy)| &policy.rules)
            .any(|rule| matches(rule, peer, protocol, dst_port));
        if let (false, Some((number, _))) = (allowed, isolating().next()) {
            return Decision::Deny(Denial {
                policy: PolicyId(number),
                direction,
            });
        }
    }
    Decision::Allow
}

fn matches(rule: &PolicyRule, peer: IpAddr, protocol: u8, dst_port: u16) -> bool {
    let peer_matches = |peers: &Vec<Peer>| peers.iter().any(|p| holds(p, peer));
    let port_matches = |ports: &Vec<PortRange>| ports.iter().any(|p| covers(p, protocol, dst_port));
    rule.peers.as_ref().is_none_or(peer_matches) && rule.ports.as_ref().is_none_or(port_matches)
}

fn holds(peer: &Peer, address: IpAddr) -> bool {
    peer.block.contains(&address) && !peer.except.iter().any(|e| e.contains(&address))
}

fn covers(range: &PortRange, protocol: u8, port: u16) -> bool {
    range.protocol.number() == protocol && (range.first..=range.last).contains(&port)
}
