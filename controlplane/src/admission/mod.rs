//! What would become of an object, asked before it is there.
//!
//! The answer comes from those who do it later: the store reads the object, and the compiler puts it among the objects
//! that it meets. What of the object itself would not be in force is a reason to refuse it, and so is what others have
//! already. That something it names is not there yet is none, since objects come in any order; nor is what was wrong
//! with the object before, since then nobody could change, or finish deleting, one that is wrong.

mod surroundings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use crate::compile::{Assignment, Settings, assign, compile};
use crate::model::ingress::ClassName;
use crate::model::{Id, Ingress, Kind, Model, Object};
use crate::problem::{Problem, Severity, Version};
use crate::source::Change;
use crate::source::store::Store;
pub use surroundings::Surroundings;

/// An object that somebody wants to write.
#[derive(Debug)]
pub struct Proposal {
    id: Id,
    new: Draft,
    old: Option<Draft>,
}

/// What there is to say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Why it should not be written; none where it may be.
    pub refusals: Vec<String>,
    /// What its author should know.
    pub warnings: Vec<String>,
}

/// An object as the store reads it.
#[derive(Debug)]
struct Draft {
    /// What would be in force of it, if anything.
    object: Option<Arc<Object>>,
    /// Of an Ingress, also where nothing else of it can be read.
    class: Option<ClassName>,
    problems: Vec<Problem>,
}

impl Draft {
    fn of(id: &Id, value: &Value) -> Self {
        let version = Version {
            id: id.clone(),
            uid: "".into(),
            resource_version: "".into(),
        };
        let class = ClassName::of_manifest(value);
        let mut store = Store::default();
        store.update([Change::Object(Arc::new(version), value.into())]);
        Self {
            object: store.model().get(id).cloned(),
            class,
            problems: store.problems(),
        }
    }

    fn says(&self, text: &str) -> bool {
        self.problems.iter().any(|problem| problem.text == text)
    }

    /// As far as it decides whose Ingress it is.
    fn ingress(&self) -> Ingress {
        match self.object.as_deref() {
            Some(Object::Ingress(ingress)) => ingress.clone(),
            _ => Ingress::unreadable(self.class.clone()),
        }
    }
}

impl Proposal {
    /// The object `id` is to be `new`, where it was `old`, if it was there.
    #[must_use]
    pub fn new(id: Id, new: &Value, old: Option<&Value>) -> Self {
        Self {
            new: Draft::of(&id, new),
            old: old.map(|old| Draft::of(&id, old)),
            id,
        }
    }

    /// Which object it is.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Whether others have to do with it. [`Surroundings::default`] are those of one that is alone.
    #[must_use]
    pub fn has_surroundings(&self) -> bool {
        matches!(self.id.kind, Kind::Ingress | Kind::Service)
    }

    /// What there is to say of it, among those that it meets. `now` is in seconds since 1970, for the expiry of
    /// certificates.
    #[must_use]
    pub fn judge(&self, around: &Surroundings, settings: &Settings, now: i64) -> Judgement {
        let mut judgement = Judgement::default();
        if self.id.kind == Kind::Ingress {
            match assign(around.model(), settings, &self.id.name, &self.new.ingress()) {
                Assignment::Ours => {}
                Assignment::Theirs => return judgement,
                Assignment::LeftOut(text) => {
                    judgement.warnings.push(text);
                    return judgement;
                }
            }
        }
        for problem in &self.new.problems {
            let was = self.old.as_ref().is_some_and(|old| old.says(&problem.text));
            self.add(problem, was, &mut judgement);
        }
        self.judge_among(around, settings, now, &mut judgement);
        judgement
    }

    fn judge_among(&self, around: &Surroundings, settings: &Settings, now: i64, judgement: &mut Judgement) {
        let object = self.new.object.as_ref();
        let problems = |model: &Model| compile(model, settings, now).problems;
        let before = self.old.as_ref().and_then(|old| old.object.as_ref());
        let before = problems(&around.with(&self.id, before));
        let after = problems(&around.with(&self.id, object));
        let mut alone = None;
        for problem in &after {
            if problem.object.as_ref() != Some(&self.id) {
                if !before.contains(problem) {
                    judgement.warnings.push(problem.to_string());
                }
                continue;
            }
            // What it has wrong alone as well is what it names: that may come yet.
            let alone = alone.get_or_insert_with(|| problems(&around.alone_with(&self.id, object)));
            let excused = alone.contains(problem) && !is_oversized(problem, &self.id);
            self.add(problem, excused || before.contains(problem), judgement);
        }
    }

    /// A Service is for others, too: that Headgate does not serve it as it is written is no reason to refuse it.
    fn add(&self, problem: &Problem, excused: bool, judgement: &mut Judgement) {
        let refused = problem.severity == Severity::Error && self.id.kind != Kind::Service && !excused;
        let list = if refused {
            &mut judgement.refusals
        } else {
            &mut judgement.warnings
        };
        if !list.contains(&problem.text) {
            list.push(problem.text.clone());
        }
    }
}

/// Of a policy the compiler finds nothing else wrong, and that does not depend on others.
fn is_oversized(problem: &Problem, id: &Id) -> bool {
    problem.severity == Severity::Error && matches!(id.kind, Kind::NetworkPolicy | Kind::ClusterNetworkPolicy)
}
