//! The objects of a cluster.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;

/// Which object: there is one of a kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    /// Reads `KIND NAMESPACE/NAME`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(' ')?;
        let (namespace, name) = name.split_once('/')?;
        Some(Self {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// What a manifest directory holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster(BTreeMap<Key, Value>);

/// A pod that has an address.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// `namespace/name`.
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    /// Not of the host's network, and not ended: what `*` stands for.
    pub(crate) on_pod_network: bool,
}

impl Cluster {
    /// Adds objects; each replaces the one of its kind, namespace and name.
    pub(crate) fn apply(&mut self, objects: impl IntoIterator<Item = (Key, Value)>) {
        self.0.extend(objects);
    }

    /// Whether the object was there.
    pub(crate) fn delete(&mut self, key: &Key) -> bool {
        self.0.remove(key).is_some()
    }

    /// Whether there is a NetworkPolicy `NAMESPACE/NAME`, or a ClusterNetworkPolicy `NAME`.
    pub(crate) fn has_policy(&self, name: &str) -> bool {
        let text = match name.split_once('/') {
            Some(_) => format!("NetworkPolicy {name}"),
            None => format!("ClusterNetworkPolicy /{name}"),
        };
        Key::parse(&text).is_some_and(|key| self.0.contains_key(&key))
    }

    /// A file of manifests, JSON values one after the other.
    pub(crate) fn manifests(&self) -> String {
        self.0.values().map(|object| format!("{object}\n")).collect()
    }

    /// The pods that have an address, sorted by name.
    pub(crate) fn pods(&self) -> Vec<Pod> {
        let pods = self.0.iter().filter(|(key, _)| key.kind == "Pod");
        pods.filter_map(|(key, pod)| {
            let status = &pod["status"];
            let listed = status["podIPs"].as_array().into_iter().flatten();
            let texts = listed.map(|ip| &ip["ip"]).chain([&status["podIP"]]);
            let mut addresses: Vec<IpAddr> = texts.filter_map(|ip| ip.as_str()?.parse().ok()).collect();
            addresses.dedup();
            let ended = matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"));
            (!addresses.is_empty()).then(|| Pod {
                name: format!("{}/{}", key.namespace, key.name),
                addresses,
                on_pod_network: pod["spec"]["hostNetwork"] != true && !ended,
            })
        })
        .collect()
    }
}

/// The objects of a YAML text.
pub(crate) fn objects(yaml: &str) -> Result<Vec<(Key, Value)>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|e| e.to_string())?;
    documents.into_iter().map(keyed).collect()
}

fn keyed(object: Value) -> Result<(Key, Value), String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let key = Key {
        kind: text(&object["kind"]).ok_or("an object without kind")?,
        namespace: text(&object["metadata"]["namespace"]).unwrap_or_default(),
        name: text(&object["metadata"]["name"]).ok_or("an object without metadata.name")?,
    };
    Ok((key, object))
}
