//! The text of the API, as plainly as code can say it. Nothing here is fast, shared with Headgate, or clever.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::truth::Cell;

type Labels = BTreeMap<String, String>;

/// What matters of a cluster.
pub(crate) struct World {
    namespaces: BTreeMap<String, Labels>,
    pods: Vec<Pod>,
    policies: Vec<Value>,
    /// ClusterNetworkPolicies, the one that comes first in front.
    cluster_policies: Vec<Value>,
}

struct Pod {
    namespace: String,
    labels: Labels,
    addresses: Vec<IpAddr>,
    /// `ports` of its container.
    ports: Value,
}

impl World {
    pub(crate) fn read(objects: &[Value]) -> Self {
        let of_kind = |kind: &str| {
            objects
                .iter()
                .filter(move |object| object["kind"] == kind)
                .collect::<Vec<_>>()
        };
        let mut namespaces: BTreeMap<String, Labels> = BTreeMap::new();
        for namespace in of_kind("Namespace") {
            namespaces.insert(text(&namespace["metadata"]["name"]), labels(namespace));
        }
        let mut pods = Vec::new();
        for pod in of_kind("Pod") {
            namespaces.entry(text(&pod["metadata"]["namespace"])).or_default();
            // The address of such a pod is the node's, or may be another pod's by now.
            if pod["spec"]["hostNetwork"] == true || pod["status"]["phase"] == "Succeeded" {
                continue;
            }
            pods.push(Pod {
                namespace: text(&pod["metadata"]["namespace"]),
                labels: labels(pod),
                addresses: list(&pod["status"]["podIPs"])
                    .map(|ip| text(&ip["ip"]).parse().unwrap())
                    .collect(),
                ports: pod["spec"]["containers"][0]["ports"].clone(),
            });
        }
        for (name, labels) in &mut namespaces {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
        }
        let policies = of_kind("NetworkPolicy").into_iter().cloned().collect();
        let mut cluster_policies: Vec<Value> = of_kind("ClusterNetworkPolicy").into_iter().cloned().collect();
        cluster_policies.sort_by_key(|policy| policy["spec"]["priority"].as_u64());
        Self {
            namespaces,
            pods,
            policies,
            cluster_policies,
        }
    }

    pub(crate) fn decide(&self, from: IpAddr, to: IpAddr, protocol: &str, port: u16) -> Cell {
        let connection = Connection {
            from,
            to,
            protocol,
            port,
        };
        if from == to
            || Direction::BOTH
                .iter()
                .all(|direction| self.allows(direction, &connection))
        {
            return Cell::Allowed;
        }
        if self.allows(&Direction::BOTH[0], &connection) {
            return Cell::DeniedByIngress;
        }
        Cell::DeniedByEgress
    }

    /// The tiers in their order; what nobody decides is allowed.
    fn allows(&self, direction: &Direction, connection: &Connection<'_>) -> bool {
        let Some(subject) = self.pod(direction.subject(connection)) else {
            return true;
        };
        match self.tier("Admin", subject, direction, connection).as_deref() {
            Some("Accept") => return true,
            Some("Deny") => return false,
            _ => {}
        }
        let isolating = self.isolating(subject, direction);
        if !isolating.is_empty() {
            return isolating
                .iter()
                .any(|policy| self.has_rule(policy, direction, connection));
        }
        self.tier("Baseline", subject, direction, connection).as_deref() != Some("Deny")
    }

    /// The action of the first rule of the tier that matches.
    fn tier(&self, tier: &str, subject: &Pod, direction: &Direction, c: &Connection<'_>) -> Option<String> {
        let policies = self.cluster_policies.iter().map(|policy| &policy["spec"]);
        let about = policies.filter(|spec| spec["tier"] == tier && self.is_meant(&spec["subject"], subject));
        let mut rules = about.flat_map(|spec| list(&spec[direction.rules]));
        let rule = rules.find(|rule| {
            let is_peer = |peer: &Value| self.is_cluster_peer(peer, direction.peer(c));
            let is_port = |wanted: &Value| self.is_cluster_port(wanted, c);
            let protocols = &rule["protocols"];
            list(&rule[direction.peers]).any(is_peer) && (protocols.is_null() || list(protocols).any(is_port))
        });
        Some(text(&rule?["action"]))
    }

    /// `subject`, and peers of either kind.
    fn is_meant(&self, who: &Value, pod: &Pod) -> bool {
        let labels = &self.namespaces[&pod.namespace];
        let of_pods = who.get("pods").is_some_and(|pods| {
            selects(&pods["namespaceSelector"], labels) && selects(&pods["podSelector"], &pod.labels)
        });
        of_pods
            || who
                .get("namespaces")
                .is_some_and(|namespaces| selects(namespaces, labels))
    }

    fn is_cluster_peer(&self, peer: &Value, address: IpAddr) -> bool {
        list(&peer["networks"]).any(|block| holds(block, address))
            || self.pod(address).is_some_and(|pod| self.is_meant(peer, pod))
    }

