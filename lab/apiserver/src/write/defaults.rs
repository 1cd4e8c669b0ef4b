//! What the server fills in where a client says nothing: those defaults that controllers see
//! (`pkg/apis/core/v1/defaults.go` and its like).

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::profile::Age;
use crate::resources::Resource;

static ADDRESSES: AtomicU32 = AtomicU32::new(0);
static PORTS: AtomicU32 = AtomicU32::new(0);

/// Keeps what the server has given an object where an update does not name it.
pub(super) fn keep(resource: &Resource, old: &Value, value: &mut Value) {
    if resource.group.is_empty() && resource.kind == "Service" && value["spec"]["type"] != "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let given = &old["spec"][field];
            if !given.is_null() {
                or_set(value, &format!("/spec/{field}"), || given.clone());
            }
        }
    }
}

/// Fills an object.
pub(super) fn fill(resource: &Resource, value: &mut Value, age: Age) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Service") => service(value, age),
        ("", "Namespace") => {
            let name = value["metadata"]["name"].clone();
            or_set(value, "/spec/finalizers", || json!(["kubernetes"]));
            if age >= Age(21) {
                or_set(value, "/metadata/labels/kubernetes.io~1metadata.name", || name);
            }
            or_set(value, "/status/phase", || json!("Active"));
        }
        ("", "Secret") => secret(value),
        ("discovery.k8s.io", _) => ports(value.get_mut("ports").and_then(Value::as_array_mut)),
        ("networking.k8s.io", "NetworkPolicy") => network_policy(value),
        _ => {}
    }
}

/// Sets what is at a JSON pointer, with the objects above it, if nothing is there, and nothing else is in the way.
fn or_set(value: &mut Value, pointer: &str, new: impl FnOnce() -> Value) {
    let mut at = value;
    for step in pointer.split('/').skip(1) {
        if at.is_null() {
            *at = json!({});
        }
        let Some(fields) = at.as_object_mut() else { return };
        at = fields.entry(step.replace("~1", "/")).or_insert(Value::Null);
    }
    if at.is_null() {
        *at = new();
    }
}

fn service(value: &mut Value, age: Age) {
    or_set(value, "/spec/type", || json!("ClusterIP"));
    or_set(value, "/spec/sessionAffinity", || json!("None"));
    let kind = value["spec"]["type"].as_str().unwrap_or_default().to_owned();
    for port in value["spec"]
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        or_set(port, "/protocol", || json!("TCP"));
        let number = port["port"].clone();
        or_set(port, "/targetPort", || number);
        if kind == "NodePort" || kind == "LoadBalancer" {
            or_set(port, "/nodePort", || {
                (30_000 + PORTS.fetch_add(1, Ordering::Relaxed) % 2_768).into()
            });
        }
    }
    if kind == "ExternalName" {
        return;
    }
    or_set(value, "/spec/clusterIP", || {
        let n = ADDRESSES.fetch_add(1, Ordering::Relaxed) % 0xfff0 + 2;
        format!("10.96.{}.{}", n >> 8, n & 0xff).into()
    });
    let address = value["spec"]["clusterIP"].clone();
    or_set(value, "/spec/clusterIPs", || json!([address]));
    if address != "None" {
        let family = if address.as_str().is_some_and(|address| address.contains(':')) {
            "IPv6"
        } else {
            "IPv4"
        };
        or_set(value, "/spec/ipFamilies", || json!([family]));
        or_set(value, "/spec/ipFamilyPolicy", || json!("SingleStack"));
    }
    if age >= Age(22) {
        or_set(value, "/spec/internalTrafficPolicy", || json!("Cluster"));
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        or_set(value, "/spec/externalTrafficPolicy", || json!("Cluster"));
    }
}

/// `stringData` is for writing alone: it goes to `data`.
fn secret(value: &mut Value) {
    or_set(value, "/type", || json!("Opaque"));
    let plain = value
        .as_object_mut()
        .and_then(|fields| fields.remove("stringData"));
    let Some(plain) = plain.as_ref().and_then(Value::as_object) else {
        return;
    };
    or_set(value, "/data", || json!({}));
    if let Some(data) = value["data"].as_object_mut() {
        let encoded = plain.iter().map(|(key, text)| {
            (
                key.clone(),
                STANDARD.encode(text.as_str().unwrap_or_default()).into(),
            )
        });
        data.extend(encoded);
    }
}

fn ports(ports: Option<&mut Vec<Value>>) {
    for port in ports.into_iter().flatten() {
        or_set(port, "/protocol", || json!("TCP"));
        or_set(port, "/name", || json!(""));
    }
}

fn network_policy(value: &mut Value) {
    let egress = value["spec"].get("egress").is_some();
    or_set(value, "/spec/podSelector", || json!({}));
    or_set(value, "/spec/policyTypes", || {
        if egress {
            json!(["Ingress", "Egress"])
        } else {
            json!(["Ingress"])
        }
    });
    for direction in ["ingress", "egress"] {
        for rule in value["spec"]
            .get_mut(direction)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            for port in rule
                .get_mut("ports")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                or_set(port, "/protocol", || json!("TCP"));
            }
        }
    }
}
