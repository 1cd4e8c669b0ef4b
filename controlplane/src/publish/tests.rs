mod told;

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use headgate_ring::message::{
    Action, Direction, GroupId, Key, Listener, Object, Policy, PolicyRule, PortRange, Protocol, Tier,
    ToControl, Upstream, UpstreamProtocol,
};
use headgate_ring::{DataSession, Operation, OperationRef, PackedObject, Transaction};
use proptest::prelude::*;

use super::journal::{Before, Journal, Wanted};
use super::link::Publisher;
use crate::compile::{Changes, State};
use crate::feedback::Feedback;

/// How long a wait in vain takes.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn upstream(name: u8, port: u16) -> Object {
    let endpoints = vec![std::net::SocketAddr::from(([10, 0, 0, name], port))];
    Object::Upstream(Upstream {
        name: name.to_string(),
        protocol: UpstreamProtocol::default(),
        endpoints,
    })
}

fn listener(port: u16) -> Object {
    Object::Listener(Listener {
        address: ([192, 0, 2, 1], port).into(),
        protocol: headgate_ring::message::ListenerProtocol::Http,
        balancers: Vec::new(),
    })
}

fn packed(object: &Object) -> PackedObject {
    PackedObject::of(object).expect("small enough")
}

fn state(objects: impl IntoIterator<Item = Object>) -> State {
    objects.into_iter().map(|o| (o.key(), packed(&o))).collect()
}

/// What makes `new` of `old`.
fn difference(old: &State, new: &State) -> Changes {
    let gone = old.keys().filter(|key| !new.contains_key(key));
    let put = new.iter().filter(|(key, object)| old.get(key) != Some(object));
    gone.map(|key| (key.clone(), None))
        .chain(put.map(|(key, object)| (key.clone(), Some(object.clone()))))
        .collect()
}

fn any_state() -> impl Strategy<Value = State> {
    let object = prop_oneof![
        (0..6u8, 1..4u16).prop_map(|(name, port)| upstream(name, port)),
        (1..6u16).prop_map(listener)
    ];
    prop::collection::vec(object, 0..8).prop_map(state)
}

#[derive(Clone, Debug)]
enum Step {
    /// The state becomes another.
    Publish(State),
    /// A transaction is asked for.
    Begin,
    /// What is under way is answered.
    Answer(bool),
    /// The peer goes, and comes back with nothing.
    Reconnect,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_state().prop_map(Step::Publish),
        4 => Just(Step::Begin),
        3 => any::<bool>().prop_map(Step::Answer),
        1 => Just(Step::Reconnect),
    ]
}

/// A journal, and a peer that applies what it is sent once it has said so.
#[derive(Default)]
struct Simulated {
    state: State,
    journal: Journal,
    /// What the peer has acknowledged; `None` before the first.
    has: Option<State>,
    /// What it makes of the transaction under way.
    under_way: Option<State>,
    /// The last state that it has refused.
    refused: Option<State>,
}

impl Simulated {
    fn step(&mut self, step: Step) {
        match step {
            Step::Publish(new) => {
                for (key, object) in difference(&self.state, &new) {
                    self.journal.note(key.clone(), self.state.get(&key).cloned());
                    match object {
                        Some(object) => self.state.insert(key, object),
                        None => self.state.remove(&key),
                    };
                }
            }
            Step::Begin => self.begin(),
            Step::Answer(in_force) => self.answer(in_force),
            Step::Reconnect => {
                *self = Self {
                    state: std::mem::take(&mut self.state),
                    ..Self::default()
                }
            }
        }
    }

    fn begin(&mut self) {
        let Some(due) = begin(&mut self.journal, &self.state) else {
            let settled =
                self.has.as_ref() == Some(&self.state) || self.refused.as_ref() == Some(&self.state);
            assert!(self.under_way.is_some() || settled, "what is not there is sent");
            return;
        };
        assert!(self.under_way.is_none(), "one at a time");
        assert_eq!(due.full, self.has.is_none());
        let mut made = self.has.clone().unwrap_or_default();
        let operations: Vec<_> = due.operations().collect();
        assert!(due_is_sorted(&operations), "{operations:?}");
        for operation in operations {
            match operation {
                OperationRef::Put(_) => panic!("the state is packed"),
                OperationRef::PutPacked(object) => {
                    let before = made.insert(object.object().key(), object.clone());
                    assert_ne!(before.as_ref(), Some(object), "nothing is sent that is the same");
                }
                OperationRef::Delete(key) => assert!(made.remove(key).is_some(), "{key:?} was there"),
            }
        }
        assert_eq!(made, self.state);
        self.under_way = Some(made);
    }

