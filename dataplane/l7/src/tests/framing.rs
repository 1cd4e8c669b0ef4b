//! Where requests begin and end: what must be refused, and what must pass.

use std::cell::RefCell;
use std::rc::Rc;

use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{World, fetch, full, get, has_line, mirror, read_to_end};
use crate::Limits;
use headgate_tcp::network::run;

/// Requests that some server somewhere reads differently from another: each with the status that refuses it.
const SMUGGLED: [(&str, &str); 19] = [
    (
        "400",
        "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\nG",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nhost: web.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    ),
    (
        "",
        "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 5, 5\r\n\r\nhello",
    ),
    (
        "",
        "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: +5\r\n\r\nhello",
    ),
    (
        "",
        "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 0x5\r\n\r\nhello",
    ),
    (
        "",
        "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 99999999999999999999\r\n\r\nhello",
    ),
    (
        "501",
        "POST / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "",
        "POST / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "",
        "POST / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "",
        "POST / HTTP/1.0\r\nhost: web.example\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nhost: web.example\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "400",
        "GET / HTTP/1.1\r\nhost: web.example\r\nhost: other.example\r\n\r\n",
    ),
    ("400", "GET / HTTP/1.1\r\nx: y\r\n\r\n"),
    ("400", "GET / HTTP/1.1\r\nhost: web.example\r\nx: a\0b\r\n\r\n"),
];

/// What would be served if the bytes after a refused request were taken for another.
const SMUGGLED_SECOND: &str = "GET /second HTTP/1.1\r\nhost: web.example\r\n\r\n";

fn watched(world: &World) -> Rc<RefCell<Vec<String>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    world.serve(move |local, request| {
        log.borrow_mut()
            .push(format!("{} {}", request.method(), request.uri()));
        mirror(local, request)
    });
    seen
}

#[test]
fn ambiguous_requests_are_refused_and_nothing_after_them_is_read() {
    for (status, request) in SMUGGLED {
        for split in [usize::MAX, 1, 7] {
            run(async {
                let world = World::new(Limits::default());
                let seen = watched(&world);
                let mut stream = world.connect(80).await;
                let bytes = format!("{request}{SMUGGLED_SECOND}").into_bytes();
                for piece in bytes.chunks(split.min(bytes.len())) {
                    // The gateway may have closed already.
                    drop(stream.write_all(piece).await);
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                let answer = read_to_end(&mut stream).await;
                let start = if status.is_empty() {
                    String::new()
                } else {
                    format!("HTTP/1.1 {status} ")
                };
                assert!(answer.starts_with(&start), "{request:?}\n{answer}");
                assert!(!answer.contains("200 OK"), "{request:?}\n{answer}");
                assert!(answer.matches("HTTP/1.").count() <= 1, "{request:?}\n{answer}");
                assert_eq!(*seen.borrow(), Vec::<String>::new(), "{request:?}");
                drop(stream);
                world.quiet().await;
            });
        }
    }
}

#[test]
fn pipelined_requests_of_every_framing_are_answered_in_order() {
    let pipeline = "GET /1 HTTP/1.1\r\nhost: web.example\r\n\r\n\
        POST /2 HTTP/1.1\r\nhost: web.example\r\ncontent-length: 5\r\n\r\nhello\
        POST /3 HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: chunked\r\n\r\n\
        5;ext=\"1\"\r\nGET /\r\nA\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n\
        \r\nDELETE /4 HTTP/1.1\r\nhost: web.example\r\n\r\n\
        GET /5 HTTP/1.1\nhost: web.example\n\n\
        GET /6 HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n";
    for split in [usize::MAX, 1, 2, 3, 50] {
        run(async {
            let world = World::new(Limits::default());
            let seen = watched(&world);
            let mut stream = world.connect(80).await;
            for piece in pipeline.as_bytes().chunks(split.min(pipeline.len())) {
                stream.write_all(piece).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_micros(300)).await;
            }
            let answer = read_to_end(&mut stream).await;
            assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 6, "{split}: {answer}");
            let expected = ["GET /1", "POST /2", "POST /3", "DELETE /4", "GET /5", "GET /6"];
            assert_eq!(*seen.borrow(), expected);
            assert!(answer.contains("GET /0123456789"), "{answer}");
            drop(stream);
            world.quiet().await;
        });
    }
}

#[test]
fn every_method_may_have_a_body_of_unknown_length() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        for method in ["GET", "DELETE", "POST", "QUERY"] {
            let request = format!(
                "{method} / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                 5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"
            );
            let seen = world.raw(&request).await;
            assert!(seen.contains("firstsecond"), "{method}: {seen}");
        }
        world.quiet().await;
    });
}

