//! What becomes of requests and tunnels under way when policies change.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::tls;
use super::world::{Objects, World, fetch, get, host, mirror, read_to_end, upstream};
use crate::Limits;
use headgate_net::record::{HttpCount, HttpGauge};
use headgate_tcp::TcpStream;
use headgate_tcp::network::{Channel, run};

const ALL: [u8; 3] = [10, 11, 12];
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n";
const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nhost: web.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// Pods that answer a request with `head` and then echo; told when their connection ends.
fn pods(world: &World, head: &'static str) -> Rc<Notify> {
    let ended = Rc::new(Notify::new());
    let told = Rc::clone(&ended);
    world.script(move |mut stream| {
        let told = Rc::clone(&told);
        async move {
            let mut buffer = [0; 4096];
            drop(stream.read(&mut buffer).await);
            stream.write_all(head.as_bytes()).await.unwrap();
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                drop(stream.write_all(&buffer[..n]).await);
            }
            told.notify_one();
        }
    });
    ended
}

/// Sends `request` and reads until `end` has come.
async fn begin(world: &World, request: &[u8], end: &[u8]) -> TcpStream {
    let mut stream = world.connect(80).await;
    stream.write_all(request).await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(end) {
        got.push(stream.read_u8().await.unwrap());
    }
    stream
}

async fn is_reset(stream: &mut TcpStream) {
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
}

/// Whatever says how long a response is: a client that is cut off must see that it has not got all of it.
const HEADS: [&str; 3] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n",
    "HTTP/1.0 200 OK\r\n\r\nbegin",
];

#[test]
fn a_response_under_way_is_cut() {
    run(async {
        for head in HEADS {
            let world = World::new(Limits::default());
            let ended = pods(&world, head);
            let end: &[u8] = if head.contains("length") {
                b"begin"
            } else {
                b"begin\r\n"
            };
            let mut stream = begin(&world, REQUEST, end).await;
            world.deny(&ALL, true);
            is_reset(&mut stream).await;
            ended.notified().await;
            let status = world.status();
            assert_eq!(
                (
                    status.counters.events[HttpCount::Cut],
                    status.now[HttpGauge::UpstreamBusy]
                ),
                (1, 0)
            );
            drop(stream);
            world.quiet().await;
        }
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_too() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            drop(stream.read(&mut [0; 4096]).await);
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
            stream.write_all(head).await.unwrap();
            while stream.write_all(&[7; 10_000]).await.is_ok() {}
        });
        let mut stream = begin(&world, REQUEST, b"\r\n\r\n").await;
        // Until every buffer on the way is full.
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.deny(&ALL, true);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(world.status().now[HttpGauge::Clients], 0);
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).await.is_err());
        assert!(rest.len() <= 64 << 10, "{} bytes after the cut", rest.len());
        drop(stream);
        world.quiet().await;
    });
}

#[test]
fn a_tunnel_is_cut_at_both_ends() {
    run(async {
        let world = World::new(Limits::default());
        let ended = pods(
            &world,
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
        );
        let mut stream = begin(&world, UPGRADE, b"\r\n\r\n").await;
        stream.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        world.deny(&ALL, true);
        is_reset(&mut stream).await;
        ended.notified().await;
        assert_eq!(world.status().counters.events[HttpCount::Cut], 1);
        drop(stream);
        world.quiet().await;
    });
}

/// Tables are large, and who lets them go last pays for it: that must not be a worker.
#[test]
fn nobody_keeps_the_tables_before() {
    const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
    run(async {
        let certificate = tls::certificate("ns/web", &["web.example"], &["web.example"]);
        let objects = Objects {
            hosts: vec![host("web.example", &[("/", "web")])],
            upstreams: vec![upstream("web", &[10])],
            certificates: vec![Arc::clone(&certificate)],
            balancers: Vec::new(),
        };
        let world = World::with(objects, Limits::default(), Channel::perfect());
        let asked = Rc::new(Notify::new());
        let told = Rc::clone(&asked);
        world.script(move |mut stream| {
            let told = Rc::clone(&told);
            async move {
                drop(stream.read(&mut [0; 4096]).await);
                told.notify_one();
                drop(stream.read(&mut [0; 4096]).await);
            }
        });
        // One waits for its pod's answer, the other is in the middle of a handshake.
        let mut waiting = world.connect(80).await;
        waiting.write_all(REQUEST).await.unwrap();
        asked.notified().await;
        let mut greeting = world.connect(443).await;
        greeting.write_all(&[22, 3, 1]).await.unwrap();
        while world.status().now[HttpGauge::Clients] < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // One has a TLS connection, and keeps it.
        let mut greeted = tls::connect(&world, &tls::client(&[&certificate], TLS13), "web.example")
            .await
            .unwrap();
        let config = world.stage.borrow().config();
        let before = Arc::downgrade(&config);
        let (routes, tls) = (Arc::downgrade(&config.routes), Arc::downgrade(&config.tls));
        drop(config);
        // Nothing is as before, so that no part is still needed.
        let other = tls::certificate("ns/other", &["other.example"], &["other.example"]);
        world.configure(&Objects {
            hosts: vec![host("other.example", &[("/", "other")])],
            upstreams: vec![upstream("other", &[13])],
            certificates: vec![other],
            balancers: Vec::new(),
        });
        assert!(before.upgrade().is_none());
        assert!(routes.upgrade().is_none() && tls.upgrade().is_none());
        // The world's own, and that of the policies in force.
        assert_eq!(Rc::strong_count(&world.denied), 2);
        // What they have is good to its end.
        let answer = tls::request(&mut greeted, "web.example").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        drop((waiting, greeting, greeted));
        world.quiet().await;
    });
}