    fn answer(&mut self, in_force: bool) {
        let Some(made) = self.under_way.take() else { return };
        if in_force {
            self.journal.acknowledged();
            self.has = Some(made);
            self.refused = None;
        } else {
            self.journal.refused();
            self.refused = Some(made);
        }
    }
}

/// For a peer that has refused nothing.
fn begin(journal: &mut Journal, state: &State) -> Option<super::journal::Due> {
    let instead = &Before::new();
    journal.begin(Wanted { state, instead })
}

fn due_is_sorted(operations: &[OperationRef<'_>]) -> bool {
    operations.is_sorted_by_key(|operation| match operation {
        OperationRef::Delete(key) => (false, Key::clone(key)),
        OperationRef::Put(object) => (true, object.key()),
        OperationRef::PutPacked(object) => (true, object.object().key()),
    })
}

proptest! {
    /// Every transaction makes the state of what the peer has, whatever came before, and nothing is left out.
    #[test]
    fn transactions_make_the_state_of_what_the_peer_has(steps in prop::collection::vec(any_step(), 0..40)) {
        let mut simulated = Simulated::default();
        for step in steps {
            simulated.step(step);
        }
        for step in [Step::Answer(true), Step::Begin, Step::Answer(true)] {
            simulated.step(step);
        }
        let Simulated { has, refused, state, .. } = simulated;
        prop_assert!(has.as_ref() == Some(&state) || refused == Some(state));
    }
}

#[test]
fn what_was_refused_is_not_offered_again_before_something_changes() {
    let mut journal = Journal::default();
    let old = state([upstream(1, 1)]);
    assert!(begin(&mut journal, &old).is_some());
    journal.refused();
    assert!(begin(&mut journal, &old).is_none());
    journal.note(listener(80).key(), None);
    let due = begin(&mut journal, &state([upstream(1, 1), listener(80)]));
    assert_eq!(due.map(|due| (due.full, due.operations().len())), Some((true, 2)));
}

/// A dataplane's end, and the control plane's publisher.
struct Bed {
    _temporary: tempfile::TempDir,
    socket: PathBuf,
    listener: Option<headgate_ring::SessionListener>,
    publisher: Publisher,
    published: RefCell<State>,
}

impl Bed {
    fn new() -> Self {
        Self::telling(None)
    }

    fn telling(feedback: Option<Feedback>) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let socket = temporary.path().join("control.sock");
        let listener = Some(headgate_ring::SessionListener::bind(&socket).expect("a socket"));
        let publisher = Publisher::start(socket.clone(), feedback).expect("a thread");
        Self {
            _temporary: temporary,
            socket,
            listener,
            publisher,
            published: RefCell::default(),
        }
    }

    /// Makes this the state that is published.
    fn publish(&self, state: State) {
        let changes = difference(&self.published.borrow(), &state);
        self.published.replace(state);
        self.publisher.publish(changes);
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
    bed.publish(state([listener(80), upstream(1, 1)]));
    let mut session = bed.accept();
    let first = receive(&mut session);
    assert_eq!(
        (first.generation, first.full, first.operations.len()),
        (1, true, 2)
    );
    ack(&mut session, &first);
    bed.publish(state([listener(80), upstream(1, 2)]));
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
    bed.publish(state([listener(80)]));
    let gone = Operation::Delete(Key::Upstream("1".to_owned()));
    assert_eq!(receive(&mut session).operations, [gone]);
}

#[test]
fn an_empty_state_is_a_state() {
    let bed = Bed::new();
    bed.publish(State::new());
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
    bed.publish(State::new());
    let mut session = bed.accept();
    let first = receive(&mut session);
    for port in 1..100 {
        bed.publish(state([upstream(1, port)]));
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
    bed.publish(state([upstream(1, 1)]));
    let mut session = bed.accept();
    let first = receive(&mut session);
    ack(&mut session, &first);
    bed.publish(state([upstream(1, 2)]));
    let refused = receive(&mut session);
    let nack = ToControl::Nack {
        generation: refused.generation,
        reason: "no".to_owned(),
        object: None,
    };
    session.send(&nack, PATIENCE).expect("a session");
    bed.publish(state([upstream(1, 1), upstream(2, 1)]));
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
    bed.publish(state([upstream(1, 1)]));
    let mut session = bed.accept();
    let refused = receive(&mut session);
    let nack = ToControl::Nack {
        generation: refused.generation,
        reason: "no".to_owned(),
        object: None,
    };
    session.send(&nack, PATIENCE).expect("a session");
    bed.publish(state([upstream(2, 1)]));
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
    bed.publish(state([upstream(1, 1)]));
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
        bed.listener = Some(headgate_ring::SessionListener::bind(&bed.socket).expect("a socket"));
    }
}

#[test]
fn it_ends_without_a_peer_and_with_one() {
    let temporary = tempfile::tempdir().expect("a directory");
    let publisher = Publisher::start(temporary.path().join("nobody.sock"), None).expect("a thread");
    publisher.publish(Changes::new());
    drop(publisher);
    let bed = Bed::new();
    bed.publish(State::new());
    let mut session = bed.accept();
    let first = receive(&mut session);
    ack(&mut session, &first);
    drop(bed.publisher);
    assert!(
        session.receive_transaction(PATIENCE).is_err(),
        "the session is over"
    );
}

/// A policy of one rule, from port to port.
fn policy(port: u16) -> Object {
    Object::Policy(Policy {
        name: "shop/p".to_owned(),
        tier: Tier::NetworkPolicy,
        priority: 0,
        direction: Direction::Ingress,
        subjects: GroupId(1),
        rules: vec![PolicyRule {
            number: 0,
            name: String::new(),
            action: Action::Accept,
            only: None,
            peers: None,
            ports: Some(vec![PortRange {
                protocol: Protocol::Tcp,
                first: port,
                last: port,
            }]),
        }],
    })
}

fn allowing_nothing() -> Object {
    let Object::Policy(policy) = policy(1) else {
        unreachable!("it is one")
    };
    Object::Policy(Policy {
        rules: Vec::new(),
        ..policy
    })
}

fn refuse(session: &mut DataSession, transaction: &Transaction, object: &Object) {
    let nack = ToControl::Nack {
        generation: transaction.generation,
        reason: "no".to_owned(),
        object: Some(object.key()),
    };
    session.send(&nack, PATIENCE).expect("a session");
}

#[test]
fn one_object_that_is_refused_holds_up_no_other() {
    let mut bed = Bed::new();
    bed.publish(state([policy(1), upstream(1, 1), listener(80)]));
    let mut session = bed.accept();
    let whole = receive(&mut session);
    refuse(&mut session, &whole, &policy(1));
    let again = receive(&mut session);
    assert!(again.full);
    assert_eq!(again.operations.len(), 3);
    assert!(
        again.operations.contains(&Operation::Put(allowing_nothing())),
        "it fails closed"
    );
    ack(&mut session, &again);

    bed.publish(state([policy(1), upstream(1, 2), listener(80)]));
    let other = receive(&mut session);
    assert_eq!(other.operations, [Operation::Put(upstream(1, 2))]);
    refuse(&mut session, &other, &upstream(1, 2));
    let without = receive(&mut session);
    assert_eq!(without.operations, [Operation::Delete(upstream(1, 2).key())]);
    ack(&mut session, &without);

    bed.publish(state([policy(2), upstream(1, 2), listener(80)]));
    let changed = receive(&mut session);
    assert_eq!(
        changed.operations,
        [Operation::Put(policy(2))],
        "what has changed is tried"
    );
    ack(&mut session, &changed);

    drop(session);
    bed.listener = None;
    bed.listener = Some(headgate_ring::SessionListener::bind(&bed.socket).expect("a socket"));
    let whole = receive(&mut bed.accept());
    assert_eq!(whole.operations.len(), 3);
    assert!(
        whole.operations.contains(&Operation::Put(upstream(1, 2))),
        "another peer has not refused it"
    );
}

#[test]
fn what_stands_in_may_be_refused_as_well() {
    let bed = Bed::new();
    bed.publish(state([policy(1), listener(80)]));
    let mut session = bed.accept();
    for expected in [Some(policy(1)), Some(allowing_nothing()), None] {
        let transaction = receive(&mut session);
        let policies = transaction
            .operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Put(object @ Object::Policy(_)) => Some(object.clone()),
                _ => None,
            });
        assert_eq!(policies.collect::<Vec<_>>(), Vec::from_iter(expected.clone()));
        match expected {
            Some(object) => refuse(&mut session, &transaction, &object),
            None => ack(&mut session, &transaction),
        }
    }
}
