//! What Headgate answers itself, and what it does about pods that fail.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::world::{World, endpoint, fetch, full, get, host, mirror, read_to_end, upstream};
use crate::Limits;
use headgate_net::record::{Class, HttpCount, HttpGauge};
use headgate_tcp::network::run;

/// Must not be sent twice.
const POST: &str = "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
const CLOSE: &str = "GET / HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n";

#[test]
fn what_cannot_be_routed_is_answered_and_the_connection_lives_on() {
    run(async {
        let mut world = World::new(Limits::default());
        world
            .objects
            .hosts
            .push(host("empty.example", &[("/missing", "missing"), ("/", "empty")]));
        world.objects.upstreams.push(upstream("empty", &[]));
        world.configure(&world.objects);
        world.serve(mirror);
        let mut browser = world.browser().await;
        for (name, path, status) in [
            ("unknown.example", "/", 404),
            ("empty.example", "/", 503),
            ("empty.example", "/missing", 503),
            ("web.example", "/%zz", 400),
            ("web.example", "/../..", 400),
            ("web.example", "/%00", 400),
            ("we b", "/", 400),
            ("user@web.example", "/", 400),
            ("web.example:x", "/", 400),
            ("web.example", "/", 200),
        ] {
            let mut request = get(path);
            request.headers_mut().insert("host", name.parse().unwrap());
            let mut own = world.browser().await;
            // Behind what is no request nothing is read.
            let used = if status == 400 { &mut own } else { &mut browser };
            let (got, headers, text) = fetch(used, request).await;
            assert_eq!(got.as_u16(), status, "{name}{path}");
            assert_eq!(used.ready().await.is_err(), status == 400, "{name}{path}");
            if status != 200 {
                assert!(text.starts_with(&status.to_string()), "{text}");
                let id = headers["x-request-id"].to_str().unwrap();
                assert!(text.ends_with(&format!("request {id}\n")), "{text}");
                assert_eq!(headers["server"], "headgate");
            }
        }
        let counters = world.status().counters;
        assert_eq!(
            (
                counters.events[HttpCount::NoRoute],
                counters.events[HttpCount::NoEndpoint],
                counters.events[HttpCount::Refused],
                counters.events[HttpCount::Connections]
            ),
            (1, 2, 6, 11)
        );
        assert_eq!(
            (
                counters.requests[Class::ClientError],
                counters.requests[Class::ServerError]
            ),
            (7, 2)
        );
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn policy_decides_by_the_clients_address_and_each_pod() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut browser = world.browser().await;
        world.denied.borrow_mut().extend([endpoint(10), endpoint(12)]);
        for _ in 0..6 {
            let (status, _, seen) = fetch(&mut browser, get("/")).await;
            assert_eq!(status, StatusCode::OK);
            assert!(seen.starts_with("10.244.1.11"));
        }
        // A kept connection is no way around a policy.
        world.denied.borrow_mut().push(endpoint(11));
        assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::FORBIDDEN);
        assert_eq!(world.status().counters.events[HttpCount::Denied], 1);
    });
}

#[test]
fn a_pod_that_refuses_is_passed_over() {
    run(async {
        let mut world = World::new(Limits::default());
        // Nobody listens on pod 200's port; its address belongs to nobody either.
        world.objects.upstreams = vec![upstream("web", &[10, 20])];
        world.objects.upstreams[0].endpoints[1] = "10.244.1.11:9999".parse().unwrap();
        world.configure(&world.objects);
        world.serve(mirror);
        let mut browser = world.browser().await;
        for _ in 0..6 {
            assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::OK);
        }
        let counters = world.status().counters;
        assert!(
            counters.events[HttpCount::ConnectFailed] >= 2
                && counters.events[HttpCount::Retries] == counters.events[HttpCount::ConnectFailed],
            "{counters:?}"
        );
        world.objects.upstreams[0].endpoints.remove(0);
        world.configure(&world.objects);
        let (status, _, text) = fetch(&mut browser, get("/")).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{text}");
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_does_not_accept_is_late() {
    run(async {
        let mut world = World::new(Limits::default());
        world.objects.upstreams[0].endpoints = vec!["10.244.1.99:8080".parse().unwrap()];
        world.configure(&world.objects);
        let start = Instant::now();
        assert!(world.raw(CLOSE).await.starts_with("HTTP/1.1 504 "));
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(world.status().counters.events[HttpCount::ConnectTimeouts], 1);
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_does_not_answer_is_late() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|n| n > 0) {}
        });
        let start = Instant::now();
        assert!(world.raw(CLOSE).await.starts_with("HTTP/1.1 504 "));
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(world.status().counters.events[HttpCount::ResponseTimeouts], 1);
        world.quiet().await;
    });
}

#[test]
fn an_upload_may_take_longer_than_an_answer() {
    run(async {
        let world = World::new(Limits {
            rate: 0,
            ..Limits::default()
        });
        world.serve(mirror);
        let mut stream = world.connect(80).await;
        let head = "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 6\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for piece in b"pieces" {
            tokio::time::sleep(Duration::from_secs(40)).await;
            stream.write_all(&[*piece]).await.unwrap();
        }
        let seen = read_to_end(&mut stream).await;
        assert!(
            seen.starts_with("HTTP/1.1 200 ") && seen.ends_with("pieces"),
            "{seen}"
        );
        world.quiet().await;
    });
}

