//! DELETE: of one object, and of all that fit.

use std::sync::Arc;

use serde_json::{Value, json};

use super::change::key;
use super::{Write, decode_value};
use crate::answer::Answer;
use crate::clock;
use crate::failure::Failure;
use crate::keyspace::{Key, Object, Raced};
use crate::select::Selector;

/// Kinds whose deletion answers with the object, and not with a `Status`.
const ANSWER_WITH_OBJECT: &[&str] = &["Pod", "Namespace", "Service", "ServiceAccount"];

/// Deletes the object of the URL.
pub(crate) async fn delete(write: &Write<'_>) -> Result<Answer, Failure> {
    let options = options(write)?;
    let resource = write.resource();
    let key = key(write);
    let old = write.shared.keyspace.get(&resource.table, &key);
    let old = old.ok_or_else(|| Failure::not_found(resource, write.name()))?;
    write_preconditions(write, &options, &old)?;
    let dry_run = is_dry_run(write, &options)?;
    write.admit_deletion(&old, dry_run).await?;
    if dry_run {
        return Ok(answer(write, &old, false));
    }
    let (object, waits) = loop {
        let old = write.shared.keyspace.get(&resource.table, &key);
        let old = old.ok_or_else(|| Failure::not_found(resource, write.name()))?;
        write_preconditions(write, &options, &old)?;
        if let Ok(done) = remove(write, &key, &old) {
            break done;
        }
    };
    Ok(answer(write, &object, waits))
}

/// Deletes what is selected.
pub(crate) async fn delete_collection(write: &Write<'_>, selector: &Selector) -> Result<Answer, Failure> {
    let options = options(write)?;
    let (resource, shared) = (write.resource(), write.shared);
    let snapshot = shared.keyspace.list(&resource.table, write.namespace());
    let chosen: Vec<Arc<Object>> = snapshot
        .objects
        .into_iter()
        .filter(|object| selector.matches(&object.value))
        .collect();
    if !is_dry_run(write, &options)? {
        for object in &chosen {
            write.admit_deletion(object, false).await?;
            let key = object.key();
            while let Some(current) = shared.keyspace.get(&resource.table, &key) {
                if remove(write, &key, &current).is_ok() {
                    break;
                }
            }
        }
    }
    let objects: Vec<&Object> = chosen.iter().map(AsRef::as_ref).collect();
    let metadata = json!({"resourceVersion": shared.keyspace.revision().to_string()});
    Ok(Answer::bytes(200, write.view.list(&objects, &metadata)))
}

/// Takes an object out, or lets it wait for its finalizers. Tells which.
fn remove(write: &Write<'_>, key: &Key, old: &Arc<Object>) -> Result<(Arc<Object>, bool), Raced> {
    let (shared, resource) = (write.shared, write.resource());
    let waits = old.value["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|finalizers| !finalizers.is_empty());
    if waits {
        let mut value = old.value.clone();
        if !value["metadata"]["deletionTimestamp"].is_string() {
            value["metadata"]["deletionTimestamp"] = clock::now().into();
            value["metadata"]["deletionGracePeriodSeconds"] = 0.into();
        }
        let object = shared
            .keyspace
            .commit(&resource.table, key, Some(old.revision), Some(value))?
            .ok_or(Raced)?;
        return Ok((object, true));
    }
    let old = shared.before_delete(resource, Arc::clone(old))?;
    let object = shared
        .keyspace
        .commit(&resource.table, key, Some(old.revision), None)?
        .ok_or(Raced)?;
    shared.after_delete(resource, &object);
    Ok((object, false))
}

fn options(write: &Write<'_>) -> Result<Value, Failure> {
    if write.body.is_empty() {
        return Ok(Value::Null);
    }
    write.check_type(&["application/json", "application/yaml", crate::proto::MEDIA, ""])?;
    decode_value(write.request.content_type(), &write.body)
}

fn is_dry_run(write: &Write<'_>, options: &Value) -> Result<bool, Failure> {
    let in_body = options["dryRun"]
        .as_array()
        .is_some_and(|values| values.iter().any(|value| value == "All"));
    Ok(in_body || write.request.is_dry_run()?)
}

fn write_preconditions(write: &Write<'_>, options: &Value, old: &Object) -> Result<(), Failure> {
    let wanted = &options["preconditions"];
    let check = |field: &str, what: &str| match wanted[field].as_str() {
        Some(value) if old.value["metadata"][field] != value => {
            let is = old.value["metadata"][field].as_str().unwrap_or_default();
            let said =
                format!("Precondition failed: {what} in precondition: {value}, {what} in object meta: {is}");
            Err(Failure::conflict(write.resource(), write.name(), &said))
        }
        _ => Ok(()),
    };
    check("uid", "UID")?;
    check("resourceVersion", "ResourceVersion")
}

fn answer(write: &Write<'_>, object: &Object, waits: bool) -> Answer {
    let resource = write.resource();
    if waits || ANSWER_WITH_OBJECT.contains(&resource.kind.as_str()) {
        return Answer::bytes(200, write.view.whole(object));
    }
    let mut details =
        json!({"name": object.name(), "kind": resource.plural, "uid": object.value["metadata"]["uid"]});
    if !resource.group.is_empty() {
        details["group"] = resource.group.as_str().into();
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Answer::json(200, &status)
}
