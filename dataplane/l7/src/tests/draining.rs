//! The end of a dataplane, as clients see it.

use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderMap, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::world::{World, fetch, full, get, mirror};
use crate::Limits;
use headgate_net::phase::Phase;
use headgate_net::record::HttpGauge;
use headgate_tcp::network::{Channel, run};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n";

fn enter(world: &World, phase: Phase) {
    world.stage.borrow_mut().enter(phase);
}

fn is_dismissed(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value == "close")
}

/// Everything up to the end of a response's body, which `mirror` ends by a line of its own.
async fn read_some(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut got = vec![0; 4096];
    let length = stream.read(&mut got).await.unwrap();
    String::from_utf8_lossy(&got[..length]).into_owned()
}

/// Who was there is asked to come again; who comes while clients are still taken stays until they are not.
#[test]
fn clients_are_dismissed_with_a_response_once() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut early = world.browser().await;
        let (_, headers, _) = fetch(&mut early, get("/")).await;
        assert!(!is_dismissed(&headers), "{headers:?}");
        enter(&world, Phase::Leaving);
        let (status, headers, _) = fetch(&mut early, get("/")).await;
        assert!(status == StatusCode::OK && is_dismissed(&headers), "{headers:?}");
        assert!(early.ready().await.is_err(), "the connection is closed");
        let mut late = world.browser().await;
        for _ in 0..2 {
            let (_, headers, _) = fetch(&mut late, get("/")).await;
            assert!(!is_dismissed(&headers), "{headers:?}");
        }
        enter(&world, Phase::Closed);
        let (status, headers, _) = fetch(&mut late, get("/")).await;
        assert!(status == StatusCode::OK && is_dismissed(&headers), "{headers:?}");
    });
}

#[test]
fn clients_without_a_request_are_closed_in_the_end_and_no_sooner() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut used = world.connect(80).await;
        used.write_all(REQUEST).await.unwrap();
        read_some(&mut used).await;
        let mut fresh = world.connect(80).await;
        let mut half = world.connect(80).await;
        half.write_all(&REQUEST[..20]).await.unwrap();
        for phase in [Phase::Leaving, Phase::Closed] {
            enter(&world, phase);
            sleep(Duration::from_secs(2)).await;
            assert_eq!(world.status().now[HttpGauge::Clients], 3, "{phase:?}");
        }
        enter(&world, Phase::Parting);
        for stream in [&mut used, &mut fresh] {
            assert_eq!(read_some(stream).await, "", "closed in order");
        }
        // Who has begun is answered.
        half.write_all(&REQUEST[20..]).await.unwrap();
        let answer = read_some(&mut half).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
        drop((used, fresh, half));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.stage.borrow().held(), 0);
        assert_eq!(world.status().now[HttpGauge::Clients], 0);
    });
}

#[test]
fn requests_and_tunnels_under_way_go_on() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            let mut head = [0; 2048];
            let length = stream.read(&mut head).await.unwrap();
            if String::from_utf8_lossy(&head[..length]).contains("upgrade: echo") {
                let switch =
                    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
                stream.write_all(switch).await.unwrap();
                let (mut from, mut to) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut from, &mut to).await;
            } else {
                let late = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate";
                sleep(Duration::from_secs(9)).await;
                stream.write_all(late).await.unwrap();
            }
        });
        let mut slow = world.connect(80).await;
        slow.write_all(REQUEST).await.unwrap();
        let mut tunnel = world.connect(80).await;
        let upgrade = b"GET / HTTP/1.1\r\nhost: web.example\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        tunnel.write_all(upgrade).await.unwrap();
        assert!(read_some(&mut tunnel).await.starts_with("HTTP/1.1 101 "));
        for phase in [Phase::Leaving, Phase::Closed, Phase::Parting] {
            enter(&world, phase);
            sleep(Duration::from_secs(1)).await;
            tunnel.write_all(b"ping").await.unwrap();
            assert_eq!(read_some(&mut tunnel).await, "ping", "{phase:?}");
        }
        assert_eq!(world.stage.borrow().held(), 2);
        let answer = read_some(&mut slow).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("late"),
            "{answer}"
        );
        assert_eq!(read_some(&mut slow).await, "", "closed after it");
        drop(slow);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.stage.borrow().held(), 1, "the tunnel");
        drop(tunnel);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.stage.borrow().held(), 0);
    });
}

/// What is written is not yet there: the end must wait for a client that is slow to acknowledge it.
#[test]
fn bytes_on_their_way_are_held() {
    run(async {
        let channel = Channel {
            delay: Duration::from_millis(3),
            ..Channel::perfect()
        };
        let objects = World::new(Limits::default()).objects;
        let world = World::with(objects, Limits::default(), channel);
        world.serve(|_, _| Box::pin(async { Response::new(full(vec![7; 60_000])) }));
        enter(&world, Phase::Parting);
        let mut stream = world.connect(80).await;
        stream.write_all(REQUEST).await.unwrap();
        for clients in [1, 0] {
            while world.status().now[HttpGauge::Clients] != clients {
                sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(world.stage.borrow().held(), 1, "the stack has the rest");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.stage.borrow().held(), 0);
    });
}
