//! ClusterNetworkPolicies: random ones, and what they say about a connection.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::cluster::{PORTS, labels, selector};
use super::oracle::{
    Connection, Direction, Ends, Oracle, Ruling, holds, labels as labels_of, list, name, named_port,
    namespace, selected,
};

const NETWORKS: [&str; 6] = [
    "0.0.0.0/0",
    "10.0.0.0/30",
    "10.0.1.0/24",
    "192.0.2.128/25",
    "::/0",
    "fd00::/127",
];

pub(crate) fn cluster_policy() -> impl Strategy<Value = Value> {
    let subject = prop_oneof![
        selector().prop_map(|s| json!({"namespaces": s})),
        (selector(), selector())
            .prop_map(|(n, p)| json!({"pods": {"namespaceSelector": n, "podSelector": p}})),
    ];
    let tier = select(&["Admin", "Admin", "Baseline"][..]);
    (tier, 0..3, subject, rules(false), rules(true)).prop_map(|(tier, priority, subject, ingress, egress)| {
        json!({"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {},
            "spec": {"tier": tier, "priority": priority, "subject": subject, "ingress": ingress, "egress": egress}})
    })
}

/// A node, whose address may be one that blocks hold.
pub(crate) fn node() -> impl Strategy<Value = Value> {
    (
        labels(),
        select(&["192.0.2.1", "10.9.9.9", "10.0.0.3", "2001:db8::9"][..]),
    )
        .prop_map(|(labels, address)| {
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"labels": labels},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]}})
        })
}

fn rules(egress: bool) -> impl Strategy<Value = Vec<Value>> {
    let pods = prop_oneof![
        selector().prop_map(|s| json!({"namespaces": s})),
        (selector(), selector())
            .prop_map(|(n, p)| json!({"pods": {"namespaceSelector": n, "podSelector": p}})),
    ];
    let outside = prop_oneof![
        selector().prop_map(|s| json!({"nodes": s})),
        subsequence(&NETWORKS[..], 1..3).prop_map(|n| json!({"networks": n})),
    ];
    let peer = prop_oneof![3 => pods, u32::from(egress) * 2 => outside];
    let action = select(&["Accept", "Deny", "Pass"][..]);
    let rule =
        (action, vec(peer, 1..3), vec(protocol(), 0..3)).prop_map(move |(action, peers, protocols)| {
            let field = if egress { "to" } else { "from" };
            // A port's name is nothing that addresses outside of the cluster have; the API refuses the two together.
            let outside = peers
                .iter()
                .any(|p| !p["nodes"].is_null() || !p["networks"].is_null());
            let named = |p: &Value| !p["destinationNamedPort"].is_null();
            let protocols: Vec<Value> = protocols.into_iter().filter(|p| !(outside && named(p))).collect();
            let mut rule = json!({"action": action, field: peers});
            if !protocols.is_empty() {
                rule["protocols"] = json!(protocols);
            }
            rule
        });
    vec(rule, 0..4)
}

fn protocol() -> impl Strategy<Value = Value> {
    let port = prop_oneof![
        1 => Just(json!({})),
        2 => select(&PORTS[..]).prop_map(|p| json!({"destinationPort": {"number": p}})),
        1 => subsequence(&PORTS[..], 2).prop_map(|p| json!({"destinationPort": {"range": {"start": p[0], "end": p[1]}}})),
    ];
    prop_oneof![
        4 => (select(&["tcp", "udp", "sctp"][..]), port).prop_map(|(protocol, port)| json!({protocol: port})),
        1 => select(&["http", "dns", "web"][..]).prop_map(|name| json!({"destinationNamedPort": name})),
    ]
}

impl Oracle<'_> {
    /// What the first rule of the tier that matches says; `None` where none matches, or it passes.
    pub(crate) fn cluster(
        &self,
        direction: Direction,
        tier: &str,
        ends: Ends,
        connection: Connection,
    ) -> Option<Ruling> {
        let mut policies: Vec<&Value> = self
            .of("ClusterNetworkPolicy")
            .filter(|p| p["spec"]["tier"] == tier && self.is_meant(&p["spec"]["subject"], ends.subject))
            .collect();
        policies.sort_by_key(|p| (p["spec"]["priority"].as_u64(), p["metadata"]["name"].as_str()));
        let rules = policies.iter().flat_map(|policy| {
            let rules = list(&policy["spec"][direction.field()]);
            rules
                .iter()
                .zip(0..)
                .map(move |(rule, number)| (*policy, rule, number))
        });
        let matches = |(_, rule, _): &(&Value, &Value, u32)| {
            let protocols = list(&rule["protocols"]);
            let peers = list(&rule[direction.peers()]);
            peers.iter().any(|peer| self.is_meant(peer, ends.peer))
                && (protocols.is_empty() || protocols.iter().any(|p| self.covers(p, connection)))
        };
        let (policy, rule, number) = rules.into_iter().find(matches)?;
        let ruling = |allowed| Ruling {
            allowed,
            by: Some((name(policy), Some(number))),
        };
        match rule["action"].as_str() {
            Some("Accept") => Some(ruling(true)),
            Some("Deny") => Some(ruling(false)),
            _ => None,
        }
    }

    /// A subject or a peer.
    fn is_meant(&self, peer: &Value, address: std::net::IpAddr) -> bool {
        let of_namespace =
            |selector: &Value, pod: &Value| selected(selector, &self.namespace_labels(namespace(pod)));
        if !peer["networks"].is_null() {
            return list(&peer["networks"]).iter().any(|block| holds(block, address));
        }
        if !peer["nodes"].is_null() {
            return self.of("Node").any(|node| {
                let addresses = list(&node["status"]["addresses"]);
                let has = addresses
                    .iter()
                    .any(|a| a["address"] == address.to_string().as_str());
                has && selected(&peer["nodes"], &labels_of(node))
            });
        }
        self.pods_at(address).any(|pod| {
            let pods = &peer["pods"];
            if pods.is_null() {
                return of_namespace(&peer["namespaces"], pod);
            }
            of_namespace(&pods["namespaceSelector"], pod) && selected(&pods["podSelector"], &labels_of(pod))
        })
    }

    fn covers(&self, protocol: &Value, connection: Connection) -> bool {
        let port = u64::from(connection.port);
        if let Some(name) = protocol["destinationNamedPort"].as_str() {
            let mut pods = self.pods_at(connection.dst);
            return pods.any(|pod| named_port(pod, name, connection.protocol) == Some(port));
        }
        let of = &protocol[connection.protocol.to_lowercase()];
        if of.is_null() || of["destinationPort"].is_null() {
            return !of.is_null();
        }
        let (number, range) = (&of["destinationPort"]["number"], &of["destinationPort"]["range"]);
        let bounds = if range.is_null() {
            (number, number)
        } else {
            (&range["start"], &range["end"])
        };
        let (Some(first), Some(last)) = (bounds.0.as_u64(), bounds.1.as_u64()) else {
            return false;
        };
        (first..=last).contains(&port)
    }
}
