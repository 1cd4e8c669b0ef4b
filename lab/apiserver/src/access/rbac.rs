//! Roles and bindings in the store, evaluated as the authorizer `RBAC` does
//! (`plugin/pkg/auth/authorizer/rbac`, `pkg/apis/rbac/v1/evaluation_helpers.go`).

use serde_json::{Value, json};

use super::User;
use crate::keyspace::{Key, Keyspace};
use crate::request::Target;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn allows(keyspace: &Keyspace, user: &User, target: &Target) -> bool {
    is_basic(target)
        || rules_of(keyspace, user, &target.namespace)
            .iter()
            .any(|rule| rule_allows(rule, target))
}

pub(super) fn allows_path(keyspace: &Keyspace, user: &User, verb: &str, path: &str) -> bool {
    // `system:discovery` and `system:public-info-viewer`, which each cluster has.
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/readyz",
        "/openapi",
        "/openapi/*",
        "/version",
        "/version/",
    ];
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    };
    if verb == "get" && discovery.iter().any(|pattern| fits(pattern)) {
        return true;
    }
    let rules = bound(keyspace, user, "clusterrolebindings", "");
    rules.iter().any(|rule| {
        has(&rule["verbs"], verb) && texts(&rule["nonResourceURLs"]).any(|one| one == "*" || fits(one))
    })
}

/// `system:basic-user`: everybody may ask what they may.
fn is_basic(target: &Target) -> bool {
    let reviews = [
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "selfsubjectreviews",
    ];
    target.verb == "create" && reviews.contains(&target.resource.as_str())
}

/// All rules that are bound to a user, in a namespace ("" for what is bound everywhere alone).
pub(super) fn rules_of(keyspace: &Keyspace, user: &User, namespace: &str) -> Vec<Value> {
    let mut rules = bound(keyspace, user, "clusterrolebindings", "");
    if !namespace.is_empty() {
        rules.extend(bound(keyspace, user, "rolebindings", namespace));
    }
    rules
}

fn bound(keyspace: &Keyspace, user: &User, bindings: &str, namespace: &str) -> Vec<Value> {
    let bindings = keyspace.list(&format!("{bindings}.{GROUP}"), namespace).objects;
    let mine = bindings.iter().filter(|binding| {
        let subjects = binding.value["subjects"].as_array();
        subjects
            .into_iter()
            .flatten()
            .any(|subject| is_subject(subject, user, namespace))
    });
    mine.flat_map(|binding| role_rules(keyspace, &binding.value["roleRef"], namespace))
        .collect()
}

fn role_rules(keyspace: &Keyspace, reference: &Value, namespace: &str) -> Vec<Value> {
    let name = reference["name"].as_str().unwrap_or_default();
    let (table, key) = match reference["kind"].as_str() {
        Some("Role") => ("roles", Key::new(namespace, name)),
        _ => ("clusterroles", Key::new("", name)),
    };
    let role = keyspace.get(&format!("{table}.{GROUP}"), &key);
    match role {
        Some(role) => role.value["rules"].as_array().cloned().unwrap_or_default(),
        None if name == "cluster-admin" => vec![
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
        ],
        None => Vec::new(),
    }
}

fn is_subject(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => user.name == name,
        Some("Group") => user.groups.iter().any(|group| group == name),
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().unwrap_or(namespace);
            !namespace.is_empty() && user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

fn rule_allows(rule: &Value, target: &Target) -> bool {
    let (resource, sub) = (&target.resource, &target.subresource);
    let combined = if sub.is_empty() {
        resource.clone()
    } else {
        format!("{resource}/{sub}")
    };
    let of_any = format!("*/{sub}");
    let is_named =
        |allowed: &str| allowed == "*" || allowed == combined || (!sub.is_empty() && allowed == of_any);
    let names = rule["resourceNames"].as_array().is_none_or(|names| {
        names.is_empty()
            || names
                .iter()
                .any(|name| *name == target.name.as_str() && !target.name.is_empty())
    });
    has(&rule["verbs"], target.verb)
        && has(&rule["apiGroups"], &target.group)
        && texts(&rule["resources"]).any(is_named)
        && names
}

fn has(list: &Value, value: &str) -> bool {
    texts(list).any(|one| one == "*" || one == value)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
