//! Pods that speak HTTP/2, by servers that we did not write, and what they do to their clients.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::server::SendResponse;
use headgate_ring::message::UpstreamProtocol;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::http2::{connect, fetch as fetch2, get as get2, read, send};
use super::world::{Answer, Objects, World, fetch, full, get, has_line, host, mirror, upstream};
use crate::Limits;
use headgate_net::record::{Class, HttpCount, TcpGauge};
use headgate_tcp::network::{Channel, run};

/// A world of pods that speak HTTP/2.
fn world_of(pods: &[u8], limits: Limits) -> World {
    let mut web = upstream("web", pods);
    web.protocol = UpstreamProtocol::Http2;
    let objects = Objects {
        hosts: vec![host("web.example", &[("/", "web")])],
        upstreams: vec![web],
        certificates: Vec::new(),
        balancers: Vec::new(),
    };
    World::with(objects, limits, Channel::perfect())
}

impl World {
    /// As [`World::serve`], in HTTP/2.
    fn serve_http2(
        &self,
        answer: impl Fn(std::net::SocketAddr, Request<hyper::body::Incoming>) -> Answer + 'static,
    ) -> Rc<Cell<usize>> {
        let (answer, pods, accepted) = (Rc::new(answer), self.pods.clone(), Rc::new(Cell::new(0)));
        let count = Rc::clone(&accepted);
        tokio::task::spawn_local(async move {
            loop {
                let stream = pods.accept().await;
                count.set(count.get() + 1);
                let (answer, local) = (Rc::clone(&answer), stream.local_addr());
                let service = service_fn(move |request| {
                    let answer = answer(local, request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let server = hyper::server::conn::http2::Builder::new(Local)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::task::spawn_local(server);
            }
        });
        accepted
    }

    /// Has `answer` do with each request of each connection what it likes.
    fn serve_streams<F: Future<Output = ()> + 'static>(
        &self,
        builder: h2::server::Builder,
        answer: impl Fn(u32, Request<h2::RecvStream>, SendResponse<Bytes>) -> F + 'static,
    ) {
        let (pods, answer) = (self.pods.clone(), Rc::new(answer));
        tokio::task::spawn_local(async move {
            let mut number = 0;
            loop {
                let stream = pods.accept().await;
                let (builder, answer) = (builder.clone(), Rc::clone(&answer));
                let connection = number;
                number += 1;
                tokio::task::spawn_local(async move {
                    let Ok(mut connection_) = builder.handshake(stream).await else {
                        return;
                    };
                    while let Some(Ok((request, respond))) = connection_.accept().await {
                        tokio::task::spawn_local(answer(connection, request, respond));
                    }
                });
            }
        });
    }
}

/// Runs what a connection needs on this thread.
#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move { drop(task.await) });
    }
}

