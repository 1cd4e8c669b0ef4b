//! What a unit defines, and what is wrong with it.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::model::config_map::WantedConfigMaps;
use crate::model::parse::{ManifestIdentity, Parsed, identify, parse_faultless, parse_keeping};
use crate::model::{ClusterPolicy, Id, Kind, NetworkPolicy, Object};
use crate::problem::{Origin, Problem, Severity, Version};
use crate::source::ObjectText;
use crate::source::decode::{Document, Unreadable};

/// A file as it was read last.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Sorted by id.
    definitions: Box<[(Id, FileDefinition)]>,
    /// Problems of the unit as such, and of documents that define nothing.
    pub(super) problems: Vec<Problem>,
    /// Definitions of which something has to be said: most are good, and thousands of them cost nothing.
    pub(super) suspect: Vec<Id>,
    /// Whether something in it may be an object that nothing is known of: what it forbids, say, is allowed.
    pub(super) unknown: bool,
}

/// The line where a document begins, and what it says.
type FileDefinition = (u64, Definition);

/// What a unit says of one object. Most are good, and there may be tens of thousands of them: what is to be said of the
/// others stands elsewhere.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) object: Result<Arc<Object>, Box<Broken>>,
    remarks: Option<Box<Remarks>>,
}

#[derive(Debug)]
struct Remarks {
    /// Fields that the kind does not have.
    unknown: Vec<String>,
    /// Parts of a good object that are not in force as they are written, each with what is instead.
    closed: Vec<String>,
}

/// A version of a cluster's object, in the place that its id gives it.
#[derive(Debug)]
pub(super) struct Versioned(pub(super) Arc<Version>);

impl Versioned {
    pub(super) fn version(&self) -> &Arc<Version> {
        &self.0
    }
}

impl Borrow<Id> for Versioned {
    fn borrow(&self) -> &Id {
        &self.0.id
    }
}

impl PartialEq for Versioned {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Versioned {}

impl PartialOrd for Versioned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Versioned {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

/// An object that is refused.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) reason: String,
    /// What is put in force where there is no good state to stay with.
    pub(super) instead: Option<Arc<Object>>,
}

impl Entry {
    pub(super) fn ids(&self) -> impl Iterator<Item = &Id> {
        self.definitions.iter().map(|(id, _)| id)
    }

    /// The line where an object stands, and what is said of it.
    pub(super) fn get(&self, id: &Id) -> Option<(u64, &Definition)> {
        let at = self
            .definitions
            .binary_search_by(|(other, _)| other.cmp(id))
            .ok()?;
        let (_, (line, definition)) = &self.definitions[at];
        Some((*line, definition))
    }

    /// A file that cannot be read now; `old` is what it was before. `holds` says that files below it, a directory, are
    /// known.
    pub(super) fn unreadable(path: &Arc<Path>, error: &Unreadable, old: Self, holds: bool) -> Self {
        let never_read = old.definitions.is_empty() && !holds;
        let consequence = if never_read {
            "nothing of it is in force: policies in it do not hold, so what they forbid is allowed"
        } else {
            "the objects that it held stay in force"
        };
        let problem = Problem {
            severity: Severity::Error,
            origin: Some(Origin::File {
                path: path.clone(),
                line: error.line,
            }),
            object: None,
            text: format!("cannot be read: {}; {consequence}", error.reason),
        };
        Self {
            problems: vec![problem],
            unknown: never_read || old.unknown,
            ..old
        }
    }

    /// A file that was read; `old` is what it was before.
    pub(super) fn of_documents(
        path: &Arc<Path>,
        documents: Vec<Document>,
        old: Self,
        wanted: &WantedConfigMaps,
    ) -> Self {
        let mut reading = Reading::default();
        for document in documents {
            reading.add(path, document, wanted);
        }
        let mut unknown = false;
        if reading.anonymous {
            // Any of them may be the one that cannot be told.
            unknown = old.definitions.is_empty() || old.unknown;
            for (id, definition) in old.definitions {
                reading.definitions.entry(id).or_insert(definition);
            }
        }
        Self {
            problems: reading.problems,
            unknown,
            ..Self::of(reading.definitions.into_iter().collect())
        }
    }