    fn is_cluster_port(&self, wanted: &Value, c: &Connection<'_>) -> bool {
        if let Some(name) = wanted.get("destinationNamedPort") {
            return self
                .pod(c.to)
                .is_some_and(|pod| pod.has_port(name, c.protocol, c.port));
        }
        let port = &wanted[c.protocol.to_lowercase()]["destinationPort"];
        let range = &port["range"];
        let within = range["start"].as_u64()..=range["end"].as_u64();
        port["number"] == c.port || (!range.is_null() && within.contains(&Some(u64::from(c.port))))
    }

    fn has_rule(&self, policy: &Value, direction: &Direction, c: &Connection<'_>) -> bool {
        let namespace = text(&policy["metadata"]["namespace"]);
        list(&policy["spec"][direction.rules]).any(|rule| {
            let (peers, ports) = (&rule[direction.peers], &rule["ports"]);
            let is_peer = |peer: &Value| self.is_peer(peer, &namespace, direction.peer(c));
            (is_empty(peers) || list(peers).any(is_peer))
                && (is_empty(ports) || list(ports).any(|wanted| self.is_port(wanted, c)))
        })
    }

    fn pod(&self, address: IpAddr) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.addresses.contains(&address))
    }

    /// The NetworkPolicies that select the pod and are about the direction.
    fn isolating(&self, pod: &Pod, direction: &Direction) -> Vec<&Value> {
        let isolates = |policy: &&Value| {
            let spec = &policy["spec"];
            let about = if is_empty(&spec["policyTypes"]) {
                direction.kind == "Ingress" || !is_empty(&spec["egress"])
            } else {
                list(&spec["policyTypes"]).any(|t| t == direction.kind)
            };
            policy["metadata"]["namespace"] == pod.namespace
                && selects(&spec["podSelector"], &pod.labels)
                && about
        };
        self.policies.iter().filter(isolates).collect()
    }

    fn is_peer(&self, peer: &Value, namespace: &str, address: IpAddr) -> bool {
        if let Some(block) = peer.get("ipBlock") {
            return holds(&block["cidr"], address)
                && !list(&block["except"]).any(|except| holds(except, address));
        }
        self.pod(address).is_some_and(|pod| {
            let there = match peer.get("namespaceSelector") {
                Some(selector) => selects(selector, &self.namespaces[&pod.namespace]),
                None => pod.namespace == namespace,
            };
            there && selects(&peer["podSelector"], &pod.labels)
        })
    }

    fn is_port(&self, wanted: &Value, c: &Connection<'_>) -> bool {
        let last = wanted.get("endPort").unwrap_or(&wanted["port"]);
        protocol(wanted) == c.protocol
            && match &wanted["port"] {
                Value::Null => true,
                name @ Value::String(_) => self
                    .pod(c.to)
                    .is_some_and(|pod| pod.has_port(name, c.protocol, c.port)),
                first => (first.as_u64()..=last.as_u64()).contains(&Some(u64::from(c.port))),
            }
    }
}

impl Pod {
    fn has_port(&self, name: &Value, of: &str, number: u16) -> bool {
        let mut named = list(&self.ports).filter(|port| port["name"] == *name && protocol(port) == of);
        named.next().is_some_and(|port| port["containerPort"] == number)
    }
}

struct Connection<'a> {
    from: IpAddr,
    to: IpAddr,
    protocol: &'a str,
    port: u16,
}

/// An end of a connection, and what the API calls it.
struct Direction {
    kind: &'static str,
    rules: &'static str,
    peers: &'static str,
}

impl Direction {
    const BOTH: [Self; 2] = [
        Self {
            kind: "Egress",
            rules: "egress",
            peers: "to",
        },
        Self {
            kind: "Ingress",
            rules: "ingress",
            peers: "from",
        },
    ];

    fn subject(&self, c: &Connection<'_>) -> IpAddr {
        if self.kind == "Egress" { c.from } else { c.to }
    }

    fn peer(&self, c: &Connection<'_>) -> IpAddr {
        if self.kind == "Egress" { c.to } else { c.from }
    }
}

fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

fn holds(block: &Value, address: IpAddr) -> bool {
    text(block).parse::<IpNet>().unwrap().contains(&address)
}

/// A missing selector, as an empty one, asks for nothing.
fn selects(selector: &Value, labels: &Labels) -> bool {
    let none = serde_json::Map::new();
    let equal = selector["matchLabels"].as_object().unwrap_or(&none).iter();
    let mut equal = equal.map(|(key, value)| labels.get(key) == Some(&text(value)));
    let mut expressions = list(&selector["matchExpressions"]).map(|expression| {
        let value = labels.get(&text(&expression["key"]));
        let listed = value.is_some_and(|value| list(&expression["values"]).any(|v| *v == json!(value)));
        match expression["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => value.is_some(),
            Some("DoesNotExist") => value.is_none(),
            other => panic!("{other:?}"),
        }
    });
    equal.all(|holds| holds) && expressions.all(|holds| holds)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Of a list: missing or without elements.
fn is_empty(value: &Value) -> bool {
    list(value).next().is_none()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn labels(object: &Value) -> Labels {
    let labels = object["metadata"]["labels"].as_object();
    labels
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}
