//! Continue tokens: where a list goes on, and at which revision (`k8s.io/apiserver/pkg/storage/continue.go`). Opaque to
//! clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::keyspace::Key;

/// Where a list goes on. No revision: wherever the store is by then.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) revision: Option<u64>,
    pub(super) start: Key,
}

impl Token {
    /// The token that goes on behind an object.
    pub(super) fn behind(key: &Key, revision: Option<u64>) -> Self {
        // The key itself with a zero byte is the next one that there can be.
        Token {
            revision,
            start: Key::new(&key.namespace, &format!("{}\0", key.name)),
        }
    }

    pub(super) fn encode(&self) -> String {
        let revision = self.revision.map_or(json!(-1), Value::from);
        let start = format!("{}/{}", self.start.namespace, self.start.name);
        URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string())
    }

    pub(super) fn decode(text: &str) -> Result<Self, Failure> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let token: Value = serde_json::from_slice(&bytes).ok()?;
            let (namespace, name) = token["start"].as_str()?.split_once('/')?;
            let revision = token["rv"].as_i64()?;
            Some(Token {
                revision: u64::try_from(revision).ok(),
                start: Key::new(namespace, name),
            })
        };
        read()
            .ok_or_else(|| Failure::bad_request("continue key is not valid: it was not made by this server"))
    }
}
