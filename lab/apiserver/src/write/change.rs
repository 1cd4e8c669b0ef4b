//! Changes of an object that is there: PUT, and what patches have in common with it.

use std::sync::Arc;

use serde_json::Value;

use super::{Write, create, prepare};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::keyspace::{Key, Object};
use crate::patch::managed;

/// So often a change is made anew for an object that others changed meanwhile.
const ATTEMPTS: usize = 20;

/// What becomes of an object.
pub(super) struct Change {
    /// The whole object, as it is stored.
    pub(super) value: Value,
    /// Whether its owners are told by it already, as those of server-side apply are.
    pub(super) owned: bool,
}

/// PUT.
pub(crate) async fn update(write: &Write<'_>) -> Result<Answer, Failure> {
    let value = write.object()?;
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    if name != write.name() {
        let said = if name.is_empty() {
            "name must be provided".to_owned()
        } else {
            format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                write.name()
            )
        };
        return Err(Failure::bad_request(said));
    }
    let there = write
        .shared
        .keyspace
        .get(&write.resource().table, &key(write))
        .is_some();
    if !there && write.resource().create_on_update && !write.is_status() {
        return create::insert(write, value, 201).await;
    }
    change(write, |_| {
        Ok(Change {
            value: value.clone(),
            owned: false,
        })
    })
    .await
}

/// Where the object of the URL is.
pub(super) fn key(write: &Write<'_>) -> Key {
    Key::new(write.namespace(), write.name())
}

/// Makes a change, anew if the object was changed meanwhile.
pub(super) async fn change(
    write: &Write<'_>,
    make: impl Fn(&Object) -> Result<Change, Failure>,
) -> Result<Answer, Failure> {
    let (resource, keyspace) = (write.resource(), &write.shared.keyspace);
    for _ in 0..ATTEMPTS {
        let old = keyspace.get(&resource.table, &key(write));
        let old = old.ok_or_else(|| Failure::not_found(resource, write.name()))?;
        let Change {
            value: mut new,
            owned,
        } = make(&old)?;
        prepare::updated(resource, &old, &mut new, write.is_status(), write.shared.age)?;
        if !owned {
            managed::after_update(
                &resource.kind,
                Some(&old.value),
                &mut new,
                &write.writer("Update"),
            );
        }
        write.admit("UPDATE", Some(&old), &new).await?;
        if write.request.is_dry_run()? {
            return Ok(Answer::bytes(
                200,
                write.view.whole(&Object::new(new, old.revision)),
            ));
        }
        if let Ok(object) = commit(write, &old, new) {
            return Ok(Answer::bytes(200, write.view.whole(&object)));
        }
    }
    Err(Failure::stale(resource, write.name()))
}

/// Stores the new state; an object that only waited for its finalizers goes.
fn commit(write: &Write<'_>, old: &Object, new: Value) -> Result<Arc<Object>, crate::keyspace::Raced> {
    let (shared, resource) = (write.shared, write.resource());
    let waits = new["metadata"]["deletionTimestamp"].is_string();
    let free =
        new["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) && resource.kind != "Namespace";
    let new = if waits && free { None } else { Some(new) };
    let gone = new.is_none();
    let written = shared
        .keyspace
        .commit(&resource.table, &key(write), Some(old.revision), new)?;
    let object = written.ok_or(crate::keyspace::Raced)?;
    if gone {
        shared.after_delete(resource, &object);
    } else {
        shared.after_write(resource, &object);
    }
    Ok(object)
}
