//! Random clusters, decided straight from what their manifests say, against what becomes of the manifests.

use std::net::IpAddr;

use headgate_dataplane::policy::End;
use headgate_ring::message::{Action, Direction, Tier};
use proptest::prelude::*;

use super::gateway::Gateway;
use super::manifests::manifests;
use super::world::{
    Connection, Labels, NetworkPolicy, Peer, Pod, Pods, Port, Rule, Selector, World, address, connections,
    node_address, worlds,
};

/// Whether a connection may be, and the policy and the place of its rule that say so.
type Verdict = (bool, Option<(String, Option<u32>)>);

fn selects(selector: &Selector, labels: Labels) -> bool {
    selector.iter().all(|(key, operator, values)| {
        let value = labels[*key];
        match *operator {
            "In" => value.is_some_and(|v| values.contains(&v)),
            "NotIn" => value.is_none_or(|v| !values.contains(&v)),
            "Exists" => value.is_some(),
            _ => value.is_none(),
        }
    })
}

impl World {
    /// Pods of the host's network are not there for policies.
    fn pod(&self, address_of: IpAddr) -> Option<&Pod> {
        let mut numbered = self.pods.iter().enumerate().filter(|(_, pod)| !pod.on_host);
        numbered
            .find(|(i, _)| [false, true].iter().any(|v6| address(*i, *v6) == address_of))
            .map(|(_, pod)| pod)
    }

    /// With the chosen parts of another.
    fn with(mut self, other: Self, [namespaces, pods, nodes, cluster_policies, policies]: [bool; 5]) -> Self {
        fn take<T>(chosen: bool, own: &mut T, others: T) {
            if chosen {
                *own = others;
            }
        }
        take(namespaces, &mut self.namespaces, other.namespaces);
        take(pods, &mut self.pods, other.pods);
        take(nodes, &mut self.nodes, other.nodes);
        take(
            cluster_policies,
            &mut self.cluster_policies,
            other.cluster_policies,
        );
        take(policies, &mut self.policies, other.policies);
        self
    }

    fn means(&self, pods: &Pods, pod: &Pod) -> bool {
        selects(&pods.namespaces, self.namespaces[pod.namespace])
            && pods
                .pods
                .as_ref()
                .is_none_or(|labels| selects(labels, pod.labels))
    }

    fn is_peer(&self, peer: &Peer, end: IpAddr) -> bool {
        match peer {
            Peer::Pods(pods) => self.pod(end).is_some_and(|pod| self.means(pods, pod)),
            Peer::Nodes(labels) => {
                let mut nodes = self.nodes.iter().enumerate();
                nodes.any(|(i, node)| node_address(i) == end && selects(labels, *node))
            }
            Peer::Networks(networks) => networks.iter().any(|network| network.contains(&end)),
        }
    }

    fn is_port(&self, port: &Port, connection: Connection) -> bool {
        let (protocol, number) = (connection.protocol, connection.port);
        match *port {
            Port::Number(p, n) => p == protocol && n == number,
            Port::Range(p, first, last) => p == protocol && (first..=last).contains(&number),
            Port::All(p) => p == protocol,
            Port::Named(name) => self.pod(connection.dst).is_some_and(|pod| {
                let named = pod.ports.iter().find(|(n, p, _)| *n == name && *p == protocol);
                named.is_some_and(|(_, _, n)| *n == number)
            }),
        }
    }

    fn applies(&self, rule: &Rule, peer: IpAddr, connection: Connection) -> bool {
        let ports = rule.ports.as_ref();
        rule.peers.iter().any(|p| self.is_peer(p, peer))
            && ports.is_none_or(|ports| ports.iter().any(|p| self.is_port(p, connection)))
    }

    /// The first rule of the tier that applies.
    fn first(
        &self,
        tier: Tier,
        direction: Direction,
        connection: Connection,
    ) -> Option<(Action, String, u32)> {
        let (subject, peer) = ends(direction, connection);
        let subject = self.pod(subject)?;
        let mut policies: Vec<_> = self.cluster_policies.iter().enumerate().collect();
        // With fewer than ten of them the order of their numbers is that of their names.
        policies.sort_by_key(|(i, policy)| (policy.priority, *i));
        let of_tier = policies
            .into_iter()
            .filter(|(_, p)| p.tier == tier && self.means(&p.subject, subject));
        for (i, policy) in of_tier {
            let own = policy.rules.iter().filter(|(d, _)| *d == direction);
            for ((_, rule), number) in own.zip(0..) {
                if self.applies(rule, peer, connection) {
                    return Some((rule.action, format!("c{i}"), number));
                }
            }
        }
        None
    }

