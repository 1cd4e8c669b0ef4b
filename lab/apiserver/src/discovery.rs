//! What the server has: by group and version, as all clients ask for it, and all at once, as newer ones do
//! (`apidiscovery.k8s.io`).

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::VARY;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::body::Body;
use crate::request::Request;
use crate::resources::Resource;
use crate::reviews;
use crate::shared::Shared;

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Answers `/api`, `/apis` and what is below them.
pub(crate) fn answer(shared: &Shared, request: &Request) -> Answer {
    let catalogue = Catalogue::of(shared);
    let segments: Vec<&str> = request
        .path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let aggregated = aggregated_version(shared, request);
    match (segments.as_slice(), aggregated) {
        (["api"], Some(version)) => catalogue.aggregated(version, true),
        (["apis"], Some(version)) => catalogue.aggregated(version, false),
        (["api"], None) => Answer::json(200, &json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
        })),
        (["apis"], None) => {
            let groups: Vec<Value> = catalogue.groups.keys().filter(|group| !group.is_empty()).map(|group| catalogue.group(group)).collect();
            Answer::json(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        (["apis", group], _) if catalogue.groups.contains_key(*group) => {
            let mut found = catalogue.group(group);
            found["kind"] = "APIGroup".into();
            found["apiVersion"] = "v1".into();
            Answer::json(200, &found)
        }
        (["api", version], _) => catalogue.resources("", version),
        (["apis", group, version], _) => catalogue.resources(group, version),
        _ => Answer::no_such_path(),
    }
    .header(VARY, "Accept")
}

/// The version of `APIGroupDiscoveryList` that the client takes and the server has, if any.
fn aggregated_version(shared: &Shared, request: &Request) -> Option<&'static str> {
    let known = shared.age.aggregated_discovery();
    request.accept().split(',').find_map(|range| {
        let parameters: Vec<&str> = range.split(';').map(str::trim).collect();
        let asked =
            parameters.contains(&"as=APIGroupDiscoveryList") && parameters.contains(&"g=apidiscovery.k8s.io");
        known
            .iter()
            .copied()
            .find(|version| asked && parameters.contains(&format!("v={version}").as_str()))
    })
}

/// Groups, their versions (the preferred one first), and what each has.
struct Catalogue {
    groups: BTreeMap<String, Vec<(String, Vec<Value>)>>,
}

impl Catalogue {
    fn of(shared: &Shared) -> Self {
        let mut catalogue = Catalogue {
            groups: BTreeMap::new(),
        };
        for resource in shared.registry.all() {
            for version in &resource.versions {
                catalogue.add(&resource.group, version, entries(&resource));
            }
        }
        for (group, plural, kind, namespaced) in reviews::RESOURCES {
            let entry = json!({
                "name": plural, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind, "verbs": ["create"],
            });
            catalogue.add(group, "v1", vec![entry]);
        }
        catalogue
    }

    fn add(&mut self, group: &str, version: &str, entries: Vec<Value>) {
        let versions = self.groups.entry(group.to_owned()).or_default();
        match versions.iter_mut().find(|(known, _)| known == version) {
            Some((_, list)) => list.extend(entries),
            None => versions.push((version.to_owned(), entries)),
        }
        // Later resources of a group may bring an older version first.
        versions.sort_by_key(|(version, _)| {
            (
                version.contains("alpha"),
                version.contains("beta"),
                version.clone(),
            )
        });
    }

    fn group(&self, group: &str) -> Value {
        let versions = self.groups.get(group).into_iter().flatten();
        let versions: Vec<Value> = versions
            .map(|(version, _)| json!({"groupVersion": group_version(group, version), "version": version}))
            .collect();
        json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
    }

    fn resources(&self, group: &str, version: &str) -> Answer {
        let versions = self.groups.get(group).into_iter().flatten();
        let found = versions
            .filter(|(known, _)| known == version)
            .map(|(_, entries)| entries)
            .next();
        match found {
            Some(entries) => Answer::json(
                200,
                &json!({
                    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version), "resources": entries,
                }),
            ),
            None => Answer::no_such_path(),
        }
    }

    fn aggregated(&self, version: &str, core: bool) -> Answer {
        let groups = self.groups.iter().filter(|(group, _)| group.is_empty() == core);
        let items: Vec<Value> = groups
            .map(|(group, versions)| {
                let metadata = if core { json!({"creationTimestamp": null}) } else { json!({"name": group, "creationTimestamp": null}) };
                let versions: Vec<Value> = versions.iter().map(|(version, entries)| {
                    json!({"version": version, "freshness": "Current", "resources": aggregated_entries(group, version, entries)})
                }).collect();
                json!({"metadata": metadata, "versions": versions})
            })
            .collect();
        let list = json!({
            "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items,
        });
        let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        Answer::new(200, &media, Body::Full(Some(list.to_string().into())))
    }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// A resource and its subresources, as `APIResource` has them.
fn entries(resource: &Arc<Resource>) -> Vec<Value> {
    let mut entry = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": VERBS,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if ["pods", "services", "deployments", "daemonsets"].contains(&resource.plural.as_str()) {
        entry["categories"] = json!(["all"]);
    }
    let sub = |name: &str, verbs: &[&str]| {
        json!({
            "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": verbs,
        })
    };
    let mut entries = vec![entry];
    if resource.status {
        entries.push(sub("status", &["get", "patch", "update"]));
    }
    if resource.plural == "serviceaccounts" {
        let mut token = sub("token", &["create"]);
        token["kind"] = "TokenRequest".into();
        token["group"] = "authentication.k8s.io".into();
        token["version"] = "v1".into();
        entries.push(token);
    }
    entries
}

/// The same as `APIResourceDiscovery` has them: subresources below their resource.
fn aggregated_entries(group: &str, version: &str, entries: &[Value]) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for entry in entries {
        let name = entry["name"].as_str().unwrap_or_default();
        let kind = json!({
            "group": entry.get("group").unwrap_or(&json!(group)), "version": entry.get("version").unwrap_or(&json!(version)),
            "kind": entry["kind"],
        });
        if let Some((_, sub)) = name.split_once('/') {
            let sub = json!({"subresource": sub, "responseKind": kind, "verbs": entry["verbs"]});
            if let Some(parent) = found.last_mut() {
                match parent["subresources"].as_array_mut() {
                    Some(subs) => subs.push(sub),
                    None => parent["subresources"] = json!([sub]),
                }
            }
            continue;
        }
        let scope = if entry["namespaced"] == true {
            "Namespaced"
        } else {
            "Cluster"
        };
        let mut resource = json!({
            "resource": name, "responseKind": kind, "scope": scope, "singularResource": entry["singularName"], "verbs": entry["verbs"],
        });
        for key in ["shortNames", "categories"] {
            if let Some(names) = entry.get(key) {
                resource[key] = names.clone();
            }
        }
        found.push(resource);
    }
    found
}