#[test]
fn a_pod_that_talks_nonsense_or_hangs_up_is_a_bad_gateway() {
    run(async {
        let world = World::new(Limits::default());
        let turn = Rc::new(Cell::new(0));
        world.script(move |mut stream| {
            turn.set(turn.get() + 1);
            let turn = turn.get();
            async move {
                drop(stream.read(&mut [0; 4096]).await);
                match turn {
                    1 => stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await.unwrap(),
                    2 => {}
                    3 => return stream.abort(),
                    _ => stream
                        .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                        .await
                        .unwrap(),
                }
                drop(stream);
            }
        });
        for turn in 1..=4 {
            assert!(world.raw(POST).await.starts_with("HTTP/1.1 502 "), "{turn}");
        }
        assert_eq!(world.status().counters.events[HttpCount::BadResponses], 4);
        world.quiet().await;
    });
}

/// As where pods end in the midst of requests: who asks for nothing but an answer gets it from another one.
#[test]
fn a_request_that_may_be_repeated_goes_to_another_pod_when_one_hangs_up() {
    run(async {
        let world = World::new(Limits::default());
        let (hang_up, asked) = (Rc::new(Cell::new(2)), Rc::new(Cell::new(0)));
        let (left, count) = (Rc::clone(&hang_up), Rc::clone(&asked));
        world.script(move |mut stream| {
            count.set(count.get() + 1);
            let hangs_up = left.get() > 0;
            left.set(left.get() - usize::from(hangs_up));
            async move {
                drop(stream.read(&mut [0; 4096]).await);
                if hangs_up {
                    return stream.abort();
                }
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await
                    .unwrap();
            }
        });
        assert!(world.raw(CLOSE).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(
            (asked.get(), world.status().counters.events[HttpCount::Retries]),
            (3, 2)
        );
        // Not for ever.
        hang_up.set(100);
        assert!(world.raw(CLOSE).await.starts_with("HTTP/1.1 502 "));
        assert_eq!(asked.get(), 6);
        // Nor what may have been done.
        assert!(world.raw(POST).await.starts_with("HTTP/1.1 502 "));
        assert_eq!(asked.get(), 7);
        world.quiet().await;
    });
}

/// A pod that closes its connection after each response without saying so, some time later.
fn forgetful(world: &World) -> Rc<Cell<usize>> {
    let served = Rc::new(Cell::new(0));
    let count = Rc::clone(&served);
    world.script(move |mut stream| {
        let count = Rc::clone(&count);
        async move {
            if stream.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {
                count.set(count.get() + 1);
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                // What arrives now finds nobody.
                stream.abort();
            }
        }
    });
    served
}

#[test]
fn a_kept_connection_that_has_gone_stale_is_no_error() {
    run(async {
        let mut world = World::new(Limits::default());
        world.objects.upstreams = vec![upstream("web", &[10])];
        world.configure(&world.objects);
        let served = forgetful(&world);
        let mut browser = world.browser().await;
        for n in 0..20u64 {
            assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::OK, "{n}");
            // Just before, just after, and while the pod's reset is on its way.
            tokio::time::sleep(Duration::from_millis(985 + n)).await;
        }
        assert_eq!(served.get(), 20);
        assert!(
            world.status().counters.events[HttpCount::Retries] > 0,
            "{:?}",
            world.status().counters
        );
        let post = Request::post("/")
            .header("host", "web.example")
            .body(full("once"))
            .unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(fetch(&mut browser, post).await.0, StatusCode::OK);
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn idle_connections_are_closed_on_both_sides() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut browser = world.browser().await;
        assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::OK);
        assert_eq!(world.status().now[HttpGauge::UpstreamIdle], 1);
        tokio::time::sleep(Duration::from_secs(32)).await;
        assert_eq!(world.status().now[HttpGauge::UpstreamIdle], 0);
        assert_eq!(world.status().now[HttpGauge::Clients], 1);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(world.status().now[HttpGauge::Clients], 0);
        world.quiet().await;
    });
}

#[test]
fn no_more_connections_to_pods_are_kept_than_may_be_in_all() {
    run(async {
        let limits = Limits {
            max_idle_in_all: 2,
            ..Limits::default()
        };
        let world = World::new(limits);
        world.serve(mirror);
        let mut browser = world.browser().await;
        // Three endpoints, each in its turn.
        for kept in [1, 2, 2, 2, 2, 2] {
            assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::OK);
            assert_eq!(world.status().now[HttpGauge::UpstreamIdle], kept);
        }
        tokio::time::sleep(Duration::from_secs(32)).await;
        assert_eq!(world.status().now[HttpGauge::UpstreamIdle], 0);
        assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::OK);
        assert_eq!(world.status().now[HttpGauge::UpstreamIdle], 1);
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn early_answers_of_pods_do_not_spoil_the_pool() {
    run(async {
        let world = World::new(Limits::default());
        // The pod answers without reading the body.
        world.serve(|_, _| Box::pin(async { Response::new(full("enough")) }));
        let mut browser = world.browser().await;
        let post = Request::post("/")
            .header("host", "web.example")
            .body(full(vec![7; 3_000_000]))
            .unwrap();
        let response = browser.send_request(post).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        drop((browser, response));
        let mut browser = world.browser().await;
        for _ in 0..6 {
            assert_eq!(fetch(&mut browser, get("/")).await.2, "enough");
        }
        drop(browser);
        world.quiet().await;
    });
}
