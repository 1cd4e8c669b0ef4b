//! The messages that clients send: reviews, options, and the small kinds that `kubectl create` makes. Field numbers are those of the API's `generated.proto` files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::wire::{Field, fields};

/// How a field is read.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Flag,
    Number,
    Message(Shape),
    /// A map of texts.
    Map,
    /// A map of bytes: JSON has them in Base64.
    BytesMap,
}

/// The fields of a message that are read; others are passed over.
type Shape = &'static [(u64, &'static str, Kind)];

const RESOURCE: Shape = &[
    (1, "namespace", Kind::Text),
    (2, "verb", Kind::Text),
    (3, "group", Kind::Text),
    (4, "version", Kind::Text),
    (5, "resource", Kind::Text),
    (6, "subresource", Kind::Text),
    (7, "name", Kind::Text),
];
const PATH: Shape = &[(1, "path", Kind::Text), (2, "verb", Kind::Text)];
const ACCESS: Shape = &[
    (1, "resourceAttributes", Kind::Message(RESOURCE)),
    (2, "nonResourceAttributes", Kind::Message(PATH)),
    (3, "user", Kind::Text),
    (4, "groups", Kind::Texts),
];
const ACCESS_REVIEW: Shape = &[(2, "spec", Kind::Message(ACCESS))];
const RULES_REVIEW: Shape = &[(2, "spec", Kind::Message(&[(1, "namespace", Kind::Text)]))];
const TOKEN_REVIEW: Shape = &[(
    2,
    "spec",
    Kind::Message(&[(1, "token", Kind::Text), (2, "audiences", Kind::Texts)]),
)];
const TOKEN_REQUEST: Shape = &[(
    2,
    "spec",
    Kind::Message(&[
        (1, "audiences", Kind::Texts),
        (4, "expirationSeconds", Kind::Number),
    ]),
)];
const DELETE_OPTIONS: Shape = &[
    (1, "gracePeriodSeconds", Kind::Number),
    (
        2,
        "preconditions",
        Kind::Message(&[(1, "uid", Kind::Text), (2, "resourceVersion", Kind::Text)]),
    ),
    (3, "orphanDependents", Kind::Flag),
    (4, "propagationPolicy", Kind::Text),
    (5, "dryRun", Kind::Texts),
];

const METADATA: Shape = &[
    (1, "name", Kind::Text),
    (2, "generateName", Kind::Text),
    (3, "namespace", Kind::Text),
    (11, "labels", Kind::Map),
    (12, "annotations", Kind::Map),
];
const NAMED: Shape = &[(1, "metadata", Kind::Message(METADATA))];
const CONFIG_MAP: Shape = &[
    (1, "metadata", Kind::Message(METADATA)),
    (2, "data", Kind::Map),
    (3, "binaryData", Kind::BytesMap),
];
const SECRET: Shape = &[
    (1, "metadata", Kind::Message(METADATA)),
    (2, "data", Kind::BytesMap),
    (3, "type", Kind::Text),
    (4, "stringData", Kind::Map),
];

/// What a message in the envelope of Kubernetes says (`runtime.Unknown` behind four bytes of magic); None where it is no
/// such message, or of a kind that is not known here.
pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
    let envelope = fields(bytes.strip_prefix(b"k8s\0")?)?;
    let part = |number: u64| envelope.iter().find(|(field, _)| *field == number);
    let Some((_, Field::Bytes(kind))) = part(1) else {
        return None;
    };
    let head = read(&[(1, "apiVersion", Kind::Text), (2, "kind", Kind::Text)], kind)?;
    let raw = match part(2) {
        Some((_, Field::Bytes(raw))) => raw,
        _ => &[][..],
    };
    let mut value = read(shape(head["kind"].as_str()?)?, raw)?;
    value["apiVersion"] = head["apiVersion"].clone();
    value["kind"] = head["kind"].clone();
    Some(value)
}

fn shape(kind: &str) -> Option<Shape> {
    Some(match kind {
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => ACCESS_REVIEW,
        "SelfSubjectRulesReview" => RULES_REVIEW,
        "TokenReview" => TOKEN_REVIEW,
        "TokenRequest" => TOKEN_REQUEST,
        "DeleteOptions" => DELETE_OPTIONS,
        "Namespace" | "ServiceAccount" => NAMED,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        _ => return None,
    })
}

fn read(shape: Shape, bytes: &[u8]) -> Option<Value> {
    let mut value = Map::new();
    for (number, field) in fields(bytes)? {
        let Some((_, name, kind)) = shape.iter().find(|(known, ..)| *known == number) else {
            continue;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let read = match (kind, field) {
            (Kind::Text, Field::Bytes(bytes)) => json!(text(bytes)),
            (Kind::Flag, Field::Number(number)) => json!(number != 0),
            (Kind::Number, Field::Number(number)) => json!(number.cast_signed()),
            (Kind::Message(inner), Field::Bytes(bytes)) => self::read(inner, bytes)?,
            (Kind::Texts, Field::Bytes(bytes)) => {
                let mut all = value
                    .remove(*name)
                    .and_then(|list| list.as_array().cloned())
                    .unwrap_or_default();
                all.push(json!(text(bytes)));
                Value::Array(all)
            }
            (Kind::Map, Field::Bytes(bytes)) => {
                entry(value.remove(*name), bytes, |bytes| json!(text(bytes)))?
            }
            (Kind::BytesMap, Field::Bytes(bytes)) => {
                entry(value.remove(*name), bytes, |bytes| json!(STANDARD.encode(bytes)))?
            }
            _ => return None,
        };
        value.insert((*name).to_owned(), read);
    }
    Some(Value::Object(value))
}

/// A map with one more entry, a message of key and value; either is left out where it is empty.
fn entry(map: Option<Value>, bytes: &[u8], read: impl Fn(&[u8]) -> Value) -> Option<Value> {
    let mut map = map.unwrap_or_else(|| json!({}));
    let fields = fields(bytes)?;
    let part = |number: u64| match fields.iter().find(|(field, _)| *field == number) {
        Some((_, Field::Bytes(bytes))) => bytes,
        _ => &[][..],
    };
    map[String::from_utf8_lossy(part(1)).as_ref()] = read(part(2));
    Some(map)
}
