//! The versions of a kind whose fields differ: objects are stored in one, and shown in each.

mod ingress;

use serde_json::{Map, Value, json};

use crate::resources::Resource;

/// (core/v1, events.k8s.io/v1): the same field under its two names.
const EVENT_FIELDS: &[(&str, &str); 7] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// An object as that version has it; None where that is how it is stored.
pub(crate) fn from_stored(resource: &Resource, version: &str, value: &Value) -> Option<Value> {
    match (resource.group.as_str(), version) {
        ("events.k8s.io", _) => Some(renamed(value, EVENT_FIELDS)),
        ("discovery.k8s.io", "v1beta1") => Some(with_topology(value)),
        ("networking.k8s.io", "v1beta1") if resource.kind == "Ingress" => {
            Some(ingress::from_stored(value.clone()))
        }
        _ => None,
    }
}

/// An object as it is stored.
pub(crate) fn to_stored(resource: &Resource, version: &str, value: Value) -> Value {
    match (resource.group.as_str(), version) {
        ("events.k8s.io", _) => renamed(&value, &EVENT_FIELDS.map(|(core, new)| (new, core))),
        ("discovery.k8s.io", "v1beta1") => without_topology(value),
        ("networking.k8s.io", "v1beta1") if resource.kind == "Ingress" => ingress::to_stored(value),
        _ => value,
    }
}

fn renamed(value: &Value, names: &[(&str, &str)]) -> Value {
    let Some(fields) = value.as_object() else {
        return value.clone();
    };
    let name = |key: &String| {
        names
            .iter()
            .find(|(from, _)| from == key)
            .map_or(key.clone(), |(_, to)| (*to).to_owned())
    };
    Value::Object(
        fields
            .iter()
            .map(|(key, value)| (name(key), value.clone()))
            .collect(),
    )
}

/// `topology` of discovery.k8s.io/v1beta1 holds what v1 has as `nodeName`, `zone` and `deprecatedTopology`
/// (`pkg/apis/discovery/v1beta1/conversion.go`).
fn with_topology(value: &Value) -> Value {
    let mut value = value.clone();
    for endpoint in value["endpoints"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let mut topology = match endpoint.remove("deprecatedTopology") {
            Some(Value::Object(topology)) => topology,
            _ => Map::new(),
        };
        if let Some(zone) = endpoint.remove("zone") {
            topology.insert("topology.kubernetes.io/zone".into(), zone);
        }
        if let Some(node) = endpoint.get("nodeName") {
            topology.insert("kubernetes.io/hostname".into(), node.clone());
        }
        if !topology.is_empty() {
            endpoint.insert("topology".into(), Value::Object(topology));
        }
    }
    value
}

fn without_topology(mut value: Value) -> Value {
    for endpoint in value["endpoints"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let Some(Value::Object(mut topology)) = endpoint.remove("topology") else {
            continue;
        };
        if let Some(zone) = topology.remove("topology.kubernetes.io/zone") {
            endpoint.insert("zone".into(), zone);
        }
        if let Some(node) = topology.remove("kubernetes.io/hostname") {
            endpoint.entry("nodeName").or_insert(node);
        }
        if !topology.is_empty() {
            endpoint.insert("deprecatedTopology".into(), Value::Object(topology));
        }
    }
    value
}

/// An object of which nothing is set, as the server's own types are written: what has no `omitempty` stands there.
pub(crate) fn empty(resource: &Resource) -> Value {
    if resource.custom {
        return json!({});
    }
    match resource.kind.as_str() {
        "Pod" => json!({"spec": {"containers": null}, "status": {}}),
        "Service" => json!({"spec": {}, "status": {"loadBalancer": {}}}),
        "Ingress" => json!({"spec": {}, "status": {"loadBalancer": {}}}),
        "EndpointSlice" => json!({"addressType": "", "endpoints": null, "ports": null}),
        "NetworkPolicy" => json!({"spec": {"podSelector": {}}}),
        "Node" => {
            json!({"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": {
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
                "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "",
                "architecture": "",
            }}})
        }
        "Namespace" => json!({"spec": {}, "status": {}}),
        "Lease" | "IngressClass" => json!({"spec": {}}),
        "Event" if resource.group.is_empty() => json!({
            "involvedObject": {}, "source": {}, "firstTimestamp": null, "lastTimestamp": null, "eventTime": null,
            "reportingComponent": "", "reportingInstance": "",
        }),
        _ => json!({}),
    }
}
