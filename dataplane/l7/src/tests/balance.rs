//! Who gets which request.

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_ring::message::VirtualHost;
use http::StatusCode;

use super::world::{World, fetch, get, host, mirror, route, upstream};
use crate::Limits;
use headgate_tcp::network::run;

/// How many of `count` requests, one after another and to each path in turn, each pod got.
async fn count(world: &World, paths: &[&str], count: usize) -> BTreeMap<String, usize> {
    let mut browser = world.browser().await;
    let mut pods = BTreeMap::new();
    for path in paths.iter().cycle().take(count) {
        let (status, _, seen) = fetch(&mut browser, get(path)).await;
        assert_eq!(status, StatusCode::OK);
        let pod = seen.lines().next().unwrap().trim_start_matches("10.244.1.");
        *pods.entry(pod.trim_end_matches(":8080").to_owned()).or_default() += 1;
    }
    pods
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.map(|(pod, count)| (pod.to_owned(), count)).into()
}

#[test]
fn each_upstream_has_turns_of_its_own() {
    run(async {
        let mut world = World::new(Limits::default());
        world.objects.hosts = vec![host("web.example", &[("/api", "api"), ("/", "web")])];
        world.objects.upstreams = vec![upstream("web", &[10, 11]), upstream("api", &[12, 13])];
        world.configure(&world.objects);
        world.serve(mirror);
        let pods = count(&world, &["/", "/api"], 40).await;
        assert_eq!(pods, counts([("10", 10), ("11", 10), ("12", 10), ("13", 10)]));
    });
}

#[test]
fn turns_go_on_in_the_next_configuration() {
    run(async {
        let mut world = World::new(Limits::default());
        world.serve(mirror);
        let mut pods = BTreeMap::new();
        for publication in 0..30 {
            // Another host comes and goes, and the upstream stays as it is.
            world.objects.hosts.truncate(1);
            if publication % 2 == 0 {
                world.objects.hosts.push(host("other.example", &[("/", "web")]));
            }
            world.configure(&world.objects);
            for (pod, n) in count(&world, &["/"], 1).await {
                *pods.entry(pod).or_default() += n;
            }
        }
        assert_eq!(pods, counts([("10", 10), ("11", 10), ("12", 10)]));
    });
}

#[test]
fn backends_get_their_shares() {
    run(async {
        let mut world = World::new(Limits::default());
        world.objects.hosts = vec![Arc::new(VirtualHost {
            host: "web.example".into(),
            routes: vec![
                route("/none", &[("web", 0)]),
                route("/", &[("web", 3), ("off", 0), ("canary", 1), ("missing", 0)]),
            ],
        })];
        world.objects.upstreams = vec![
            upstream("web", &[10]),
            upstream("canary", &[11]),
            upstream("off", &[12]),
        ];
        world.configure(&world.objects);
        world.serve(mirror);
        assert_eq!(count(&world, &["/"], 40).await, counts([("10", 30), ("11", 10)]));
        let mut browser = world.browser().await;
        let (status, ..) = fetch(&mut browser, get("/none")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    });
}
