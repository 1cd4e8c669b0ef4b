//! Clients that go away at any moment.

use std::time::Duration;

use http::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{World, fetch, full, get};
use crate::Limits;
use headgate_net::record::HttpGauge;
use headgate_tcp::network::{Channel, run};

/// Whatever a client leaves behind, the counts of its pods are right, what it had is closed, and what is kept is good.
#[test]
fn the_pool_is_right_whenever_clients_leave() {
    run(async {
        let channel = Channel {
            delay: Duration::from_millis(3),
            ..Channel::perfect()
        };
        let objects = World::new(Limits::default()).objects;
        let world = World::with(objects, Limits::default(), channel);
        world.serve(|_, request| {
            Box::pin(async move {
                // Some answer at once, some late, and some in many pieces.
                let path = request.uri().path();
                if path == "/late" {
                    tokio::time::sleep(Duration::from_millis(7)).await;
                }
                let length = if path == "/long" { 200_000 } else { 10 };
                Response::new(full(vec![b'x'; length]))
            })
        });
        for round in 0..3 {
            let mut leaving = Vec::new();
            for leaves_after in 0..60 {
                let path = ["/", "/late", "/long"][leaves_after % 3];
                let mut stream = world.connect(80).await;
                leaving.push(tokio::task::spawn_local(async move {
                    let request = format!("GET {path} HTTP/1.1\r\nhost: web.example\r\n\r\n");
                    stream.write_all(request.as_bytes()).await.unwrap();
                    let leave = Duration::from_micros(700 * leaves_after as u64);
                    let read = async { while stream.read(&mut [0; 512]).await.is_ok_and(|n| n > 0) {} };
                    let _ = tokio::time::timeout(leave, read).await;
                    stream.reset().now();
                }));
            }
            for client in leaving {
                client.await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            let status = world.status();
            assert_eq!(
                (
                    status.now[HttpGauge::Active],
                    status.now[HttpGauge::UpstreamBusy],
                    status.now[HttpGauge::Clients]
                ),
                (0, 0, 0),
                "{round}"
            );
            let mut browser = world.browser().await;
            for path in ["/", "/late", "/long"].into_iter().cycle().take(12) {
                assert_eq!(fetch(&mut browser, get(path)).await.0, StatusCode::OK);
            }
        }
        world.quiet().await;
    });
}
