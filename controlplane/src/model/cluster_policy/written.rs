//! A ClusterNetworkPolicy as it is written: every field of the API by its name, nothing checked.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// A `T` that is written as an object. serde would also take a list of the fields' values in their order.
pub(super) struct Map<T>(T);

impl<T> Deref for Map<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

struct MapVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MapVisitor<T> {
    type Value = Map<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Map<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Map)
    }
}

/// The object. Its lists and its subject are read one by one, so that a mistake in one costs no other.
#[derive(serde::Deserialize)]
pub(super) struct Written {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "metadata")]
    _metadata: ObjectMeta,
    pub(super) spec: Option<Map<WrittenSpec>>,
    #[serde(rename = "status")]
    _status: Option<Value>,
}

#[derive(Default, serde::Deserialize)]
pub(super) struct WrittenSpec {
    pub(super) tier: Option<String>,
    pub(super) priority: Option<i64>,
    pub(super) subject: Option<Value>,
    pub(super) ingress: Option<Vec<Value>>,
    pub(super) egress: Option<Vec<Value>>,
}

#[derive(serde::Deserialize)]
pub(super) struct WrittenSubject {
    pub(super) namespaces: Option<LabelSelector>,
    pub(super) pods: Option<Map<WrittenPods>>,
}

/// `NamespacedPod`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenPods {
    pub(super) namespace_selector: Option<LabelSelector>,
    pub(super) pod_selector: Option<LabelSelector>,
}

/// A rule of either direction: `from` belongs to ingress, `to` to egress.
#[derive(serde::Deserialize)]
pub(super) struct WrittenRule {
    pub(super) name: Option<String>,
    pub(super) action: Option<String>,
    pub(super) from: Option<Vec<Map<WrittenPeer>>>,
    pub(super) to: Option<Vec<Map<WrittenPeer>>>,
    pub(super) protocols: Option<Vec<Map<WrittenProtocol>>>,
}

/// A peer of either direction: `nodes`, `networks` and `domainNames` belong to egress.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenPeer {
    pub(super) namespaces: Option<LabelSelector>,
    pub(super) pods: Option<Map<WrittenPods>>,
    pub(super) nodes: Option<LabelSelector>,
    pub(super) networks: Option<Vec<String>>,
    pub(super) domain_names: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenProtocol {
    pub(super) tcp: Option<Map<WrittenTransport>>,
    pub(super) udp: Option<Map<WrittenTransport>>,
    pub(super) sctp: Option<Map<WrittenTransport>>,
    pub(super) destination_named_port: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenTransport {
    pub(super) destination_port: Option<Map<WrittenPort>>,
}

#[derive(serde::Deserialize)]
pub(super) struct WrittenPort {
    pub(super) number: Option<i32>,
    pub(super) range: Option<Map<WrittenRange>>,
}

#[derive(serde::Deserialize)]
pub(super) struct WrittenRange {
    pub(super) start: Option<i32>,
    pub(super) end: Option<i32>,
}
