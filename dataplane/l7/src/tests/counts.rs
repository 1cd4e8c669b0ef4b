//! What is counted of each route and upstream.

use std::sync::Arc;

use headgate_net::number::Number;
use headgate_net::record::{Class, HttpGauge, Id, RouteCount, Snapshot, UpstreamCount, UpstreamGauge};
use headgate_ring::message::{Filters, Redirect, Scheme, VirtualHost};
use http::{Request, StatusCode};

use super::world::{World, fetch, full, get, host, mirror, route, upstream};
use crate::Limits;
use headgate_tcp::network::run;

impl World {
    /// The number of the route of a host with this path.
    fn route(&self, host: &str, path: &str) -> Number {
        let config = self.stage.borrow().config();
        let mut routes = config.routes().iter();
        let found = routes.find(|route| {
            route.host() == host
                && format!("{:?}", route.definition().matches.path).contains(&format!("\"{path}\""))
        });
        found.expect("a route").number().clone()
    }

    /// Waits until every request has ended here, too: a client has its last byte a little earlier.
    async fn ended(&self) {
        while self.status().now[HttpGauge::Active] > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Requests by class, bytes, and whether time was counted.
    fn counted(&self, route: &Number) -> (Snapshot<Class>, Snapshot<RouteCount>, bool) {
        let stage = self.stage.borrow();
        match stage.record().routes.read(route) {
            Some(record) => (
                record.requests.snapshot(),
                record.counts.snapshot(),
                record.total_us.get() > 0,
            ),
            None => Default::default(),
        }
    }

    /// Events of an upstream, requests under way, and responses whose time was measured.
    fn upstream_counted(&self, name: &str) -> (Snapshot<UpstreamCount>, u64, u64) {
        let stage = self.stage.borrow();
        let number = stage.config().routes().upstream(name);
        match stage.record().upstreams.read(&number) {
            Some(record) => (
                record.counts.snapshot(),
                record.now.get(UpstreamGauge::Active),
                record.latency.snapshot().count(),
            ),
            None => Default::default(),
        }
    }
}

fn sum<I: Id>(snapshot: &Snapshot<I>) -> u64 {
    snapshot.iter().map(|(_, count)| count).sum()
}

/// A world with a second host, whose upstream has no endpoint.
fn world() -> World {
    let mut world = World::new(Limits::default());
    world
        .objects
        .hosts
        .push(host("empty.example", &[("/a", "web"), ("/", "empty")]));
    world.objects.upstreams.push(upstream("empty", &[]));
    world.configure(&world.objects);
    world.serve(mirror);
    world
}

fn post(body: &'static str) -> Request<super::world::PodBody> {
    Request::post("/")
        .header("host", "web.example")
        .body(full(body))
        .unwrap()
}

#[test]
fn requests_are_counted_where_they_belong() {
    run(async {
        let world = world();
        let mut browser = world.browser().await;
        let (status, _, text) = fetch(&mut browser, post("twelve bytes")).await;
        assert_eq!(status, StatusCode::OK);
        let mut lost = get("/");
        lost.headers_mut()
            .insert("host", "empty.example".parse().unwrap());
        let (status, _, sorry) = fetch(&mut browser, lost).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);

        world.ended().await;
        let (requests, bytes, timed) = world.counted(&world.route("web.example", "/"));
        assert_eq!((requests[Class::Success], sum(&requests), timed), (1, 1, true));
        assert_eq!(bytes[RouteCount::RequestBytes], 12);
        assert_eq!(bytes[RouteCount::ResponseBytes], text.len() as u64);
        let (requests, bytes, _) = world.counted(&world.route("empty.example", "/"));
        assert_eq!((requests[Class::ServerError], sum(&requests)), (1, 1));
        assert_eq!(bytes[RouteCount::ResponseBytes], sorry.len() as u64);
        assert_eq!(sum(&world.counted(&world.route("empty.example", "/a")).0), 0);

        let (counts, active, timed) = world.upstream_counted("web");
        assert_eq!(
            (counts[UpstreamCount::Requests], sum(&counts), active, timed),
            (1, 1, 0, 1)
        );
        let (counts, active, timed) = world.upstream_counted("empty");
        assert_eq!(
            (
                counts[UpstreamCount::Requests],
                counts[UpstreamCount::WithoutEndpoint],
                active,
                timed
            ),
            (1, 1, 0, 0)
        );
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn counts_go_on_through_changes_and_end_with_their_route() {
    run(async {
        let mut world = world();
        let mut browser = world.browser().await;
        let number = world.route("web.example", "/");
        let gone = world.route("empty.example", "/a");
        let mut other = get("/a");
        other
            .headers_mut()
            .insert("host", "empty.example".parse().unwrap());
        fetch(&mut browser, get("/")).await;
        fetch(&mut browser, other).await;
        world.ended().await;
        assert_eq!(sum(&world.counted(&gone).0), 1);

        // A path in front of the first host's, an endpoint less, and the second host's path is gone.
        world.objects.hosts[0] = host("web.example", &[("/new", "web"), ("/", "web")]);
        world.objects.hosts[1] = host("empty.example", &[("/", "empty")]);
        world.objects.upstreams[0] = upstream("web", &[10]);
        world.configure(&world.objects);
        fetch(&mut browser, get("/")).await;
        fetch(&mut browser, get("/new")).await;
        world.ended().await;
        assert!(world.route("web.example", "/") == number);
        assert_eq!(sum(&world.counted(&number).0), 2);
        assert_eq!(sum(&world.counted(&world.route("web.example", "/new")).0), 1);
        assert_eq!(world.upstream_counted("web").0[UpstreamCount::Requests], 4);

        // Whoever gets the place of the route that is gone begins at 0.
        let index = gone.index();
        drop(gone);
        world.objects.hosts[1] = host("empty.example", &[("/b", "empty"), ("/", "empty")]);
        world.configure(&world.objects);
        let next = world.route("empty.example", "/b");
        assert_eq!(next.index(), index);
        assert_eq!(sum(&world.counted(&next).0), 0);
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn failures_are_counted_of_the_upstream_and_retries() {
    run(async {
        let mut world = World::new(Limits::default());
        world.objects.upstreams = vec![upstream("web", &[10, 20])];
        // Nobody listens there.
        world.objects.upstreams[0].endpoints[1] = "10.244.1.11:9999".parse().unwrap();
        world.configure(&world.objects);
        world.serve(mirror);
        let mut browser = world.browser().await;
        for _ in 0..6 {
            fetch(&mut browser, get("/")).await;
        }
        world.ended().await;
        let (counts, active, timed) = world.upstream_counted("web");
        assert_eq!((counts[UpstreamCount::Requests], active, timed), (6, 0, 6));
        assert!(counts[UpstreamCount::ConnectFailed] >= 2, "{counts:?}");
        assert_eq!(
            counts[UpstreamCount::Retries],
            counts[UpstreamCount::ConnectFailed]
        );
        drop(browser);
        world.quiet().await;
    });
}

#[test]
fn a_request_under_way_is_seen_and_an_answer_of_a_filter_counted() {
    run(async {
        let mut world = World::new(Limits::default());
        let mut redirect = route("/old", &[("web", 1)]);
        redirect.filters = Some(Box::new(Filters {
            redirect: Some(Redirect {
                from: None,
                scheme: Some(Scheme::Https),
                host: None,
                port: None,
                path: None,
                status: 308,
            }),
        }));
        world.objects.hosts = vec![Arc::new(VirtualHost {
            host: String::new(),
            routes: vec![redirect, route("/", &[("web", 1)])],
        })];
        world.configure(&world.objects);
        let asked = std::rc::Rc::new(tokio::sync::Notify::new());
        let go = std::rc::Rc::new(tokio::sync::Notify::new());
        let (told, waits) = (asked.clone(), go.clone());
        world.serve(move |local, request| {
            let (told, waits) = (told.clone(), waits.clone());
            Box::pin(async move {
                told.notify_one();
                waits.notified().await;
                mirror(local, request).await
            })
        });
        let mut browser = world.browser().await;
        assert_eq!(
            fetch(&mut browser, get("/old")).await.0,
            StatusCode::PERMANENT_REDIRECT
        );
        world.ended().await;
        let (requests, ..) = world.counted(&world.route("", "/old"));
        assert_eq!((requests[Class::Redirection], sum(&requests)), (1, 1));
        let answer = fetch(&mut browser, get("/"));
        let watch = async {
            asked.notified().await;
            assert_eq!(world.upstream_counted("web").1, 1);
            go.notify_one();
        };
        let ((status, ..), ()) = tokio::join!(answer, watch);
        assert_eq!(status, StatusCode::OK);
        world.ended().await;
        assert_eq!(world.upstream_counted("web").1, 0);
        drop(browser);
        world.quiet().await;
    });
}
