//! What the flow log is told of requests.

use std::net::SocketAddr;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{CLIENT, VIP, World, endpoint, fetch, get, mirror};
use crate::Limits;
use headgate_net::record::{Event, Record};
use headgate_tcp::network::run;

/// What was recorded, and that it is about this client and listener.
fn told(world: &World) -> Vec<(Event, SocketAddr)> {
    let ends = |record: &Record| {
        assert_eq!(record.client.ip().to_string(), CLIENT);
        assert_eq!(record.frontend.to_string(), format!("{VIP}:80"));
        assert_eq!((record.protocol, record.publication), (6, 1));
        (record.event, record.pod)
    };
    world.flow_log.take().iter().map(ends).collect()
}

#[test]
fn a_client_that_reaches_a_pod_is_told_once_for_each_connection() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        world.deny(&[11, 12], true);
        for _ in 0..2 {
            let mut browser = world.browser().await;
            for _ in 0..5 {
                assert_eq!(fetch(&mut browser, get("/")).await.0, StatusCode::OK);
            }
            assert_eq!(told(&world), [(Event::RequestAllowed, endpoint(10))]);
        }
    });
}

#[test]
fn each_denied_request_is_told_whoever_it_says_it_comes_from() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        world.deny(&[10, 11, 12], true);
        let mut browser = world.browser().await;
        for _ in 0..2 {
            let mut request = get("/");
            request
                .headers_mut()
                .insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
            assert_eq!(fetch(&mut browser, request).await.0, StatusCode::FORBIDDEN);
        }
        assert_eq!(told(&world), [(Event::RequestDenied, endpoint(10)); 2]);
    });
}

#[test]
fn a_tunnel_that_is_cut_is_told() {
    run(async {
        let world = World::new(Limits::default());
        world.script(|mut stream| async move {
            drop(stream.read(&mut [0; 4096]).await);
            let head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(head).await.unwrap();
            drop(stream.read(&mut [0; 1]).await);
        });
        let mut stream = world.connect(80).await;
        let request =
            b"GET / HTTP/1.1\r\nhost: web.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(request).await.unwrap();
        stream.read_u8().await.unwrap();
        let begun = told(&world);
        assert_eq!((begun.len(), begun[0].0), (1, Event::RequestAllowed));
        world.deny(&[10, 11, 12], true);
        assert_eq!(told(&world), [(Event::RequestCut, begun[0].1)]);
    });
}
