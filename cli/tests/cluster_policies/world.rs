//! Small random clusters: few labels, names and ports, so that they meet often.

use std::net::IpAddr;

use headgate_ring::message::{Action, Direction, Protocol, Tier};
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// What a manifest could say, as far as the API goes.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// By number: the namespace `n0` and so on.
    pub(crate) namespaces: Vec<Labels>,
    pub(crate) pods: Vec<Pod>,
    /// By number: the node `node-0` and so on, at 192.0.2.0 and so on.
    pub(crate) nodes: Vec<Labels>,
    /// By number: the policy `c0` and so on.
    pub(crate) cluster_policies: Vec<ClusterPolicy>,
    /// By number: the policy `p0` and so on.
    pub(crate) policies: Vec<NetworkPolicy>,
}

/// Values of the only keys, `a` and `b`.
pub(crate) type Labels = [Option<&'static str>; 2];

/// At 10.0.0.0 and so on by its number, and at the same place of fd00::/64; of the host's network at its node's address.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: usize,
    pub(crate) labels: Labels,
    pub(crate) on_host: bool,
    pub(crate) ports: Vec<(&'static str, Protocol, u16)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClusterPolicy {
    pub(crate) tier: Tier,
    pub(crate) priority: u16,
    pub(crate) subject: Pods,
    pub(crate) rules: Vec<(Direction, Rule)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) action: Action,
    pub(crate) peers: Vec<Peer>,
    pub(crate) ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Pods {
    pub(crate) namespaces: Selector,
    /// Missing says `namespaces` instead of `pods`.
    pub(crate) pods: Option<Selector>,
}

#[derive(Clone, Debug)]
pub(crate) enum Peer {
    Pods(Pods),
    Nodes(Selector),
    Networks(Vec<IpNet>),
}

#[derive(Clone, Debug)]
pub(crate) enum Port {
    Number(Protocol, u16),
    Range(Protocol, u16, u16),
    All(Protocol),
    Named(&'static str),
}

/// A policy of one direction.
#[derive(Clone, Debug)]
pub(crate) struct NetworkPolicy {
    pub(crate) namespace: usize,
    pub(crate) direction: Direction,
    pub(crate) subjects: Selector,
    /// Pods of any namespace, and a port of TCP.
    pub(crate) rules: Vec<(Selector, Option<u16>)>,
}

/// Requirements: the key's number, the operator, and the values of In and NotIn.
pub(crate) type Selector = Vec<(usize, &'static str, Vec<&'static str>)>;

/// A connection to be decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

pub(crate) const KEYS: [&str; 2] = ["a", "b"];
const VALUES: [&str; 2] = ["x", "y"];
const PORTS: [u16; 3] = [80, 81, 82];
const PODS: usize = 6;

/// The address of a pod by its number, as IPv4 or IPv6.
pub(crate) fn address(number: usize, v6: bool) -> IpAddr {
    let number = u16::try_from(number).expect("a few pods");
    if v6 {
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, number])
    } else {
        IpAddr::from([10, 0, 0, number.to_be_bytes()[1]])
    }
}

/// The address of a node by its number.
pub(crate) fn node_address(number: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, u8::try_from(number).expect("a few nodes") + 1])
}

fn protocols() -> impl Strategy<Value = Protocol> + Clone {
    select(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp][..])
}

fn labels() -> impl Strategy<Value = Labels> {
    let value = || option::of(select(&VALUES[..]));
    (value(), value()).prop_map(|(a, b)| [a, b])
}

fn selectors() -> impl Strategy<Value = Selector> + Clone {
    let values = vec(select(&VALUES[..]), 1..3);
    let requirement = (
        0..KEYS.len(),
        select(&["In", "NotIn", "Exists", "DoesNotExist"][..]),
        values,
    );
    let requirement = requirement.prop_map(|(key, operator, values)| {
        let values = if operator.ends_with("In") {
            values
        } else {
            Vec::new()
        };
        (key, operator, values)
    });
    prop_oneof![2 => Just(Vec::new()), 3 => vec(requirement, 1..3)]
}

fn pods() -> impl Strategy<Value = Pod> {
    let port = (select(&["p", "q"][..]), protocols(), select(&PORTS[..]));
    let on_host = prop::bool::weighted(0.15);
    (0..3_usize, labels(), on_host, vec(port, 0..4)).prop_map(|(namespace, labels, on_host, ports)| Pod {
        namespace,
        labels,
        on_host,
        ports,
    })
}