fn answered(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

#[test]
fn a_request_of_http11_reaches_a_pod_of_http2() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.serve_http2(mirror);
        let mut browser = world.browser().await;
        let request = Request::post("/a%2Fb?q=1")
            .header("host", "WEB.example:80")
            .header("connection", "keep-alive, x-private")
            .header("x-private", "gone")
            .header("te", "trailers")
            .header("x-forwarded-for", "203.0.113.9")
            .header("cookie", "kept")
            .body(full("a body"))
            .unwrap();
        let (status, headers, seen) = fetch(&mut browser, request).await;
        assert_eq!(status, StatusCode::OK);
        for line in [
            "POST http://WEB.example:80/a%2Fb?q=1",
            "x-forwarded-for: 192.0.2.10",
            "x-forwarded-host: WEB.example:80",
            "x-forwarded-proto: http",
            "te: trailers",
            "cookie: kept",
            "content-length: 6",
            "a body",
        ] {
            has_line(&seen, line);
        }
        assert!(!seen.contains("203.0.113.9") && !seen.contains("gone"), "{seen}");
        assert!(headers.contains_key("date"));
        let (status, headers, text) = fetch(&mut browser, get("/")).await;
        assert_eq!(
            (status.as_u16(), headers["content-length"].to_str().unwrap()),
            (200, &*text.len().to_string())
        );
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn a_connection_that_does_not_come_in_time_is_given_up() {
    run(async {
        // There is nobody at 30.
        let world = world_of(&[30], Limits::default());
        let mut sender = connect(&world).await;
        for _ in 0..2 {
            assert_eq!(
                fetch2(&mut sender, get2("/")).await.0,
                StatusCode::GATEWAY_TIMEOUT
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
            // That of the client is left.
            assert_eq!(world.status().tcp.now[TcpGauge::Connections], 1);
        }
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn many_clients_share_a_connection_to_a_pod() {
    run(async {
        let world = world_of(&[10], Limits::default());
        let accepted = world.serve_http2(mirror);
        let mut sender = connect(&world).await;
        let mut browser = world.browser().await;
        for round in 0..10 {
            let mut asked = Vec::new();
            for number in 0..90 {
                let path = format!("/{round}/{number}");
                asked.push((send(&mut sender, get2(&path), "").await, path));
            }
            let (status, _, seen) = fetch(&mut browser, get("/old")).await;
            assert_eq!(status, StatusCode::OK);
            has_line(&seen, "GET http://web.example/old");
            for (response, path) in asked {
                let (status, _, seen) = read(response).await.unwrap();
                assert_eq!(status, StatusCode::OK);
                has_line(&seen, &format!("GET http://web.example{path}"));
            }
        }
        assert_eq!(accepted.get(), 1);
        let counters = world.status().counters;
        assert_eq!(counters.events[HttpCount::UpstreamConnects], 1);
        assert_eq!(counters.requests[Class::Success], 910);
        drop((sender, browser));
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_takes_few_streams_gets_more_connections() {
    run(async {
        let world = world_of(&[10], Limits::default());
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(2);
        let most = Rc::new(Cell::new(0));
        let (now, seen) = (Rc::new(Cell::new(0)), Rc::clone(&most));
        world.serve_streams(builder, move |connection, _, mut respond| {
            let (now, seen) = (Rc::clone(&now), Rc::clone(&seen));
            async move {
                now.set(now.get() + 1);
                seen.set(seen.get().max(connection + 1));
                tokio::time::sleep(Duration::from_millis(20)).await;
                now.set(now.get() - 1);
                respond.send_response(answered(200), true).unwrap();
            }
        });
        let mut sender = connect(&world).await;
        // So that what the pod takes is known.
        assert_eq!(fetch2(&mut sender, get2("/")).await.0, StatusCode::OK);
        for _ in 0..3 {
            let mut asked = Vec::new();
            for _ in 0..10 {
                asked.push(send(&mut sender, get2("/"), "").await);
            }
            for response in join_all(asked.into_iter().map(read)).await {
                assert_eq!(response.unwrap().0, StatusCode::OK);
            }
        }
        assert!((5..=10).contains(&most.get()), "{}", most.get());
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn grpc_passes_with_its_trailers_both_ways_at_once() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.serve_streams(h2::server::Builder::new(), |_, request, mut respond| async move {
            assert_eq!(request.headers()["content-type"], "application/grpc");
            assert_eq!(request.headers()["te"], "trailers");
            if request.uri().path() == "/none" {
                let response = Response::builder().header("grpc-status", "5").body(()).unwrap();
                respond.send_response(response, true).unwrap();
                return;
            }
            let mut body = request.into_body();
            let mut stream = respond.send_response(answered(200), false).unwrap();
            // One message for each that comes, as it comes.
            while let Some(piece) = body.data().await {
                let piece = piece.unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                stream
                    .send_data(piece.to_ascii_uppercase().into(), false)
                    .unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        });
        let sender = connect(&world).await;
        let request = |path: &str| {
            Request::post(format!("http://web.example{path}"))
                .header("te", "trailers")
                .header("content-type", "application/grpc")
                .body(())
                .unwrap()
        };
        let mut sender = sender.ready().await.unwrap();
        let (response, mut up) = sender.send_request(request("/echo"), false).unwrap();
        let mut down = response.await.unwrap().into_body();
        for word in ["one", "two", "three"] {
            up.send_data(word.into(), false).unwrap();
            assert_eq!(down.data().await.unwrap().unwrap(), word.to_uppercase());
        }
        up.send_data("".into(), true).unwrap();
        assert_eq!(down.data().await.map(Result::unwrap), None);
        assert_eq!(down.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        let (head, mut body) = {
            let (response, _) = sender.send_request(request("/none"), true).unwrap();
            response.await.unwrap().into_parts()
        };
        assert_eq!(head.headers["grpc-status"], "5");
        assert!(!head.headers.contains_key("content-length") && body.is_end_stream());
        assert!(body.data().await.is_none());
        drop((sender, body, down, up));
        world.quiet().await;
    });
}

#[test]
fn what_goes_wrong_is_told_to_clients_of_grpc_in_their_way() {
    run(async {
        // There is nobody at 30.
        let world = world_of(&[30], Limits::default());
        let mut sender = connect(&world).await;
        for (content_type, host, status, grpc) in [
            ("application/grpc", "web.example", 200, Some("14")),
            ("application/grpc+proto", "unknown.example", 200, Some("12")),
            (
                "application/grpc;charset=utf-8",
                "unknown.example",
                200,
                Some("12"),
            ),
            ("application/grpc-web", "unknown.example", 404, None),
            ("application/json", "unknown.example", 404, None),
        ] {
            let request = Request::post(format!("http://{host}/package.Service/Method"))
                .header("te", "trailers")
                .header("content-type", content_type)
                .body(())
                .unwrap();
            let (got, headers, text) = fetch2(&mut sender, request).await;
            assert_eq!(got.as_u16(), status, "{content_type}");
            let told = headers.get("grpc-status").map(|value| value.to_str().unwrap());
            assert_eq!(told, grpc, "{content_type}");
            assert_eq!(text.is_empty(), grpc.is_some(), "{content_type}");
        }
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn a_client_of_http11_gets_trailers_in_its_way() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.serve_http2(|_, request| {
            Box::pin(async move {
                let came = request.into_body().collect().await.unwrap();
                let sum = came.trailers().unwrap()["x-sum"].clone();
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", sum);
                let frames = [Frame::data(came.to_bytes()), Frame::trailers(trailers)];
                let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok)));
                Response::new(BodyExt::boxed(body))
            })
        });
        let text = world
            .raw(
                "POST / HTTP/1.1\r\nhost: web.example\r\nte: trailers\r\nconnection: te, close\r\n\
                 transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n",
            )
            .await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n"), "{text}");
        world.quiet().await;
    });
}

#[test]
fn bodies_of_any_length_pass_both_ways() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.serve_http2(|_, request| {
            Box::pin(
                async move { Response::new(full(request.into_body().collect().await.unwrap().to_bytes())) },
            )
        });
        let mut sender = connect(&world).await;
        let mut browser = world.browser().await;
        for length in [1, 16_384, 65_535, 65_536, 300_000, 3_000_000] {
            let body: String = (0..length).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
            let request = Request::post("http://web.example/").body(()).unwrap();
            let response = send(&mut sender, request, body.clone()).await;
            let (status, _, text) = read(response).await.unwrap();
            assert!(
                status == StatusCode::OK && text == body,
                "{length}: {}",
                text.len()
            );
            let request = Request::post("/").header("host", "web.example");
            let request = request.body(full(body.clone())).unwrap();
            let (status, _, text) = fetch(&mut browser, request).await;
            assert!(
                status == StatusCode::OK && text == body,
                "{length}: {}",
                text.len()
            );
        }
        drop((sender, browser));
        world.quiet().await;
    });
}

#[test]
fn a_client_that_does_not_read_keeps_no_other_waiting() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.serve_http2(|_, request| {
            let large = request.uri().path() == "/large";
            let length = if large { 4 << 20 } else { 10 };
            Box::pin(async move { Response::new(full(vec![b'x'; length])) })
        });
        let mut unread = Vec::new();
        for _ in 0..8 {
            let mut stream = world.connect(80).await;
            let request = b"GET /large HTTP/1.1\r\nhost: web.example\r\n\r\n";
            stream.write_all(request).await.unwrap();
            unread.push(stream);
        }
        let mut browser = world.browser().await;
        for _ in 0..100 {
            let (status, _, text) = fetch(&mut browser, get("/")).await;
            assert_eq!((status.as_u16(), text.len()), (200, 10));
        }
        assert_eq!(world.status().counters.events[HttpCount::UpstreamConnects], 1);
        drop((unread, browser));
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_leaves_gets_no_more_and_nothing_fails() {
    run(async {
        let world = world_of(&[10, 11], Limits::default());
        let pods = world.pods.clone();
        tokio::task::spawn_local(async move {
            loop {
                let stream = pods.accept().await;
                tokio::task::spawn_local(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    let mut count = 0;
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        respond.send_response(answered(200), true).unwrap();
                        count += 1;
                        if count == 10 {
                            connection.graceful_shutdown();
                        }
                    }
                });
            }
        });
        let mut sender = connect(&world).await;
        for _ in 0..30 {
            let mut asked = Vec::new();
            for _ in 0..7 {
                asked.push(send(&mut sender, get2("/"), "").await);
            }
            for response in join_all(asked.into_iter().map(read)).await {
                assert_eq!(response.unwrap().0, StatusCode::OK);
            }
        }
        let counters = world.status().counters;
        assert!(counters.events[HttpCount::UpstreamConnects] > 4);
        assert_eq!(counters.events[HttpCount::BadResponses], 0);
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn what_a_pod_refuses_goes_to_another() {
    run(async {
        let world = world_of(&[10, 11], Limits::default());
        world.serve_streams(
            h2::server::Builder::new(),
            |connection, request, mut respond| async move {
                if connection == 0 {
                    return respond.send_reset(Reason::REFUSED_STREAM);
                }
                drop(request.into_body());
                respond.send_response(answered(200), true).unwrap();
            },
        );
        let mut sender = connect(&world).await;
        for _ in 0..4 {
            // Of which nobody may repeat what was done, which was nothing.
            let request = Request::post("http://web.example/").body(()).unwrap();
            assert_eq!(fetch2(&mut sender, request).await.0, StatusCode::OK);
        }
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_refuses_everything_is_not_asked_for_ever() {
    run(async {
        let world = world_of(&[10, 11], Limits::default());
        world.serve_streams(h2::server::Builder::new(), |_, _, mut respond| async move {
            respond.send_reset(Reason::REFUSED_STREAM);
        });
        let mut sender = connect(&world).await;
        assert_eq!(fetch2(&mut sender, get2("/")).await.0, StatusCode::BAD_GATEWAY);
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn no_connection_to_a_pod_is_told_in_time() {
    run(async {
        // There is nobody at 30; 10 answers by a reset, for nobody listens there but where a test serves.
        let mut world = world_of(&[30], Limits::default());
        let mut sender = connect(&world).await;
        let asked = [
            send(&mut sender, get2("/"), "").await,
            send(&mut sender, get2("/"), "").await,
        ];
        let start = tokio::time::Instant::now();
        for response in join_all(asked.map(read)).await {
            assert_eq!(response.unwrap().0, StatusCode::GATEWAY_TIMEOUT);
        }
        assert!(
            (5..7).contains(&start.elapsed().as_secs()),
            "{:?}",
            start.elapsed()
        );
        world.objects.upstreams[0] = {
            let mut web = upstream("web", &[21, 10]);
            web.protocol = UpstreamProtocol::Http2;
            web
        };
        world.configure(&world.objects);
        world.serve_http2(mirror);
        let (status, ..) = fetch2(&mut sender, get2("/")).await;
        assert_eq!(status, StatusCode::OK);
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_speaks_something_else_is_told_of() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.script(|mut stream| async move {
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            drop(stream.write_all(answer).await);
        });
        let mut browser = world.browser().await;
        let (status, _, text) = fetch(&mut browser, get("/")).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        assert!(text.contains("the service"), "{text}");
        assert!(world.status().counters.events[HttpCount::BadResponses] >= 1);
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn a_stream_that_breaks_off_is_seen_to_and_no_other_is() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.serve_streams(h2::server::Builder::new(), |_, request, mut respond| async move {
            let mut stream = respond.send_response(answered(200), false).unwrap();
            stream.send_data("a piece".into(), false).unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            if request.uri().path() == "/broken" {
                return stream.send_reset(Reason::INTERNAL_ERROR);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream.send_data(" and another".into(), true).unwrap();
        });
        let mut sender = connect(&world).await;
        let broken = send(&mut sender, get2("/broken"), "").await;
        let whole = send(&mut sender, get2("/"), "").await;
        let raw = world.raw("GET /broken HTTP/1.1\r\nhost: web.example\r\n\r\n");
        let (broken, whole, raw) = futures_util::join!(read(broken), read(whole), raw);
        assert_eq!(broken.unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
        assert_eq!(whole.unwrap().2, "a piece and another");
        assert!(raw.ends_with("a piece\r\n"), "{raw}");
        let counters = world.status().counters;
        assert_eq!(counters.events[HttpCount::BrokenResponses], 2);
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn a_client_that_leaves_is_told_to_the_pod() {
    run(async {
        let world = world_of(&[10], Limits::default());
        let told = Rc::new(Cell::new(None));
        let tell = Rc::clone(&told);
        world.serve_streams(h2::server::Builder::new(), move |_, _request, mut respond| {
            let tell = Rc::clone(&tell);
            async move {
                let reason = futures_util::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                tell.set(Some(reason.unwrap()));
            }
        });
        let mut stream = world.connect(80).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.reset().now();
        drop(stream);
        while told.get().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(told.get(), Some(Reason::CANCEL));
        world.quiet().await;
    });
}

#[test]
fn a_connection_that_does_not_answer_is_not_asked_again() {
    run(async {
        let limits = Limits {
            response: Duration::from_secs(5),
            ..Limits::default()
        };
        let world = world_of(&[10], limits);
        world.serve_streams(
            h2::server::Builder::new(),
            |connection, _, mut respond| async move {
                if connection == 0 {
                    return std::future::pending().await;
                }
                respond.send_response(answered(200), true).unwrap();
            },
        );
        let mut sender = connect(&world).await;
        assert_eq!(
            fetch2(&mut sender, get2("/")).await.0,
            StatusCode::GATEWAY_TIMEOUT
        );
        for _ in 0..3 {
            assert_eq!(fetch2(&mut sender, get2("/")).await.0, StatusCode::OK);
        }
        assert_eq!(world.status().counters.events[HttpCount::UpstreamConnects], 2);
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn what_a_lost_connection_owes_is_asked_again_where_it_may_be() {
    run(async {
        let world = world_of(&[10, 11], Limits::default());
        let pods = world.pods.clone();
        tokio::task::spawn_local(async move {
            for number in 0.. {
                let stream = pods.accept().await;
                tokio::task::spawn_local(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    let mut held = Vec::new();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        if number > 0 {
                            respond.send_response(answered(200), true).unwrap();
                            continue;
                        }
                        held.push(respond);
                        if held.len() == 5 {
                            return;
                        }
                    }
                });
            }
        });
        let mut sender = connect(&world).await;
        let mut asked = Vec::new();
        for number in 0..10 {
            let mut request = get2("/");
            if number % 4 == 3 {
                *request.method_mut() = http::Method::POST;
            }
            asked.push((request.method().clone(), send(&mut sender, request, "").await));
        }
        let mut failed = 0;
        for (method, response) in asked {
            let (status, ..) = read(response).await.unwrap();
            if status == StatusCode::BAD_GATEWAY {
                assert_eq!(method, http::Method::POST);
                failed += 1;
            } else {
                assert_eq!(status, StatusCode::OK);
            }
        }
        assert!(failed <= 2, "{failed}");
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_floods_loses_its_connection() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.script(|mut stream| async move {
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
            drop(stream.write_all(&settings).await);
            let (mut answers, mut pings) = tokio::io::split(stream);
            let reader = tokio::task::spawn_local(async move {
                drop(tokio::io::copy(&mut answers, &mut tokio::io::sink()).await);
            });
            while pings.write_all(&ping.repeat(100)).await.is_ok() {}
            reader.abort();
        });
        let mut browser = world.browser().await;
        let (status, ..) = fetch(&mut browser, get("/")).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn a_tunnel_is_not_pretended() {
    run(async {
        let world = world_of(&[10], Limits::default());
        world.serve_http2(mirror);
        // HTTP/1.1: what asks for another protocol may be answered in this one (RFC 9110, section 7.8).
        let text = world
            .raw(
                "GET / HTTP/1.1\r\nhost: web.example\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
            )
            .await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(!text.contains("upgrade"), "{text}");
        // HTTP/2: success would say that there is a tunnel.
        let sender = connect(&world).await;
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut sender = sender.ready().await.unwrap();
        let mut request = Request::connect("http://web.example/chat")
            .version(http::Version::HTTP_2)
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap();
        let websocket = h2::ext::Protocol::from_static("websocket");
        request.extensions_mut().insert(websocket);
        let (response, up) = sender.send_request(request, false).unwrap();
        assert_eq!(response.await.unwrap().status(), StatusCode::BAD_GATEWAY);
        drop((sender, up));
        world.quiet().await;
    });
}
