//! Rules of the API that users of an ingress controller run into (`pkg/apis/*/validation`); not all that there are.

use serde_json::{Value, json};

use crate::failure::{Cause, Failure};
use crate::resources::Resource;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                         start and end with an alphanumeric character";
const LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                     character, and end with an alphanumeric character";

/// Checks an object; all broken rules are told at once.
pub(crate) fn check(resource: &Resource, value: &Value) -> Result<(), Failure> {
    let mut causes = Vec::new();
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    check_name(resource, name, &mut causes);
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("networking.k8s.io", "Ingress") => ingress(&value["spec"], &mut causes),
        ("networking.k8s.io", "IngressClass") => ingress_class(&value["spec"], &mut causes),
        ("", "Service") => service(&value["spec"], &mut causes),
        ("", "Secret") if value["type"] == "kubernetes.io/tls" => tls(&value["data"], &mut causes),
        ("coordination.k8s.io", _) => lease(&value["spec"], &mut causes),
        _ => {}
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid(&resource.group, &resource.kind, name, &causes))
    }
}

fn check_name(resource: &Resource, name: &str, causes: &mut Vec<Cause>) {
    let field = "metadata.name";
    if name.is_empty() {
        causes.push(Cause::required(field, "name or generateName is required"));
        return;
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        // Names of roles are path segments.
        ("rbac.authorization.k8s.io", _) if !name.contains(['/', '%']) && name != "." && name != ".." => {}
        ("", "Service") if !is_label(name) => causes.push(Cause::invalid(field, &json!(name), LABEL)),
        ("", "Service") => {}
        ("", "Namespace") if name.contains('.') => {
            causes.push(Cause::invalid(field, &json!(name), SUBDOMAIN));
        }
        _ if !is_subdomain(name) => causes.push(Cause::invalid(field, &json!(name), SUBDOMAIN)),
        _ => {}
    }
}

