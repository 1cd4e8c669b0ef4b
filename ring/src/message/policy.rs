//! What may connect to what: pods, the groups that selectors make of them, and policies over groups.
//!
//! A selector is not resolved to addresses: it is a [`Group`], each pod says which groups it is in, and policies
//! name groups. So a pod that comes or goes is one object, and a policy one or two, however large the
//! cluster is.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Protocol;

/// Names a group: the first 128 bits of a SHA-256 digest of what defines it, so that the same selector has the same
/// name in every process, and nobody can make two selectors that share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u128);

/// What one selector selects, of pods or nodes; [`Endpoint::groups`] says which are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As policies and endpoints name it.
    pub id: GroupId,
    /// What defines it, for people: `pods with app=web in namespace shop`.
    pub text: String,
}

/// A pod or a node, as far as policies can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `namespace/pod`, or the name of a node, which has no slash.
    pub name: String,
    /// Sorted, without duplicates. Where two endpoints have the same address, it is in the groups of both.
    pub addresses: Vec<IpAddr>,
    /// `status.hostIPs`: the addresses of the node that it runs on, sorted, without duplicates. NetworkPolicies do not
    /// come between a pod and its node.
    pub hosts: Vec<IpAddr>,
    /// `metadata.labels`, in the order of their keys, for people.
    pub labels: Vec<(String, String)>,
    /// `spec.containers[].ports`, for people: policies' named ports are resolved already.
    pub ports: Vec<EndpointPort>,
    /// The groups that it is in, of those that policies name; sorted, without duplicates.
    pub groups: Vec<GroupId>,
}

/// One port that a container says it listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPort {
    /// `name`, empty where it has none.
    pub name: String,
    /// `protocol`.
    pub protocol: Protocol,
    /// `containerPort`, never 0.
    pub number: u16,
}

/// Which end of a connection a policy guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// Connections to the subjects.
    Ingress,
    /// Connections from the subjects.
    Egress,
}

/// Which policies decide before which; in the order of their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// ClusterNetworkPolicy with `spec.tier: Admin`.
    Admin,
    /// NetworkPolicy: its subjects are isolated, and take (or open) only what a rule of some policy accepts. Decides
    /// for good wherever one selects the subject.
    NetworkPolicy,
    /// ClusterNetworkPolicy with `spec.tier: Baseline`. What no tier decides is allowed.
    Baseline,
}

/// One direction of a NetworkPolicy or ClusterNetworkPolicy.
///
/// In the tiers Admin and Baseline policies are tried in the order of `priority`, then of `name`, and their rules in
/// order; the first rule that matches decides, and [`Action::Pass`] goes on with the next tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `namespace/name`, or the name of a ClusterNetworkPolicy, which has no slash.
    pub name: String,
    /// When it has its turn.
    pub tier: Tier,
    /// `spec.priority`, the lower first; 0 in the tier NetworkPolicy.
    pub priority: u16,
    /// Which of `spec.ingress` and `spec.egress` this is.
    pub direction: Direction,
    /// The pods that it guards.
    pub subjects: GroupId,
    /// In the tier NetworkPolicy none accepts nothing.
    pub rules: Vec<PolicyRule>,
}

/// One element of `spec.ingress` or `spec.egress`, or a part of one: a peer AND a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// Its place in the manifest's list, from 0. Several rules have the same where named ports take several to say.
    pub number: u32,
    /// `name` of a ClusterNetworkPolicy's rule; empty where it has none.
    pub name: String,
    /// What happens to connections that match; always [`Action::Accept`] in the tier NetworkPolicy.
    pub action: Action,
    /// The rule is for those of the subjects that are in this group, too; `None` for all of them. Subjects whose
    /// named ports have other numbers have rules of their own.
    pub only: Option<GroupId>,
    /// The other end; `None` where `from` or `to` is missing or empty: any address.
    pub peers: Option<Vec<Peer>>,
    /// The destination port; `None` where `ports` is missing or empty: any protocol and port.
    pub ports: Option<Vec<PortRange>>,
}

/// What a rule does with connections that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Lets them be.
    Accept,
    /// Refuses them.
    Deny,
    /// Leaves them to the next tier.
    Pass,
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Peer {
    /// Pods or nodes that a selector selects.
    Group(GroupId),
    /// Addresses, pods' included.
    Block {
        /// `ipBlock.cidr`, host bits zero.
        block: IpNet,
        /// `ipBlock.except`, each inside `block` and smaller, host bits zero.
        except: Vec<IpNet>,
    },
}

/// Destination ports of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// `ports[].protocol`.
    pub protocol: Protocol,
    /// `ports[].port`, or 0 where it is missing.
    pub first: u16,
    /// `ports[].endPort`, `first` where that is missing, or 65535 where both are; not below `first`.
    pub last: u16,
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for GroupId {
    /// Text in formats for people (JSON's numbers are too small), bytes on the ring.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            s.collect_str(self)
        } else {
            self.0.to_le_bytes().serialize(s)
        }
    }
}

impl<'de> Deserialize<'de> for GroupId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = String::deserialize(d)?;
            let number = u128::from_str_radix(&text, 16).map_err(de::Error::custom)?;
            Ok(Self(number))
        } else {
            <[u8; 16]>::deserialize(d).map(|bytes| Self(u128::from_le_bytes(bytes)))
        }
    }
}
