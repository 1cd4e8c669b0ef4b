//! Ingresses of networking.k8s.io/v1beta1: the same with other names for backends (`pkg/apis/networking/v1beta1/conversion.go`).

use serde_json::{Map, Value, json};

/// As v1 has it.
pub(super) fn to_stored(mut value: Value) -> Value {
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else {
        return value;
    };
    if let Some(backend) = spec.remove("backend") {
        spec.insert("defaultBackend".into(), new_backend(&backend));
    }
    for path in paths(spec) {
        // The old version does not ask for a type.
        path.entry("pathType")
            .or_insert_with(|| json!("ImplementationSpecific"));
        if let Some(backend) = path.get_mut("backend") {
            *backend = new_backend(backend);
        }
    }
    value
}

/// As v1beta1 has it.
pub(super) fn from_stored(mut value: Value) -> Value {
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else {
        return value;
    };
    if let Some(backend) = spec.remove("defaultBackend") {
        spec.insert("backend".into(), old_backend(&backend));
    }
    for path in paths(spec) {
        if let Some(backend) = path.get_mut("backend") {
            *backend = old_backend(backend);
        }
    }
    value
}

fn paths(spec: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let rules = spec
        .get_mut("rules")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten();
    rules
        .filter_map(|rule| rule.get_mut("http")?.get_mut("paths")?.as_array_mut())
        .flatten()
        .filter_map(Value::as_object_mut)
}

fn new_backend(old: &Value) -> Value {
    if old["resource"].is_object() {
        return json!({"resource": old["resource"]});
    }
    let port = &old["servicePort"];
    let port = if port.is_string() {
        json!({"name": port})
    } else {
        json!({"number": port})
    };
    json!({"service": {"name": old["serviceName"], "port": port}})
}

fn old_backend(new: &Value) -> Value {
    if new["resource"].is_object() {
        return json!({"resource": new["resource"]});
    }
    let (service, port) = (&new["service"], &new["service"]["port"]);
    let port = if port["name"].is_string() {
        &port["name"]
    } else {
        &port["number"]
    };
    json!({"serviceName": service["name"], "servicePort": port})
}
