//! Which objects are in force: those of the files as they stand, and the last good state of those that are broken.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::decode::{Document, Unreadable};
use crate::model::parse::{Identity, Parsed, identify, parse};
use crate::model::{ClusterPolicy, Id, Kind, Model, NetworkPolicy, Object};
use crate::problem::{Origin, Problem, Severity};

/// What a source has found out about a file.
#[derive(Debug)]
pub enum Contents {
    /// It is there and was read.
    Documents(Vec<Document>),
    /// It is there and cannot be read or parsed.
    Unreadable(Unreadable),
    /// It is no more.
    Gone,
}

/// The files, and the model that they make.
#[derive(Debug, Default)]
pub struct Store {
    files: BTreeMap<Arc<Path>, File>,
    /// Those of which something has to be told.
    suspect: BTreeSet<Arc<Path>>,
    /// The files that define an object, in the order of their paths: the first has precedence.
    definers: BTreeMap<Id, BTreeSet<Arc<Path>>>,
    /// Objects that more than one file defines.
    contested: BTreeSet<Id>,
    /// Policies in the model that stand in for one that was never good.
    closed: BTreeSet<Id>,
    model: Model,
}

#[derive(Debug, Default)]
struct File {
    definitions: BTreeMap<Id, Definition>,
    /// Problems of the file as such, and of documents that define nothing.
    problems: Vec<Problem>,
    /// Definitions of which something has to be told: most are good, and thousands of them cost nothing.
    suspect: Vec<Id>,
    /// Whether every document of it could be told which object it is.
    whole: bool,
}

#[derive(Debug)]
struct Definition {
    line: Option<u64>,
    object: Result<Arc<Object>, Broken>,
    /// Fields that the kind does not have.
    unknown: Vec<String>,
    /// Parts of a good object that are not in force as they are written, each with what is instead.
    closed: Vec<String>,
}

#[derive(Debug)]
struct Broken {
    reason: String,
    /// What is put in force where there is no good state to stay with.
    instead: Option<Arc<Object>>,
}

impl Store {
    /// The model that is in force.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Takes in all that has changed at once, so that an object that moves between files is never gone. Gives the
    /// objects of the model that are others than before, or gone.
    pub fn update(&mut self, changes: impl IntoIterator<Item = (Arc<Path>, Contents)>) -> BTreeSet<Id> {
        let mut affected = BTreeSet::new();
        for (path, contents) in changes {
            let old = self.files.remove(&path).unwrap_or_default();
            self.suspect.remove(&path);
            for id in old.definitions.keys() {
                self.remove_definer(id, &path);
                affected.insert(id.clone());
            }
            if let Some(file) = File::read(&path, contents, old) {
                for id in file.definitions.keys() {
                    self.definers.entry(id.clone()).or_default().insert(path.clone());
                    affected.insert(id.clone());
                }
                if !file.problems.is_empty() || !file.suspect.is_empty() {
                    self.suspect.insert(path.clone());
                }
                self.files.insert(path, file);
            }
        }
        affected.retain(|id| {
            match self.definers.get(id) {
                Some(definers) if definers.len() > 1 => self.contested.insert(id.clone()),
                _ => self.contested.remove(id),
            };
            let before = self.model.get(id).cloned();
            self.resolve(id.clone());
            before.as_ref() != self.model.get(id)
        });
        affected
    }

    fn remove_definer(&mut self, id: &Id, path: &Path) {
        if let Some(definers) = self.definers.get_mut(id) {
            definers.remove(path);
            if definers.is_empty() {
                self.definers.remove(id);
            }
        }
    }

    fn resolve(&mut self, id: Id) {
        let Some((_, definition)) = self.definition(&id) else {
            self.closed.remove(&id);
            self.model.remove(&id);
            return;
        };
        match &definition.object {
            Ok(object) => {
                let object = object.clone();
                self.closed.remove(&id);
                self.model.insert(id, object);
            }
            Err(Broken {
                instead: Some(instead),
                ..
            }) if !self.model.contains(&id) || self.closed.contains(&id) => {
                let instead = instead.clone();
                self.closed.insert(id.clone());
                self.model.insert(id, instead);
            }
            Err(_) => {}
        }
    }

    fn definition(&self, id: &Id) -> Option<(&Arc<Path>, &Definition)> {
        let path = self.definers.get(id)?.first()?;
        Some((path, self.files.get(path)?.definitions.get(id)?))
    }

    /// Where an object stands.
    #[must_use]
    pub fn origin(&self, id: &Id) -> Option<Origin> {
        let (file, definition) = self.definition(id)?;
        Some(Origin {
            file: file.clone(),
            line: definition.line,
        })
    }

