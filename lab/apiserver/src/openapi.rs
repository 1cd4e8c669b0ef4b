//! As much of OpenAPI as kubectl looks for: which kinds can be patched, and with which parameters. There are no schemas:
//! both ages of kubectl go by their own types then, and leave checking of fields to the server.

use bytes::Bytes;
use hyper::header::VARY;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::body::Body;
use crate::profile::Age;
use crate::proto::Message;
use crate::request::Request;
use crate::shared::Shared;

/// The parameters of a PATCH, and since when each is known.
const PARAMETERS: &[(&str, u32)] = &[
    ("dryRun", 13),
    ("fieldManager", 16),
    ("force", 16),
    ("fieldValidation", 25),
];
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
/// What `Accept` says for the document of version 2 as a message; the second is what newer clients call it.
const MESSAGE: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// Answers `/openapi/v2`, `/openapi/v3` and what is below it.
pub(crate) fn answer(shared: &Shared, request: &Request) -> Answer {
    let segments: Vec<&str> = request
        .path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let kinds = kinds(shared);
    let v3 = shared.age.openapi_v3();
    match segments.as_slice() {
        ["openapi", "v2"] if MESSAGE.iter().any(|media| request.accept().contains(media)) => {
            let bytes = message(&kinds, shared.age).into_bytes();
            Answer::new(200, MESSAGE[1], Body::Full(Some(Bytes::from(bytes))))
        }
        ["openapi", "v2"] => Answer::json(200, &document(&kinds, shared.age)),
        ["openapi", "v3"] if v3 => {
            let entry = |kind: &Kind| {
                (
                    kind.place(),
                    json!({"serverRelativeURL": format!("/openapi/v3/{}?hash=0", kind.place())}),
                )
            };
            let paths: Map<String, Value> = kinds.iter().map(entry).collect();
            Answer::json(200, &json!({"paths": paths}))
        }
        ["openapi", "v3", place @ ..] if v3 => {
            let place = place.join("/");
            let kinds: Vec<Kind> = kinds.into_iter().filter(|kind| kind.place() == place).collect();
            if kinds.is_empty() {
                Answer::no_such_path()
            } else {
                Answer::json(200, &document_v3(&kinds, shared.age))
            }
        }
        _ => Answer::no_such_path(),
    }
    .header(VARY, "Accept")
}

/// A kind in one version.
struct Kind {
    group: String,
    version: String,
    kind: String,
    path: String,
    custom: bool,
}

impl Kind {
    /// "api/v1", "apis/networking.k8s.io/v1".
    fn place(&self) -> String {
        if self.group.is_empty() {
            format!("api/{}", self.version)
        } else {
            format!("apis/{}/{}", self.group, self.version)
        }
    }

    fn extension(&self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.kind})
    }

    fn patches(&self) -> &'static [&'static str] {
        if self.custom { &PATCHES[..3] } else { PATCHES }
    }
}

fn kinds(shared: &Shared) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for resource in shared.registry.all() {
        for version in &resource.versions {
            let mut kind = Kind {
                group: resource.group.clone(),
                version: version.clone(),
                kind: resource.kind.clone(),
                path: String::new(),
                custom: resource.custom,
            };
            let namespace = if resource.namespaced {
                "/namespaces/{namespace}"
            } else {
                ""
            };
            kind.path = format!("/{}{namespace}/{}/{{name}}", kind.place(), resource.plural);
            kinds.push(kind);
        }
    }
    kinds
}

fn parameters(age: Age) -> impl Iterator<Item = &'static str> {
    PARAMETERS
        .iter()
        .filter(move |(_, since)| age.0 >= *since)
        .map(|(name, _)| *name)
}

fn info(age: Age) -> Value {
    json!({"title": "Kubernetes", "version": age.info()["gitVersion"]})
}

/// The document of version 2 as JSON.
fn document(kinds: &[Kind], age: Age) -> Value {
    let known: Vec<Value> = parameters(age)
        .map(|name| json!({"name": name, "in": "query", "type": "string", "uniqueItems": true}))
        .collect();
    let path = |kind: &Kind| {
        let patch = json!({
            "consumes": kind.patches(), "produces": ["application/json"], "parameters": known, "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind.extension(),
        });
        (kind.path.clone(), json!({"patch": patch}))
    };
    let paths: Map<String, Value> = kinds.iter().map(path).collect();
    json!({"swagger": "2.0", "info": info(age), "paths": paths, "definitions": {}})
}

/// The document of version 3 of one group and version.
fn document_v3(kinds: &[Kind], age: Age) -> Value {
    let known: Vec<Value> = parameters(age)
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
        .collect();
    let path = |kind: &Kind| {
        let content: Map<String, Value> = kind
            .patches()
            .iter()
            .map(|media| ((*media).to_owned(), json!({})))
            .collect();
        let patch = json!({
            "parameters": known, "requestBody": {"content": content}, "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind.extension(),
        });
        (kind.path.clone(), json!({"patch": patch}))
    };
    let paths: Map<String, Value> = kinds.iter().map(path).collect();
    json!({"openapi": "3.0.0", "info": info(age), "paths": paths, "components": {"schemas": {}}})
}

/// The document of version 2 as a message (`openapi.v2.Document` of gnostic).
fn message(kinds: &[Kind], age: Age) -> Message {
    let version = age.info()["gitVersion"].as_str().unwrap_or_default().to_owned();
    let info = Message::default().text(1, "Kubernetes").text(2, &version);
    let paths = kinds.iter().fold(Message::default(), |paths, kind| {
        let item = Message::default().message(8, &patch_message(kind, age));
        paths.message(2, &Message::default().text(1, &kind.path).message(2, &item))
    });
    Message::default()
        .text(1, "2.0")
        .message(2, &info)
        .message(8, &paths)
}

/// `Operation`.
fn patch_message(kind: &Kind, age: Age) -> Message {
    let media = kind
        .patches()
        .iter()
        .fold(Message::default(), |patch, media| patch.text(7, media));
    let patch = parameters(age).fold(media, |patch, name| {
        let query = Message::default()
            .text(2, "query")
            .text(4, name)
            .text(6, "string");
        let parameter = Message::default().message(2, &Message::default().message(3, &query));
        patch.message(8, &Message::default().message(1, &parameter))
    });
    let yaml = |value: &Value| Message::default().text(2, &format!("{value}\n"));
    let extension = |name: &str, value: &Value| Message::default().text(1, name).message(2, &yaml(value));
    patch
        .message(13, &extension("x-kubernetes-action", &json!("patch")))
        .message(
            13,
            &extension("x-kubernetes-group-version-kind", &kind.extension()),
        )
}