    fn of(definitions: Box<[(Id, FileDefinition)]>) -> Self {
        let suspect = definitions.iter().filter(|(_, (_, d))| d.is_suspect());
        Self {
            suspect: suspect.map(|(id, _)| id.clone()).collect(),
            definitions,
            ..Self::default()
        }
    }
}

/// A file that is being read.
#[derive(Default)]
struct Reading {
    definitions: BTreeMap<Id, FileDefinition>,
    problems: Vec<Problem>,
    /// Whether of some document it cannot be told which object it is.
    anonymous: bool,
}

impl Reading {
    fn add(&mut self, path: &Arc<Path>, mut document: Document, wanted: &WantedConfigMaps) {
        let origin = Origin::File {
            path: path.clone(),
            line: Some(document.line),
        };
        match identify(&document.value) {
            Err(invalid) => {
                self.anonymous = true;
                self.problem(origin, None, format!("{invalid}; the document is left out"));
            }
            Ok(ManifestIdentity::Superseded { kind, successor }) => {
                let version = successor.api_version();
                let text = format!(
                    "kind: {kind} is not read; use {successor} of \"{version}\"; the document is left out"
                );
                self.problem(origin, None, text);
            }
            Ok(ManifestIdentity::Other(what)) => tracing::debug!("{origin}: {what} is not read"),
            Ok(ManifestIdentity::Known(id)) => match self.definitions.get(&id) {
                Some((line, _)) => {
                    let first = Origin::File {
                        path: path.clone(),
                        line: Some(*line),
                    };
                    let text = format!("is defined in {first} already, which has precedence");
                    self.problem(origin, Some(id), text);
                }
                None => {
                    let definition = Definition::read(&id, &mut document.value, wanted, true);
                    self.definitions.insert(id, (document.line, definition));
                }
            },
        }
    }

    fn problem(&mut self, origin: Origin, object: Option<Id>, text: String) {
        self.problems.push(Problem {
            severity: Severity::Error,
            origin: Some(origin),
            object,
            text,
        });
    }
}

impl Definition {
    pub(super) fn is_suspect(&self) -> bool {
        self.object.is_err() || self.remarks.is_some()
    }

    /// Fields that the kind does not have.
    pub(super) fn unknown(&self) -> &[String] {
        self.remarks.as_ref().map_or(&[], |remarks| &remarks.unknown)
    }

    /// Parts of a good object that are not in force as they are written, each with what is instead.
    pub(super) fn closed(&self) -> &[String] {
        self.remarks.as_ref().map_or(&[], |remarks| &remarks.closed)
    }

    /// Takes what another says in the same words.
    pub(super) fn share(&mut self, other: &Self) {
        if let (Ok(object), Ok(other)) = (&mut self.object, &other.object)
            && let (Some(Object::Pod(pod)), Object::Pod(other)) = (Arc::get_mut(object), &**other)
        {
            pod.share(other);
        }
    }

    /// Of an object of a cluster.
    pub(super) fn of_object(id: &Id, text: &ObjectText, wanted: &WantedConfigMaps) -> Self {
        // Its API server has checked what the object may hold, and a newer one knows more fields than we do and fills them in
        // by itself. Of a policy, one that is not known may forbid something.
        let strict = matches!(id.kind, Kind::NetworkPolicy | Kind::ClusterNetworkPolicy);
        if let Some(object) = parse_faultless(id, text.as_str(), strict) {
            return Self {
                object: Ok(Arc::new(object)),
                remarks: None,
            };
        }
        let mut value = text.value();
        if let Some(fields) = value.as_object_mut() {
            // The items of a list leave out what the list says for all of them.
            for (field, text) in [("apiVersion", id.kind.api_version()), ("kind", id.kind.as_str())] {
                fields.entry(field).or_insert_with(|| text.into());
            }
        }
        Self::read(id, &mut value, wanted, strict)
    }

    /// `strict` says that fields that are not known are to be told of.
    fn read(id: &Id, value: &mut Value, wanted: &WantedConfigMaps, strict: bool) -> Self {
        let Parsed {
            object,
            remains,
            unknown,
            closed,
        } = parse_keeping(id, value, wanted);
        // Of an object that is refused as a whole, no part is in force in any way that its own lines could tell.
        let closed = match (&object, &remains) {
            (Err(_), None) => Vec::new(),
            _ => closed,
        };
        let object = object.map(Arc::new).map_err(|invalid| {
            Box::new(Broken {
                reason: invalid.to_string(),
                instead: remains.or_else(|| stand_in(id.kind, value)).map(Arc::new),
            })
        });
        let unknown = if strict { unknown } else { Vec::new() };
        let remarks = Remarks {
            unknown,
            closed: closed.iter().map(ToString::to_string).collect(),
        };
        let remarkable = !remarks.unknown.is_empty() || !remarks.closed.is_empty();
        Self {
            object,
            remarks: remarkable.then(|| Box::new(remarks)),
        }
    }
}

/// What is put in force for an object that is refused: a policy that was to close something must not open it.
fn stand_in(kind: Kind, value: &Value) -> Option<Object> {
    match kind {
        Kind::NetworkPolicy => Some(Object::NetworkPolicy(NetworkPolicy::closed(value))),
        Kind::ClusterNetworkPolicy => ClusterPolicy::closed(value).map(Object::ClusterNetworkPolicy),
        _ => None,
    }
}