    /// All that is wrong with the files now, in their order.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for path in &self.suspect {
            let Some(file) = self.files.get(path) else {
                continue;
            };
            problems.extend(file.problems.iter().cloned());
            for id in &file.suspect {
                if let Some(definition) = file.definitions.get(id) {
                    self.definition_problems(path, id, definition, &mut problems);
                }
            }
        }
        for id in &self.contested {
            self.contest_problems(id, &mut problems);
        }
        problems
    }

    fn definition_problems(
        &self,
        path: &Arc<Path>,
        id: &Id,
        definition: &Definition,
        out: &mut Vec<Problem>,
    ) {
        let origin = Some(Origin {
            file: path.clone(),
            line: definition.line,
        });
        let problem = |severity, text| Problem {
            severity,
            origin: origin.clone(),
            object: Some(id.clone()),
            text,
        };
        // One that has no precedence gets the line that says so, and no other.
        if self.definers.get(id).and_then(BTreeSet::first) != Some(path) {
            return;
        }
        for field in &definition.unknown {
            out.push(problem(
                Severity::Warning,
                format!("{field}: unknown field, ignored"),
            ));
        }
        for text in &definition.closed {
            out.push(problem(Severity::Error, text.clone()));
        }
        if let Err(broken) = &definition.object {
            let consequence = match (self.model.contains(id), self.closed.contains(id)) {
                (_, true) if id.kind == Kind::ClusterNetworkPolicy => {
                    "until it is mended what can be read of it is in force, and rules that cannot be read fail closed"
                }
                (_, true) => "until it is mended it allows nothing to the pods that it selects",
                (true, false) => "its last good state stays in force",
                (false, false) => "it is left out",
            };
            out.push(problem(
                Severity::Error,
                format!("{}; {consequence}", broken.reason),
            ));
        }
    }
}

impl Store {
    fn contest_problems(&self, id: &Id, out: &mut Vec<Problem>) {
        let mut files = self.definers.get(id).into_iter().flatten();
        let Some(first) = files.next() else { return };
        for path in files {
            let definition = self.files.get(path).and_then(|file| file.definitions.get(id));
            let origin = Origin {
                file: path.clone(),
                line: definition.and_then(|d| d.line),
            };
            let text = format!("is defined in {} already, which has precedence", first.display());
            out.push(Problem {
                origin: Some(origin),
                ..Problem::error(id.clone(), text)
            });
        }
    }
}

impl File {
    /// The file after a change; `None` where it is gone.
    fn read(path: &Arc<Path>, contents: Contents, old: Self) -> Option<Self> {
        match contents {
            Contents::Gone => None,
            Contents::Unreadable(e) => {
                let consequence = match old.definitions.len() {
                    0 => "nothing of it is in force",
                    _ => "the objects that it held stay in force",
                };
                let problem = Problem {
                    severity: Severity::Error,
                    origin: Some(Origin {
                        file: path.clone(),
                        line: e.line,
                    }),
                    object: None,
                    text: format!("cannot be read: {}; {consequence}", e.reason),
                };
                Some(Self {
                    problems: vec![problem],
                    ..old
                })
            }
            Contents::Documents(documents) => {
                let mut file = Self {
                    whole: true,
                    ..Self::default()
                };
                documents
                    .into_iter()
                    .for_each(|document| file.add(path, document));
                if !file.whole {
                    // Any of them may be the one that cannot be told.
                    for (id, definition) in old.definitions {
                        file.definitions.entry(id).or_insert(definition);
                    }
                }
                let suspect = file.definitions.iter().filter(|(_, d)| d.is_suspect());
                file.suspect = suspect.map(|(id, _)| id.clone()).collect();
                Some(file)
            }
        }
    }

    fn add(&mut self, path: &Arc<Path>, mut document: Document) {
        let origin = Some(Origin {
            file: path.clone(),
            line: Some(document.line),
        });
        let mut problem = |object, text| {
            let severity = Severity::Error;
            self.problems.push(Problem {
                severity,
                origin: origin.clone(),
                object,
                text,
            });
        };
        match identify(&document.value) {
            Err(invalid) => {
                problem(None, format!("{invalid}; the document is left out"));
                self.whole = false;
            }
            Ok(Identity::Superseded { kind, successor }) => {
                let version = successor.api_version();
                problem(
                    None,
                    format!(
                        "kind: {kind} is not read; use {successor} of \"{version}\"; the document is left out"
                    ),
                );
            }
            Ok(Identity::Other(what)) => {
                tracing::debug!("{}:{}: {what} is not read", path.display(), document.line);
            }
            Ok(Identity::Known(id)) => match self.definitions.get(&id) {
                Some(first) => {
                    let line = first.line.map_or(String::new(), |line| format!(":{line}"));
                    let text = format!(
                        "is defined in {}{line} already, which has precedence",
                        path.display()
                    );
                    problem(Some(id), text);
                }
                None => {
                    let definition = Definition::read(&id, &mut document);
                    self.definitions.insert(id, definition);
                }
            },
        }
    }
}

impl Definition {
    fn is_suspect(&self) -> bool {
        self.object.is_err() || !self.unknown.is_empty() || !self.closed.is_empty()
    }

    fn read(id: &Id, document: &mut Document) -> Self {
        let Parsed {
            object,
            unknown,
            closed,
        } = parse(id, &mut document.value);
        // Of an object that is refused, no part is in force in any way that its own lines could tell.
        let closed = if object.is_ok() { closed } else { Vec::new() };
        let object = object.map(Arc::new).map_err(|invalid| Broken {
            reason: invalid.to_string(),
            instead: stand_in(id.kind, &document.value).map(Arc::new),
        });
        Self {
            line: Some(document.line),
            object,
            unknown,
            closed: closed.iter().map(ToString::to_string).collect(),
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
