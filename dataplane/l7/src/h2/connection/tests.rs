//! A connection by itself, without bytes' way in and out.

use std::task::{Context, Waker};

use super::{H2Connection, Received, Sections, SharedConnection, StreamEnd, asking};
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
