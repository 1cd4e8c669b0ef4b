//! Sources of both kinds, the ring, and what comes back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use headgate_ring::message::{Key, Object, ToControl};
use headgate_ring::{DataSession, Operation, SessionListener, Transaction};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::compile::{Compiled, compile};
use crate::harness::manifests::any_change;
use crate::model::{Kind, ObjectName};
use crate::problem::Origin;
use crate::run::{RunError, Wake, drive};
use crate::source::decode::{Document, Syntax, decode};
use crate::source::directory::Directory;
use crate::source::scripted::{Cluster, Script, scripted};
use crate::source::{Change, Contents, Source};
use crate::testing::{NOW, settings};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn compiled(store: &Store) -> (BTreeMap<Key, Object>, Vec<String>) {
    let Compiled { state, problems } = compile(store.model(), &settings(), NOW);
    (state, problems.iter().map(ToString::to_string).collect())
}

/// A file of one object.
fn file(id: &Id, value: Option<&Value>) -> Change {
    let contents = match value {
        Some(value) => Contents::Documents(vec![Document {
            line: 1,
            value: value.clone(),
        }]),
        None => Contents::Gone,
    };
    Change::File(Path::new(&format!("{id}.yaml")).into(), contents)
}

fn id_of(value: &Value) -> Id {
    match crate::model::parse::identify(value) {
        Ok(crate::model::parse::ManifestIdentity::Known(id)) => id,
        other => panic!("{other:?}"),
    }
}

/// How a change reaches the one who watches.
#[derive(Clone, Copy, Debug)]
enum Watch {
    /// As an event.
    Event,
    /// As an event, with a bookmark behind it.
    Bookmark,
    /// The watch has a gap in which it is lost; then everything is listed again.
    Gap,
    /// Likewise, and the list itself breaks off and begins again.
    BrokenList,
}

fn any_watch() -> impl Strategy<Value = Watch> {
    prop_oneof![
        8 => Just(Watch::Event),
        1 => Just(Watch::Bookmark),
        1 => Just(Watch::Gap),
        1 => Just(Watch::BrokenList),
    ]
}

proptest! {
    /// The same objects from files and from a cluster's API make the same state, whatever the watch goes through.
    #[test]
    fn a_cluster_and_files_of_the_same_objects_are_the_same(
        steps in prop::collection::vec((any_change(), any_watch()), 1..30),
    ) {
        let (mut files, mut watched, mut cluster) = (Store::default(), Store::default(), Cluster::default());
        watched.apply(cluster.list_all());
        for (change, watch) in steps {
            let id = id_of(&change.manifest);
            let event = if change.gone { cluster.delete(&id) } else { Some(cluster.apply(&change.manifest)) };
            files.apply([file(&id, (!change.gone).then_some(&change.manifest))]);
            let batch: Batch = match watch {
                // A bookmark says how far the watch is, and nothing of any object.
                Watch::Event | Watch::Bookmark => event.into_iter().collect(),
                Watch::Gap => cluster.list_all(),
                Watch::BrokenList => {
                    let mut broken = cluster.list_all();
                    broken.truncate(broken.len() / 2);
                    broken.into_iter().chain(cluster.list_all()).collect()
                }
            };
            let update = watched.apply(batch);
            prop_assert!(update.touched.len() <= 30 && update.changed.is_subset(&update.touched));
            prop_assert_eq!(compiled(&watched), compiled(&files));
        }
        prop_assert_eq!(watched.apply(cluster.list_all()).touched, BTreeSet::new(), "a list of what is known costs nothing");
    }
}

#[test]
fn the_examples_are_the_same_in_a_directory_and_in_a_cluster() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut directory = Directory::open(&examples).expect("the examples");
    let mut files = Store::default();
    files.apply(directory.next().expect("the first look"));
    let mut cluster = Cluster::default();
    for entry in std::fs::read_dir(&examples).expect("the examples") {
        let path = entry.expect("a file").path();
        if let Some(syntax) = Syntax::of(&path) {
            let bytes = std::fs::read(&path).expect("a file");
            for document in decode(&bytes, syntax).expect("a manifest") {
                cluster.apply(&document.value);
            }
        }
    }
    let mut watched = Store::default();
    watched.apply(cluster.list_all());
    assert_eq!(compiled(&watched), compiled(&files));
    assert!(compiled(&files).0.len() > 20);
    assert!(files.is_complete() && !watched.is_complete());
}

