//! A cluster made up from a seed: pods in deployments in namespaces, CIDRs, and policies over them.

use std::net::{IpAddr, Ipv6Addr};

use headgate_ring::{
    Operation,
    message::{
        Action, Direction, Endpoint, EndpointPort, Group, GroupId, Object, Peer, Policy, PolicyRule,
        PortRange, Protocol, Tier,
    },
};
use ipnet::IpNet;

use super::random::Random;

/// Pods of a deployment.
pub(crate) const REPLICAS: usize = 10;
/// Deployments of a namespace.
pub(crate) const DEPLOYMENTS: usize = 10;
/// Rules of a policy.
pub(crate) const RULES: usize = 10;

/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// A multiple of the pods of a namespace.
    pub(crate) pods: usize,
    /// Each of one direction and ten rules.
    pub(crate) policies: usize,
    /// Blocks that rules draw from.
    pub(crate) cidrs: usize,
}

/// The cluster that the figures are about.
pub(crate) const BIG: Scale = Scale {
    pods: 50_000,
    policies: 10_000,
    cidrs: 20_000,
};

/// What most people have.
pub(crate) const SMALL: Scale = Scale {
    pods: 500,
    policies: 10,
    cidrs: 200,
};

/// A cluster as the control plane tells it.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// Which family all its addresses are of.
    pub(crate) v6: bool,
    /// One for each deployment, then one for each namespace, then others.
    pub(crate) groups: Vec<Group>,
    /// By number, see [`Cluster::endpoint`], until some come and go.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) policies: Vec<Policy>,
    cidrs: Vec<IpNet>,
    deployments: usize,
}

/// A new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// The IANA number.
    pub(crate) protocol: u8,
    pub(crate) dst_port: u16,
}

impl Cluster {
    /// The same for the same arguments.
    pub(crate) fn new(scale: Scale, v6: bool) -> Self {
        let mut random = Random::new(5);
        let deployments = scale.pods / REPLICAS;
        let namespaces = deployments / DEPLOYMENTS;
        let group = |(number, text)| Group {
            id: GroupId(number),
            text,
        };
        let of_deployments = (0..deployments).map(|d| {
            let namespace = namespace_of(d);
            format!("pods with app=web-{d} in namespace {namespace}")
        });
        let of_namespaces = (0..namespaces).map(|n| format!("pods in namespace ns-{n}"));
        let mut cluster = Self {
            v6,
            groups: (0..)
                .zip(of_deployments.chain(of_namespaces))
                .map(group)
                .collect(),
            endpoints: Vec::new(),
            policies: Vec::new(),
            cidrs: (0..scale.cidrs).map(|i| cidr(&mut random, i, v6)).collect(),
            deployments,
        };
        cluster.endpoints = (0..scale.pods).map(|i| cluster.endpoint(i)).collect();
        cluster.policies = (0..scale.policies)
            .map(|i| cluster.policy(&mut random, i))
            .collect();
        cluster
    }

    /// The pod of this number; beyond those that there are, a new one of some deployment.
    pub(crate) fn endpoint(&self, number: usize) -> Endpoint {
        let deployment = number / REPLICAS % self.deployments;
        Endpoint {
            name: format!("{}/web-{deployment}-{number}", namespace_of(deployment)),
            addresses: vec![address(number, self.v6)],
            hosts: Vec::new(),
            labels: vec![("app".into(), format!("web-{deployment}"))],
            ports: vec![EndpointPort {
                name: "http".into(),
                protocol: Protocol::Tcp,
                number: 8080,
            }],
            groups: self.groups_of(deployment),
        }
    }

    /// The groups of a pod of a deployment, sorted.
    pub(crate) fn groups_of(&self, deployment: usize) -> Vec<GroupId> {
        let namespace = self.deployments + deployment / DEPLOYMENTS;
        [deployment, namespace].map(|g| self.groups[g].id).to_vec()
    }

    fn some_deployment(&self, random: &mut Random) -> GroupId {
        random.pick(&self.groups[..self.deployments]).id
    }

    fn some_namespace(&self, random: &mut Random) -> GroupId {
        let namespaces = self.deployments / DEPLOYMENTS;
        random.pick(&self.groups[self.deployments..][..namespaces]).id
    }

    /// A policy: nine in ten guard a deployment, the others a namespace; two in three are of ingress.
    pub(crate) fn policy(&self, random: &mut Random, number: usize) -> Policy {
        let subjects = if random.one_in(10) {
            self.some_namespace(random)
        } else {
            self.some_deployment(random)
        };
        Policy {
            name: format!("ns/policy-{number:05}"),
            tier: Tier::NetworkPolicy,
            priority: 0,
            direction: if number % 3 == 2 {
                Direction::Egress
            } else {
                Direction::Ingress
            },
            subjects,
            rules: (0..RULES).map(|number| self.rule(random, number)).collect(),
        }
    }