#[test]
fn http_1_0_is_served_and_needs_no_host() {
    run(async {
        let mut world = World::new(Limits::default());
        world.objects.hosts.push(super::host("", &[("/", "web")]));
        world.configure(&world.objects);
        world.serve(mirror);
        let answer = world.raw("GET /old HTTP/1.0\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.0 200 OK") || answer.starts_with("HTTP/1.1 200 OK"),
            "{answer}"
        );
        has_line(&answer, "host: 198.51.100.10:80");
        has_line(&answer, "GET /old");
        world.quiet().await;
    });
}

#[test]
fn expectations_are_met_or_refused() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut stream = world.connect(80).await;
        let head = "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\
            connection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut got = [0; 25];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"body").await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("body"),
            "{answer}"
        );
        assert!(!answer.contains("expect:"));
        let odd = "GET / HTTP/1.1\r\nhost: web.example\r\nexpect: miracles\r\nconnection: close\r\n\r\n";
        assert!(world.raw(odd).await.starts_with("HTTP/1.1 417 "));
        let connect = "CONNECT web.example:443 HTTP/1.1\r\nhost: web.example:443\r\n\r\n";
        assert!(world.raw(connect).await.starts_with("HTTP/1.1 405 "));
        // No body is wanted: none is asked for.
        let unknown = "POST / HTTP/1.1\r\nhost: unknown\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\
            connection: close\r\n\r\n";
        assert!(world.raw(unknown).await.starts_with("HTTP/1.1 404 "));
    });
}

#[test]
fn head_has_a_length_and_no_body() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, request| {
            Box::pin(async move {
                assert_eq!(request.method(), Method::HEAD);
                Response::builder()
                    .header("content-length", "12345")
                    .body(full(""))
                    .unwrap()
            })
        });
        let mut browser = world.browser().await;
        for _ in 0..3 {
            let mut request = get("/");
            *request.method_mut() = Method::HEAD;
            let (status, headers, body) = fetch(&mut browser, request).await;
            assert_eq!(
                (status, headers["content-length"].as_bytes(), &*body),
                (StatusCode::OK, &b"12345"[..], "")
            );
        }
        let mut request = get("/");
        *request.method_mut() = Method::HEAD;
        request.headers_mut().insert("host", "unknown".parse().unwrap());
        assert_eq!(fetch(&mut browser, request).await.0, StatusCode::NOT_FOUND);
    });
}

#[test]
fn trailers_pass_both_ways() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, request| {
            Box::pin(async move {
                let body = request.into_body().collect().await.unwrap();
                let got = body.trailers().map(|t| t["x-checksum"].clone()).unwrap();
                let mut trailers = http::HeaderMap::new();
                trailers.insert("x-answer", got);
                let frames = [Frame::data("body".into()), Frame::trailers(trailers)];
                let frames = futures_util::stream::iter(frames.map(Ok::<_, std::convert::Infallible>));
                let body = BodyExt::boxed(StreamBody::new(frames));
                Response::builder()
                    .header("trailer", "x-answer")
                    .body(body)
                    .unwrap()
            })
        });
        let request = "POST / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: chunked\r\ntrailer: x-checksum\r\n\
            te: trailers\r\nconnection: close, te\r\n\r\n4\r\ndata\r\n0\r\nx-checksum: 1234\r\n\r\n";
        let answer = world.raw(request).await;
        assert!(
            answer.ends_with("4\r\nbody\r\n0\r\nx-answer: 1234\r\n\r\n"),
            "{answer}"
        );
    });
}

#[test]
fn heads_that_are_too_large_or_too_slow_are_refused() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let large = format!(
            "GET / HTTP/1.1\r\nhost: web.example\r\nx: {}\r\n\r\n",
            "a".repeat(40_000)
        );
        assert!(world.raw(&large).await.starts_with("HTTP/1.1 431 "));
        let many = format!(
            "GET / HTTP/1.1\r\nhost: web.example\r\n{}\r\n",
            "x: y\r\n".repeat(101)
        );
        assert!(world.raw(&many).await.starts_with("HTTP/1.1 431 "));
        let start = tokio::time::Instant::now();
        let mut stream = world.connect(80).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        let slow = tokio::task::spawn_local(async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let drip = async move {
                while writer.write_all(b"a").await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            };
            let read = async move { read_to_end(&mut reader).await };
            tokio::select! { () = drip => String::new(), answer = read => answer }
        });
        slow.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 60);
        world.quiet().await;
    });
}
