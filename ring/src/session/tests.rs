use std::thread;

use super::*;
use crate::encoding::{EncodeError, PackedObject};
use crate::listener::{SessionListener, connect, pair, pair_with};
use crate::message::{
    Certificate, Listener as ListenerObject, Object, PrivateKey, Upstream, UpstreamProtocol,
};
use crate::sizes::Sizes;
use crate::transaction::Operation;

/// Long enough that only a hang reaches it.
const LONG: Option<Duration> = Some(Duration::from_secs(30));
const NOW: Option<Duration> = Some(Duration::ZERO);
const SMALL: Sizes = Sizes {
    to_data: 4096,
    to_control: 4096,
};

fn upstream(name: &str, endpoints: usize) -> Object {
    let endpoints = (0..endpoints)
        .map(|i| ([10, 1, (i >> 8) as u8, i as u8], 80).into())
        .collect();
    Object::Upstream(Upstream {
        name: name.into(),
        protocol: UpstreamProtocol::default(),
        endpoints,
    })
}

fn transaction(generation: Generation, operations: usize) -> Transaction {
    let operations = (0..operations)
        .map(|i| Operation::Put(upstream(&format!("default/web-{i}:80"), i % 9)))
        .collect();
    Transaction {
        generation,
        full: generation == 1,
        operations,
    }
}

fn ack(generation: Generation) -> ToControl {
    ToControl::Ack { generation }
}

/// Two ends that met over a socket file.
fn joined(sizes: Sizes) -> (ControlSession, DataSession) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let listener = SessionListener::bind_with(&path, sizes).unwrap();
    let control = thread::spawn(move || connect(&path).unwrap());
    let data = listener.accept(LONG).unwrap().unwrap();
    (control.join().unwrap(), data)
}

#[test]
fn transactions_cross_a_socket_file() {
    let (mut control, mut data) = joined(Sizes::default());
    assert_eq!(control.peer().uid, rustix::process::geteuid().as_raw());
    assert_eq!(data.peer().pid, std::process::id() as i32);
    for generation in 1..=20 {
        let sent = transaction(generation, generation as usize * 7);
        control.send_transaction(&sent, LONG).unwrap();
        assert_eq!(data.receive_transaction(LONG).unwrap(), Some(sent));
        data.send(&ack(generation), LONG).unwrap();
        assert_eq!(control.receive(LONG).unwrap(), Some(ack(generation)));
    }
    assert_eq!(data.receive_transaction(NOW).unwrap(), None);
}

#[test]
fn a_transaction_larger_than_the_ring_passes_through_it() {
    let (mut control, mut data) = pair_with(SMALL).unwrap();
    let sent = transaction(1, 5000);
    let received = thread::scope(|scope| {
        let receiver = scope.spawn(|| data.receive_transaction(LONG).unwrap());
        control.send_transaction(&sent, LONG).unwrap();
        receiver.join().unwrap()
    });
    assert_eq!(received, Some(sent));
}

#[test]
fn a_message_larger_than_the_ring_passes_through_it() {
    let (mut control, mut data) = pair_with(SMALL).unwrap();
    let sent = ToData::Put(upstream("big", 60_000));
    let received = thread::scope(|scope| {
        let receiver = scope.spawn(|| data.receive(LONG).unwrap());
        control.send(&sent, LONG).unwrap();
        receiver.join().unwrap()
    });
    assert_eq!(received, Some(sent));
}

#[test]
fn encoding_by_reference_gives_the_same_bytes() {
    let object = upstream("a", 3);
    let key = object.key();
    let bytes = |message: &ToData| encode(message).unwrap();
    let by_reference = [
        encode(&ToDataRef::Begin {
            generation: 300,
            full: true,
        })
        .unwrap(),
        encode(&ToDataRef::Put(&object)).unwrap(),
        encode(&ToDataRef::Delete(&key)).unwrap(),
        encode(&ToDataRef::Commit {
            generation: 300,
            operations: 2,
        })
        .unwrap(),
    ];
    let owned = [
        bytes(&ToData::Begin {
            generation: 300,
            full: true,
        }),
        bytes(&ToData::Put(object)),
        bytes(&ToData::Delete(key)),
        bytes(&ToData::Commit {
            generation: 300,
            operations: 2,
        }),
    ];
    assert_eq!(by_reference, owned);
}