    /// A rule: seven in ten name a group (six a deployment, one a namespace), two one to three CIDRs, one any peer.
    pub(crate) fn rule(&self, random: &mut Random, number: usize) -> PolicyRule {
        let peers = match random.below(10) {
            0 => None,
            1 | 2 => Some((0..1 + random.below(3)).map(|_| self.block(random)).collect()),
            3 => Some(vec![Peer::Group(self.some_namespace(random))]),
            _ => Some(vec![Peer::Group(self.some_deployment(random))]),
        };
        let ports = !random.one_in(8);
        PolicyRule {
            number: u32::try_from(number).expect("a policy has few rules"),
            name: String::new(),
            action: Action::Accept,
            only: None,
            peers,
            ports: ports.then(|| (0..1 + random.below(3)).map(|_| range(random)).collect()),
        }
    }

    /// A CIDR, every third with an eighth of it excepted.
    fn block(&self, random: &mut Random) -> Peer {
        let block = *random.pick(&self.cidrs);
        let except = match block.subnets(block.prefix_len() + 3) {
            Ok(mut parts) if random.one_in(3) => parts.nth(2).into_iter().collect(),
            _ => Vec::new(),
        };
        Peer::Block { block, except }
    }

    /// To a pod: a quarter from another pod, a quarter from any address, the others from clients in the CIDRs.
    pub(crate) fn connection(&self, random: &mut Random) -> Connection {
        let pod = |random: &mut Random| random.pick(&self.endpoints).addresses[0];
        let dst = pod(random);
        let src = loop {
            let src = match random.below(4) {
                0 => pod(random),
                1 if self.v6 => random.v6(),
                1 => random.v4(),
                _ => client(*random.pick(&self.cidrs)),
            };
            // A pod always reaches itself, which no rule needs to say.
            if src != dst {
                break src;
            }
        };
        Connection {
            src,
            dst,
            protocol: if random.one_in(4) { 17 } else { 6 },
            dst_port: port(random),
        }
    }

    /// `count` connections to the cluster's pods, the same in every run.
    pub(crate) fn connections(&self, count: usize) -> Vec<Connection> {
        let mut random = Random::new(4);
        (0..count).map(|_| self.connection(&mut random)).collect()
    }

    /// How many deployments there are.
    pub(crate) fn deployments(&self) -> usize {
        self.deployments
    }

    /// The whole cluster, as a control plane sends it.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let groups = self.groups.iter().cloned().map(Object::Group);
        let endpoints = self.endpoints.iter().cloned().map(Object::Endpoint);
        let policies = self.policies.iter().cloned().map(Object::Policy);
        let objects = groups.chain(endpoints).chain(policies);
        objects.map(Operation::Put).collect()
    }

    /// Peers of all rules, each pod of a group counted.
    pub(crate) fn peers(&self) -> usize {
        let namespaces = GroupId(self.deployments as u128);
        let peer = |peer: &Peer| match peer {
            Peer::Block { .. } => 1,
            Peer::Group(id) if *id < namespaces => REPLICAS,
            Peer::Group(_) => REPLICAS * DEPLOYMENTS,
        };
        let rules = self.policies.iter().flat_map(|p| &p.rules);
        rules.flat_map(|r| &r.peers).flatten().map(peer).sum()
    }
}

fn namespace_of(deployment: usize) -> String {
    format!("ns-{}", deployment / DEPLOYMENTS)
}

/// Nodes, each with a block of pod addresses of its own.
const NODES: usize = 250;

/// Pods are dealt to nodes in turn, so those of one deployment have addresses far apart.
#[allow(
    clippy::cast_possible_truncation,
    reason = "each part is cut to its bits of the address"
)]
fn address(number: usize, v6: bool) -> IpAddr {
    let (node, host) = (number % NODES, 2 + number / NODES);
    if v6 {
        Ipv6Addr::new(0xfd00, 0x10, 0x244, node as u16, 0, 0, 0, host as u16).into()
    } else {
        [10, 128 + (host >> 8) as u8, node as u8, host as u8].into()
    }
}

fn cidr(random: &mut Random, number: usize, v6: bool) -> IpNet {
    let (address, length) = if v6 {
        (random.v6(), [32, 48, 56, 64, 120][number % 5])
    } else {
        (random.v4(), [12, 16, 20, 24, 24, 24, 28, 29][number % 8])
    };
    IpNet::new_assert(address, length).trunc()
}

/// A client in a block: its first host.
fn client(block: IpNet) -> IpAddr {
    block.hosts().next().unwrap_or_else(|| block.network())
}

fn range(random: &mut Random) -> PortRange {
    let protocol = if random.one_in(4) {
        Protocol::Udp
    } else {
        Protocol::Tcp
    };
    let first = port(random);
    let more = if random.one_in(8) { 100 } else { 0 };
    PortRange {
        protocol,
        first,
        last: first.saturating_add(more),
    }
}

/// Three in four are well-known ones, the others one of 200.
fn port(random: &mut Random) -> u16 {
    const PORTS: [u16; 12] = [80, 443, 53, 8080, 8443, 9090, 5432, 6379, 3306, 9092, 4317, 22];
    match PORTS.get(random.below(16)) {
        Some(port) => *port,
        None => 1024 + 100 * u16::try_from(random.below(200)).expect("below 200"),
    }
}
