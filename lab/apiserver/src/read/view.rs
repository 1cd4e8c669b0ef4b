//! How an object is shown to a client: in the version of its URL, and in the form that it accepts.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::convert;
use crate::failure::Failure;
use crate::keyspace::Object;
use crate::resources::Resource;
use crate::table;

/// What a client sees.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) resource: Arc<Resource>,
    pub(crate) version: String,
    pub(crate) form: Form,
}

/// What the `Accept` header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    /// `PartialObjectMetadata`.
    Metadata,
    /// `Table`, with whole objects in its rows or their metadata.
    Table {
        whole: bool,
    },
}

impl Form {
    /// The first form of the header that the server has; 406 where there is none.
    pub(crate) fn negotiate(accept: &str, include: &str) -> Result<Form, Failure> {
        if accept.trim().is_empty() {
            return Ok(Form::Object);
        }
        let whole = include == "Object";
        accept
            .split(',')
            .find_map(|range| form_of(range, whole))
            .ok_or_else(|| {
                let known = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
                Failure::new(
                    406,
                    "NotAcceptable",
                    format!("only the following media types are accepted: {known}"),
                )
            })
    }
}

fn form_of(range: &str, whole: bool) -> Option<Form> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    if !["application/json", "application/*", "*/*"].contains(&media) {
        return None;
    }
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let get = |name: &str| {
        parameters
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    };
    match get("as") {
        None => Some(Form::Object),
        Some("Table") if matches!(get("v"), Some("v1" | "v1beta1")) => Some(Form::Table { whole }),
        Some("PartialObjectMetadata" | "PartialObjectMetadataList") if get("v") == Some("v1") => {
            Some(Form::Metadata)
        }
        Some(_) => None,
    }
}

impl View {
    pub(crate) fn api_version(&self) -> String {
        self.resource.api_version(&self.version)
    }

    /// An object for itself, as an answer or in an event.
    pub(crate) fn whole(&self, object: &Object) -> Bytes {
        match self.form {
            Form::Object => self.with_head(object),
            Form::Metadata => metadata_of(&object.value).to_string().into(),
            Form::Table { whole } => self.table(&[object], &json!({}), whole, true).to_string().into(),
        }
    }

    /// An object in an event that is not the first: a table does not say its columns again.
    pub(crate) fn in_event(&self, object: &Object, first: bool) -> Bytes {
        match self.form {
            Form::Table { whole } => self.table(&[object], &json!({}), whole, first).to_string().into(),
            _ => self.whole(object),
        }
    }

    /// An item of a list: kinds of the server are without `kind` and `apiVersion` there, custom ones are not.
    fn item(&self, object: &Object) -> Bytes {
        match self.form {
            Form::Metadata => metadata_of(&object.value).to_string().into(),
            _ if self.resource.custom => self.with_head(object),
            _ => match convert::from_stored(&self.resource, &self.version, &object.value) {
                Some(converted) => converted.to_string().into(),
                None => object.text(),
            },
        }
    }

    /// A list.
    pub(crate) fn list(&self, objects: &[&Object], metadata: &Value) -> Bytes {
        if let Form::Table { whole } = self.form {
            return self.table(objects, metadata, whole, true).to_string().into();
        }
        let (kind, api_version) = match self.form {
            Form::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            _ => (format!("{}List", self.resource.kind), self.api_version()),
        };
        let mut text = BytesMut::new();
        let head = format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
            json!(kind),
            json!(api_version)
        );
        text.put_slice(head.as_bytes());
        for (at, object) in objects.iter().enumerate() {
            if at > 0 {
                text.put_u8(b',');
            }
            text.put_slice(&self.item(object));
        }
        text.put_slice(b"]}\n");
        text.freeze()
    }

    /// The object of a bookmark: empty but for the resourceVersion. Fields without `omitempty` of typed kinds stand there.
    pub(crate) fn bookmark(&self, revision: u64, initial_end: bool, null_timestamps: bool) -> Value {
        let mut object = convert::empty(&self.resource);
        object["kind"] = self.resource.kind.as_str().into();
        object["apiVersion"] = self.api_version().into();
        object["metadata"] = json!({"resourceVersion": revision.to_string()});
        if null_timestamps && !self.resource.custom {
            object["metadata"]["creationTimestamp"] = Value::Null;
        }
        if initial_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.form {
            Form::Object => object,
            Form::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
            }),
            Form::Table { .. } => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision.to_string()},
                "columnDefinitions": null, "rows": [{"cells": [], "object": object}],
            }),
        }
    }

    fn with_head(&self, object: &Object) -> Bytes {
        let rest = match convert::from_stored(&self.resource, &self.version, &object.value) {
            Some(converted) => converted.to_string().into(),
            None => object.text(),
        };
        let head = format!(
            "{{\"kind\":{},\"apiVersion\":{},",
            json!(self.resource.kind),
            json!(self.api_version())
        );
        let mut text = BytesMut::with_capacity(head.len() + rest.len());
        text.put_slice(head.as_bytes());
        text.put_slice(rest.get(1..).unwrap_or_default());
        text.freeze()
    }

    fn table(&self, objects: &[&Object], metadata: &Value, whole: bool, columns: bool) -> Value {
        let rows: Vec<Value> = objects
            .iter()
            .map(|object| {
                let shown = if whole {
                    self.value(object)
                } else {
                    metadata_of(&object.value)
                };
                json!({"cells": table::cells(&self.resource, &object.value), "object": shown})
            })
            .collect();
        let definitions = if columns {
            table::columns(&self.resource)
        } else {
            Value::Null
        };
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": definitions, "rows": rows,
        })
    }

    /// A whole object as a value.
    pub(crate) fn value(&self, object: &Object) -> Value {
        Self::value_of(&self.resource, &self.version, &object.value)
    }

    /// What is stored as an object of a version.
    pub(crate) fn value_of(resource: &Resource, version: &str, stored: &Value) -> Value {
        let mut value = convert::from_stored(resource, version, stored).unwrap_or_else(|| stored.clone());
        value["kind"] = resource.kind.as_str().into();
        value["apiVersion"] = resource.api_version(version).into();
        value
    }
}

fn metadata_of(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn the_first_form_that_the_server_has_is_taken() {
        let of = |accept: &str| Form::negotiate(accept, "").ok();
        assert_eq!(of(""), Some(Form::Object));
        assert_eq!(of("*/*"), Some(Form::Object));
        assert_eq!(
            of("application/vnd.kubernetes.protobuf,application/json"),
            Some(Form::Object)
        );
        assert_eq!(
            of("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Some(Form::Table { whole: false })
        );
        assert_eq!(
            of("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            Some(Form::Metadata)
        );
        assert_eq!(of("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(of("text/html"), None);
    }
}
