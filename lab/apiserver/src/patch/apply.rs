//! Server-side apply: a manager says which fields it wants, and how they shall be; what it wanted before and wants no
//! more goes, unless others own it (`sigs.k8s.io/structured-merge-diff`).

use serde_json::{Map, Value};

use super::fields::{Fields, Step, leaves, path_text, step_of};
use super::lists::{ListKind, Place, applied};
use super::managed::{Owner, Writer, assign, is_owned, owners, set_owners};

/// A field that another owns: (its manager, the path).
pub(crate) type Taken = (String, String);

/// The object with a configuration applied, owners and all; or what others own of it.
pub(crate) fn apply(
    kind: &str,
    live: &Value,
    wanted: &Value,
    writer: &Writer,
    force: bool,
) -> Result<Value, Vec<Taken>> {
    let mut owners = owners(live);
    let fields = wanted_fields(kind, wanted, &writer.subresource);
    let mut merged = merge(
        Place {
            kind,
            parent: "",
            field: "",
        },
        live.clone(),
        wanted,
    );
    let taken = taken(kind, live, &merged, &fields, &owners, writer);
    if !taken.is_empty() && !force {
        return Err(taken
            .into_iter()
            .map(|(manager, path)| (manager, path_text(&path)))
            .collect());
    }
    for (_, path) in &taken {
        owners
            .iter_mut()
            .filter(|owner| !owner.is(writer))
            .for_each(|owner| owner.fields.remove(path));
    }
    let before = owners
        .iter()
        .find(|owner| owner.is(writer))
        .map(|owner| owner.fields.clone())
        .unwrap_or_default();
    for path in before
        .paths()
        .into_iter()
        .rev()
        .filter(|path| !fields.contains(path))
    {
        let others = owners
            .iter()
            .any(|owner| !owner.is(writer) && owner.fields.contains(&path));
        if !others {
            remove(
                Place {
                    kind,
                    parent: "",
                    field: "",
                },
                &mut merged,
                &path,
            );
        }
    }
    assign(&mut owners, writer, fields);
    set_owners(&mut merged, &owners);
    Ok(merged)
}

/// What a configuration claims: on `/status` the status alone, else all but the status.
fn wanted_fields(kind: &str, wanted: &Value, subresource: &str) -> Fields {
    let mut fields = Fields::default();
    for (path, _) in leaves(kind, wanted) {
        let in_status = path.first() == Some(&Step::Field("status".into()));
        if is_owned(&path) && in_status == (subresource == "status") {
            fields.insert(&path);
        }
    }
    fields
}

fn taken(
    kind: &str,
    live: &Value,
    merged: &Value,
    fields: &Fields,
    owners: &[Owner],
    writer: &Writer,
) -> Vec<(String, Vec<Step>)> {
    let (before, after) = (leaves(kind, live), leaves(kind, merged));
    let value = |leaves: &[(Vec<Step>, &Value)], path: &[Step]| {
        leaves
            .iter()
            .find(|leaf| leaf.0 == path)
            .map(|leaf| leaf.1.clone())
    };
    let mut taken = Vec::new();
    for owner in owners.iter().filter(|owner| !owner.is(writer)) {
        let shared = fields
            .paths()
            .into_iter()
            .filter(|path| owner.fields.contains(path));
        let changed = shared.filter(|path| value(&before, path) != value(&after, path));
        taken.extend(changed.map(|path| (owner.manager.clone(), path)));
    }
    taken
}

fn merge(place: Place<'_>, live: Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(mut fields), Value::Object(changes)) => {
            for (key, change) in changes {
                let inner = Place {
                    kind: place.kind,
                    parent: place.field,
                    field: key,
                };
                let old = fields.remove(key).unwrap_or(Value::Null);
                fields.insert(key.clone(), merge(inner, old, change));
            }
            Value::Object(fields)
        }
        (Value::Null, Value::Object(_)) => merge(place, Value::Object(Map::new()), wanted),
        (Value::Array(old), Value::Array(items)) if applied(place) != ListKind::Atomic => {
            Value::Array(merge_list(place, old, items))
        }
        (_, wanted) => wanted.clone(),
    }
}

fn merge_list(place: Place<'_>, mut merged: Vec<Value>, items: &[Value]) -> Vec<Value> {
    for item in items {
        let step = step_of(place, item);
        match merged.iter().position(|old| step_of(place, old) == step) {
            Some(at) => merged[at] = merge(place, merged[at].take(), item),
            None => merged.push(item.clone()),
        }
    }
    merged
}

/// Takes a field out; an item of a list goes as a whole with its own entry.
fn remove(place: Place<'_>, value: &mut Value, path: &[Step]) {
    let [first, rest @ ..] = path else { return };
    match (first, value) {
        (Step::Field(name), Value::Object(fields)) if rest.is_empty() => {
            fields.remove(name);
        }
        (Step::Field(name), Value::Object(fields)) => {
            if let Some(below) = fields.get_mut(name) {
                remove(
                    Place {
                        kind: place.kind,
                        parent: place.field,
                        field: name,
                    },
                    below,
                    rest,
                );
                if below.as_object().is_some_and(Map::is_empty) || below.as_array().is_some_and(Vec::is_empty)
                {
                    fields.remove(name);
                }
            }
        }
        (step, Value::Array(items)) => {
            let Some(at) = items.iter().position(|item| step_of(place, item) == *step) else {
                return;
            };
            if rest.is_empty() {
                items.remove(at);
            } else {
                remove(place, &mut items[at], rest);
            }
        }
        _ => {}
    }
}
