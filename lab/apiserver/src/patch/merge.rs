//! JSON merge patch, RFC 7396.

use serde_json::{Map, Value};

/// The object with the patch in it: null removes, objects merge, everything else replaces.
pub(crate) fn patch(target: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            let old = fields.remove(key).unwrap_or(Value::Null);
            fields.insert(key.clone(), self::patch(old, change));
        }
    }
    Value::Object(fields)
}
