//! Bodies: large, slow, and broken off; and tunnels.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{
    Objects, PodBody, World, fetch, full, get, has_line, host, mirror, read_to_end, upstream,
};
use crate::Limits;
use headgate_net::record::{Class, HttpCount, HttpGauge};
use headgate_tcp::network::{Channel, run};

const PIECE: usize = 10_000;

/// `pieces` pieces, as fast as they are taken; counts those taken.
fn stream(pieces: usize, taken: &Arc<AtomicUsize>) -> PodBody {
    let taken = Arc::clone(taken);
    let frames = futures_util::stream::iter(0..pieces).map(move |n| {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(Frame::data(piece(n)))
    });
    BodyExt::boxed(StreamBody::new(frames))
}

fn piece(n: usize) -> Bytes {
    Bytes::from(vec![u8::try_from(n % 251).unwrap(); PIECE])
}

/// Checks bytes against [`stream`] as they come.
#[derive(Default)]
struct Check(usize);

impl Check {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            assert_eq!(usize::from(*byte), self.0 / PIECE % 251, "at {}", self.0);
            self.0 += 1;
        }
    }
}

fn downloads(world: &World) -> Arc<AtomicUsize> {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    world.serve(move |_, _| {
        let body = stream(1_000, &count);
        Box::pin(async move { Response::new(body) })
    });
    taken
}

async fn download_and_upload(world: &World) {
    world.serve(|_, request| {
        Box::pin(async move {
            let mut body = request.into_body();
            let mut check = Check::default();
            while let Some(frame) = body.frame().await {
                check.feed(frame.unwrap().data_ref().unwrap());
            }
            let pieces = check.0 / PIECE;
            let mut response = Response::new(stream(pieces, &Arc::default()));
            response
                .headers_mut()
                .insert("content-length", (pieces * PIECE).into());
            response
        })
    });
    let mut browser = world.browser().await;
    let post = Request::post("/")
        .header("host", "web.example")
        .body(stream(600, &Arc::default()))
        .unwrap();
    let mut response = browser.send_request(post).await.unwrap();
    let mut check = Check::default();
    while let Some(frame) = response.frame().await {
        check.feed(frame.unwrap().data_ref().unwrap());
    }
    assert_eq!(check.0, 600 * PIECE);
}

#[test]
fn megabytes_pass_both_ways() {
    run(async {
        let world = World::new(Limits::default());
        download_and_upload(&world).await;
        world.quiet().await;
    });
}

#[test]
fn megabytes_pass_both_ways_over_a_bad_network() {
    run(async {
        let objects = Objects {
            hosts: vec![host("web.example", &[("/", "web")])],
            upstreams: vec![upstream("web", &[10])],
            certificates: Vec::new(),
            balancers: Vec::new(),
        };
        let channel = Channel {
            delay: Duration::from_millis(2),
            loss: 1,
            duplicate: 1,
            reorder: 3,
            ..Channel::perfect()
        };
        let limits = Limits {
            read: Duration::from_secs(600),
            response: Duration::from_secs(3_600),
            ..Limits::default()
        };
        let world = World::with(objects, limits, channel);
        download_and_upload(&world).await;
        world.quiet().await;
    });
}

#[test]
fn a_slow_reader_slows_the_pod_down() {
    run(async {
        let world = World::new(Limits::default());
        let taken = downloads(&world);
        let mut browser = world.browser().await;
        let mut response = browser.send_request(get("/")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        // Four TCP buffers and two of the exchange's, not ten megabytes.
        let pieces = taken.load(Ordering::Relaxed);
        assert!(pieces < 150, "{pieces}");
        let mut check = Check::default();
        while let Some(frame) = response.frame().await {
            check.feed(frame.unwrap().data_ref().unwrap());
            if check.0 < 1_000_000 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        assert_eq!(check.0, 1_000 * PIECE);
        drop((browser, response));
        world.quiet().await;
    });
}

#[test]
fn a_client_that_leaves_takes_the_pods_connection_with_it() {
    run(async {
        let world = World::new(Limits::default());
        let taken = downloads(&world);
        let mut stream = world.connect(80).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n")
            .await
            .unwrap();
        stream.read_exact(&mut [0; 100_000]).await.unwrap();
        assert_eq!(world.status().now[HttpGauge::Active], 1);
        stream.abort();
        world.quiet().await;
        assert!(taken.load(Ordering::Relaxed) < 200);
    });
}

/// The pod has given all of it, and so the request is none that is being answered any more; but a client that takes its time
/// has not got it yet.
#[test]
fn what_a_client_has_no_room_for_yet_is_still_to_be_waited_for() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, request| {
            let length = request.uri().path()[1..].parse().unwrap();
            Box::pin(async move { Response::new(full(vec![7; length])) })
        });
        let mut seen = 0;
        // What fits into buffers on the way is between these.
        for length in (60_000..400_000).step_by(20_000) {
            let mut stream = world.connect(80).await;
            let request = format!("GET /{length} HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(2)).await;
            let held = world.stage.borrow().held();
            if held > 0 && world.status().now[HttpGauge::Active] == 0 {
                seen += 1;
            }
            let answer = read_to_end(&mut stream).await;
            assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), length);
            drop(stream);
            world.quiet().await;
            assert_eq!(world.stage.borrow().held(), 0);
        }
        assert!(seen > 0);
    });
}

