//! Sets of fields: who owns what of an object (`FieldsV1` of `metadata.managedFields`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::lists::{ListKind, Place, applied};

/// A set of fields, as a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    itself: bool,
    below: BTreeMap<Step, Fields>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// `f:NAME`: a field.
    Field(String),
    /// `k:{…}`: the item with these keys; canonical JSON.
    Item(String),
    /// `v:…`: the item that is this value; JSON.
    Value(String),
}

/// A field and its value.
pub(crate) type Leaf<'a> = (Vec<Step>, &'a Value);

impl Fields {
    pub(crate) fn insert(&mut self, path: &[Step]) {
        match path {
            [] => self.itself = true,
            [first, rest @ ..] => self.below.entry(first.clone()).or_default().insert(rest),
        }
    }

    pub(crate) fn contains(&self, path: &[Step]) -> bool {
        match path {
            [] => self.itself,
            [first, rest @ ..] => self.below.get(first).is_some_and(|below| below.contains(rest)),
        }
    }

    /// Takes a field out, and all below it.
    pub(crate) fn remove(&mut self, path: &[Step]) {
        match path {
            [] => *self = Fields::default(),
            [first, rest @ ..] => {
                if let Some(below) = self.below.get_mut(first) {
                    below.remove(rest);
                    if below.is_empty() {
                        self.below.remove(first);
                    }
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.itself && self.below.is_empty()
    }

    pub(crate) fn paths(&self) -> Vec<Vec<Step>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, at: &mut Vec<Step>, paths: &mut Vec<Vec<Step>>) {
        if self.itself {
            paths.push(at.clone());
        }
        for (step, below) in &self.below {
            at.push(step.clone());
            below.collect(at, paths);
            at.pop();
        }
    }

    /// As `fieldsV1` has it.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        if self.itself && !self.below.is_empty() {
            fields.insert(".".into(), Value::Object(Map::new()));
        }
        for (step, below) in &self.below {
            fields.insert(step.to_text(), below.to_json());
        }
        Value::Object(fields)
    }

    pub(crate) fn from_json(json: &Value) -> Self {
        let Some(fields) = json.as_object() else {
            return Fields::default();
        };
        let mut read = Fields {
            itself: fields.is_empty() || fields.contains_key("."),
            below: BTreeMap::new(),
        };
        for (key, below) in fields {
            if let Some(step) = Step::from_text(key) {
                read.below.insert(step, Fields::from_json(below));
            }
        }
        read
    }
}

impl Step {
    fn to_text(&self) -> String {
        match self {
            Step::Field(name) => format!("f:{name}"),
            Step::Item(keys) => format!("k:{keys}"),
            Step::Value(value) => format!("v:{value}"),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Step::Field(rest.to_owned())),
            "k" => Some(Step::Item(rest.to_owned())),
            "v" => Some(Step::Value(rest.to_owned())),
            _ => None,
        }
    }
}

/// A path as messages have it: `.spec.ports[port=80]`.
pub(crate) fn path_text(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Field(name) => format!(".{name}"),
        Step::Value(value) => format!("[={value}]"),
        Step::Item(keys) => match serde_json::from_str::<Map<String, Value>>(keys) {
            Ok(keys) => {
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("[{}]", keys.join(","))
            }
            Err(_) => format!("[{keys}]"),
        },
    };
    path.iter().map(step).collect()
}

/// All fields of an object that have values, lists that are merged item by item taken apart.
pub(crate) fn leaves<'a>(kind: &str, object: &'a Value) -> Vec<Leaf<'a>> {
    let mut found = Vec::new();
    walk(
        Place {
            kind,
            parent: "",
            field: "",
        },
        object,
        &mut Vec::new(),
        &mut found,
    );
    found
}

fn walk<'a>(place: Place<'_>, value: &'a Value, at: &mut Vec<Step>, found: &mut Vec<Leaf<'a>>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                at.push(Step::Field(key.clone()));
                walk(
                    Place {
                        kind: place.kind,
                        parent: place.field,
                        field: key,
                    },
                    value,
                    at,
                    found,
                );
                at.pop();
            }
        }
        Value::Array(items) if applied(place) != ListKind::Atomic => {
            for item in items {
                at.push(step_of(place, item));
                found.push((at.clone(), &Value::Null));
                if item.is_object() {
                    walk(place, item, at, found);
                }
                at.pop();
            }
        }
        value => found.push((at.clone(), value)),
    }
}

/// How an item of a list is named in paths.
pub(super) fn step_of(place: Place<'_>, item: &Value) -> Step {
    match applied(place) {
        ListKind::Map(keys) => {
            let default = |key: &str| {
                if key == "protocol" {
                    Value::from("TCP")
                } else {
                    Value::Null
                }
            };
            let value = |key: &str| item.get(key).cloned().unwrap_or_else(|| default(key));
            let keys: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), value(key))).collect();
            Step::Item(Value::Object(keys).to_string())
        }
        _ => Step::Value(item.to_string()),
    }
}
