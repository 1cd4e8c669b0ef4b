//! One object as it is kept.

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::Value;

/// Where an object is, within its table. The namespace is empty for cluster-wide kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// An object without `kind` and `apiVersion`, with the revision that wrote it, and its text once somebody asked for it.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) value: Value,
    pub(crate) revision: u64,
    text: OnceLock<Bytes>,
}

impl Object {
    pub(crate) fn new(mut value: Value, revision: u64) -> Self {
        if let Some(fields) = value.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        value["metadata"]["resourceVersion"] = revision.to_string().into();
        Object {
            value,
            revision,
            text: OnceLock::new(),
        }
    }

    pub(crate) fn namespace(&self) -> &str {
        self.value["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }

    /// Whether a write of `new` would change nothing: `kind`, `apiVersion` and the resourceVersion apart.
    pub(crate) fn is_same(&self, new: &Value) -> bool {
        let (Some(old), Some(new)) = (self.value.as_object(), new.as_object()) else {
            return false;
        };
        let named = |key: &str| key != "kind" && key != "apiVersion";
        let same = |key: &String, value: &Value| match (key.as_str(), old.get(key)) {
            ("metadata", Some(old)) => is_same_metadata(old, value),
            (_, old) => old == Some(value),
        };
        new.iter()
            .filter(|(key, _)| named(key))
            .all(|(key, value)| same(key, value))
            && old.keys().all(|key| new.contains_key(key))
    }

    /// Its JSON, without `kind` and `apiVersion`: an item of a list.
    pub(crate) fn text(&self) -> Bytes {
        self.text.get_or_init(|| self.value.to_string().into()).clone()
    }
}

fn is_same_metadata(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return old == new;
    };
    let counts = |key: &&String| key.as_str() != "resourceVersion";
    new.keys().filter(counts).all(|key| old.get(key) == new.get(key))
        && old.keys().filter(counts).all(|key| new.contains_key(key))
}
