//! The store for tests in the same process: without authorization, admission or defaults' strictness, and fast.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::convert;
use crate::keyspace::{Key, Object};
use crate::profile::Age;
use crate::read::View;
use crate::resources::Resource;
use crate::shared::Shared;
use crate::types;
use crate::write;

/// Objects, as they are kept. Kinds are named by kind, plural or short name: "Ingress", "ingresses", "ing"; where two
/// groups have one, with the group: "events.events.k8s.io".
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Store { shared }
    }

    /// Puts an object in the place of what has its name, status and all, and returns it with what the server sets. A uid, a
    /// time of creation or of deletion that it has stays as it is.
    ///
    /// # Errors
    ///
    /// When the server has no such kind, or there is no name.
    pub fn apply(&self, object: &Value) -> Result<Value> {
        let (resource, key, mut value) = self.read(object)?;
        let table = &resource.table;
        loop {
            let old = self.shared.keyspace.get(table, &key);
            prepare(&resource, old.as_deref(), &mut value, self.shared.age);
            let expected = old.map(|old| old.revision);
            if let Ok(Some(written)) = self
                .shared
                .keyspace
                .commit(table, &key, expected, Some(value.clone()))
            {
                self.shared.after_write(&resource, &written);
                return Ok(whole(&resource, &written));
            }
        }
    }

    /// The same for many objects at once: one lock, one notice to watchers.
    ///
    /// # Errors
    ///
    /// When the server lacks the kind of one, or one has no name; then none is written.
    pub fn apply_all<'a>(&self, objects: impl IntoIterator<Item = &'a Value>) -> Result<usize> {
        let read: Result<Vec<_>> = objects.into_iter().map(|object| self.read(object)).collect();
        let prepared = read?.into_iter().map(|(resource, key, mut value)| {
            let old = self.shared.keyspace.get(&resource.table, &key);
            prepare(&resource, old.as_deref(), &mut value, self.shared.age);
            if resource.kind == "CustomResourceDefinition" {
                self.shared.registry.define(&value);
            }
            (resource.table.clone(), key, value)
        });
        let prepared: Vec<_> = prepared.collect();
        let count = prepared.len();
        self.shared.keyspace.put_all(prepared);
        Ok(count)
    }

    /// Takes an object out, whatever its finalizers; false where there is none. The namespace is "" for cluster-wide kinds.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let Some(resource) = self.shared.registry.named(kind) else {
            return false;
        };
        let key = Key::new(namespace, name);
        while let Some(old) = self.shared.keyspace.get(&resource.table, &key) {
            let Ok(old) = self.shared.before_delete(&resource, old) else {
                continue;
            };
            if let Ok(Some(gone)) =
                self.shared
                    .keyspace
                    .commit(&resource.table, &key, Some(old.revision), None)
            {
                self.shared.after_delete(&resource, &gone);
                return true;
            }
        }
        false
    }

    /// One object.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = self.shared.registry.named(kind)?;
        let object = self
            .shared
            .keyspace
            .get(&resource.table, &Key::new(namespace, name))?;
        Some(whole(&resource, &object))
    }

    /// All objects of a kind, in one namespace or ("") all.
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        let Some(resource) = self.shared.registry.named(kind) else {
            return Vec::new();
        };
        let snapshot = self.shared.keyspace.list(&resource.table, namespace);
        snapshot
            .objects
            .iter()
            .map(|object| whole(&resource, object))
            .collect()
    }

    /// What a server says against an object, its webhooks apart: fields that its kind has not or that are of another type, and
    /// broken rules.
    ///
    /// # Errors
    ///
    /// With all that is said, or that the server has no such kind.
    pub fn check(&self, object: &Value) -> Result<()> {
        let (resource, _, mut value) = self.read(object)?;
        let (_, version) = self
            .shared
            .registry
            .of(object)
            .context("the server has no such kind")?;
        let unknown = types::unknown_fields(&resource, &version, object).map_err(anyhow::Error::msg)?;
        if !unknown.is_empty() {
            bail!("unknown fields: {}", unknown.join(", "));
        }
        write::created(&resource, &mut value, self.shared.age, false);
        write::check(&resource, &value).map_err(|failure| anyhow::Error::msg(failure.message))
    }

    /// Writes all objects' JSON down now, so that the first who list them do not wait for it.
    pub fn warm(&self) {
        for resource in self.shared.registry.all() {
            for object in self.shared.keyspace.list(&resource.table, "").objects {
                let _ = object.text();
            }
        }
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.shared.keyspace.revision()
    }

    /// Raises the revision as writes of kinds do that nobody here looks at.
    pub fn advance(&self, by: u64) {
        self.shared.keyspace.advance(by);
    }

    /// Forgets the history: watches and lists of older revisions are answered with 410.
    pub fn compact(&self) {
        self.shared.keyspace.compact();
    }

    fn read(&self, object: &Value) -> Result<(Arc<Resource>, Key, Value)> {
        let (kind, version) = (&object["kind"], &object["apiVersion"]);
        let (resource, version) = self
            .shared
            .registry
            .of(object)
            .with_context(|| format!("the server has no kind {kind} of {version}"))?;
        let Some(name) = object["metadata"]["name"]
            .as_str()
            .filter(|name| !name.is_empty())
        else {
            bail!("a {kind} has no name")
        };
        let mut value = convert::to_stored(&resource, &version, object.clone());
        let namespace = match object["metadata"]["namespace"].as_str() {
            _ if !resource.namespaced => "",
            None | Some("") => "default",
            Some(namespace) => namespace,
        };
        if resource.namespaced {
            value["metadata"]["namespace"] = namespace.into();
        }
        Ok((resource, Key::new(namespace, name), value))
    }
}

/// What a test may say itself, though the server would: ages decide between objects, and ends are told by their times.
const GIVEN: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Sets what the server sets. What it has set already stays; uid and times are taken as they are given.
fn prepare(resource: &Resource, old: Option<&Object>, value: &mut Value, age: Age) {
    let given: Vec<Value> = GIVEN
        .iter()
        .map(|field| value["metadata"][*field].clone())
        .collect();
    match old {
        None => write::created(resource, value, age, true),
        Some(old) => {
            if let Some(metadata) = value["metadata"].as_object_mut() {
                metadata.remove("uid");
            }
            // Written for the revision that is there, the preconditions hold.
            value["metadata"]["resourceVersion"] = old.revision.to_string().into();
            let status = value.get("status").cloned();
            let _ = write::updated(resource, old, value, false, age);
            if let Some(status) = status {
                value["status"] = status;
            }
        }
    }
    for (field, given) in GIVEN.iter().zip(given).filter(|(_, given)| !given.is_null()) {
        value["metadata"][*field] = given;
    }
}

/// In the version that the server prefers.
fn whole(resource: &Resource, object: &Object) -> Value {
    let version = resource.versions.first().map(String::as_str).unwrap_or_default();
    View::value_of(resource, version, &object.value)
}