#[test]
fn a_pod_that_leaves_breaks_the_response_off() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            drop(stream.read(&mut [0; 4096]).await);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf of it")
                .await
                .unwrap();
        });
        let answer = world.raw("GET / HTTP/1.1\r\nhost: web.example\r\n\r\n").await;
        assert!(answer.ends_with("half of it"), "{answer}");
        has_line(&answer, "content-length: 1000");
        assert_eq!(world.status().counters.events[HttpCount::BrokenResponses], 1);
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_stops_in_the_middle_is_given_up() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            drop(stream.read(&mut [0; 4096]).await);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                .await
                .unwrap();
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                stream.write_all(b"slow ").await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(1_000)).await;
        });
        let start = tokio::time::Instant::now();
        let answer = world.raw("GET / HTTP/1.1\r\nhost: web.example\r\n\r\n").await;
        assert!(answer.ends_with("slow slow slow slow slow "), "{answer}");
        assert_eq!(start.elapsed().as_secs(), 310);
        world.quiet().await;
    });
}

#[test]
fn responses_without_a_length_end_with_the_connection() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            drop(stream.read(&mut [0; 4096]).await);
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nold").await.unwrap();
        });
        let mut browser = world.browser().await;
        for _ in 0..3 {
            let (status, headers, body) = fetch(&mut browser, get("/")).await;
            assert_eq!((status, &*body), (StatusCode::OK, "old"));
            assert_eq!(headers["transfer-encoding"], "chunked");
        }
        assert_eq!(world.status().now[HttpGauge::UpstreamIdle], 0);
    });
}

#[test]
fn a_connection_may_become_a_tunnel() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            has_line(&head, "upgrade: websocket");
            has_line(&head, "connection: upgrade");
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nhello ";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut buffer = [0; 1_000];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..n]).await.unwrap();
            }
        });
        let mut stream = world.connect(80).await;
        let request = "GET /chat HTTP/1.1\r\nhost: web.example\r\nconnection: keep-alive, Upgrade\r\n\
            upgrade: websocket\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"hello ") {
            got.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(got).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        has_line(&head, "upgrade: websocket");
        has_line(&head, "connection: upgrade");
        // Nothing of this is HTTP, and some of it looks like it.
        for n in 0..100u8 {
            let text = [
                &b"GET / HTTP/1.1\r\ncontent-length: 9\r\ntransfer-encoding: x\r\n\r\n"[..],
                &[n, 0, 255],
            ]
            .concat();
            stream.write_all(&text).await.unwrap();
            let mut echo = vec![0; text.len()];
            stream.read_exact(&mut echo).await.unwrap();
            assert_eq!(echo, text);
        }
        let status = world.status();
        assert_eq!(
            (
                status.counters.events[HttpCount::Upgrades],
                status.now[HttpGauge::UpstreamBusy],
                status.counters.requests[Class::Informational]
            ),
            (1, 1, 1)
        );
        stream.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut stream).await, "");
        drop(stream);
        world.quiet().await;
    });
}

#[test]
fn an_upgrade_that_the_pod_declines_is_an_ordinary_request() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut browser = world.browser().await;
        for _ in 0..3 {
            let mut request = get("/");
            request
                .headers_mut()
                .insert("connection", "upgrade".parse().unwrap());
            request
                .headers_mut()
                .insert("upgrade", "example/1".parse().unwrap());
            let (status, _, seen) = fetch(&mut browser, request).await;
            assert_eq!(status, StatusCode::OK);
            has_line(&seen, "upgrade: example/1");
            let post = Request::post("/")
                .header("host", "web.example")
                .body(full("more"))
                .unwrap();
            assert!(fetch(&mut browser, post).await.2.ends_with("more"));
        }
    });
}

#[test]
fn http_2_does_not_slip_past_the_rules_in_a_tunnel() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        for upgrade in ["h2c", "websocket, H2C", "websocket\r\nupgrade: h2c"] {
            let request = format!(
                "GET / HTTP/1.1\r\nhost: web.example\r\nconnection: upgrade, close\r\nupgrade: {upgrade}\r\n\
                 http2-settings: AAMAAABkAAQAAP__\r\n\r\n"
            );
            let seen = world.raw(&request).await;
            assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
            assert!(
                !seen.contains("upgrade:") && !seen.contains("http2-settings"),
                "{seen}"
            );
        }
    });
}
