//! Objects as servers send them, on their way to text without their bulk.
//!
//! What comes is written down again while it is read: of most of the objects of a cluster nobody here wants a value, which
//! would be made of many pieces, and there may be a hundred thousand of them at the start.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::ser::Serialize;

/// What is often the larger part of an object: who wrote which field,
const MANAGED_FIELDS: &str = "managedFields";
/// and what `kubectl apply` was given.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object as JSON, and what its metadata say of it; what they do not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) text: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut received = Self::default();
        // Few are smaller, and it is cut to size at the end.
        let mut out = Vec::with_capacity(1 << 10);
        let copy = Copy {
            out: &mut out,
            received: &mut received,
            place: Spot::Object,
        };
        copy.deserialize(deserializer)?;
        received.text = String::from_utf8(out).map_err(D::Error::custom)?;
        Ok(received)
    }
}

/// What is being copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spot {
    Object,
    Metadata,
    Annotations,
    Other,
    /// Texts of the metadata that are remembered.
    Namespace,
    Name,
    Uid,
    ResourceVersion,
}

impl Spot {
    /// What a field is; `None` for what is left out.
    fn field(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Object, "metadata") => Some(Self::Metadata),
            (Self::Metadata, "annotations") => Some(Self::Annotations),
            (Self::Metadata, "namespace") => Some(Self::Namespace),
            (Self::Metadata, "name") => Some(Self::Name),
            (Self::Metadata, "uid") => Some(Self::Uid),
            (Self::Metadata, "resourceVersion") => Some(Self::ResourceVersion),
            (Self::Metadata, MANAGED_FIELDS) | (Self::Annotations, LAST_APPLIED) => None,
            _ => Some(Self::Other),
        }
    }
}

/// Writes down what it reads.
struct Copy<'a> {
    out: &'a mut Vec<u8>,
    received: &'a mut Received,
    place: Spot,
}

impl Copy<'_> {
    fn below(&mut self, place: Spot) -> Copy<'_> {
        Copy {
            out: self.out,
            received: self.received,
            place,
        }
    }

    fn write<E: Error>(self, value: impl Serialize) -> Result<(), E> {
        serde_json::to_writer(self.out, &value).map_err(E::custom)
    }

    fn remember(&mut self, text: &str) {
        let remembered = match self.place {
            Spot::Namespace => &mut self.received.namespace,
            Spot::Name => &mut self.received.name,
            Spot::Uid => &mut self.received.uid,
            Spot::ResourceVersion => &mut self.received.resource_version,
            _ => return,
        };
        text.clone_into(remembered);
    }
}

/// Writes down the name of a field, unless it is left out.
struct FieldName<'a> {
    out: &'a mut Vec<u8>,
    /// Of what it is a field.
    of: Spot,
    first: bool,
}

impl<'de> DeserializeSeed<'de> for FieldName<'_> {
    type Value = Option<Spot>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName<'_> {
    type Value = Option<Spot>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let place = self.of.field(name);
        if place.is_some() {
            if !self.first {
                self.out.push(b',');
            }
            serde_json::to_writer(&mut *self.out, name).map_err(E::custom)?;
            self.out.push(b':');
        }
        Ok(place)
    }
}

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.write(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.write(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        self.remember(value);
        self.write(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.out.push(b'[');
        let first = self.out.len();
        loop {
            let before = self.out.len();
            if before != first {
                self.out.push(b',');
            }
            if elements.next_element_seed(self.below(Spot::Other))?.is_none() {
                self.out.truncate(before);
                break;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        let start = self.out.len();
        loop {
            let name = FieldName {
                first: self.out.len() == start,
                out: self.out,
                of: self.place,
            };
            match fields.next_key_seed(name)? {
                Some(Some(place)) => fields.next_value_seed(self.below(place))?,
                Some(None) => {
                    fields.next_value::<IgnoredAny>()?;
                }
                None => break,
            }
        }
        self.out.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn received(text: &str) -> Received {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_object_is_the_same_without_its_bulk() {
        let numbers = json!([0, -1, u64::MAX, i64::MIN, 0.1, 1e300, -2.5e-7]);
        let mut object = json!({
            "kind": "Ingress", "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "namespace": "shop", "name": "web", "uid": "u", "resourceVersion": "5",
                "annotations": {LAST_APPLIED: "{}", "a \"quoted\"\n": "\u{1}ü"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
                "labels": {"managedFields": "a label"},
            },
            "spec": {"empty": [{}, [], "", null, true, false], "numbers": numbers, LAST_APPLIED: 1},
        });
        let read = received(&serde_json::to_string_pretty(&object).unwrap());
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove(MANAGED_FIELDS);
        metadata["annotations"]
            .as_object_mut()
            .unwrap()
            .remove(LAST_APPLIED);
        assert_eq!(serde_json::from_str::<Value>(&read.text).unwrap(), object);
        let names = [&read.namespace, &read.name, &read.uid, &read.resource_version];
        assert_eq!(names, ["shop", "web", "u", "5"]);
    }

    #[test]
    fn what_is_no_object_has_no_name() {
        for text in [
            "null",
            "7",
            "[]",
            "{}",
            r#"{"metadata":null}"#,
            r#"{"metadata":{"name":7}}"#,
        ] {
            let read = received(text);
            assert_eq!((&*read.text, &*read.name), (text, ""));
        }
    }
}