#[test]
fn trailing_bytes_are_an_error() {
    let mut bytes = encode(&ack(7)).unwrap();
    assert_eq!(decode::<ToControl>(&bytes).unwrap(), ack(7));
    bytes.push(0);
    assert!(
        decode::<ToControl>(&bytes)
            .unwrap_err()
            .contains("1 of 3 bytes are left over")
    );
}

#[test]
fn what_was_read_is_wiped() {
    let (mut control, mut data) = pair().unwrap();
    let secret = *b"0123456789abcdef-not-to-be-found";
    let key = PrivateKey(Zeroizing::new(secret.to_vec()));
    let certificate = Certificate {
        name: "default/tls".into(),
        hosts: vec![],
        chain: vec![],
        key,
    };
    let memory = control.writer.memory();
    let image = || {
        memory
            .words()
            .iter()
            .flat_map(|word| word.load(std::sync::atomic::Ordering::Relaxed).to_le_bytes())
    };
    let found = || {
        image()
            .collect::<Vec<_>>()
            .windows(16)
            .any(|window| window == &secret[8..24])
    };
    control
        .send(&ToData::Put(Object::Certificate(certificate)), LONG)
        .unwrap();
    assert!(found());
    data.receive(LONG).unwrap().unwrap();
    assert!(!found());
}

#[test]
fn a_full_ring_times_out_and_the_session_goes_on() {
    let (mut control, mut data) = pair_with(SMALL).unwrap();
    let message = ToData::Put(upstream("a", 20));
    let mut sent = 0;
    let error = loop {
        match control.send(&message, Some(Duration::from_millis(5))) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SessionError::Timeout(_)), "{error}");
    assert!(control.is_open());
    for _ in 0..sent {
        assert_eq!(data.receive(NOW).unwrap().as_ref(), Some(&message));
    }
    control.send(&message, NOW).unwrap();
    assert_eq!(data.receive(NOW).unwrap(), Some(message));
}

#[test]
fn a_timeout_within_a_message_closes() {
    let (mut control, mut data) = pair_with(SMALL).unwrap();
    let error = control
        .send(&ToData::Put(upstream("a", 2000)), Some(Duration::from_millis(5)))
        .unwrap_err();
    assert!(matches!(error, SessionError::Timeout(_)), "{error}");
    assert!(matches!(
        control.send(&ToData::Put(upstream("a", 1)), NOW),
        Err(SessionError::Closed)
    ));
    assert!(matches!(data.receive(LONG), Err(SessionError::PeerGone)));
}