#[test]
fn a_line_about_an_object_of_a_cluster_names_its_version() {
    let mut store = Store::default();
    let mut cluster = Cluster::default();
    cluster.apply(&service("x"));
    // What its server has let pass is told of policies alone.
    cluster
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}, "spce": {}}));
    cluster.apply(&json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "p"},
        "spec": {"podSelector": {}, "spce": {}},
    }));
    store.apply(cluster.list_all());
    let trouble = Problem {
        severity: Severity::Error,
        origin: None,
        object: None,
        text: "Pods cannot be watched: connection refused".to_owned(),
    };
    store.apply([Change::Troubles(vec![trouble])]);
    assert_eq!(
        crate::testing::lines(&store),
        [
            "Pods cannot be watched: connection refused",
            "resourceVersion 1: Service shop/s: spec.externalIPs[0]: \"x\" is not an IP address; until it is mended it is in force without",
            "resourceVersion 3: NetworkPolicy shop/p: spec.spce: unknown field, ignored",
        ]
    );
    let id = Id::new(Kind::Service, ObjectName::new("shop", "s"));
    let Some(Origin::Cluster(version)) = store.origin(&id) else {
        panic!("an object of a cluster");
    };
    let text = (version.uid.to_string(), version.resource_version.to_string());
    assert_eq!(text, ("uid-1".to_owned(), "1".to_owned()));
    cluster.apply(&service("198.51.100.1"));
    store.apply([Change::Troubles(Vec::new())]);
    store.apply(cluster.list(Kind::Service));
    assert_eq!(crate::testing::lines(&store).len(), 1);
    let broken = cluster.apply(&service("y"));
    store.apply([broken]);
    assert_eq!(store.standing(&id), Standing::LastGood);
    let Some(deleted) = cluster.delete(&id) else {
        panic!("it was there")
    };
    store.apply([deleted]);
    assert_eq!(store.standing(&id), Standing::Gone);
}

#[test]
fn a_file_has_precedence_over_the_cluster() {
    let mut store = Store::default();
    let mut cluster = Cluster::default();
    let id = id_of(&service("198.51.100.1"));
    store.apply([cluster.apply(&service("198.51.100.1"))]);
    store.apply([file(&id, Some(&service("198.51.100.2")))]);
    assert_eq!(
        crate::testing::lines(&store),
        [
            "resourceVersion 1: Service shop/s: is defined in Service shop/s.yaml already, which has precedence"
        ]
    );
}

fn service(address: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "s"},
        "spec": {"selector": {"app": "s"}, "externalIPs": [address], "ports": [{"port": 80}]}})
}

fn policy(port: u16) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "p"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": port}]}]}})
}

/// A control plane with a source in memory, and the other end of its ring.
struct Bed {
    script: Script,
    listener: SessionListener,
    wake: Sender<Wake>,
    progress: Progress,
    control: JoinHandle<Result<(), RunError>>,
    _temporary: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let socket = temporary.path().join("control.sock");
        let listener = SessionListener::bind(&socket).expect("a socket");
        let (source, script) = scripted();
        let follower = Follower::new(settings(), false);
        let progress = follower.progress();
        let (wake, woken) = channel();
        let waking = wake.clone();
        let control = std::thread::spawn(move || drive(source, follower, socket, (waking, woken)));
        Self {
            script,
            listener,
            wake,
            progress,
            control,
            _temporary: temporary,
        }
    }

    fn accept(&self) -> DataSession {
        let session = self.listener.accept(PATIENCE).expect("a handshake");
        session.expect("a control plane")
    }

    fn stop(self) {
        self.wake.send(Wake::Stop).expect("a control plane");
        self.control.join().expect("no panic").expect("a clean end");
    }
}

fn receive(session: &mut DataSession) -> Transaction {
    let transaction = session.receive_transaction(PATIENCE).expect("a session");
    transaction.expect("a transaction")
}

fn ack(session: &mut DataSession, generation: u64) {
    session
        .send(&ToControl::Ack { generation }, PATIENCE)
        .expect("a session");
}

fn ack_next(session: &mut DataSession) {
    let generation = receive(session).generation;
    ack(session, generation);
}

