//! After any changes the state is what a compile from nothing makes of the model, and what the manifests say.
//!
//! For long: `PROPTEST_CASES=4000 cargo test -p headgate-controlplane --lib incremental`.

mod oracle;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::compile::{Compilation, LoadBalancerSelection, PortMaps, Settings, State, compile};
use crate::harness::manifests::{Change, any_change, any_policy_change};
use crate::model::parse::{ManifestIdentity, identify, parse_keeping};
use crate::model::{Id, Model, ObjectName};
use crate::testing::{NOW, settings};

/// With all flags by which objects depend on each other.
fn with_flags() -> Settings {
    Settings {
        default_backend: Some(ObjectName::new("red", "s0")),
        port_maps: PortMaps {
            tcp: Some(ObjectName::new("red", "tcp")),
            udp: Some(ObjectName::new("red", "udp")),
        },
        load_balancers: LoadBalancerSelection {
            class: Some("headgate.dev/load-balancer".to_owned()),
            without_class: false,
        },
        ..settings()
    }
}

/// A change of a ConfigMap that gives ports to Services.
fn any_map_change() -> impl Strategy<Value = Change> {
    let target = select(
        &[
            "red/s0:a",
            "red/s1:80",
            "green/s0:b",
            "blue/s1:53",
            "red/s0:80:PROXY",
            "nobody",
        ][..],
    );
    let data = prop::collection::btree_map(select(&["53", "80", "81", "443", "x"][..]), target, 0..4);
    (select(&["tcp", "udp"][..]), data, prop::bool::weighted(0.25)).prop_map(|(name, data, gone)| Change {
        manifest: json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "red"}, "data": data,
        }),
        gone,
    })
}

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
            compiler: Compilation::new(with_flags()),
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
            let wanted = with_flags()
                .port_maps
                .each()
                .map(|(_, map)| map.clone())
                .collect();
            let parsed = parse_keeping(&id, &mut manifest.clone(), &wanted);
            let object = parsed.object.unwrap_or_else(|e| panic!("{e} in {manifest}"));
            self.model.insert(id.clone(), Arc::new(object));
        }
        id
    }

    fn check(&self) {
        let fresh = compile(&self.model, &with_flags(), NOW);
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
        steps in prop::collection::vec(prop::collection::vec(prop_oneof![8 => any_change(), 1 => any_map_change()], 1..5), 1..20),
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