#[test]
fn refusals_send_nothing_and_leave_the_session_open() {
    let (mut control, mut data) = pair().unwrap();
    let too_large = Operation::Put(upstream("default/huge:80", 700_000));
    let refused = Transaction {
        generation: 1,
        full: false,
        operations: vec![too_large],
    };
    let error = control.send_transaction(&refused, LONG).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Upstream \"default/huge:80\" takes"),
        "{error}"
    );
    let error = control.send_transaction(&transaction(0, 1), LONG).unwrap_err();
    assert!(matches!(
        error,
        SessionError::Transaction(TransactionError::Generation { found: 0, last: 0 })
    ));
    assert_eq!(data.receive_transaction(NOW).unwrap(), None);
    control.send_transaction(&transaction(5, 1), LONG).unwrap();
    assert!(control.send_transaction(&transaction(5, 1), LONG).is_err());
    assert_eq!(data.receive_transaction(NOW).unwrap().unwrap().generation, 5);
    assert!(control.is_open());
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn what_is_no_transaction_closes_the_session() {
    let begin = |generation| ToData::Begin {
        generation,
        full: false,
    };
    let commit = |generation, operations| ToData::Commit {
        generation,
        operations,
    };
    let put = || {
        ToData::Put(Object::Listener(ListenerObject {
            address: ([192, 0, 2, 1], 80).into(),
            protocol: crate::message::ListenerProtocol::Http,
            balancers: Vec::new(),
        }))
    };
    let cases = [
        (vec![put()], TransactionError::NotBegun("a Put")),
        (vec![commit(1, 0)], TransactionError::NotBegun("a Commit")),
        (
            vec![begin(1), begin(2)],
            TransactionError::NotCommitted { open: 1, begun: 2 },
        ),
        (vec![begin(0)], TransactionError::Generation { found: 0, last: 0 }),
        (
            vec![begin(4), commit(4, 0), begin(4)],
            TransactionError::Generation { found: 4, last: 4 },
        ),
        (
            vec![begin(1), commit(2, 0)],
            TransactionError::CommitGeneration {
                begun: 1,
                committed: 2,
            },
        ),
        (
            vec![begin(1), put(), commit(1, 2)],
            TransactionError::Count {
                generation: 1,
                found: 1,
                expected: 2,
            },
        ),
    ];
    for (messages, expected) in cases {
        let (mut control, mut data) = pair().unwrap();
        for message in &messages {
            control.send(message, LONG).unwrap();
        }
        let error = loop {
            match data.receive_transaction(LONG) {
                Ok(transaction) => assert!(transaction.unwrap().operations.is_empty()),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(&error, SessionError::Transaction(found) if *found == expected),
            "{error}"
        );
        assert!(matches!(
            data.try_receive_transaction(),
            Err(SessionError::Closed)
        ));
        assert!(matches!(control.receive(LONG), Err(SessionError::PeerGone)));
    }
}

#[test]
fn what_was_sent_arrives_before_the_news_of_the_end() {
    let (mut control, mut data) = pair().unwrap();
    control.send_transaction(&transaction(1, 3), LONG).unwrap();
    control
        .send(
            &ToData::Begin {
                generation: 2,
                full: false,
            },
            LONG,
        )
        .unwrap();
    control.send(&ToData::Put(upstream("a", 1)), LONG).unwrap();
    drop(control);
    assert_eq!(data.receive_transaction(LONG).unwrap(), Some(transaction(1, 3)));
    assert!(matches!(
        data.receive_transaction(LONG),
        Err(SessionError::PeerGone)
    ));
    assert!(data.send(&ack(1), LONG).is_err());
}

#[test]
fn the_end_wakes_a_blocked_receiver_and_a_blocked_sender() {
    let (control, mut data) = pair().unwrap();
    let receiver = thread::spawn(move || data.receive(None).unwrap_err());
    drop(control);
    assert!(matches!(receiver.join().unwrap(), SessionError::PeerGone));

    let (mut control, data) = pair_with(SMALL).unwrap();
    let sender = thread::spawn(move || control.send(&ToData::Put(upstream("a", 9000)), None).unwrap_err());
    drop(data);
    assert!(matches!(sender.join().unwrap(), SessionError::PeerGone));
}

#[test]
fn what_is_packed_arrives_as_what_it_was() {
    let (mut control, mut data) = pair().unwrap();
    let (kept, gone) = (upstream("default/web:80", 3), upstream("default/old:80", 1).key());
    let certificate = Object::Certificate(Certificate {
        name: "shop/cert".into(),
        hosts: vec!["shop.example".into()],
        chain: vec![vec![1, 2, 3]],
        key: PrivateKey(Zeroizing::new(vec![4, 5, 6])),
    });
    let packed = [&kept, &certificate].map(|object| PackedObject::of(object).unwrap());
    assert_eq!(
        packed.each_ref().map(PackedObject::object),
        [kept.clone(), certificate.clone()]
    );
    assert_ne!(packed[0], packed[1]);
    let puts = packed.iter().map(OperationRef::PutPacked);
    let operations: Vec<_> = puts.chain([OperationRef::Delete(&gone)]).collect();
    control
        .send_operations(1, false, operations.into_iter(), LONG)
        .unwrap();
    let received = data.receive_transaction(LONG).unwrap().unwrap();
    let expected = [
        Operation::Put(kept),
        Operation::Put(certificate),
        Operation::Delete(gone),
    ];
    assert_eq!(received.operations, expected);
    let huge = upstream("default/huge:80", 700_000);
    assert!(matches!(PackedObject::of(&huge), Err(EncodeError::TooLarge(_))));
}
