//! More requests to a pod at once than there are source ports towards it.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::http2::{connect, get, send};
use super::world::{Objects, World, answer_with, host, read_to_end, upstream};
use crate::Limits;
use headgate_net::record::HttpCount;
use headgate_tcp::TcpStream;
use headgate_tcp::network::{Channel, run};

const PORTS: usize = 4;
/// Of what nobody reads.
const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n";
const SMALL: &[u8] = b"GET /small HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n";
const UPLOAD: &[u8] =
    b"POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhe";

/// One pod, four ports towards it.
fn world() -> World {
    let objects = Objects {
        hosts: vec![host("web.example", &[("/", "web")])],
        upstreams: vec![upstream("web", &[10])],
        certificates: Vec::new(),
        balancers: Vec::new(),
    };
    let ports = 32_768..=32_767 + PORTS as u16;
    let world = World::with_source_ports(objects, Limits::default(), Channel::perfect(), ports);
    world.serve(|_, request| {
        let length = if request.uri().path() == "/large" {
            1_000_000
        } else {
            10
        };
        answer_with(request, length)
    });
    world
}

async fn begin(world: &World, request: &[u8]) -> TcpStream {
    let mut stream = world.connect(80).await;
    stream.write_all(request).await.unwrap();
    stream
}

#[test]
fn uploads_wait_for_each_other() {
    run(async {
        let world = world();
        let mut all = Vec::new();
        for _ in 0..5 * PORTS {
            all.push(begin(&world, UPLOAD).await);
        }
        sleep(Duration::from_secs(1)).await;
        for mut stream in all {
            stream.write_all(b"llo").await.unwrap();
            let answer = read_to_end(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        world.quiet().await;
    });
}

#[test]
fn who_waits_in_vain_is_told() {
    run(async {
        let world = world();
        let mut all = Vec::new();
        for _ in 0..=PORTS {
            all.push(begin(&world, LARGE).await);
        }
        let start = Instant::now();
        let answer = read_to_end(&mut all.pop().unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(world.status().counters.events[HttpCount::SlowClients], 0);
        drop(all);
        world.quiet().await;
    });
}

#[test]
fn streams_that_never_read_give_way_to_others() {
    run(async {
        let world = world();
        let mut sender = connect(&world).await;
        let mut all = Vec::new();
        for _ in 0..10 * PORTS {
            all.push(send(&mut sender, get("/large"), "").await);
        }
        for round in 0..3 {
            let mut stream = World::connect_from(&world.neighbour, 80).await;
            stream.write_all(SMALL).await.unwrap();
            let answer = read_to_end(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{round}: {answer}");
        }
        let slow = world.status().counters.events[HttpCount::SlowClients];
        assert!((1..=3).contains(&slow), "{slow}");
        drop((sender, all));
        world.quiet().await;
        assert_eq!(world.stage.borrow().held(), 0);
    });
}

#[test]
fn who_takes_all_ports_and_never_reads_gives_way_to_others() {
    run(async {
        let world = world();
        let mut all = Vec::new();
        for _ in 0..10 * PORTS {
            all.push(begin(&world, LARGE).await);
        }
        for round in 0..10 {
            let start = Instant::now();
            let mut stream = World::connect_from(&world.neighbour, 80).await;
            stream.write_all(SMALL).await.unwrap();
            let answer = read_to_end(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{round}: {answer}");
            assert!(
                start.elapsed() < Duration::from_secs(3),
                "{round}: {:?}",
                start.elapsed()
            );
        }
        // One port does for them all.
        let slow = world.status().counters.events[HttpCount::SlowClients];
        assert!((1..=3).contains(&slow), "{slow}");
        drop(all);
        world.quiet().await;
    });
}
