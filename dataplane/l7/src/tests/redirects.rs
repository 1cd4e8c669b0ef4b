//! Routes that send clients elsewhere.

use std::sync::Arc;

use headgate_ring::message::{Filters, Redirect, Scheme, VirtualHost};
use http::{Method, StatusCode};

use super::world::{World, fetch, get, mirror, route};
use crate::Limits;
use headgate_net::record::{Class, HttpGauge};
use headgate_tcp::network::run;

const NOTHING: Redirect = Redirect {
    from: None,
    scheme: None,
    host: None,
    port: None,
    path: None,
    status: 308,
};

/// A world whose only host has one route with this filter, and none other.
fn world(redirect: Redirect) -> World {
    let mut world = World::new(Limits::default());
    let mut route = route("/", &[("web", 1)]);
    route.filters = Some(Box::new(Filters {
        redirect: Some(redirect),
    }));
    world.objects.hosts = vec![Arc::new(VirtualHost {
        host: String::new(),
        routes: vec![route],
    })];
    world.configure(&world.objects);
    world.serve(mirror);
    world
}

fn to_https() -> Redirect {
    Redirect {
        from: Some(Scheme::Http),
        scheme: Some(Scheme::Https),
        ..NOTHING
    }
}

#[test]
fn what_is_not_said_stays_as_in_the_request() {
    let text = |text: &str| Some(text.to_owned());
    for (redirect, host, path, location) in [
        (
            to_https(),
            "web.example",
            "/a%20b?c=d",
            "https://web.example/a%20b?c=d",
        ),
        (to_https(), "WEB.example:80", "/", "https://web.example/"),
        (to_https(), "[2001:db8::1]:80", "/x", "https://[2001:db8::1]/x"),
        (
            Redirect {
                port: Some(8443),
                ..to_https()
            },
            "web.example",
            "/",
            "https://web.example:8443/",
        ),
        (
            Redirect {
                host: text("other.example"),
                path: text("/b"),
                status: 302,
                ..NOTHING
            },
            "web.example",
            "/a?q",
            "http://other.example/b?q",
        ),
        // Nobody is led to another site by a path that looks like one.
        (
            to_https(),
            "web.example",
            "//evil.example/",
            "https://web.example//evil.example/",
        ),
    ] {
        run(async {
            let status = redirect.status;
            let world = world(redirect);
            let mut browser = world.browser().await;
            let mut request = get(path);
            request.headers_mut().insert("host", host.parse().unwrap());
            let (got, headers, body) = fetch(&mut browser, request).await;
            assert_eq!(
                (got.as_u16(), headers["location"].to_str().unwrap()),
                (status, location)
            );
            assert!(body.starts_with(&status.to_string()), "{body}");
            // The connection goes on.
            assert_eq!(fetch(&mut browser, get("/")).await.0.as_u16(), status);
            let status = world.status();
            assert_eq!(
                (
                    status.counters.requests[Class::Redirection],
                    status.now[HttpGauge::UpstreamIdle]
                ),
                (2, 0)
            );
        });
    }
}

#[test]
fn a_request_without_host_is_sent_to_the_listener() {
    run(async {
        let world = world(to_https());
        let answer = world.raw("GET /a HTTP/1.0\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains("\r\nlocation: https://198.51.100.10/a\r\n"),
            "{answer}"
        );
    });
}

#[test]
fn a_request_by_another_scheme_goes_on() {
    run(async {
        let world = world(Redirect {
            from: Some(Scheme::Https),
            ..NOTHING
        });
        let mut browser = world.browser().await;
        assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::OK);
    });
}

#[test]
fn a_head_is_answered_without_a_body() {
    run(async {
        let world = world(to_https());
        let mut browser = world.browser().await;
        let mut request = get("/");
        *request.method_mut() = Method::HEAD;
        let (status, headers, body) = fetch(&mut browser, request).await;
        assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
        assert!(
            headers["content-length"]
                .to_str()
                .unwrap()
                .parse::<usize>()
                .unwrap()
                > 0
        );
        assert!(body.is_empty());
    });
}
