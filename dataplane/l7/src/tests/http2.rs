//! HTTP/2 with a client that we did not write.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{World, endpoint, full, has_line, mirror};
use crate::Limits;
use headgate_net::record::{Class, HttpCount, HttpGauge};
use headgate_tcp::network::run;

pub(super) type Sender = SendRequest<Bytes>;

/// A connection of a client that knows that HTTP/2 is spoken here.
pub(super) async fn connect(world: &World) -> Sender {
    connect_with(world, &h2::client::Builder::new()).await
}

pub(super) async fn connect_with(world: &World, builder: &h2::client::Builder) -> Sender {
    let (sender, connection) = builder.handshake(world.connect(80).await).await.unwrap();
    tokio::task::spawn_local(async move { drop(connection.await) });
    sender
}

pub(super) fn get(path: &str) -> Request<()> {
    let uri = format!("http://web.example{path}");
    Request::get(uri).body(()).unwrap()
}

/// Sends a request with a body, in one piece.
pub(super) async fn send(
    sender: &mut Sender,
    request: Request<()>,
    body: impl Into<Bytes>,
) -> ResponseFuture {
    let body: Bytes = body.into();
    let mut ready = sender.clone().ready().await.unwrap();
    let (response, mut stream) = ready.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(body, true).unwrap();
    }
    response
}

/// Reads a whole response.
pub(super) async fn read(response: ResponseFuture) -> Result<(StatusCode, HeaderMap, String), h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len()).unwrap();
        text.extend_from_slice(&piece);
    }
    Ok((head.status, head.headers, String::from_utf8(text).unwrap()))
}

pub(super) async fn fetch(sender: &mut Sender, request: Request<()>) -> (StatusCode, HeaderMap, String) {
    let response = send(sender, request, "").await;
    read(response).await.unwrap()
}

#[test]
fn a_request_reaches_a_pod_as_one_of_http11_does() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut sender = connect(&world).await;
        let request = Request::post("http://WEB.example:80/a%2Fb?q=1")
            .header("te", "trailers")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x_real_ip", "203.0.113.9")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("content-length", "6")
            .body(())
            .unwrap();
        let response = send(&mut sender, request, "a body").await;
        let (status, headers, seen) = read(response).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        for line in [
            "POST /a%2Fb?q=1",
            "host: WEB.example:80",
            "x-forwarded-for: 192.0.2.10",
            "x-forwarded-host: WEB.example:80",
            "x-forwarded-proto: http",
            "te: trailers",
            "cookie: a=1; b=2",
            "content-length: 6",
            "a body",
        ] {
            has_line(&seen, line);
        }
        assert!(!seen.contains("203.0.113.9"), "{seen}");
        assert!(headers.contains_key("date"));
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn many_requests_share_a_connection_and_each_is_answered_for_itself() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut sender = connect(&world).await;
        for round in 0..20 {
            let mut asked = Vec::new();
            for number in 0..100 {
                let path = format!("/{round}/{number}");
                asked.push((send(&mut sender, get(&path), "").await, path));
            }
            for (response, path) in asked {
                let (status, _, seen) = read(response).await.unwrap();
                assert_eq!(status, StatusCode::OK);
                has_line(&seen, &format!("GET {path}"));
            }
        }
        let status = world.status();
        assert_eq!(status.now[HttpGauge::Clients], 1);
        assert_eq!(status.counters.events[HttpCount::Http2], 1);
        assert_eq!(status.counters.requests[Class::Success], 2_000);
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn what_cannot_be_routed_is_answered_and_other_streams_live_on() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut sender = connect(&world).await;
        for (uri, status) in [
            ("http://unknown.example/", 404),
            ("http://web.example/%zz", 400),
            ("http://web.example/../..", 400),
            ("http://web.example:x/", 400),
            ("http://web.example/", 200),
        ] {
            let Ok(request) = Request::get(uri).body(()) else {
                continue;
            };
            let (got, headers, text) = fetch(&mut sender, request).await;
            assert_eq!(got.as_u16(), status, "{uri}");
            if status != 200 {
                let id = headers["x-request-id"].to_str().unwrap();
                assert!(text.ends_with(&format!("request {id}\n")), "{text}");
                assert_eq!(headers["content-length"], text.len().to_string());
            }
        }
        let head = Request::head("http://unknown.example/").body(()).unwrap();
        let (status, headers, text) = fetch(&mut sender, head).await;
        assert_eq!((status.as_u16(), text.as_str()), (404, ""));
        assert!(headers.contains_key("content-length"));
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn bodies_of_any_length_pass_both_ways() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, request| {
            Box::pin(
                async move { Response::new(full(request.into_body().collect().await.unwrap().to_bytes())) },
            )
        });
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 20);
        let mut narrow = connect(&world).await;
        let mut wide = connect_with(&world, &builder).await;
        for length in [1, 16_384, 65_535, 65_536, 300_000, 3_000_000] {
            for sender in [&mut narrow, &mut wide] {
                let body: String = (0..length).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
                let request = Request::post("http://web.example/").body(()).unwrap();
                let response = send(sender, request, body.clone()).await;
                let (status, _, text) = read(response).await.unwrap();
                assert_eq!(status, StatusCode::OK);
                assert!(text == body, "{length}: {}", text.len());
            }
        }
        drop((narrow, wide));
        world.quiet().await;
    });
}

