use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headgate_ring::message::{Key, Listener, Object, ToControl, Upstream};
use headgate_ring::{DataSession, Transaction};
use proptest::prelude::*;

use super::link::Publisher;
use super::*;

/// How long a wait in vain takes.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn upstream(name: u8, port: u16) -> Object {
    let endpoints = vec![std::net::SocketAddr::from(([10, 0, 0, name], port))];
    Object::Upstream(Upstream {
        name: name.to_string(),
        endpoints,
    })
}

fn listener(port: u16) -> Object {
    Object::Listener(Listener {
        address: ([192, 0, 2, 1], port).into(),
        tls: false,
    })
}

fn state(objects: impl IntoIterator<Item = Object>) -> State {
    objects.into_iter().map(|o| (o.key(), Arc::new(o))).collect()
}

fn apply(state: &mut State, operations: Vec<Operation>) {
    for operation in operations {
        match operation {
            Operation::Put(object) => {
                state.insert(object.key(), Arc::new(object));
            }
            Operation::Delete(key) => {
                assert!(state.remove(&key).is_some(), "{key:?} was not there");
            }
        }
    }
}

fn any_state() -> impl Strategy<Value = State> {
    let object = prop_oneof![
        (0..20u8, 1..4u16).prop_map(|(name, port)| upstream(name, port)),
        (1..20u16).prop_map(listener)
    ];
    prop::collection::vec(object, 0..30).prop_map(state)
}

proptest! {
    #[test]
    fn changes_make_the_new_of_the_old(old in any_state(), new in any_state()) {
        let changes = changes(&old, &new);
        let differing = old.iter().filter(|(k, o)| new.get(k) != Some(o)).count()
            + new.keys().filter(|k| !old.contains_key(k)).count();
        prop_assert_eq!(changes.len(), differing, "nothing is sent that is the same");
        let mut made = old;
        apply(&mut made, changes);
        prop_assert_eq!(&made, &new);
        let mut made = State::new();
        apply(&mut made, everything(&new));
        prop_assert_eq!(&made, &new);
    }
}

/// A dataplane's end, and the control plane's publisher.
struct Bed {
    _temporary: tempfile::TempDir,
    socket: PathBuf,
    listener: Option<headgate_ring::Listener>,
    publisher: Publisher,
}

impl Bed {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let socket = temporary.path().join("control.sock");
        let listener = Some(headgate_ring::Listener::bind(&socket).expect("a socket"));
        let publisher = Publisher::start(socket.clone()).expect("a thread");
        Self {
            _temporary: temporary,
            socket,
            listener,
            publisher,
        }
    }

    fn accept(&self) -> DataSession {
        let listener = self.listener.as_ref().expect("a listener");
        listener
            .accept(PATIENCE)
            .expect("a handshake")
            .expect("a control plane")
    }
}

fn receive(session: &mut DataSession) -> Transaction {
    session
        .receive_transaction(PATIENCE)
        .expect("a session")
        .expect("a transaction")
}

fn ack(session: &mut DataSession, transaction: &Transaction) {
    session
        .send(
            &ToControl::Ack {
                generation: transaction.generation,
            },
            PATIENCE,
        )
        .expect("a session");
}

#[test]
fn a_new_peer_gets_everything_then_changes() {
    let bed = Bed::new();
    bed.publisher.publish(state([listener(80), upstream(1, 1)]));
    let mut session = bed.accept();
    let first = receive(&mut session);
    assert_eq!(
        (first.generation, first.full, first.operations.len()),
        (1, true, 2)
    );
    ack(&mut session, &first);
    bed.publisher.publish(state([listener(80), upstream(1, 2)]));
    let second = receive(&mut session);
    assert_eq!(
        second,
        Transaction {
            generation: 2,
            full: false,
            operations: vec![Operation::Put(upstream(1, 2))]
        }
    );
    ack(&mut session, &second);
    bed.publisher.publish(state([listener(80)]));
    let gone = Operation::Delete(Key::Upstream("1".to_owned()));
    assert_eq!(receive(&mut session).operations, [gone]);
}

#[test]
fn an_empty_state_is_a_state() {
    let bed = Bed::new();
    bed.publisher.publish(State::new());
    let first = receive(&mut bed.accept());
    assert_eq!(
        first,
        Transaction {
            generation: 1,
            full: true,
            operations: vec![]
        }
    );
}

#[test]
fn what_changes_before_the_answer_goes_into_one_transaction() {
    let bed = Bed::new();
    bed.publisher.publish(State::new());
    let mut session = bed.accept();
    let first = receive(&mut session);
    for port in 1..100 {
        bed.publisher.publish(state([upstream(1, port)]));
    }
    ack(&mut session, &first);
    assert_eq!(
        receive(&mut session).operations,
        [Operation::Put(upstream(1, 99))]
    );
}

#[test]
fn a_refused_state_is_not_sent_again_and_the_next_builds_on_the_one_before() {
    let bed = Bed::new();
    bed.publisher.publish(state([upstream(1, 1)]));
    let mut session = bed.accept();
    let first = receive(&mut session);
    ack(&mut session, &first);
    bed.publisher.publish(state([upstream(1, 2)]));
    let refused = receive(&mut session);
    let nack = ToControl::Nack {
        generation: refused.generation,
        reason: "no".to_owned(),
    };
    session.send(&nack, PATIENCE).expect("a session");
    bed.publisher.publish(state([upstream(1, 1), upstream(2, 1)]));
    let next = receive(&mut session);
    assert_eq!(
        next,
        Transaction {
            generation: 3,
            full: false,
            operations: vec![Operation::Put(upstream(2, 1))]
        }
    );
}

#[test]
fn a_full_state_that_was_refused_is_followed_by_a_full_one() {
    let bed = Bed::new();
    bed.publisher.publish(state([upstream(1, 1)]));
    let mut session = bed.accept();
    let refused = receive(&mut session);
    let nack = ToControl::Nack {
        generation: refused.generation,
        reason: "no".to_owned(),
    };
    session.send(&nack, PATIENCE).expect("a session");
    bed.publisher.publish(state([upstream(2, 1)]));
    let next = receive(&mut session);
    assert_eq!(
        next,
        Transaction {
            generation: 2,
            full: true,
            operations: vec![Operation::Put(upstream(2, 1))]
        }
    );
}

#[test]
fn a_peer_that_comes_back_gets_everything() {
    let mut bed = Bed::new();
    bed.publisher.publish(state([upstream(1, 1)]));
    for generation in 1..4 {
        let mut session = bed.accept();
        let transaction = receive(&mut session);
        assert_eq!((transaction.generation, transaction.full), (generation, true));
        if generation == 1 {
            ack(&mut session, &transaction);
        }
        drop(session);
        // The process is gone, its socket with it, and both come back.
        bed.listener = None;
        bed.listener = Some(headgate_ring::Listener::bind(&bed.socket).expect("a socket"));
    }
}

#[test]
fn it_ends_without_a_peer_and_with_one() {
    let temporary = tempfile::tempdir().expect("a directory");
    let publisher = Publisher::start(temporary.path().join("nobody.sock")).expect("a thread");
    publisher.publish(State::new());
    drop(publisher);
    let bed = Bed::new();
    bed.publisher.publish(State::new());
    let mut session = bed.accept();
    let first = receive(&mut session);
    ack(&mut session, &first);
    drop(bed.publisher);
    assert!(
        session.receive_transaction(PATIENCE).is_err(),
        "the session is over"
    );
}
