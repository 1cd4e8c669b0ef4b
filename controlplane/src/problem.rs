//! What is wrong with the objects, said once, in one line each.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::model::Id;
use crate::server_text::ServerText;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something that was asked for is not in force.
    Error,
    /// Everything is in force, but probably not as it was meant.
    Warning,
}

/// Where an object was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A document of a file.
    File {
        /// Relative to the directory of manifests.
        path: Arc<Path>,
        /// Where the document begins, from 1; for a file that does not parse, where it stops making sense.
        line: Option<u64>,
    },
    /// A version of an object of a cluster.
    Cluster(Arc<Version>),
}

/// One version of one object of a cluster, as its metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Kind, `metadata.namespace` and `metadata.name`.
    pub id: Id,
    /// `metadata.uid`: an object that was made again under the same name has another.
    pub uid: ServerText,
    /// `metadata.resourceVersion`.
    pub resource_version: ServerText,
}

impl Origin {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Arc<Path>> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Cluster(_) => None,
        }
    }
}

/// `FILE:LINE` or `resourceVersion VERSION`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } if path.as_os_str().is_empty() => {
                f.write_str("the directory of manifests")
            }
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Cluster(version) => write!(f, "resourceVersion {}", version.resource_version),
        }
    }
}

/// One line: `ORIGIN: KIND NAMESPACE/NAME: FIELD: REASON`, each part where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// Where the object was read.
    pub origin: Option<Origin>,
    /// Which object it is about.
    pub object: Option<Id>,
    /// The field, what is wrong with it, and what follows.
    pub text: String,
}

impl Problem {
    /// An error of an object, of which the origin is to be found by its id.
    pub fn error(object: Id, text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            origin: None,
            object: Some(object),
            text: text.into(),
        }
    }

    /// Likewise a warning.
    pub fn warning(object: Id, text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(object, text)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        // One line, whatever a parser or a manifest has put into it.
        for part in self.text.split_inclusive(char::is_control) {
            f.write_str(part.trim_end_matches(char::is_control))?;
            if part.ends_with(char::is_control) {
                f.write_str(" ")?;
            }
        }
        Ok(())
    }
}

/// What makes two problems the same: object, file and text, but neither the line nor the version.
type Sameness = (Option<Id>, Option<Arc<Path>>, String);

/// Remembers what has been told, so that each problem is told once as long as it lasts.
#[derive(Debug, Default)]
pub struct Reporter {
    standing: BTreeMap<Sameness, Problem>,
}

/// What a new list of problems adds to the one before it, and what it no longer holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Problems that were not there before, in the order of the list.
    pub new: Vec<Problem>,
    /// Problems that are no more.
    pub mended: Vec<Problem>,
}

impl Reporter {
    /// Compares `problems` with those of the last call. That an object moved to another line is no news.
    pub fn update(&mut self, problems: Vec<Problem>) -> News {
        let mut news = News::default();
        let mut standing = BTreeMap::new();
        for problem in problems {
            let file = problem.origin.as_ref().and_then(Origin::file).cloned();
            let key = (problem.object.clone(), file, problem.text.clone());
            if !standing.contains_key(&key) && !self.standing.contains_key(&key) {
                news.new.push(problem.clone());
            }
            standing.insert(key, problem);
        }
        let before = std::mem::replace(&mut self.standing, standing);
        news.mended = before
            .into_iter()
            .filter(|(k, _)| !self.standing.contains_key(k))
            .map(|(_, p)| p)
            .collect();
        news
    }

    /// What is wrong with an object now.
    pub fn of(&self, object: &Id) -> impl Iterator<Item = &Problem> {
        let first: Sameness = (Some(object.clone()), None, String::new());
        let later = self.standing.range(first..);
        later
            .map(|(_, problem)| problem)
            .take_while(move |problem| problem.object.as_ref() == Some(object))
    }
}

impl News {
    /// The objects that it is about.
    pub fn objects(&self) -> impl Iterator<Item = &Id> {
        let all = self.new.iter().chain(&self.mended);
        all.filter_map(|problem| problem.object.as_ref())
    }

    /// One log line for each; one for all that say the same, where these are more than a few.
    pub fn log(&self) {
        for (severity, line) in lines(&self.new) {
            match severity {
                Severity::Error => tracing::error!("{line}"),
                Severity::Warning => tracing::warn!("{line}"),
            }
        }
        for (_, line) in lines(&self.mended) {
            tracing::info!("no longer: {line}");
        }
    }
}

/// So many objects are named of those that have one cause.
const NAMED: usize = 3;

/// A cause that came or went for thousands of objects is one line, in the place of the first.
fn lines(problems: &[Problem]) -> Vec<(Severity, String)> {
    let mut alike: BTreeMap<_, Vec<&Problem>> = BTreeMap::new();
    for problem in problems {
        let cause = (problem.severity, problem.text.as_str());
        alike.entry(cause).or_default().push(problem);
    }
    let mut lines = Vec::new();
    for problem in problems {
        let Some(all) = alike.get(&(problem.severity, problem.text.as_str())) else {
            continue;
        };
        if all.len() > NAMED {
            lines.push((problem.severity, together(all)));
            // Nothing is left for those after the first.
            alike.remove(&(problem.severity, problem.text.as_str()));
        } else {
            lines.push((problem.severity, problem.to_string()));
        }
    }
    lines
}

/// `OBJECT, OBJECT, OBJECT and COUNT others: TEXT`.
fn together(problems: &[&Problem]) -> String {
    let named = problems[..NAMED].iter().map(|problem| {
        let unsaid = Problem {
            text: String::new(),
            ..(*problem).clone()
        };
        unsaid.to_string().trim_end_matches([':', ' ']).to_owned()
    });
    let one = Problem {
        origin: None,
        object: None,
        ..problems[0].clone()
    };
    let (named, others) = (named.collect::<Vec<_>>().join(", "), problems.len() - NAMED);
    let others = if others == 1 {
        "1 other".to_owned()
    } else {
        format!("{others} others")
    };
    format!("{named} and {others}: {one}")
}

#[cfg(test)]
mod tests;
