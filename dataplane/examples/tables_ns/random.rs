//! A cluster made up from a seed: pods in deployments in namespaces, CIDRs, and policies over them.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use headgate_ring::message::{
    Action, Direction, Endpoint, GroupId, Peer, Policy, PolicyRule, PortRange, Protocol, Tier,
};
use ipnet::IpNet;

/// Pods of a deployment, and deployments of a namespace.
const REPLICAS: u32 = 10;
const DEPLOYMENTS: u32 = 10;
const RULES: usize = 10;

pub(crate) type Connection = (IpAddr, IpAddr, u8, u16);

/// Random numbers that are the same in every run (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// An address whose first `length` bits are those of `top`.
    pub(crate) fn v4(&mut self, top: u32, length: u8) -> IpAddr {
        let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
        (top & !host | (self.next() >> 32) as u32 & host)
            .to_be_bytes()
            .into()
    }

    /// An address whose first `length` bits are those of the 16 bits `top`.
    pub(crate) fn v6(&mut self, top: u16, length: u8) -> IpAddr {
        let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
        let random = u128::from(self.next()) << 64 | u128::from(self.next());
        Ipv6Addr::from_bits(u128::from(top) << 112 & !host | random & host).into()
    }
}

pub(crate) fn block(address: IpAddr, length: u8) -> IpNet {
    IpNet::new_assert(address, length).trunc()
}

pub(crate) struct Cluster {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) policies: Vec<Arc<Policy>>,
    pub(crate) v6: bool,
    pods: Vec<IpAddr>,
    cidrs: Vec<IpNet>,
}

impl Cluster {
    pub(crate) fn new(pods: u32, policies: u32, cidrs: u32, v6: bool) -> Self {
        let mut random = Random::new(5);
        let pods: Vec<IpAddr> = (0..pods).map(|i| pod(i, v6)).collect();
        let cidrs = (0..cidrs).map(|i| cidr(&mut random, i, v6)).collect();
        let endpoints = (0..)
            .zip(&pods)
            .map(|(i, address)| Arc::new(endpoint(i, *address)));
        let mut cluster = Self {
            endpoints: endpoints.collect(),
            policies: Vec::new(),
            v6,
            pods,
            cidrs,
        };
        cluster.policies = (0..policies).map(|i| cluster.policy(&mut random, i)).collect();
        cluster
    }

    /// To a pod: from a client in some CIDR, from any address, or from another pod.
    pub(crate) fn connection(&self, random: &mut Random) -> Connection {
        let pod = |random: &mut Random| self.pods[random.below(self.pods.len() as u32) as usize];
        let src = match random.below(4) {
            0 => pod(random),
            1 if self.v6 => random.v6(0x2000, 3),
            1 => random.v4(0, 0),
            _ => self.cidrs[random.below(self.cidrs.len() as u32) as usize]
                .hosts()
                .next()
                .unwrap_or(self.pods[0]),
        };
        let protocol = if random.below(4) == 0 { 17 } else { 6 };
        (src, pod(random), protocol, port(random))
    }

    /// Nine in ten guard a deployment, the others a namespace; two in three are of ingress.
    fn policy(&self, random: &mut Random, number: u32) -> Arc<Policy> {
        let direction = if number % 3 == 2 {
            Direction::Egress
        } else {
            Direction::Ingress
        };
        let subjects = if random.below(10) == 0 {
            self.namespace(random.below(u32::MAX))
        } else {
            self.deployment(random.below(u32::MAX))
        };
        let rules = (0..RULES).map(|_| self.rule(random)).collect();
        Arc::new(Policy {
            name: format!("ns/policy-{number:05}"),
            tier: Tier::NetworkPolicy,
            priority: 0,
            direction,
            subjects,
            rules,
        })
    }

    /// Seven in ten name pods, two in ten CIDRs, one in ten is for any peer.
    fn rule(&self, random: &mut Random) -> PolicyRule {
        let peers = match random.below(10) {
            0 => None,
            1 | 2 => Some((0..1 + random.below(3)).map(|_| self.cidr_peer(random)).collect()),
            3 => Some(vec![Peer::Group(self.namespace(random.below(u32::MAX)))]),
            _ => Some(vec![Peer::Group(self.deployment(random.below(u32::MAX)))]),
        };
        let range = |random: &mut Random| {
            let protocol = if random.below(4) == 0 {
                Protocol::Udp
            } else {
                Protocol::Tcp
            };
            let first = port(random);
            let last = if random.below(8) == 0 {
                first.saturating_add(100)
            } else {
                first
            };
            PortRange {
                protocol,
                first,
                last,
            }
        };
        let ports = (random.below(8) != 0).then(|| (0..1 + random.below(3)).map(|_| range(random)).collect());
        PolicyRule {
            number: 0,
            name: String::new(),
            action: Action::Accept,
            only: None,
            peers,
            ports,
        }
    }

    fn cidr_peer(&self, random: &mut Random) -> Peer {
        let block = self.cidrs[random.below(self.cidrs.len() as u32) as usize];
        let except = match block.subnets(block.prefix_len() + 3) {
            Ok(mut parts) if random.below(3) == 0 => parts.nth(2).into_iter().collect(),
            _ => Vec::new(),
        };
        Peer::Block { block, except }
    }

    fn deployment(&self, number: u32) -> GroupId {
        let deployments = (self.pods.len() as u32 / REPLICAS).max(1);
        deployment(number % deployments)
    }

    fn namespace(&self, number: u32) -> GroupId {
        let namespaces = (self.pods.len() as u32 / REPLICAS / DEPLOYMENTS).max(1);
        namespace(number % namespaces)
    }
}

fn deployment(number: u32) -> GroupId {
    GroupId(number.into())
}

fn namespace(number: u32) -> GroupId {
    GroupId(u128::from(number) | 1 << 64)
}

/// Pods are dealt to nodes in turn, so those of one group have addresses far apart.
fn endpoint(number: u32, address: IpAddr) -> Endpoint {
    let of = number / REPLICAS;
    Endpoint {
        name: format!("ns-{}/pod-{number}", of / DEPLOYMENTS),
        addresses: vec![address],
        labels: Vec::new(),
        ports: Vec::new(),
        groups: vec![deployment(of), namespace(of / DEPLOYMENTS)],
    }
}

/// Pods in a block of 256 addresses for each of 250 nodes.
fn pod(number: u32, v6: bool) -> IpAddr {
    let (node, host) = (number % 250, 2 + number / 250);
    if v6 {
        Ipv6Addr::new(0xfd00, 0x10, 0x244, node as u16, 0, 0, 0, host as u16).into()
    } else {
        [10, 128 + (host >> 8) as u8, node as u8, host as u8].into()
    }
}

fn cidr(random: &mut Random, number: u32, v6: bool) -> IpNet {
    if v6 {
        block(random.v6(0x2000, 3), [32, 48, 56, 64, 120][number as usize % 5])
    } else {
        block(
            random.v4(0, 0),
            [12, 16, 20, 24, 24, 24, 28, 29][number as usize % 8],
        )
    }
}

fn port(random: &mut Random) -> u16 {
    const PORTS: [u16; 12] = [80, 443, 53, 8080, 8443, 9090, 5432, 6379, 3306, 9092, 4317, 22];
    match random.below(16) {
        i if i < 12 => PORTS[i as usize],
        _ => 1024 + random.below(200) as u16 * 100,
    }
}
