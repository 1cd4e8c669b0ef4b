//! After any changes the state is what a compile from nothing makes of the model, and what the manifests say.
//!
//! For long: `PROPTEST_CASES=4000 cargo test -p headgate-controlplane --lib incremental`.

mod oracle;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use crate::compile::{Compilation, State, compile};
use crate::harness::manifests::{Change, any_change, any_policy_change};
use crate::model::parse::{ManifestIdentity, identify, parse};
use crate::model::{Id, Model};
use crate::testing::{NOW, settings};

/// A model, what follows it, and a copy of the state that is kept by changes alone.
struct Bed {
    model: Model,
    compiler: Compilation,
    copy: State,
}

impl Bed {
    fn new() -> Self {
        Self {
            model: Model::default(),
            compiler: Compilation::new(settings()),
            copy: State::new(),
        }
    }

    /// Makes some changes at once.
    fn change(&mut self, changes: &[Change]) {
        let mut changed = BTreeSet::new();
        for change in changes {
            changed.insert(self.make(&change.manifest, change.gone));
        }
        for (key, object) in self.compiler.update(&self.model, &changed, NOW) {
            match object {
                Some(object) => {
                    assert_eq!(object.object().key(), key);
                    let before = self.copy.insert(key, object.clone());
                    assert_ne!(before, Some(object), "a change changes something");
                }
                None => assert!(self.copy.remove(&key).is_some(), "{key:?} was there"),
            }
        }
    }

    fn make(&mut self, manifest: &Value, gone: bool) -> Id {
        let Ok(ManifestIdentity::Known(id)) = identify(manifest) else {
            panic!("a kind that is not read: {manifest}");
        };
        if gone {
            self.model.remove(&id);
        } else {
            let parsed = parse(&id, &mut manifest.clone());
            let object = parsed.object.unwrap_or_else(|e| panic!("{e} in {manifest}"));
            self.model.insert(id.clone(), Arc::new(object));
        }
        id
    }

    fn check(&self) {
        let fresh = compile(&self.model, &settings(), NOW);
        let state = self.compiler.state().iter();
        let state: Vec<_> = state
            .map(|(key, object)| (key.clone(), object.object()))
            .collect();
        assert_eq!(state, fresh.state.into_iter().collect::<Vec<_>>());
        assert_eq!(self.compiler.problems(), fresh.problems);
        assert_eq!(&self.copy, self.compiler.state());
    }

    /// Removes everything, and looks whether anything was kept of it.
    fn clear(&mut self) {
        let all: BTreeSet<Id> = self.model.ids().cloned().collect();
        all.iter().for_each(|id| self.model.remove(id));
        self.compiler.update(&self.model, &all, NOW);
        assert!(self.compiler.keeps_nothing(), "{:?}", self.compiler);
    }
}

proptest! {
    #[test]
    fn changes_end_where_a_compile_from_nothing_does(
        steps in prop::collection::vec(prop::collection::vec(any_change(), 1..5), 1..20),
    ) {
        let mut bed = Bed::new();
        bed.change(&[]);
        for step in &steps {
            bed.change(step);
            bed.check();
        }
        bed.clear();
    }

    /// And that is what the manifests say.
    #[test]
    fn policies_let_through_what_their_manifests_say(
        steps in prop::collection::vec(prop::collection::vec(any_policy_change(), 1..30), 1..4),
    ) {
        let mut bed = Bed::new();
        for step in &steps {
            bed.change(step);
            oracle::check(&bed.model, &bed.copy);
        }
    }
}