    /// What NetworkPolicies say; `None` where none isolates the subject.
    fn network_policies(&self, direction: Direction, connection: Connection) -> Option<Verdict> {
        let (subject, peer) = ends(direction, connection);
        let subject = self.pod(subject)?;
        let isolates = |p: &NetworkPolicy| {
            p.direction == direction
                && p.namespace == subject.namespace
                && selects(&p.subjects, subject.labels)
        };
        let mut policies: Vec<(String, &NetworkPolicy)> = self
            .policies
            .iter()
            .enumerate()
            .filter(|(_, p)| isolates(p))
            .map(|(i, p)| (format!("n{}/p{i}", p.namespace), p))
            .collect();
        policies.sort_by(|a, b| a.0.cmp(&b.0));
        let isolating = policies.first()?.0.clone();
        let allows = |(pods, port): &(Selector, Option<u16>)| {
            let tcp = connection.protocol == headgate_ring::message::Protocol::Tcp;
            self.pod(peer).is_some_and(|pod| selects(pods, pod.labels))
                && port.is_none_or(|port| tcp && port == connection.port)
        };
        for (name, policy) in &policies {
            if let Some(number) = policy
                .rules
                .iter()
                .zip(0..)
                .find(|(r, _)| allows(r))
                .map(|(_, n)| n)
            {
                return Some((true, Some((name.clone(), Some(number)))));
            }
        }
        Some((false, Some((isolating, None))))
    }

    fn decide(&self, direction: Direction, connection: Connection) -> Verdict {
        let decided = |allowed, name, number| (allowed, Some((name, Some(number))));
        match self.first(Tier::Admin, direction, connection) {
            Some((Action::Accept, name, number)) => return decided(true, name, number),
            Some((Action::Deny, name, number)) => return decided(false, name, number),
            Some((Action::Pass, ..)) | None => {}
        }
        if let Some(verdict) = self.network_policies(direction, connection) {
            return verdict;
        }
        match self.first(Tier::Baseline, direction, connection) {
            Some((Action::Accept, name, number)) => decided(true, name, number),
            Some((Action::Deny, name, number)) => decided(false, name, number),
            Some((Action::Pass, ..)) | None => (true, None),
        }
    }
}

/// The end that a direction guards, and the other.
fn ends(direction: Direction, connection: Connection) -> (IpAddr, IpAddr) {
    match direction {
        Direction::Ingress => (connection.dst, connection.src),
        Direction::Egress => (connection.src, connection.dst),
    }
}

fn said(end: &End) -> Verdict {
    let by = end.by.as_ref().map(|ruling| {
        let number = ruling.rule.map(|index| ruling.policy.rules[index].number);
        (ruling.policy.name.clone(), number)
    });
    (end.allowed, by)
}

/// Whether the gateway decides as the world's manifests say.
fn agree(world: &World, gateway: &Gateway, connections: &[Connection]) -> Result<(), TestCaseError> {
    prop_assert_eq!(&gateway.lines, &Vec::<String>::new());
    for &connection in connections {
        let Connection {
            src,
            dst,
            protocol,
            port,
        } = connection;
        let explanation = gateway.explain(src, dst, protocol, port);
        if src == dst {
            prop_assert!(explanation.is_allowed());
            continue;
        }
        for (direction, end) in [
            (Direction::Egress, &explanation.egress),
            (Direction::Ingress, &explanation.ingress),
        ] {
            let expected = world.decide(direction, connection);
            prop_assert_eq!(said(end), expected, "{:?} of {:?}", direction, connection);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_manifests_say_is_what_is_decided(
        world in worlds(),
        connections in prop::collection::vec(connections(), 40),
    ) {
        agree(&world, &Gateway::json(&manifests(&world)), &connections)?;
    }

    /// Each of the worlds differs from the one before it in some of its parts.
    #[test]
    fn changes_end_where_a_start_would(
        first in worlds(),
        changes in prop::collection::vec((worlds(), any::<[bool; 5]>()), 1..4),
        connections in prop::collection::vec(connections(), 20),
    ) {
        let mut gateway = Gateway::json(&manifests(&first));
        let mut world = first;
        for (other, parts) in changes {
            world = world.with(other, parts);
            gateway.change(&manifests(&world));
            agree(&world, &gateway, &connections)?;
        }
    }
}

#[test]
fn random_clusters_are_not_all_alike() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut deciders = std::collections::BTreeMap::new();
    for _ in 0..200 {
        let world = worlds().new_tree(&mut runner).expect("a world").current();
        for _ in 0..20 {
            let connection = connections()
                .new_tree(&mut runner)
                .expect("a connection")
                .current();
            let (allowed, by) = world.decide(Direction::Ingress, connection);
            let who = by.map_or('-', |(name, _)| name.chars().next().unwrap_or('?'));
            *deciders.entry((allowed, who)).or_insert(0) += 1;
        }
    }
    // Allowed by nobody, and allowed and denied by either kind.
    assert_eq!(deciders.len(), 5, "{deciders:?}");
    assert!(deciders.values().all(|n| *n > 40), "{deciders:?}");
}