fn peers(direction: Direction) -> BoxedStrategy<Peer> {
    let pods = (selectors(), option::of(selectors()));
    let pods = pods.prop_map(|(namespaces, pods)| Peer::Pods(Pods { namespaces, pods }));
    if direction == Direction::Ingress {
        return pods.boxed();
    }
    let networks = [
        "10.0.0.0/30",
        "10.0.0.4/31",
        "0.0.0.0/0",
        "::/0",
        "fd00::2/127",
        "192.0.2.1/32",
    ];
    let networks = prop::sample::subsequence(networks.to_vec(), 1..3);
    let networks = networks.prop_map(|list| {
        let parse = |text: &str| text.parse().expect("a network");
        Peer::Networks(list.into_iter().map(parse).collect())
    });
    prop_oneof![3 => pods, 1 => selectors().prop_map(Peer::Nodes), 1 => networks].boxed()
}

fn ports() -> impl Strategy<Value = Port> {
    prop_oneof![
        (protocols(), select(&PORTS[..])).prop_map(|(protocol, port)| Port::Number(protocol, port)),
        (protocols(), 79..82_u16, 82..84_u16).prop_map(|(protocol, a, b)| Port::Range(protocol, a, b)),
        protocols().prop_map(Port::All),
        select(&["p", "q", "r"][..]).prop_map(Port::Named),
    ]
}

fn rules() -> impl Strategy<Value = (Direction, Rule)> {
    let rule = |direction| {
        let action = select(&[Action::Accept, Action::Deny, Action::Pass][..]);
        (
            action,
            vec(peers(direction), 1..3),
            option::weighted(0.4, vec(ports(), 1..3)),
        )
            .prop_map(move |(action, peers, ports)| {
                // The API refuses names of ports beside peers that are no pods.
                let unnamed = peers.iter().any(|p| !matches!(p, Peer::Pods(_)));
                let allowed = |p: &Port| !unnamed || !matches!(p, Port::Named(_));
                let ports = ports.map(|list| list.into_iter().filter(allowed).collect::<Vec<_>>());
                let ports = ports.filter(|list| !list.is_empty());
                (direction, Rule { action, peers, ports })
            })
    };
    prop_oneof![rule(Direction::Ingress), rule(Direction::Egress)]
}

fn cluster_policies() -> impl Strategy<Value = ClusterPolicy> {
    let tier = select(&[Tier::Admin, Tier::Baseline][..]);
    let subject = (selectors(), option::of(selectors()));
    (tier, 0..3_u16, subject, vec(rules(), 0..5)).prop_map(|(tier, priority, (namespaces, pods), rules)| {
        ClusterPolicy {
            tier,
            priority,
            subject: Pods { namespaces, pods },
            rules,
        }
    })
}

fn policies() -> impl Strategy<Value = NetworkPolicy> {
    let direction = select(&[Direction::Ingress, Direction::Egress][..]);
    let rules = vec((selectors(), option::weighted(0.3, select(&PORTS[..]))), 0..3);
    (0..3_usize, direction, selectors(), rules).prop_map(|(namespace, direction, subjects, rules)| {
        NetworkPolicy {
            namespace,
            direction,
            subjects,
            rules,
        }
    })
}

pub(crate) fn worlds() -> impl Strategy<Value = World> {
    (
        vec(labels(), 3),
        vec(pods(), PODS),
        vec(labels(), 2),
        vec(cluster_policies(), 0..6),
        vec(policies(), 0..3),
    )
        .prop_map(|(namespaces, pods, nodes, cluster_policies, policies)| World {
            namespaces,
            pods,
            nodes,
            cluster_policies,
            policies,
        })
}

pub(crate) fn connections() -> impl Strategy<Value = Connection> {
    let end = prop_oneof![6 => 0..PODS, 1 => PODS..PODS + 3];
    // Pods, then nodes, then somebody outside.
    let place = |number: usize, v6: bool| match number {
        pod if pod < PODS => address(pod, v6),
        node if node < PODS + 2 => node_address(node - PODS),
        _ => "198.51.100.7".parse().expect("an address"),
    };
    (end.clone(), end, any::<bool>(), protocols(), 79..85_u16).prop_map(
        move |(from, to, v6, protocol, port)| {
            let v6 = v6 && from < PODS && to < PODS;
            Connection {
                src: place(from, v6),
                dst: place(to, v6),
                protocol,
                port,
            }
        },
    )
}