#[test]
fn a_stream_that_its_client_does_not_read_keeps_no_other_waiting() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, request| {
            let length = if request.uri().path() == "/large" {
                1 << 20
            } else {
                10
            };
            Box::pin(async move { Response::new(full(vec![b'x'; length])) })
        });
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1 << 20);
        let mut sender = connect_with(&world, &builder).await;
        // As many as there are windows for, none of which is opened again.
        let mut unread = Vec::new();
        for _ in 0..10 {
            unread.push(send(&mut sender, get("/large"), "").await.await.unwrap());
        }
        for _ in 0..100 {
            let (status, _, text) = fetch(&mut sender, get("/")).await;
            assert_eq!((status.as_u16(), text.len()), (200, 10));
        }
        drop(unread);
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn trailers_pass_both_ways() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|_, request| {
            Box::pin(async move {
                let body = request.into_body().collect().await.unwrap();
                let came = body.trailers().and_then(|t| t.get("x-sum").cloned());
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                trailers.insert("x-came", came.unwrap());
                let frames = [Frame::data(Bytes::from("piece")), Frame::trailers(trailers)];
                let stream = futures_util::stream::iter(frames.map(Ok));
                let response = Response::builder().header("trailer", "grpc-status, x-came");
                response.body(BodyExt::boxed(StreamBody::new(stream))).unwrap()
            })
        });
        let mut sender = connect(&world).await.ready().await.unwrap();
        let request = Request::post("http://web.example/")
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .body(())
            .unwrap();
        let (response, mut stream) = sender.send_request(request, false).unwrap();
        stream.send_data(Bytes::from("data"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut text = Vec::new();
        while let Some(piece) = body.data().await {
            text.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(text, b"piece");
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-came"], "42");
        drop((sender, body, stream));
        world.quiet().await;
    });
}

#[test]
fn a_client_that_resets_its_stream_cancels_the_request_and_no_other() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|local, request| {
            if request.uri().path() == "/never" {
                return Box::pin(std::future::pending());
            }
            mirror(local, request)
        });
        let mut sender = connect(&world).await;
        let (never, mut stream) = sender.send_request(get("/never"), true).unwrap();
        let (status, ..) = fetch(&mut sender, get("/")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(world.status().now[HttpGauge::Active], 1);
        stream.send_reset(Reason::CANCEL);
        drop(never);
        let (status, ..) = fetch(&mut sender, get("/")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(world.status().now[HttpGauge::Active], 0);
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn a_response_that_breaks_off_resets_its_stream_alone() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            let answer = if head[..length].starts_with(b"GET /short") {
                "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfour"
            } else {
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour"
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let mut sender = connect(&world).await;
        let short = send(&mut sender, get("/short"), "").await;
        let error = read(short).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{error}");
        let (status, _, text) = fetch(&mut sender, get("/whole")).await;
        assert_eq!((status.as_u16(), text.as_str()), (200, "four"));
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn policies_cut_the_streams_that_they_no_longer_allow_and_no_others() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            let mut head = [0; 1024];
            drop(stream.read(&mut head).await);
            let begun = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n";
            stream.write_all(begun.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let mut sender = connect(&world).await;
        let mut bodies = Vec::new();
        for _ in 0..3 {
            let mut body = send(&mut sender, get("/"), "").await.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "four");
            bodies.push(body);
        }
        // One of three pods, each of which has one of the requests.
        world.deny(&[10], true);
        let mut cut = 0;
        for mut body in bodies {
            let more = tokio::time::timeout(Duration::from_secs(1), body.data()).await;
            cut += usize::from(more.is_ok_and(|more| more.unwrap().is_err()));
        }
        assert_eq!(cut, 1, "{:?}", endpoint(10));
        assert_eq!(world.status().counters.events[HttpCount::Cut], 1);
    });
}
