//! A compiler with a state of its own.

use std::collections::BTreeSet;

use super::{Changes, Compiled, Compiler, Settings, State, apply};
use crate::model::{Id, Model};
use crate::problem::Problem;

/// A state that follows a model, for who has no other place to keep it.
#[derive(Debug)]
pub struct Compilation {
    compiler: Compiler,
    state: State,
}

impl Compilation {
    /// Of an empty model; the first update puts what is there without any object.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            compiler: Compiler::new(settings),
            state: State::new(),
        }
    }

    /// As [`Compiler::update`], and applies the changes.
    pub fn update(&mut self, model: &Model, changed: &BTreeSet<Id>, now: i64) -> Changes {
        let changes = self.compiler.update(&self.state, model, changed, now);
        apply(&mut self.state, changes.clone());
        changes
    }

    /// The state as it is now.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What was found wrong on the way to it, by kinds.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.compiler.problems()
    }

    /// State and problems, without the means to follow further changes.
    #[must_use]
    pub fn into_compiled(self) -> Compiled {
        let problems = self.problems();
        let objects = self.state.into_iter();
        Compiled {
            problems,
            state: objects.map(|(key, object)| (key, object.object())).collect(),
        }
    }
}

#[cfg(test)]
impl Compilation {
    /// Whether there is nothing left but what is there without any object.
    pub(super) fn keeps_nothing(&self) -> bool {
        use headgate_ring::message::Key;
        let mut objects = self.state.keys().filter(|key| !matches!(key, Key::Listener(_)));
        objects.next().is_none() && self.compiler.keeps_nothing()
    }
}
