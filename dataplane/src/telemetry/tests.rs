use std::io::Read;
use std::os::unix::net::UnixStream;

use super::*;
use crate::verdict::{Counters, Reason};

fn worker(number: u8, drops: usize) -> WorkerStatus {
    let mut counters = Counters::default();
    counters.packets = 10;
    (0..drops).for_each(|_| {
        counters.drop(Reason::Denied);
    });
    let denied = |packets| DenialStatus {
        policy: "a/b".into(),
        direction: "ingress".into(),
        packets,
    };
    WorkerStatus {
        worker: number,
        flows: 3,
        counts: Counts::of(&counters, 1),
        denials: vec![denied(drops as u64)],
        held: HeldFrames {
            parked: 1,
            unsent: 2,
            inbox: 0,
        },
        queues: vec![QueueStatus {
            port: 0,
            queue: 9 - u32::from(number),
            ..QueueStatus::default()
        }],
        ..WorkerStatus::default()
    }
}

fn status() -> Status {
    let frames = FrameStatus {
        total: 100,
        free: 50,
        kernel: 43,
        ..FrameStatus::default()
    };
    let mut status = Status {
        ports: vec![PortStatus::default()],
        frames,
        ..Status::default()
    };
    status.set_workers(vec![worker(0, 2), worker(1, 3)]);
    status
}

#[test]
fn workers_are_summed_up() {
    let status = status();
    assert_eq!(
        (status.totals.packets, status.totals.from_l7, status.flows),
        (20, 2, 6)
    );
    assert_eq!(status.totals.drops, [("denied".to_owned(), 5)].into());
    assert_eq!(status.denials.iter().map(|d| d.packets).collect::<Vec<_>>(), [5]);
    assert_eq!((status.frames.held, status.frames.unaccounted), (6, 1));
    assert_eq!(
        status.ports[0].queues.iter().map(|q| q.queue).collect::<Vec<_>>(),
        [8, 9]
    );
}

#[test]
fn each_connection_gets_one_document() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.sock");
    let _server = Server::start(&path, status).unwrap();
    for _ in 0..2 {
        let mut text = String::new();
        UnixStream::connect(&path)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status());
    }
}
