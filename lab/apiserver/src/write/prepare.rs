//! What the server sets itself, and what a write may not touch (`k8s.io/apiserver/pkg/registry/rest`).

use serde_json::{Map, Value, json};

use super::{defaults, names};
use crate::clock;
use crate::failure::{Cause, Failure};
use crate::keyspace::Object;
use crate::profile::Age;
use crate::resources::Resource;

/// Fields of `metadata` that are the server's alone.
const OF_THE_SERVER: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "resourceVersion",
    "generateName",
    "name",
    "namespace",
];

/// Makes a new object ready for the store.
pub(crate) fn created(resource: &Resource, value: &mut Value, age: Age, keep_status: bool) {
    if resource.status && !keep_status {
        reset_status(resource, value);
    }
    defaults::fill(resource, value, age);
    let metadata = &mut value["metadata"];
    if let Some(metadata) = metadata.as_object_mut() {
        for key in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "resourceVersion",
            "managedFields",
        ] {
            metadata.remove(key);
        }
        drop_empty(metadata);
    }
    metadata["uid"] = names::uid().into();
    metadata["creationTimestamp"] = clock::now().into();
    if resource.generation {
        metadata["generation"] = 1.into();
    }
}

/// Gives an object its name where the client leaves that to the server.
pub(super) fn name(value: &mut Value) {
    let metadata = &mut value["metadata"];
    if metadata["name"].as_str().is_none_or(str::is_empty)
        && let Some(prefix) = metadata["generateName"]
            .as_str()
            .filter(|prefix| !prefix.is_empty())
    {
        metadata["name"] = names::generated(prefix).into();
    }
}

/// Makes the new state of an object from what a client sent: preconditions, what is kept, generation.
pub(crate) fn updated(
    resource: &Resource,
    old: &Object,
    new: &mut Value,
    status: bool,
    age: Age,
) -> Result<(), Failure> {
    check_preconditions(resource, old, new)?;
    keep_other_half(resource, &old.value, new, status);
    if !status {
        defaults::keep(resource, &old.value, new);
        defaults::fill(resource, new, age);
    }
    let was = &old.value["metadata"];
    if !new["metadata"].is_object() {
        new["metadata"] = json!({});
    }
    if let Some(metadata) = new["metadata"].as_object_mut() {
        for key in OF_THE_SERVER {
            match was.get(*key) {
                Some(value) => metadata.insert((*key).to_owned(), value.clone()),
                None => metadata.remove(*key),
            };
        }
        drop_empty(metadata);
    }
    if resource.generation && !status && rest(&old.value) != rest(new) {
        let generation = was["generation"].as_u64().unwrap_or(0) + 1;
        new["metadata"]["generation"] = generation.into();
    }
    Ok(())
}

fn check_preconditions(resource: &Resource, old: &Object, new: &Value) -> Result<(), Failure> {
    let metadata = &new["metadata"];
    match metadata["resourceVersion"]
        .as_str()
        .filter(|version| !version.is_empty() && *version != "0")
    {
        Some(version) if version != old.revision.to_string() => {
            return Err(Failure::stale(resource, old.name()));
        }
        None if !resource.unconditional => {
            let cause = Cause::invalid(
                "metadata.resourceVersion",
                &json!(0),
                "must be specified for an update",
            );
            return Err(Failure::invalid(
                &resource.group,
                &resource.kind,
                old.name(),
                &[cause],
            ));
        }
        _ => {}
    }
    let (was, wanted) = (&old.value["metadata"]["uid"], &metadata["uid"]);
    if wanted
        .as_str()
        .is_some_and(|uid| !uid.is_empty() && was != wanted)
    {
        let said = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            wanted.as_str().unwrap_or_default(),
            was.as_str().unwrap_or_default()
        );
        return Err(Failure::conflict(resource, old.name(), &said));
    }
    Ok(())
}

/// A write of the status leaves everything else as it is, and a write of the object leaves the status.
fn keep_other_half(resource: &Resource, old: &Value, new: &mut Value, status: bool) {
    let Some(fields) = new.as_object_mut() else { return };
    if status {
        let written = fields.remove("status");
        let mut metadata = fields.remove("metadata");
        if resource.custom
            && let Some(metadata) = &mut metadata
        {
            let managed = metadata["managedFields"].take();
            *metadata =
                json!({"managedFields": managed, "resourceVersion": metadata["resourceVersion"].clone()});
            for (key, value) in old["metadata"].as_object().into_iter().flatten() {
                if key != "managedFields" && key != "resourceVersion" {
                    metadata[key] = value.clone();
                }
            }
        }
        let kept = old.as_object().cloned().unwrap_or_default();
        *fields = kept
            .into_iter()
            .filter(|(key, _)| key != "status" && key != "metadata")
            .collect();
        fields.extend(written.map(|written| ("status".to_owned(), written)));
        fields.extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
    } else if resource.status {
        fields.remove("status");
        fields.extend(
            old.get("status")
                .map(|status| ("status".to_owned(), status.clone())),
        );
    }
}

/// An object without what the generation does not count.
fn rest(value: &Value) -> Map<String, Value> {
    let fields = value.as_object().cloned().unwrap_or_default();
    let counts = |key: &str| !["metadata", "status", "kind", "apiVersion"].contains(&key);
    fields.into_iter().filter(|(key, _)| counts(key)).collect()
}

/// What a new object's status is, whatever the client sent.
fn reset_status(resource: &Resource, value: &mut Value) {
    let status = match resource.kind.as_str() {
        "Ingress" | "Service" => json!({"loadBalancer": {}}),
        "Namespace" => json!({"phase": "Active"}),
        "Pod" => json!({"phase": "Pending", "qosClass": "BestEffort"}),
        // A kubelet registers its node with the status.
        "Node" => return,
        _ => json!({}),
    };
    value["status"] = status;
    let empty = value["status"].as_object().is_some_and(Map::is_empty);
    if let (true, Some(fields)) = (empty, value.as_object_mut()) {
        fields.remove("status");
    }
}

/// Empty maps and lists of metadata are not written.
fn drop_empty(metadata: &mut Map<String, Value>) {
    for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = |value: &Value| {
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
        };
        if metadata.get(key).is_some_and(empty) {
            metadata.remove(key);
        }
    }
}