fn nack(session: &mut DataSession, generation: u64, object: Option<Key>) {
    let reason = "no room".to_owned();
    let nack = ToControl::Nack {
        generation,
        reason,
        object,
    };
    session.send(&nack, PATIENCE).expect("a session");
}

/// `KIND NAME: GENERATION STANDING`, with the version that it is about.
fn lines(report: &crate::feedback::Report) -> Vec<String> {
    let line = |(id, (generation, outcome)): (&Id, &(u64, Outcome))| {
        let version = match &outcome.origin {
            Some(Origin::Cluster(version)) => version.resource_version.to_string(),
            _ => "-".to_owned(),
        };
        let standing = match &outcome.standing {
            Standing::Refused { reason, .. } => format!("refused: {reason}"),
            other => format!("{other:?}"),
        };
        format!("{id} @{version}: {generation} {standing}")
    };
    report.outcomes.iter().map(line).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, whose steps build on each other")]
fn what_the_dataplane_says_comes_back_for_the_objects_that_have_changed() {
    let bed = Bed::new();
    let mut cluster = Cluster::default();
    cluster.apply(&service("198.51.100.1"));
    bed.script.give(cluster.list_all());
    assert_eq!(bed.progress.now(), Readiness::Listing);
    cluster.apply(&policy(80));
    let mut rest = cluster.list_all();
    rest.push(Change::Complete);
    bed.script.give(rest);
    let mut session = bed.accept();
    let whole = receive(&mut session);
    assert!(whole.full);
    let keys: Vec<Key> = puts(&whole);
    assert!(
        keys.iter().any(|key| matches!(key, Key::Policy(..))),
        "nothing is sent before it is complete"
    );
    assert!(bed.script.is_silent(), "nothing is in force yet");
    assert_eq!(bed.progress.now(), Readiness::Serving);
    ack(&mut session, 1);
    let report = bed.script.report();
    // That the policy is in force as it is written is no news at the start.
    assert_eq!(lines(&report), ["Service shop/s @1: 1 InForce"]);

    // One that is wrong, which changes nothing for the dataplane.
    bed.script.give(vec![cluster.apply(&service("x"))]);
    let report = bed.script.report();
    assert_eq!(lines(&report), ["Service shop/s @3: 1 LastGood"]);
    assert_eq!(report.acknowledged, 1);
    let (_, outcome) = &report.outcomes[&id_of(&service("x"))];
    assert!(
        outcome.problems[0].text.contains("is not an IP address"),
        "{outcome:?}"
    );

    // One that the dataplane refuses: it is named, and the other is in force.
    bed.script.give(vec![
        cluster.apply(&policy(81)),
        cluster.apply(&service("198.51.100.2")),
    ]);
    let refused = receive(&mut session);
    let blamed = puts(&refused)
        .into_iter()
        .find(|key| matches!(key, Key::Policy(..)));
    nack(&mut session, refused.generation, blamed);
    assert_eq!(
        lines(&bed.script.report()),
        ["NetworkPolicy shop/p @4: 2 refused: no room"]
    );
    assert_eq!(receive(&mut session).generation, 3);
    ack(&mut session, 3);
    assert_eq!(
        lines(&bed.script.report()),
        [
            "Service shop/s @5: 3 InForce",
            "NetworkPolicy shop/p @4: 3 refused: no room"
        ]
    );

    // It changes, and is taken.
    bed.script.give(vec![cluster.apply(&policy(82))]);
    assert_eq!(receive(&mut session).generation, 4);
    ack(&mut session, 4);
    assert_eq!(
        lines(&bed.script.report()),
        ["NetworkPolicy shop/p @6: 4 InForce"]
    );
    bed.stop();
}

fn puts(transaction: &Transaction) -> Vec<Key> {
    let operations = transaction.operations.iter();
    operations
        .filter_map(|operation| match operation {
            Operation::Put(object) => Some(object.key()),
            Operation::Delete(_) => None,
        })
        .collect()
}

#[test]
fn a_state_that_is_refused_as_a_whole_is_told_for_what_was_in_it() {
    let bed = Bed::new();
    let mut cluster = Cluster::default();
    cluster.apply(&service("198.51.100.1"));
    let mut all = cluster.list_all();
    all.push(Change::Complete);
    bed.script.give(all);
    let mut session = bed.accept();
    let whole = receive(&mut session);
    nack(&mut session, whole.generation, None);
    assert_eq!(
        lines(&bed.script.report()),
        ["Service shop/s @1: 1 refused: no room"]
    );
    // Another change brings all of it again.
    bed.script.give(vec![cluster.apply(&policy(80))]);
    ack_next(&mut session);
    assert_eq!(
        lines(&bed.script.report()),
        [
            "Service shop/s @1: 2 InForce",
            "NetworkPolicy shop/p @2: 2 InForce"
        ]
    );
    // A new peer has refused nothing, and what did not change is not told again.
    drop(session);
    let mut session = bed.accept();
    ack_next(&mut session);
    let deleted = cluster.delete(&id_of(&policy(80)));
    bed.script.give(deleted.into_iter().collect());
    ack_next(&mut session);
    assert_eq!(lines(&bed.script.report()), ["NetworkPolicy shop/p @-: 4 Gone"]);
    bed.stop();
}

#[test]
fn a_source_that_ends_is_an_error() {
    let bed = Bed::new();
    bed.script.batches.send(None).expect("a source");
    let error = bed
        .control
        .join()
        .expect("no panic")
        .expect_err("an end that nobody asked for");
    assert_eq!(error.to_string(), "the source of objects has ended");
}

#[test]
fn it_ends_at_once_while_a_peer_says_nothing() {
    // A handshake that is never answered, and a peer that reads nothing of a large state.
    for read in [false, true] {
        let bed = Bed::new();
        let mut cluster = Cluster::default();
        for port in 1..20_000u16 {
            let mut one = service("198.51.100.1");
            one["metadata"]["name"] = json!(format!("s{port}"));
            one["spec"]["ports"][0]["port"] = json!(port);
            cluster.apply(&one);
        }
        let mut all = cluster.list_all();
        all.push(Change::Complete);
        bed.script.give(all);
        let session = read.then(|| bed.accept());
        while bed.progress.now() != Readiness::Serving {
            std::thread::yield_now();
        }
        let start = Instant::now();
        bed.stop();
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}, {read}",
            start.elapsed()
        );
        drop(session);
    }
}

