//! A connection by itself, without bytes' way in and out.

use std::task::{Context, Waker};

use proptest::prelude::*;

use super::{H2Connection, Received, Sections, SharedConnection, StreamEnd, asking, fuzz};
use crate::buffer::{Buffer, ROOM, Spare};
use crate::h2::frame::{self, FrameKind};
use headgate_net::clock::Nanos;

/// One to a pod, with streams whose answers have begun.
fn asked(streams: usize) -> (SharedConnection, Vec<StreamEnd>) {
    let connection = H2Connection::to_pod(Some(streams), Nanos(0));
    let mut bytes = Vec::new();
    frame::write_settings(&[], &mut bytes);
    let ends = (0..streams).map(|place| {
        let mut end = StreamEnd::asking(&connection);
        end.head(&[0x82], false);
        end.end(Vec::new());
        let sent = end.flush(&mut Context::from_waker(Waker::noop()), &mut Buffer::default());
        assert!(sent.is_ready());
        let id = 2 * place as u32 + 1;
        frame::write(FrameKind::Headers, frame::END_HEADERS, id, &[0x88], &mut bytes);
        connection.borrow_mut().out.clear();
        end
    });
    let ends = ends.collect();
    hear(&connection, &bytes);
    (connection, ends)
}

fn hear(connection: &SharedConnection, bytes: &[u8]) {
    let mut inbox = Buffer::default();
    inbox.append(bytes);
    let received = connection
        .borrow_mut()
        .receive(&mut inbox, &mut Sections::default());
    assert!(
        matches!(received, Ok(Received::Nothing)) && inbox.is_empty(),
        "{received:?}"
    );
}

/// The pod sends a lot of a stream, and all of it is read at once.
fn flows(connection: &SharedConnection, end: &mut StreamEnd, id: u32) {
    let mut bytes = Vec::new();
    frame::write(FrameKind::Data, 0, id, &vec![0; ROOM], &mut bytes);
    for _ in 0..200 {
        hear(connection, &bytes);
        let (mut to, mut cx) = (Buffer::default(), Context::from_waker(Waker::noop()));
        let read = end.read(&mut cx, &mut to, ROOM, &mut Spare::default());
        assert!(read.is_ready() && to.len() == ROOM);
        connection.borrow_mut().out.clear();
    }
}

#[test]
fn windows_of_a_pods_streams_grow_so_much_together_and_no_more() {
    let (connection, mut ends) = asked(100);
    for (place, end) in ends.iter_mut().enumerate() {
        flows(&connection, end, 2 * place as u32 + 1);
    }
    let sizes = || -> Vec<u32> {
        let connection = connection.borrow();
        let streams = connection.streams.known.iter();
        streams.map(|(_, stream)| stream.receive_window.size()).collect()
    };
    let grown = |size: u32| size - asking::STREAM_WINDOW;
    assert_eq!(sizes()[0], 1 << 20);
    assert_eq!(sizes()[99], asking::STREAM_WINDOW);
    assert_eq!(sizes().into_iter().map(grown).sum::<u32>(), 16 << 20);
    // What one had is another's when it is over.
    drop(ends.remove(0));
    flows(&connection, &mut ends[98], 199);
    assert_eq!(sizes().into_iter().map(grown).sum::<u32>(), 16 << 20);
    drop(ends);
    assert!(connection.borrow().is_idle());
}

#[test]
fn what_a_pod_cannot_have_seen_when_it_is_lost_may_be_asked_again() {
    let (connection, mut ends) = asked(1);
    connection.borrow_mut().has_sent();
    let mut cx = Context::from_waker(Waker::noop());
    // One of which nothing is on its way, and one that has not even begun.
    for begins in [true, false] {
        let mut end = StreamEnd::asking(&connection);
        end.head(&[0x83], false);
        if begins {
            assert!(end.flush(&mut cx, &mut Buffer::default()).is_ready());
        }
        ends.push(end);
    }
    connection.borrow_mut().lose(true);
    let refused: Vec<_> = ends.iter().map(StreamEnd::is_refused).collect();
    assert_eq!(refused, [false, true, true]);
}

proptest! {
    #[test]
    fn what_lies_here_is_what_the_windows_say(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::fuzz(&bytes);
    }

    /// Frames that make sense more often, and what is done about streams between them.
    #[test]
    fn frames_in_any_order_leave_nothing(
        role in 0..2_u8,
        steps in prop::collection::vec(step(), 0..80),
    ) {
        fuzz::fuzz(&[&[role][..], &steps.concat()].concat());
    }
}

fn step() -> impl Strategy<Value = Vec<u8>> {
    let block = prop_oneof![
        Just(vec![0x82, 0x86, 0x84, 0x41, 1, b'a']),
        Just(vec![0x83, 0x86, 0x84, 0x41, 1, b'a']),
        Just(vec![0x88]),
        Just(vec![0, 1, b'x', 1, b'y']),
        prop::collection::vec(any::<u8>(), 0..10),
    ];
    let flags = prop::sample::select(&[0, 1, 4, 5, 8, 13][..]);
    let stream = prop::sample::select(&[1_u8, 3, 5, 7, 9, 0, 2][..]);
    let frame = |kind: u8, flags, stream, payload: Vec<u8>| {
        [&[0, payload.len() as u8, kind, flags, stream][..], &payload].concat()
    };
    let other = prop::sample::select(&[2, 3, 4, 6, 7, 8, 9][..]);
    let payload = prop_oneof![
        Just(vec![0, 0, 0, 1]),
        Just(vec![0, 4, 0, 0, 0, 0]),
        Just(vec![0, 4, 0, 1, 0, 0]),
        Just(vec![0; 8]),
        Just(Vec::new()),
    ];
    prop_oneof![
        (Just(4_u8), stream.clone(), any::<bool>()).prop_map(|(size, stream, ends)| {
            // DATA of 256 bytes.
            vec![8, size, 0, u8::from(ends), stream, 0, 0, 0, 0]
        }),
        (flags.clone(), stream.clone(), block).prop_map(move |(flags, stream, block)| frame(
            1,
            flags | 4,
            stream,
            block
        )),
        (other, flags, stream, payload).prop_map(move |(kind, flags, stream, payload)| frame(
            kind,
            flags & 1,
            stream,
            payload
        )),
        (0..32_u8, any::<u8>()).prop_map(|(what, number)| vec![8 * what + 3 + number % 5, number]),
    ]
}

#[test]
fn the_seeds_of_the_fuzz_target_keep_to_the_rules() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/http2_connection");
    let mut count = 0;
    for seed in std::fs::read_dir(seeds).unwrap() {
        fuzz::fuzz(&std::fs::read(seed.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5, "there are {count} seeds");
}
