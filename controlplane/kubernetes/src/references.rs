//! Which Secrets and ConfigMaps an Ingress names: only those are asked of the API server, which has many that are nobody's
//! business here.

use std::collections::BTreeSet;

use serde_json::Value;

use headgate_controlplane::model::name::{is_label, is_subdomain};
use headgate_controlplane::model::{Id, Kind, ObjectName};

/// Annotations that name a Secret, as `NAMESPACE/NAME` or as `NAME` of the Ingress's namespace.
const SECRETS: [&str; 3] = [
    "nginx.ingress.kubernetes.io/auth-secret",
    "nginx.ingress.kubernetes.io/auth-tls-secret",
    "nginx.ingress.kubernetes.io/proxy-ssl-secret",
];
/// Annotations that name a ConfigMap in the same way.
const CONFIG_MAPS: [&str; 2] = [
    "nginx.ingress.kubernetes.io/auth-proxy-set-headers",
    "nginx.ingress.kubernetes.io/custom-headers",
];

/// What an Ingress names.
pub(crate) fn of_ingress(namespace: &str, ingress: &Value) -> BTreeSet<Id> {
    let mut out = BTreeSet::new();
    let tls = ingress["spec"]["tls"].as_array();
    for entry in tls.into_iter().flatten() {
        if let Some(name) = entry["secretName"].as_str() {
            out.extend(reference(Kind::Secret, namespace, name));
        }
    }
    let annotations = &ingress["metadata"]["annotations"];
    let mut named = |kind, names: &[&str]| {
        for name in names {
            if let Some(text) = annotations[*name].as_str() {
                let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
                out.extend(reference(kind, namespace, name));
            }
        }
    };
    named(Kind::Secret, &SECRETS);
    named(Kind::ConfigMap, &CONFIG_MAPS);
    out
}

/// `None` where it cannot be a name: a request for such a thing would be refused.
fn reference(kind: Kind, namespace: &str, name: &str) -> Option<Id> {
    (is_label(namespace) && is_subdomain(name)).then(|| Id::new(kind, ObjectName::new(namespace, name)))
}