#[test]
fn who_waits_for_an_answer_is_told() {
    run(async {
        let world = World::new(Limits::default());
        let arrived = Rc::new(Notify::new());
        let told = Rc::clone(&arrived);
        world.script(move |mut stream| {
            let told = Rc::clone(&told);
            async move {
                drop(stream.read(&mut [0; 4096]).await);
                told.notify_one();
                assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
            }
        });
        let mut stream = world.connect(80).await;
        stream.write_all(REQUEST).await.unwrap();
        arrived.notified().await;
        world.deny(&ALL, true);
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden"), "{answer}");
        let counters = world.status().counters;
        assert_eq!(
            (
                counters.events[HttpCount::Cut],
                counters.events[HttpCount::Denied],
                counters.events[HttpCount::Retries]
            ),
            (1, 1, 0)
        );
        drop(stream);
        world.quiet().await;
    });
}

#[test]
fn a_connection_to_a_pod_that_comes_too_late_is_not_used() {
    run(async {
        let channel = Channel {
            delay: Duration::from_millis(50),
            ..Channel::perfect()
        };
        let objects = Objects {
            hosts: vec![host("web.example", &[("/", "web")])],
            upstreams: vec![upstream("web", &ALL)],
            certificates: Vec::new(),
            balancers: Vec::new(),
        };
        let world = World::with(objects, Limits::default(), channel);
        world.script(|mut stream| async move {
            assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        });
        let mut stream = world.connect(80).await;
        stream.write_all(REQUEST).await.unwrap();
        while world.status().now[HttpGauge::Active] == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.deny(&ALL, true);
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden"), "{answer}");
        drop(stream);
        world.quiet().await;
    });
}

#[test]
fn what_is_allowed_goes_on() {
    run(async {
        let world = World::new(Limits::default());
        pods(
            &world,
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
        );
        let mut tunnels = Vec::new();
        for _ in ALL {
            tunnels.push(begin(&world, UPGRADE, b"\r\n\r\n").await);
        }
        // Each pod has one of them.
        world.deny(&[11], true);
        let mut cut = 0;
        for tunnel in &mut tunnels {
            match tunnel.write_all(b"hello").await {
                Ok(()) if tunnel.read_exact(&mut [0; 5]).await.is_ok() => {}
                _ => cut += 1,
            }
        }
        assert_eq!((cut, world.status().counters.events[HttpCount::Cut]), (1, 1));
        drop(tunnels);
        world.quiet().await;
    });
}

#[test]
fn what_is_kept_goes_on_and_the_next_request_is_decided_anew() {
    run(async {
        let world = World::new(Limits::default());
        pods(
            &world,
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
        );
        let mut tunnel = begin(&world, UPGRADE, b"\r\n\r\n").await;
        world.deny(&ALL, false);
        tunnel.write_all(b"hello").await.unwrap();
        tunnel.read_exact(&mut [0; 5]).await.unwrap();
        assert_eq!(world.status().counters.events[HttpCount::Cut], 0);
        drop(tunnel);
        world.quiet().await;
    });
}

#[test]
fn a_kept_connection_is_no_way_around_the_policies() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut browser = world.browser().await;
        assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::OK);
        assert_eq!(world.status().now[HttpGauge::UpstreamIdle], 1);
        world.deny(&ALL, true);
        let mut request = get("/");
        // Whoever somebody claims to be: policies look at the connection.
        for name in ["x-forwarded-for", "x-real-ip", "forwarded"] {
            request.headers_mut().insert(name, "203.0.113.9".parse().unwrap());
        }
        assert_eq!(fetch(&mut browser, request).await.0, StatusCode::FORBIDDEN);
        let counters = world.status().counters;
        assert_eq!(
            (
                counters.events[HttpCount::Cut],
                counters.events[HttpCount::Denied]
            ),
            (0, 1)
        );
    });
}

#[test]
fn a_cut_request_does_not_touch_others() {
    run(async {
        let world = World::new(Limits::default());
        pods(&world, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegin");
        let mut streams = Vec::new();
        for _ in ALL {
            streams.push(begin(&world, REQUEST, b"begin").await);
        }
        // Each pod has one of them; the one of pod 11 ends, and all others get what they wait for.
        world.deny(&[11], true);
        let (mut cut, mut whole) = (0, 0);
        for stream in &mut streams {
            match tokio::time::timeout(Duration::from_secs(1), stream.read_u8()).await {
                Ok(end) => cut += usize::from(end.is_err()),
                Err(_) => whole += 1,
            }
        }
        let status = world.status();
        assert_eq!((cut, whole, status.counters.events[HttpCount::Cut]), (1, 2, 1));
        assert_eq!(
            (
                status.now[HttpGauge::Active],
                status.now[HttpGauge::UpstreamBusy],
                status.now[HttpGauge::Clients]
            ),
            (2, 2, 2)
        );
        drop(streams);
        world.quiet().await;
    });
}
