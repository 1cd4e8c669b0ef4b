//! The control plane must not tell the dataplane what that refuses: one object that is refused would hold up every
//! later change. Whatever the manifests say, every transaction is taken.

mod manifests;

use std::path::Path;
use std::sync::Arc;

use headgate_controlplane::compile::{Changes, Compilation, Settings};
use headgate_controlplane::source::decode::Document;
use headgate_controlplane::source::{Contents, store::Store};
use headgate_dataplane::config::{ConfigError, State, Tables};
use headgate_ring::{Operation, PackedObject, Transaction};
use proptest::prelude::*;
use serde_json::{Value, json};

use manifests::any_manifest;

fn settings() -> Settings {
    Settings {
        addresses: vec![
            "198.51.100.1".parse().expect("an address"),
            "2001:db8::1".parse().expect("an address"),
        ],
        ..Settings::default()
    }
}

/// Both planes, without the ring between them.
struct Bed {
    store: Store,
    compiler: Compilation,
    state: State,
    tables: Option<Tables>,
}

impl Bed {
    fn new() -> Self {
        Self {
            store: Store::default(),
            compiler: Compilation::new(settings()),
            state: State::default(),
            tables: None,
        }
    }

    /// Puts each manifest into a file of its own, by number, and says what the dataplane makes of it.
    fn take(&mut self, files: impl IntoIterator<Item = (u8, Option<Value>)>) -> Result<(), ConfigError> {
        let contents = |value| match value {
            Some(value) => Contents::Documents(vec![Document { line: 1, value }]),
            None => Contents::Gone,
        };
        let files = files
            .into_iter()
            .map(|(name, value)| (Arc::from(Path::new(&format!("{name}.yaml"))), contents(value)));
        let changed = self.store.update(files);
        let changes = self.compiler.update(self.store.model(), &changed, 1_800_000_000);
        self.publish(changes)
    }

    fn publish(&mut self, changes: Changes) -> Result<(), ConfigError> {
        let operation = |(key, object): (_, Option<PackedObject>)| match object {
            Some(object) => Operation::Put(object.object()),
            None => Operation::Delete(key),
        };
        // First what goes, as the publisher sends it.
        let (gone, put): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, object)| object.is_none());
        let transaction = Transaction {
            generation: self.state.generation() + 1,
            full: self.tables.is_none(),
            operations: gone.into_iter().chain(put).map(operation).collect(),
        };
        let tables = Tables::transact(&mut self.state, transaction, self.tables.as_ref());
        self.tables = Some(tables?);
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_the_manifests_say_is_taken(
        steps in prop::collection::vec(
            prop::collection::vec((0..40u8, prop::option::weighted(0.9, any_manifest())), 1..12),
            1..5,
        ),
    ) {
        let mut bed = Bed::new();
        for step in steps {
            let taken = bed.take(step);
            prop_assert_eq!(taken, Ok(()), "{:#?}", bed.compiler.state().values());
        }
    }
}

/// The test above would be worth nothing if most of what it makes were left out.
#[test]
fn most_of_it_is_in_force() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut good, all) = (0, 400);
    for _ in 0..all {
        let manifest = any_manifest()
            .new_tree(&mut runner)
            .expect("a manifest")
            .current();
        let mut bed = Bed::new();
        assert_eq!(bed.take([(0, Some(manifest))]), Ok(()));
        good += bed.store.model().ids().count();
    }
    assert!(good * 2 > all, "{good} of {all}");
}

/// What only cryptography can tell is wrong names its object too, and holds up nothing else.
#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    use headgate_ring::message::{Certificate, Object, PrivateKey};
    let mut bed = Bed::new();
    let wrong = Object::Certificate(Certificate {
        name: "shop/wrong".into(),
        hosts: vec!["a.example.com".into()],
        chain: vec![b"no certificate".to_vec()],
        key: PrivateKey(b"no key".to_vec().into()),
    });
    let key = wrong.key();
    let changes = Changes::from([(key.clone(), Some(PackedObject::of(&wrong).expect("small enough")))]);
    let refused = bed.publish(changes).expect_err("a refusal");
    assert_eq!(refused.key.as_deref(), Some(&key), "{refused}");
    assert!(refused.to_string().contains("shop/wrong"), "{refused}");
    assert_eq!(bed.take([(0, Some(json!({"kind": "Pod"})))]), Ok(()));
}

#[test]
fn the_dataplane_does_refuse_what_is_wrong_and_names_it() {
    let mut bed = Bed::new();
    let wrong = headgate_ring::message::Object::Group(headgate_ring::message::Group {
        id: headgate_ring::message::GroupId(1),
        text: String::new(),
    });
    let key = wrong.key();
    let changes = Changes::from([(key.clone(), Some(PackedObject::of(&wrong).expect("small enough")))]);
    let refused = bed.publish(changes).expect_err("a refusal");
    assert_eq!(
        (refused.field.as_str(), refused.key.as_deref()),
        ("text", Some(&key))
    );
    assert_eq!(bed.take([(0, Some(json!({"kind": "Pod"})))]), Ok(()));
}
