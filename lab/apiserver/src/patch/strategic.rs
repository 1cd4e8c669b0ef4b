//! Strategic merge patches: like merge patches, but lists of named items are merged item by item
//! (`k8s.io/apimachinery/pkg/util/strategicpatch`).

use serde_json::{Map, Value};

use super::lists::{ListKind, Place, strategic};

/// The object with the patch in it.
pub(crate) fn patch(kind: &str, target: Value, patch: &Value) -> Value {
    merge(
        Place {
            kind,
            parent: "",
            field: "",
        },
        target,
        patch,
    )
}

fn merge(place: Place<'_>, target: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    match changes.get("$patch").and_then(Value::as_str) {
        Some("replace") => return Value::Object(without_directives(changes)),
        Some("delete") => return Value::Object(Map::new()),
        _ => {}
    }
    if let Some(kept) = changes.get("$retainKeys").and_then(Value::as_array) {
        fields.retain(|key, _| kept.iter().any(|kept| kept == key.as_str()));
    }
    for (key, change) in changes.iter().filter(|(key, _)| !key.starts_with('$')) {
        let inner = Place {
            kind: place.kind,
            parent: place.field,
            field: key,
        };
        let old = fields.remove(key);
        let order = changes.get(&format!("$setElementOrder/{key}"));
        match (change, old) {
            (Value::Null, _) => {}
            (Value::Array(items), old) => {
                fields.insert(key.clone(), Value::Array(merge_list(inner, old, items, order)));
            }
            (change, old) => {
                fields.insert(key.clone(), merge(inner, old.unwrap_or(Value::Null), change));
            }
        }
    }
    remove_primitives(&mut fields, changes);
    Value::Object(fields)
}

/// `$deleteFromPrimitiveList/FIELD`.
fn remove_primitives(fields: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (key, gone) in changes {
        let list = key
            .strip_prefix("$deleteFromPrimitiveList/")
            .and_then(|field| fields.get_mut(field));
        if let (Some(Value::Array(list)), Value::Array(gone)) = (list, gone) {
            list.retain(|item| !gone.contains(item));
        }
    }
}

fn merge_list(place: Place<'_>, old: Option<Value>, items: &[Value], order: Option<&Value>) -> Vec<Value> {
    let old = match old {
        Some(Value::Array(old)) => old,
        _ => Vec::new(),
    };
    let is_directive = |item: &&Value| item.get("$patch").is_some_and(|directive| directive == "replace");
    if items.iter().any(|item| is_directive(&item)) {
        return items.iter().filter(|item| !is_directive(item)).cloned().collect();
    }
    match strategic(place) {
        ListKind::Atomic => items.to_vec(),
        ListKind::Set => {
            let mut merged = old;
            merged.extend(
                items
                    .iter()
                    .filter(|item| !merged.contains(item))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
            merged
        }
        ListKind::Map(keys) => ordered(merge_items(place, keys, old, items), keys, order),
    }
}

fn merge_items(place: Place<'_>, keys: &[&str], mut merged: Vec<Value>, items: &[Value]) -> Vec<Value> {
    for item in items {
        let at = merged.iter().position(|old| is_same_item(keys, old, item));
        let gone = item.get("$patch").is_some_and(|directive| directive == "delete");
        match (at, gone) {
            (Some(at), true) => {
                merged.remove(at);
            }
            (None, true) => {}
            (Some(at), false) => merged[at] = merge(place, merged[at].take(), item),
            (None, false) => merged.push(merge(place, Value::Null, item)),
        }
    }
    merged
}

fn is_same_item(keys: &[&str], one: &Value, other: &Value) -> bool {
    keys.iter().all(|key| one[key] == other[key])
}

/// Puts items in the order that `$setElementOrder` names; those that it does not name keep their places at the end.
fn ordered(mut items: Vec<Value>, keys: &[&str], order: Option<&Value>) -> Vec<Value> {
    let Some(order) = order.and_then(Value::as_array) else {
        return items;
    };
    let place = |item: &Value| {
        order
            .iter()
            .position(|named| is_same_item(keys, named, item))
            .unwrap_or(usize::MAX)
    };
    items.sort_by_key(place);
    items
}

fn without_directives(fields: &Map<String, Value>) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(key, _)| !key.starts_with('$'))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
