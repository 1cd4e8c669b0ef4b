//! JSON patch, RFC 6902.

use serde_json::Value;

use crate::failure::Failure;

/// The object after all operations; nothing of it where one of them fails.
pub(crate) fn patch(mut target: Value, operations: &Value) -> Result<Value, Failure> {
    let operations = operations
        .as_array()
        .ok_or_else(|| Failure::bad_request("a JSON patch is an array of operations"))?;
    for operation in operations {
        apply(&mut target, operation)?;
    }
    Ok(target)
}

fn apply(target: &mut Value, operation: &Value) -> Result<(), Failure> {
    let text = |key: &str| operation[key].as_str();
    let path =
        text("path").ok_or_else(|| Failure::bad_request("an operation of a JSON patch needs a path"))?;
    let from =
        || text("from").ok_or_else(|| Failure::bad_request("this operation of a JSON patch needs `from`"));
    let value = || {
        let value = operation.get("value").cloned();
        value.ok_or_else(|| Failure::bad_request("this operation of a JSON patch needs a value"))
    };
    match text("op") {
        Some("add") => add(target, path, value()?),
        Some("remove") => remove(target, path).map(|_| ()),
        Some("replace") => {
            let place = target
                .pointer_mut(path)
                .ok_or_else(|| refused("replace", path, "there is no such path"))?;
            *place = value()?;
            Ok(())
        }
        Some("move") => {
            let moved = remove(target, from()?)?;
            add(target, path, moved)
        }
        Some("copy") => {
            let from = from()?;
            let copied = target
                .pointer(from)
                .cloned()
                .ok_or_else(|| refused("copy", from, "there is no such path"))?;
            add(target, path, copied)
        }
        Some("test") if target.pointer(path).unwrap_or(&Value::Null) == &value()? => Ok(()),
        Some("test") => Err(refused("test", path, "testing value failed")),
        other => Err(Failure::bad_request(format!(
            "unknown operation of a JSON patch: {other:?}"
        ))),
    }
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), Failure> {
    let Some((parent, last)) = path.rsplit_once('/') else {
        *target = value;
        return Ok(());
    };
    let missing = || refused("add", path, "there is no such parent");
    match target.pointer_mut(parent).ok_or_else(missing)? {
        Value::Object(fields) => {
            fields.insert(unescape(last), value);
        }
        Value::Array(items) => {
            let at = if last == "-" {
                items.len()
            } else {
                last.parse().map_err(|_| missing())?
            };
            if at > items.len() {
                return Err(refused("add", path, "the index is out of bounds"));
            }
            items.insert(at, value);
        }
        _ => return Err(missing()),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, Failure> {
    let missing = || refused("remove", path, "there is no such path");
    let (parent, last) = path.rsplit_once('/').ok_or_else(missing)?;
    match target.pointer_mut(parent).ok_or_else(missing)? {
        Value::Object(fields) => fields.remove(&unescape(last)).ok_or_else(missing),
        Value::Array(items) => {
            let at: usize = last.parse().map_err(|_| missing())?;
            if at < items.len() {
                Ok(items.remove(at))
            } else {
                Err(missing())
            }
        }
        _ => Err(missing()),
    }
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// 422, as the server answers a patch that can be read and not be applied.
fn refused(operation: &str, path: &str, why: &str) -> Failure {
    let said = format!(
        "the server rejected our request due to an error in our request: {operation} {path:?}: {why}"
    );
    Failure::new(422, "Invalid", said)
}
