//! `metadata.managedFields`: one entry for each manager, operation and subresource.

use serde_json::{Value, json};

use super::fields::{Fields, Leaf, Step, leaves};
use crate::clock;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    /// "Apply" or "Update".
    pub(crate) operation: &'static str,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) manager: String,
    pub(crate) operation: String,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    time: Value,
    pub(crate) fields: Fields,
}

impl Owner {
    pub(crate) fn is(&self, writer: &Writer) -> bool {
        self.manager == writer.manager
            && self.operation == writer.operation
            && self.subresource == writer.subresource
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager, "operation": self.operation, "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_json(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.as_str().into();
        }
        entry
    }
}

/// All entries of an object.
pub(crate) fn owners(object: &Value) -> Vec<Owner> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array();
    let read = |entry: &Value| Owner {
        manager: text(&entry["manager"]),
        operation: text(&entry["operation"]),
        api_version: text(&entry["apiVersion"]),
        subresource: text(&entry["subresource"]),
        time: entry["time"].clone(),
        fields: Fields::from_json(&entry["fieldsV1"]),
    };
    entries.into_iter().flatten().map(read).collect()
}

/// Writes entries into an object; those that own nothing are left out.
pub(crate) fn set_owners(object: &mut Value, owners: &[Owner]) {
    let entries: Vec<Value> = owners
        .iter()
        .filter(|owner| !owner.fields.is_empty())
        .map(Owner::to_json)
        .collect();
    if entries.is_empty() {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    } else {
        object["metadata"]["managedFields"] = entries.into();
    }
}

/// Makes a writer the owner of these fields; the time of its entry changes only where they do.
pub(crate) fn assign(owners: &mut Vec<Owner>, writer: &Writer, fields: Fields) {
    match owners.iter_mut().find(|owner| owner.is(writer)) {
        Some(owner) if owner.fields == fields => {}
        Some(owner) => {
            owner.fields = fields;
            owner.time = clock::now().into();
            owner.api_version.clone_from(&writer.api_version);
        }
        None => owners.push(Owner {
            manager: writer.manager.clone(),
            operation: writer.operation.to_owned(),
            api_version: writer.api_version.clone(),
            subresource: writer.subresource.clone(),
            time: clock::now().into(),
            fields,
        }),
    }
}

/// After an update (or another patch than apply): what it changed is the writer's alone.
pub(crate) fn after_update(kind: &str, old: Option<&Value>, new: &mut Value, writer: &Writer) {
    let mut owners = old.map(owners).unwrap_or_default();
    let empty = Value::Null;
    let (before, after) = (leaves(kind, old.unwrap_or(&empty)), leaves(kind, new));
    let (before, after) = (sorted(before), sorted(after));
    let changed: Vec<Vec<Step>> = after
        .iter()
        .filter(|leaf| is_owned(&leaf.0) && find(&before, &leaf.0) != Some(leaf.1))
        .map(|leaf| leaf.0.clone())
        .collect();
    let gone = before
        .iter()
        .filter(|leaf| find(&after, &leaf.0).is_none())
        .map(|leaf| leaf.0.clone());
    let gone: Vec<Vec<Step>> = gone.collect();
    for owner in &mut owners {
        gone.iter().for_each(|path| owner.fields.remove(path));
        if !owner.is(writer) {
            changed.iter().for_each(|path| owner.fields.remove(path));
        }
    }
    let mut mine = owners
        .iter()
        .find(|owner| owner.is(writer))
        .map(|owner| owner.fields.clone())
        .unwrap_or_default();
    changed.iter().for_each(|path| mine.insert(path));
    assign(&mut owners, writer, mine);
    set_owners(new, &owners);
}

fn sorted(mut leaves: Vec<Leaf<'_>>) -> Vec<Leaf<'_>> {
    leaves.sort_by(|one, other| one.0.cmp(&other.0));
    leaves
}

fn find<'a>(leaves: &[Leaf<'a>], path: &[Step]) -> Option<&'a Value> {
    let at = leaves.binary_search_by(|leaf| leaf.0.as_slice().cmp(path)).ok()?;
    Some(leaves[at].1)
}

/// Whether a field has an owner: what the server sets itself, and what names the object, has none.
pub(crate) fn is_owned(path: &[Step]) -> bool {
    let field = |n: usize| match path.get(n) {
        Some(Step::Field(name)) => name.as_str(),
        _ => "",
    };
    match (field(0), field(1)) {
        ("apiVersion" | "kind", _) => false,
        ("metadata", field) => [
            "labels",
            "annotations",
            "finalizers",
            "ownerReferences",
            "generateName",
        ]
        .contains(&field),
        _ => true,
    }
}
