//! Clients that are slow, honestly or not, and those that send before they read.

use std::time::Duration;

use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::world::{World, full, has_line, mirror, read_to_end};
use crate::Limits;
use headgate_net::record::{HttpCount, HttpGauge};
use headgate_tcp::network::run;

/// A pod whose answers are larger than everything on the way.
fn large(world: &World) {
    world.serve(|_, _| Box::pin(async { Response::new(full(vec![7; 4_000_000])) }));
}

/// Reads `piece` bytes each `pause` until the connection ends; how long that took, and how much came.
async fn drip(world: &World, piece: usize, pause: Duration) -> (Duration, usize) {
    let start = Instant::now();
    let mut stream = world.connect(80).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n")
        .await
        .unwrap();
    let (mut buffer, mut got) = (vec![0; piece], 0);
    while start.elapsed() < Duration::from_secs(1_000) {
        sleep(pause).await;
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => got += length,
            _ => break,
        }
    }
    (start.elapsed(), got)
}

#[test]
fn who_takes_nothing_is_given_up_in_a_minute() {
    run(async {
        let world = World::new(Limits::default());
        large(&world);
        let mut stream = world.connect(80).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n")
            .await
            .unwrap();
        sleep(Duration::from_secs(55)).await;
        assert_eq!(world.status().now[HttpGauge::Clients], 1);
        sleep(Duration::from_secs(10)).await;
        let status = world.status();
        assert_eq!(
            (
                status.now[HttpGauge::Clients],
                status.now[HttpGauge::UpstreamBusy],
                status.counters.events[HttpCount::SlowClients]
            ),
            (0, 0, 1)
        );
        drop(stream);
        world.quiet().await;
    });
}

#[test]
fn who_takes_too_little_is_given_up_and_a_slow_line_is_not() {
    run(async {
        let world = World::new(Limits::default());
        large(&world);
        // What lies in buffers on the way comes for a while longer.
        let (took, got) = drip(&world, 100, Duration::from_secs(1)).await;
        assert!(
            took < Duration::from_secs(1_000) && got < 200_000,
            "{took:?} {got}"
        );
        assert_eq!(world.status().counters.events[HttpCount::SlowClients], 1);
        let (took, got) = drip(&world, 1_000, Duration::from_secs(1)).await;
        assert!(
            took >= Duration::from_secs(1_000) && got > 700_000,
            "{took:?} {got}"
        );
        assert_eq!(world.status().counters.events[HttpCount::SlowClients], 1);
        world.quiet().await;
    });
}

#[test]
fn a_body_that_trickles_is_refused_and_one_that_comes_slowly_is_not() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        for (pause, status) in [(2_000, "408"), (2, "200")] {
            let mut stream = world.connect(80).await;
            let head =
                "POST / HTTP/1.1\r\nhost: web.example\r\ncontent-length: 2000\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut stopped = false;
            for _ in 0..2_000 {
                sleep(Duration::from_millis(pause)).await;
                stopped |= stream.write_all(b"x").await.is_err();
                if stopped {
                    break;
                }
            }
            let answer = read_to_end(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
        // Who sends as things happen may have nothing to say for a while.
        let mut stream = world.connect(80).await;
        let head =
            "POST / HTTP/1.1\r\nhost: web.example\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..20 {
            sleep(Duration::from_secs(50)).await;
            stream.write_all(b"1\r\nx\r\n").await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        drop(stream);
        world.quiet().await;
    });
}

/// As many clients do that are no browsers: the answer must be there when they come to read it.
#[test]
fn who_sends_everything_first_still_reads_the_answer() {
    run(async {
        let world = World::new(Limits::default());
        let mut stream = world.connect(80).await;
        let head = "POST / HTTP/1.1\r\nhost: unknown.example\r\ncontent-length: 5000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![7; 5_000_000]).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        has_line(&answer, "connection: close");
        drop(stream);
        world.quiet().await;
    });
}

#[test]
fn who_sends_for_ever_after_the_answer_is_reset() {
    run(async {
        let world = World::new(Limits::default());
        let start = Instant::now();
        let mut stream = world.connect(80).await;
        let head = "POST / HTTP/1.1\r\nhost: unknown.example\r\ncontent-length: 500000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(&[7; 1_000]).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(start.elapsed().as_secs(), 30);
        drop(stream);
        world.quiet().await;
    });
}
