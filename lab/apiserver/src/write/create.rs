//! POST.

use serde_json::{Value, json};

use super::{Write, prepare};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::keyspace::{Key, Object};
use crate::patch::managed;

/// So often another name is made up where the first is taken.
const NAMES: usize = 8;

/// Makes the object of the body.
pub(crate) async fn create(write: &Write<'_>) -> Result<Answer, Failure> {
    let value = write.object()?;
    let named = value["metadata"]["name"]
        .as_str()
        .is_some_and(|name| !name.is_empty());
    for _ in 0..NAMES {
        match insert(write, value.clone(), 201).await {
            Err(failure) if failure.reason == "AlreadyExists" && !named => {}
            answer => return answer,
        }
    }
    insert(write, value, 201).await
}

/// Puts a new object into the store.
pub(super) async fn insert(write: &Write<'_>, mut value: Value, status: u16) -> Result<Answer, Failure> {
    let (shared, resource) = (write.shared, write.resource());
    if value["metadata"]["resourceVersion"]
        .as_str()
        .is_some_and(|version| !version.is_empty())
    {
        let said = "resourceVersion should not be set on objects to be created";
        return Err(Failure::new(500, "InternalError", said));
    }
    prepare::name(&mut value);
    check_namespace(write, &value)?;
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let kept = value["metadata"]["managedFields"].take();
    prepare::created(resource, &mut value, shared.age, false);
    if kept.is_array() {
        // Server-side apply has said already who owns what.
        value["metadata"]["managedFields"] = kept;
    } else {
        managed::after_update(&resource.kind, None, &mut value, &write.writer("Update"));
    }
    write.admit("CREATE", None, &value).await?;
    let key = Key::new(write.namespace(), &name);
    if write.request.is_dry_run()? {
        return match shared.keyspace.get(&resource.table, &key) {
            Some(_) => Err(Failure::already_exists(resource, &name)),
            None => Ok(Answer::bytes(status, write.view.whole(&Object::new(value, 0)))),
        };
    }
    let written = shared.keyspace.commit(&resource.table, &key, None, Some(value));
    let object = written
        .ok()
        .flatten()
        .ok_or_else(|| Failure::already_exists(resource, &name))?;
    shared.after_write(resource, &object);
    Ok(Answer::bytes(status, write.view.whole(&object)))
}

/// The admission plugin `NamespaceLifecycle`.
fn check_namespace(write: &Write<'_>, value: &Value) -> Result<(), Failure> {
    let namespace = write.namespace();
    if !write.resource().namespaced {
        return Ok(());
    }
    let Some(namespaces) = write.shared.registry.find("", "v1", "namespaces") else {
        return Ok(());
    };
    let found = write
        .shared
        .keyspace
        .get(&namespaces.table, &Key::new("", namespace));
    let found = found.ok_or_else(|| Failure::not_found(&namespaces, namespace))?;
    if found.value["metadata"]["deletionTimestamp"].is_string() {
        let (resource, name) = (
            write.resource(),
            value["metadata"]["name"].as_str().unwrap_or_default(),
        );
        let what = resource.qualified();
        let said = format!(
            "{what} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut failure = Failure::new(403, "Forbidden", said).about(resource, name);
        let message = format!("namespace {namespace} is being terminated");
        failure.details["causes"] =
            json!([{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]);
        return Err(failure);
    }
    Ok(())
}
