//! PATCH, of all four kinds.

use serde_json::{Value, json};

use super::change::{Change, change, key};
use super::{Write, create, decode_value};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::keyspace::Object;
use crate::patch::apply::{Taken, apply};
use crate::patch::{json_patch, merge_patch, strategic_patch};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// PATCH.
pub(crate) async fn patch(write: &Write<'_>) -> Result<Answer, Failure> {
    // Custom resources have no types, and so no strategic merge patch.
    let known: &[&str] = if write.resource().custom {
        &[JSON, MERGE, APPLY]
    } else {
        &[JSON, MERGE, STRATEGIC, APPLY]
    };
    write.check_type(known)?;
    let content_type = write.request.content_type();
    let body = decode_value(content_type, &write.body)?;
    if content_type == APPLY {
        return server_side_apply(write, body).await;
    }
    if content_type != JSON && !body.is_object() {
        return Err(Failure::bad_request("a patch of this kind is an object"));
    }
    change(write, |old| {
        let current = write.view.value(old);
        let patched = match content_type {
            JSON => json_patch(current, &body)?,
            MERGE => merge_patch(current, &body),
            _ => strategic_patch(&write.resource().kind, current, &body),
        };
        check_name(write, &patched)?;
        Ok(Change {
            value: write.stored(patched)?,
            owned: false,
        })
    })
    .await
}

fn check_name(write: &Write<'_>, patched: &Value) -> Result<(), Failure> {
    let name = patched["metadata"]["name"].as_str().unwrap_or_default();
    if name == write.name() {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "the name of the object ({name}) does not match the name on the URL ({})",
        write.name()
    )))
}

async fn server_side_apply(write: &Write<'_>, mut wanted: Value) -> Result<Answer, Failure> {
    let (resource, query) = (write.resource(), &write.request.query);
    if query.get("fieldManager").is_empty() {
        return Err(Failure::bad_request(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    }
    if wanted["kind"] != resource.kind.as_str() || wanted["apiVersion"] != write.view.api_version() {
        return Err(Failure::bad_request(
            "apply needs the apiVersion and kind of the URL",
        ));
    }
    if !wanted["metadata"].is_object() && !wanted["metadata"].is_null() {
        return Err(Failure::bad_request("metadata is an object"));
    }
    if wanted["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|fields| !fields.is_empty())
    {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
    if !name.is_empty() {
        check_name(write, &wanted)?;
    }
    wanted["metadata"]["name"] = write.name().into();
    let wanted = write.stored(wanted)?;
    let there = write.shared.keyspace.get(&resource.table, &key(write));
    if there.is_none() && !write.is_status() {
        if let Some(uid) = wanted["metadata"]["uid"].as_str() {
            let said = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(Failure::conflict(resource, write.name(), &said));
        }
        let value = applied(write, &json!({}), &wanted)?;
        return create::insert(write, value, 201).await;
    }
    change(write, |old: &Object| {
        Ok(Change {
            value: applied(write, &old.value, &wanted)?,
            owned: true,
        })
    })
    .await
}

fn applied(write: &Write<'_>, live: &Value, wanted: &Value) -> Result<Value, Failure> {
    let force = write.request.query.is_set("force");
    let resource = write.resource();
    let mut value = apply(&resource.kind, live, wanted, &write.writer("Apply"), force)
        .map_err(|taken| conflict(write, &taken))?;
    for key in ["kind", "apiVersion"] {
        value[key] = wanted[key].clone();
    }
    // What the client names is what the write is for, not what it wants.
    value["metadata"]["resourceVersion"] = match &wanted["metadata"]["resourceVersion"] {
        Value::Null => live["metadata"]["resourceVersion"].clone(),
        named => named.clone(),
    };
    Ok(value)
}

/// 409, with each field and its owner.
fn conflict(write: &Write<'_>, taken: &[Taken]) -> Failure {
    let version = write.view.api_version();
    let causes: Vec<Value> = taken
        .iter()
        .map(|(manager, path)| {
            let said = format!("conflict with {manager:?} using {version}");
            json!({"reason": "FieldManagerConflict", "message": said, "field": path})
        })
        .collect();
    let said: Vec<String> = taken
        .iter()
        .map(|(manager, path)| format!("conflict with {manager:?} using {version}: {path}"))
        .collect();
    let count = if said.len() == 1 {
        "1 conflict".to_owned()
    } else {
        format!("{} conflicts", said.len())
    };
    let mut failure = Failure::new(
        409,
        "Conflict",
        format!("Apply failed with {count}: {}", said.join("\n")),
    );
    failure.details = json!({"causes": causes});
    failure
}
