use serde_json::{Value, json};

use super::{Compacted, Key, Keyspace};

fn object(name: &str, n: u64) -> Value {
    json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"n": n}})
}

fn put(keyspace: &Keyspace, name: &str, n: u64) -> u64 {
    let key = Key::new("a", name);
    let expected = keyspace.get("things", &key).map(|object| object.revision);
    let written = keyspace
        .commit("things", &key, expected, Some(object(name, n)))
        .expect("nobody else writes");
    written.expect("an object").revision
}

#[test]
fn a_write_for_another_revision_than_the_last_is_refused() {
    let keyspace = Keyspace::new(10);
    let first = put(&keyspace, "x", 1);
    let key = Key::new("a", "x");
    assert!(
        keyspace
            .commit("things", &key, None, Some(object("x", 2)))
            .is_err()
    );
    assert!(
        keyspace
            .commit("things", &key, Some(first - 1), Some(object("x", 2)))
            .is_err()
    );
    assert!(
        keyspace
            .commit("things", &key, Some(first), Some(object("x", 2)))
            .is_ok()
    );
    assert_eq!(keyspace.revision(), first + 1);
}

#[test]
fn a_write_that_changes_nothing_raises_nothing() {
    let keyspace = Keyspace::new(10);
    let first = put(&keyspace, "x", 1);
    assert_eq!(put(&keyspace, "x", 1), first);
    assert_eq!(keyspace.revision(), first);
    assert!(
        keyspace
            .changes("things", first)
            .expect("kept")
            .changes
            .is_empty()
    );
    assert_eq!(put(&keyspace, "x", 2), first + 1);
}

#[test]
fn a_list_of_the_past_is_as_it_was() {
    let keyspace = Keyspace::new(100);
    put(&keyspace, "x", 1);
    let then = put(&keyspace, "y", 1);
    put(&keyspace, "x", 2);
    put(&keyspace, "z", 1);
    let key = Key::new("a", "y");
    keyspace
        .commit("things", &key, Some(then), None)
        .expect("nobody else writes");
    put(&keyspace, "x", 3);
    let old = keyspace.list_at("things", "", then, None).expect("kept");
    let seen: Vec<_> = old
        .objects
        .iter()
        .map(|object| (object.name(), &object.value["spec"]["n"]))
        .collect();
    assert_eq!(seen, [("x", &json!(1)), ("y", &json!(1))]);
    let rest = keyspace
        .list_at("things", "a", then, Some(&Key::new("a", "x\0")))
        .expect("kept");
    assert_eq!(rest.objects.len(), 1);
    let now = keyspace.list("things", "a");
    assert_eq!(now.objects.len(), 2);
    assert_eq!(now.revision, keyspace.revision());
}

#[test]
fn compacted_history_cannot_be_asked_for() {
    let keyspace = Keyspace::new(3);
    let first = put(&keyspace, "x", 0);
    for n in 1..5 {
        put(&keyspace, "x", n);
    }
    assert_eq!(keyspace.check(first), Err(Compacted { since: first + 1 }));
    assert_eq!(keyspace.check(first + 1), Ok(()));
    keyspace.compact();
    assert_eq!(keyspace.check(first + 3), Err(Compacted { since: first + 4 }));
    // A watch that lives already reads on: only what is dropped is lost to it.
    assert_eq!(
        keyspace.changes("things", first + 3).expect("kept").changes.len(),
        1
    );
    assert!(keyspace.changes("things", first).is_err());
}
