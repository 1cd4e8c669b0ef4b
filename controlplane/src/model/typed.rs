//! From a value to the type that the Kubernetes API gives it.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::invalid::Invalid;
use super::sieve::{Gaps, Sieve};

/// How many entries of the wrong type an object may have before it is refused as a whole: for each it is read again.
const ODD_ENTRIES: usize = 100;
/// A list of whom a Service lets in.
const SOURCE_RANGES: &str = "loadBalancerSourceRanges";

/// What was found beside the object itself.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Paths of fields that the kind does not have.
    pub(super) unknown: Vec<String>,
    /// Entries that are left out, and why.
    pub(super) left_out: Vec<Invalid>,
    /// What else is not in force as it is written, and what is instead.
    pub(super) remarks: Vec<Invalid>,
    /// Why the object's last good state is to be preferred, where it has one.
    pub(super) poor: Option<Invalid>,
}

/// Reads a value as what it should be, and notes the paths of fields that this does not have.
pub(super) fn typed<T: DeserializeOwned>(value: &Value, unknown: &mut Vec<String>) -> Result<T, Invalid> {
    attempt(value, unknown).map_err(|odd| odd.invalid)
}

/// Reads a text as what it should be; `None` where it is something else, or, if `strict`, has a field that this does not have.
pub(super) fn faultless<T: DeserializeOwned>(text: &str, strict: bool) -> Option<T> {
    let mut text = serde_json::Deserializer::from_str(text);
    if !strict {
        return T::deserialize(&mut text).ok();
    }
    let mut known = true;
    let object = serde_ignored::deserialize(&mut text, |_| known = false).ok();
    object.filter(|_| known)
}

/// Reads an object of which each entry of a list, if it is odd, costs only itself: entries of the wrong type are taken
/// out of the value, and `parse` has a [`Sieve`] for the others.
pub(super) fn sifted<T: DeserializeOwned, U>(
    value: &mut Value,
    notes: &mut Notes,
    parse: impl FnOnce(&T, &mut Sieve) -> Result<U, Invalid>,
) -> Result<U, Invalid> {
    let mut removed = Removed::default();
    let (object, unknown) = removed.read(value)?;
    let mut sieve = Sieve::new(removed.entries);
    let parsed = parse(&object, &mut sieve);
    let sifted = sieve.finish();
    let unknown = unknown.into_iter().map(|path| sifted.entries.original(&path));
    notes.unknown.extend(unknown);
    // Where an object is refused because of what was taken out of it, that is the reason.
    let cause = |invalid: Invalid| {
        let below = |note: &&Invalid| note.field.starts_with(&invalid.field);
        removed.notes.iter().find(below).cloned().unwrap_or(invalid)
    };
    let parsed = parsed.map_err(|invalid| cause(sifted.entries.restore(invalid)));
    notes.left_out.append(&mut removed.notes);
    notes.left_out.extend(sifted.left_out);
    notes.remarks.extend(sifted.remarks);
    notes.poor = sifted.poor;
    parsed
}

/// What cannot be read as it should be, and where.
struct Odd {
    invalid: Invalid,
    path: Vec<Segment>,
}

fn attempt<T: DeserializeOwned>(value: &Value, unknown: &mut Vec<String>) -> Result<T, Odd> {
    let mut track = serde_path_to_error::Track::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(dotted(&path));
    let strict = serde_ignored::Deserializer::new(value, &mut note);
    T::deserialize(serde_path_to_error::Deserializer::new(strict, &mut track)).map_err(|e| {
        let path = track.path();
        let field = path.to_string();
        let field = if field == "." { String::new() } else { field };
        Odd {
            invalid: Invalid::new(field, e.to_string()),
            path: path.iter().cloned().collect(),
        }
    })
}

/// Entries that were taken out of an object, and why.
#[derive(Default)]
struct Removed {
    entries: Gaps,
    notes: Vec<Invalid>,
}

impl Removed {
    /// The object, and the fields that it does not have.
    fn read<T: DeserializeOwned>(&mut self, value: &mut Value) -> Result<(T, Vec<String>), Invalid> {
        let mut quantities = true;
        loop {
            let mut unknown = Vec::new();
            let odd = match attempt(value, &mut unknown) {
                Ok(object) => return Ok((object, unknown)),
                Err(odd) => odd,
            };
            if std::mem::take(&mut quantities) && quantities_as_text(value) {
                continue;
            }
            let invalid = self.entries.restore(odd.invalid);
            if self.notes.len() == ODD_ENTRIES || !self.take_out(value, &odd.path) {
                return Err(invalid);
            }
            self.notes.push(invalid);
        }
    }

    /// Takes the innermost entry on the path out of its list, or a label or annotation out of its map.
    fn take_out(&mut self, value: &mut Value, path: &[Segment]) -> bool {
        let is_index = |segment: &Segment| matches!(segment, Segment::Seq { .. });
        // Without an entry that cannot be read, this one might let in everybody.
        let restricts = |segment: &Segment| matches!(segment, Segment::Map { key } if key == SOURCE_RANGES);
        if path.iter().any(restricts) {
            return false;
        }
        let Some(place) = path.iter().rposition(is_index) else {
            return take_label_out(value, path);
        };
        let list = path[..place]
            .iter()
            .try_fold(value, |value, segment| match segment {
                Segment::Seq { index } => value.get_mut(*index),
                Segment::Map { key } => value.get_mut(key),
                Segment::Enum { .. } | Segment::Unknown => None,
            });
        let (Some(Value::Array(list)), Segment::Seq { index }) = (list, &path[place]) else {
            return false;
        };
        if *index >= list.len() {
            return false;
        }
        list.remove(*index);
        self.entries.add(&text(&path[..place]), *index);
        true
    }
}

/// `metadata.labels` and `metadata.annotations` are lists by another name.
fn take_label_out(value: &mut Value, path: &[Segment]) -> bool {
    let keys: Vec<&str> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    let ["metadata", map @ ("labels" | "annotations"), key] = keys[..] else {
        return false;
    };
    let fields = value["metadata"][map].as_object_mut();
    fields.is_some_and(|fields| fields.remove(key).is_some())
}

/// Makes numbers text where the API has a `Quantity`, which may be written as either. Gives whether there was one.
fn quantities_as_text(value: &mut Value) -> bool {
    const MAPS: [&str; 6] = [
        "limits",
        "requests",
        "overhead",
        "capacity",
        "allocatable",
        "allocatedResources",
    ];
    const FIELDS: [&str; 2] = ["sizeLimit", "divisor"];
    let as_text = |value: &mut Value| match value {
        Value::Number(number) => {
            *value = Value::String(number.to_string());
            true
        }
        _ => false,
    };
    match value {
        Value::Array(items) => items
            .iter_mut()
            .fold(false, |any, item| quantities_as_text(item) | any),
        Value::Object(fields) => {
            let mut any = false;
            for (key, value) in fields {
                any |= match value {
                    Value::Object(quantities) if MAPS.contains(&key.as_str()) => quantities
                        .values_mut()
                        .fold(false, |any, quantity| as_text(quantity) | any),
                    Value::Number(_) if FIELDS.contains(&key.as_str()) => as_text(value),
                    other => quantities_as_text(other),
                };
            }
            any
        }
        _ => false,
    }
}

fn text(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Unknown => text.push('?'),
        }
    }
    text
}

/// A path as error lines write it, `spec.ports[0].name`.
fn dotted(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", dotted(parent)),
        Path::Map { parent, key } => match dotted(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            dotted(parent)
        }
    }
}