/// With the first state in force.
fn leaving(limit: Duration) -> (Bed, Cluster, DataSession) {
    let bed = Bed::new();
    let mut cluster = Cluster::default();
    cluster.apply(&service("198.51.100.1"));
    let mut all = cluster.list_all();
    all.push(Change::Complete);
    bed.script.give(all);
    let mut session = bed.accept();
    ack_next(&mut session);
    bed.wake.send(Wake::Leave(limit)).expect("a control plane");
    (bed, cluster, session)
}

const LONG: Duration = Duration::from_secs(600);

/// As in a pod of two containers, which get SIGTERM at once: what changes while the dataplane drains is in force there.
#[test]
fn who_is_asked_to_leave_goes_on_until_the_dataplane_has_ended() {
    let (bed, mut cluster, mut session) = leaving(LONG);
    for (n, address) in ["198.51.100.2", "198.51.100.3"].iter().enumerate() {
        bed.script.give(vec![cluster.apply(&service(address))]);
        let transaction = receive(&mut session);
        assert!(!transaction.full && !transaction.operations.is_empty(), "{n}");
        ack(&mut session, transaction.generation);
        // Asked once more.
        bed.wake
            .send(Wake::Leave(Duration::ZERO))
            .expect("a control plane");
    }
    assert!(!bed.control.is_finished());
    drop(session);
    bed.control.join().expect("no panic").expect("a clean end");
}

#[test]
fn it_ends_at_once_where_it_is_told_to_or_there_is_no_dataplane() {
    let (bed, _, session) = leaving(Duration::ZERO);
    bed.control.join().expect("no panic").expect("a clean end");
    drop(session);
    let (bed, _, session) = leaving(LONG);
    bed.stop();
    drop(session);
    let bed = Bed::new();
    bed.wake.send(Wake::Leave(LONG)).expect("a control plane");
    bed.control.join().expect("no panic").expect("a clean end");
}

#[test]
fn it_does_not_wait_for_the_dataplane_beyond_the_limit() {
    let limit = Duration::from_millis(300);
    let begun = Instant::now();
    let (bed, _, session) = leaving(limit);
    bed.control.join().expect("no panic").expect("a clean end");
    assert!(begun.elapsed() >= limit);
    drop(session);
}
