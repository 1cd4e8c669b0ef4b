//! The stage against clients and pods on a virtual network.

mod abuse;
mod announced;
mod answers;
mod balance;
mod cancel;
mod counts;
mod cuts;
mod draining;
mod edges;
mod framing;
mod http2;
mod http2_frames;
mod http2_life;
mod http2_pods;
mod log;
mod parts;
mod records;
mod redirects;
mod shortage;
mod slow;
mod sockets;
mod storm;
mod streams;
mod tls;
mod version_1;
mod world;

use std::rc::Rc;

use http::{Request, StatusCode};

use super::Limits;
use headgate_net::record::{Class, HttpCount, HttpGauge};
use headgate_tcp::network::run;
use world::{World, fetch, full, get, has_line, host, mirror, upstream};

#[test]
fn a_request_reaches_a_pod_with_the_headers_of_a_gateway() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut browser = world.browser().await;
        let request = Request::post("/a%2Fb?q=1")
            .header("host", "WEB.example:80")
            .header("connection", "keep-alive, x-private, host")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers, deflate")
            .header("x-private", "gone")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-forwarded-proto", "https")
            .header("forwarded", "for=203.0.113.9")
            .header("x_real_ip", "203.0.113.9")
            .header("proxy", "evil")
            .header("cookie", "kept")
            .body(full("a body"))
            .unwrap();
        let (status, headers, seen) = fetch(&mut browser, request).await;
        assert_eq!(status, StatusCode::OK);
        for line in [
            "POST /a%2Fb?q=1",
            "host: WEB.example:80",
            "x-forwarded-for: 192.0.2.10",
            "x-real-ip: 192.0.2.10",
            "x-forwarded-host: WEB.example:80",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
            "te: trailers",
            "cookie: kept",
            "content-length: 6",
            "a body",
        ] {
            has_line(&seen, line);
        }
        for gone in [
            "x-private",
            "keep-alive",
            "203.0.113.9",
            "evil",
            "x_real_ip",
            "connection:",
        ] {
            assert!(!seen.contains(gone), "{gone} in\n{seen}");
        }
        let id = seen
            .lines()
            .find_map(|l| l.strip_prefix("x-request-id: "))
            .unwrap();
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
        assert!(headers.contains_key("date") && !headers.contains_key("connection"));
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn a_harmless_request_id_is_kept() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut browser = world.browser().await;
        for (id, kept) in [("abc-123", true), ("a b", false), ("", false)] {
            let mut request = get("/");
            request.headers_mut().insert("x-request-id", id.parse().unwrap());
            let (_, _, seen) = fetch(&mut browser, request).await;
            assert_eq!(seen.contains(&format!("x-request-id: {id}\n")), kept, "{id:?}");
        }
    });
}

#[test]
fn hosts_and_paths_choose_the_service() {
    run(async {
        let mut world = World::new(Limits::default());
        world.objects.hosts = vec![
            host(
                "web.example",
                &[("/a blank", "wild"), ("/api", "api"), ("/", "web")],
            ),
            host("*.example", &[("/only", "wild")]),
            host("", &[("/", "fallback")]),
        ];
        world.objects.upstreams = vec![
            upstream("web", &[10]),
            upstream("api", &[11]),
            upstream("wild", &[12]),
            upstream("fallback", &[13]),
        ];
        world.configure(&world.objects);
        world.serve(mirror);
        let mut browser = world.browser().await;
        for (name, path, pod) in [
            ("web.example", "/", 10),
            ("Web.Example.", "/apix", 10),
            ("web.example", "/api", 11),
            ("web.example:8080", "/api/v1", 11),
            ("web.example", "/a%20blank/x", 12),
            ("web.example", "/x/../api", 11),
            ("web.example", "/x/%2e%2E/%61pi/", 11),
            ("other.example", "/only", 12),
            ("other.example", "/else", 13),
            ("a.b.example", "/only", 13),
            ("192.0.2.1", "/", 13),
            ("[2001:db8::1]:80", "/", 13),
        ] {
            let mut request = get(path);
            request.headers_mut().insert("host", name.parse().unwrap());
            let (_, _, seen) = fetch(&mut browser, request).await;
            assert!(
                seen.starts_with(&world::endpoint(pod).to_string()),
                "{name}{path}:\n{seen}"
            );
            has_line(&seen, &format!("GET {path}"));
        }
        // An absolute target stands before the Host header.
        let raw =
            "GET http://other.example/only?x HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n";
        let seen = world.raw(raw).await;
        has_line(&seen, "10.244.1.12:8080");
        has_line(&seen, "GET /only?x");
        has_line(&seen, "host: other.example");
    });
}

#[test]
fn requests_over_one_connection_reuse_connections_to_pods() {
    run(async {
        let world = World::new(Limits::default());
        let accepted = world.serve(mirror);
        let mut browser = world.browser().await;
        let mut pods = std::collections::HashSet::new();
        for n in 0..30 {
            let (status, _, seen) = fetch(&mut browser, get(&format!("/{n}"))).await;
            assert_eq!(status, StatusCode::OK);
            pods.insert(seen.lines().next().unwrap().to_owned());
        }
        assert_eq!(pods.len(), 3, "every endpoint has its turn");
        assert_eq!(accepted.get(), 3);
        let counters = world.status().counters;
        assert_eq!(
            (
                counters.events[HttpCount::UpstreamConnects],
                counters.events[HttpCount::UpstreamReuses],
                counters.events[HttpCount::Connections]
            ),
            (3, 27, 1)
        );
        assert_eq!(counters.requests[Class::Success], 30);
        assert_eq!(counters.latency.buckets.iter().sum::<u64>(), 30);
        assert_eq!(world.status().now[HttpGauge::UpstreamIdle], 3);
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn a_new_configuration_takes_effect_at_the_next_request() {
    run(async {
        let world = World::new(Limits::default());
        let release = Rc::new(tokio::sync::Notify::new());
        let held = Rc::clone(&release);
        world.serve(move |local, request| {
            let held = Rc::clone(&held);
            Box::pin(async move {
                if request.uri().path() == "/slow" {
                    held.notified().await;
                }
                mirror(local, request).await
            })
        });
        let mut browser = world.browser().await;
        let mut other = world.browser().await;
        assert_eq!(fetch(&mut other, get("/")).await.0, StatusCode::OK);
        let slow = tokio::task::spawn_local(async move {
            let answer = fetch(&mut browser, get("/slow")).await;
            (browser, answer)
        });
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let mut objects = world.objects.clone();
        objects.upstreams = vec![upstream("web", &[15])];
        world.configure(&objects);
        // Kept connections to the pods that are gone are closed when they are looked at; the one in use is not.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(world.status().now[HttpGauge::UpstreamIdle], 0);
        assert_eq!(world.status().now[HttpGauge::UpstreamBusy], 1);
        assert!(
            fetch(&mut other, get("/"))
                .await
                .2
                .starts_with("10.244.1.15:8080")
        );
        release.notify_one();
        let (mut browser, (status, _, seen)) = slow.await.unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(!seen.starts_with("10.244.1.15"));
        assert!(
            fetch(&mut browser, get("/"))
                .await
                .2
                .starts_with("10.244.1.15:8080")
        );
        assert_eq!(
            world.status().now[HttpGauge::UpstreamIdle],
            1,
            "the old pod's connection is not kept"
        );
        objects.hosts.clear();
        world.configure(&objects);
        assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::NOT_FOUND);
        drop((browser, other));
        world.quiet().await;
    });
}
