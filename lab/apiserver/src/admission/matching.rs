//! Which webhooks are asked: rules, and selectors of namespaces and objects.

use serde_json::Value;

use super::Question;
use crate::keyspace::Key;
use crate::select::matches_selector;
use crate::write::Write;

/// Whether a webhook is to be asked about a write.
pub(super) fn fits(write: &Write<'_>, question: &Question<'_>, webhook: &Value) -> bool {
    let rules = webhook["rules"].as_array().into_iter().flatten();
    rules.into_iter().any(|rule| rule_fits(write, question, rule))
        && matches_selector(&webhook["namespaceSelector"], &namespace_labels(write))
        && [question.new, question.old.map(|old| &old.value)]
            .into_iter()
            .flatten()
            .any(|object| matches_selector(&webhook["objectSelector"], &object["metadata"]["labels"]))
}

fn rule_fits(write: &Write<'_>, question: &Question<'_>, rule: &Value) -> bool {
    let resource = &write.view.resource;
    let has = |list: &Value, value: &str| texts(list).any(|one| one == "*" || one == value);
    let scope = match rule["scope"].as_str() {
        Some("Namespaced") => resource.namespaced,
        Some("Cluster") => !resource.namespaced,
        _ => true,
    };
    let sub = &write.request.target.subresource;
    scope
        && has(&rule["operations"], question.operation)
        && has(&rule["apiGroups"], &resource.group)
        && has(&rule["apiVersions"], &write.view.version)
        && texts(&rule["resources"]).any(|named| resource_fits(named, &resource.plural, sub))
}

/// "ingresses", "ingresses/status", "ingresses/*", "*" (no subresources), "*/status", "*/*".
fn resource_fits(named: &str, plural: &str, sub: &str) -> bool {
    let (wanted, wanted_sub) = named.split_once('/').unwrap_or((named, ""));
    (wanted == "*" || wanted == plural) && (wanted_sub == "*" || wanted_sub == sub)
}

/// The labels of the namespace of an object; of a namespace, its own.
fn namespace_labels(write: &Write<'_>) -> Value {
    let target = &write.request.target;
    let name = if write.view.resource.kind == "Namespace" {
        &target.name
    } else {
        &target.namespace
    };
    let namespace = write.shared.keyspace.get("namespaces", &Key::new("", name));
    namespace
        .map(|namespace| namespace.value["metadata"]["labels"].clone())
        .unwrap_or_default()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