fn is_subdomain(name: &str) -> bool {
    let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.iter().all(|c| inside(*c))
            && bytes.first().is_some_and(|c| *c != b'-')
            && bytes.last() != Some(&b'-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

fn is_label(name: &str) -> bool {
    name.len() <= 63
        && !name.contains('.')
        && is_subdomain(name)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_set(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn ingress(spec: &Value, causes: &mut Vec<Cause>) {
    if items(&spec["rules"]).next().is_none() && !spec["defaultBackend"].is_object() {
        causes.push(Cause::invalid(
            "spec",
            &json!([]),
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    if spec["defaultBackend"].is_object() {
        backend("spec.defaultBackend", &spec["defaultBackend"], causes);
    }
    for (r, rule) in items(&spec["rules"]).enumerate() {
        let at = format!("spec.rules[{r}]");
        let host = rule["host"].as_str().unwrap_or_default();
        if host.parse::<std::net::IpAddr>().is_ok() {
            causes.push(Cause::invalid(
                format!("{at}.host"),
                &json!(host),
                "must be a DNS name, not an IP address",
            ));
        } else if !host.is_empty() && !is_subdomain(host.strip_prefix("*.").unwrap_or(host)) {
            causes.push(Cause::invalid(format!("{at}.host"), &json!(host), SUBDOMAIN));
        }
        if rule["http"].is_object() && items(&rule["http"]["paths"]).next().is_none() {
            causes.push(Cause::required(format!("{at}.http.paths"), ""));
        }
        for (p, path) in items(&rule["http"]["paths"]).enumerate() {
            ingress_path(&format!("{at}.http.paths[{p}]"), path, causes);
        }
    }
}

fn ingress_path(at: &str, path: &Value, causes: &mut Vec<Cause>) {
    let text = path["path"].as_str().unwrap_or_default();
    let field = format!("{at}.pathType");
    match path["pathType"].as_str().unwrap_or_default() {
        "" => causes.push(Cause::required(field, "pathType must be specified")),
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                causes.push(Cause::invalid(
                    format!("{at}.path"),
                    &json!(text),
                    "must be an absolute path",
                ));
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"]
                .into_iter()
                .filter(|bad| text.contains(bad))
            {
                causes.push(Cause::invalid(
                    format!("{at}.path"),
                    &json!(text),
                    &format!("must not contain {bad:?}"),
                ));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                causes.push(Cause::invalid(
                    format!("{at}.path"),
                    &json!(text),
                    "must be an absolute path",
                ));
            }
        }
        other => {
            causes.push(Cause::not_supported(
                field,
                &json!(other),
                &["Exact", "ImplementationSpecific", "Prefix"],
            ));
        }
    }
    backend(&format!("{at}.backend"), &path["backend"], causes);
}

fn backend(at: &str, backend: &Value, causes: &mut Vec<Cause>) {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    if service.is_object() && resource.is_object() {
        causes.push(Cause::invalid(
            at,
            &json!(""),
            "cannot set both resource and service backends",
        ));
    } else if !service.is_object() && !resource.is_object() {
        causes.push(Cause::required(at, "port name or number is required"));
    } else if service.is_object() {
        let port = &service["port"];
        if !is_set(&service["name"]) {
            causes.push(Cause::required(format!("{at}.service.name"), ""));
        }
        match (is_set(&port["name"]), port["number"].as_i64()) {
            (true, Some(number)) if number != 0 => {
                causes.push(Cause::invalid(
                    at,
                    &json!(""),
                    "cannot set both port name & port number",
                ));
            }
            (false, None | Some(0)) => causes.push(Cause::required(at, "port name or number is required")),
            (false, Some(number)) if !(1..=65_535).contains(&number) => {
                let field = format!("{at}.service.port.number");
                causes.push(Cause::invalid(
                    field,
                    &json!(number),
                    "must be between 1 and 65535, inclusive",
                ));
            }
            _ => {}
        }
    }
}

fn ingress_class(spec: &Value, causes: &mut Vec<Cause>) {
    let controller = spec["controller"].as_str().unwrap_or_default();
    if controller.is_empty() {
        causes.push(Cause::required("spec.controller", ""));
    } else if controller.len() > 250 || !controller.contains('/') {
        let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        causes.push(Cause::invalid("spec.controller", &json!(controller), why));
    }
}

fn service(spec: &Value, causes: &mut Vec<Cause>) {
    if items(&spec["ports"]).next().is_none() && spec["type"] != "ExternalName" && spec["clusterIP"] != "None"
    {
        causes.push(Cause::required("spec.ports", ""));
    }
    let many = items(&spec["ports"]).count() > 1;
    for (n, port) in items(&spec["ports"]).enumerate() {
        if many && !is_set(&port["name"]) {
            causes.push(Cause::required(format!("spec.ports[{n}].name"), ""));
        }
        if !port["port"]
            .as_i64()
            .is_some_and(|port| (1..=65_535).contains(&port))
        {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(
                format!("spec.ports[{n}].port"),
                &port["port"],
                why,
            ));
        }
    }
    if spec["type"] == "ExternalName" && !is_set(&spec["externalName"]) {
        causes.push(Cause::required("spec.externalName", ""));
    }
}

fn tls(data: &Value, causes: &mut Vec<Cause>) {
    for key in ["tls.crt", "tls.key"]
        .into_iter()
        .filter(|key| data.get(*key).is_none())
    {
        causes.push(Cause::required(format!("data[{key}]"), ""));
    }
}

fn lease(spec: &Value, causes: &mut Vec<Cause>) {
    let not_positive = |value: &Value| value.as_i64().is_some_and(|seconds| seconds <= 0);
    if not_positive(&spec["leaseDurationSeconds"]) {
        let value = &spec["leaseDurationSeconds"];
        causes.push(Cause::invalid(
            "spec.leaseDurationSeconds",
            value,
            "must be greater than 0",
        ));
    }
    if spec["leaseTransitions"].as_i64().is_some_and(|count| count < 0) {
        let value = &spec["leaseTransitions"];
        causes.push(Cause::invalid(
            "spec.leaseTransitions",
            value,
            "must be greater than or equal to 0",
        ));
    }
}
