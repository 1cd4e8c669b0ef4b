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
        Self {
            namespaces,
            pods,
            policies,
        }
    }

    pub(crate) fn decide(&self, from: IpAddr, to: IpAddr, protocol: &str, port: u16) -> Cell {
        if from == to {
            return Cell::Allowed;
        }
        let ends = [
            ("Egress", "egress", "to", from, to, Cell::DeniedByEgress),
            ("Ingress", "ingress", "from", to, from, Cell::DeniedByIngress),
        ];
        for (kind, rules, peers, subject, peer, denied) in ends {
            let isolating = self.isolating(subject, kind);
            let allows = |policy: &&Value| {
                list(&policy["spec"][rules]).any(|rule| {
                    let who = is_empty(&rule[peers])
                        || list(&rule[peers])
                            .any(|p| self.is_peer(p, &text(&policy["metadata"]["namespace"]), peer));
                    let what = is_empty(&rule["ports"])
                        || list(&rule["ports"]).any(|p| self.is_port(p, to, protocol, port));
                    who && what
                })
            };
            if !isolating.is_empty() && !isolating.iter().any(allows) {
                return denied;
            }
        }
        Cell::Allowed
    }

    fn pod(&self, address: IpAddr) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.addresses.contains(&address))
    }

    /// The policies that select the pod and are about the direction.
    fn isolating(&self, subject: IpAddr, kind: &str) -> Vec<&Value> {
        let Some(pod) = self.pod(subject) else {
            return Vec::new();
        };
        let isolates = |policy: &&Value| {
            let spec = &policy["spec"];
            let about = if is_empty(&spec["policyTypes"]) {
                kind == "Ingress" || !is_empty(&spec["egress"])
            } else {
                list(&spec["policyTypes"]).any(|t| t == kind)
            };
            policy["metadata"]["namespace"] == pod.namespace
                && selects(&spec["podSelector"], &pod.labels)
                && about
        };
        self.policies.iter().filter(isolates).collect()
    }

    fn is_peer(&self, peer: &Value, namespace: &str, address: IpAddr) -> bool {
        let holds = |block: &Value| text(block).parse::<IpNet>().unwrap().contains(&address);
        if let Some(block) = peer.get("ipBlock") {
            return holds(&block["cidr"]) && !list(&block["except"]).any(holds);
        }
        self.pod(address).is_some_and(|pod| {
            let there = match peer.get("namespaceSelector") {
                Some(selector) => selects(selector, &self.namespaces[&pod.namespace]),
                None => pod.namespace == namespace,
            };
            there && selects(&peer["podSelector"], &pod.labels)
        })
    }

    fn is_port(&self, wanted: &Value, to: IpAddr, protocol: &str, port: u16) -> bool {
        let of = |value: &Value| value["protocol"].as_str().unwrap_or("TCP").to_owned();
        let last = wanted.get("endPort").unwrap_or(&wanted["port"]);
        of(wanted) == protocol
            && match &wanted["port"] {
                Value::Null => true,
                Value::String(name) => self.pod(to).is_some_and(|pod| {
                    let named = list(&pod.ports).find(|p| p["name"] == *name && of(p) == protocol);
                    named.is_some_and(|p| p["containerPort"] == port)
                }),
                first => (first.as_u64()..=last.as_u64()).contains(&Some(u64::from(port))),
            }
    }
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
