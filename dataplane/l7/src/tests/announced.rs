//! Clients behind balancers that speak the PROXY protocol.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::world::{CLIENT, NEIGHBOUR, World, has_line, mirror, read_to_end};
use super::{http2, tls};
use crate::Limits;
use headgate_net::record::HttpCount;
use headgate_tcp::TcpStream;
use headgate_tcp::network::run;

const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.11 198.51.100.10 5555 80\r\n";
/// The same in version 2.
const VERSION_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x0b\xc6\x33\x64\x0a\x15\xb3\x00\x50";
/// The balancer's own.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n";

/// Where the client is a balancer, and its neighbour is none.
fn world(limits: Limits) -> World {
    let mut world = World::new(limits);
    world.objects.balancers = vec![format!("{CLIENT}/32").parse().unwrap()];
    world.configure(&world.objects);
    world
}

async fn ask(world: &World, before: &[u8]) -> String {
    let mut stream = world.connect(80).await;
    stream.write_all(&[before, REQUEST].concat()).await.unwrap();
    read_to_end(&mut stream).await
}

#[test]
fn a_pod_is_told_of_the_client_and_not_of_the_balancer() {
    run(async {
        let world = world(Limits::default());
        world.serve(mirror);
        for (header, address) in [(VERSION_1, NEIGHBOUR), (VERSION_2, NEIGHBOUR), (LOCAL, CLIENT)] {
            let seen = ask(&world, header).await;
            has_line(&seen, &format!("x-forwarded-for: {address}"));
        }
        // It may come in pieces, and with what follows.
        let mut stream = world.connect(80).await;
        for byte in [VERSION_2, REQUEST].concat() {
            stream.write_all(&[byte]).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        has_line(
            &read_to_end(&mut stream).await,
            &format!("x-forwarded-for: {NEIGHBOUR}"),
        );
        assert_eq!(world.status().counters.events[HttpCount::ProxyHeadersRefused], 0);
        world.quiet().await;
    });
}

#[test]
fn policies_are_asked_about_the_client() {
    run(async {
        let world = world(Limits::default());
        world.serve(mirror);
        // Policies know nobody there.
        let stranger = b"PROXY TCP4 203.0.113.9 198.51.100.10 5555 80\r\n";
        let seen = ask(&world, stranger).await;
        assert!(seen.starts_with("HTTP/1.1 403 "), "{seen}");
        world.quiet().await;
    });
}

#[test]
fn it_stands_before_tls_and_before_http2() {
    run(async {
        let mut world = world(Limits::default());
        let certificate = tls::certificate("web", &["web.example"], &["web.example"]);
        world.objects.certificates = vec![Arc::clone(&certificate)];
        world.configure(&world.objects);
        world.serve(mirror);
        let client = tls::client(&[&certificate], &[&rustls::version::TLS13]);
        let mut stream = world.connect(443).await;
        stream.write_all(VERSION_2).await.unwrap();
        let name = ServerName::try_from("web.example").unwrap();
        let mut stream = TlsConnector::from(client).connect(name, stream).await.unwrap();
        let seen = tls::request(&mut stream, "web.example").await;
        has_line(&seen, &format!("x-forwarded-for: {NEIGHBOUR}"));
        let mut stream = world.connect(80).await;
        stream.write_all(VERSION_1).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::task::spawn_local(async move { drop(connection.await) });
        let (_, _, seen) = http2::fetch(&mut sender, http2::get("/")).await;
        has_line(&seen, &format!("x-forwarded-for: {NEIGHBOUR}"));
        drop(sender);
        world.quiet().await;
    });
}

#[test]
fn who_is_no_balancer_announces_nobody() {
    run(async {
        let world = world(Limits::default());
        world.serve(mirror);
        let mut stream = World::connect_from(&world.neighbour, 80).await;
        stream.write_all(REQUEST).await.unwrap();
        has_line(
            &read_to_end(&mut stream).await,
            &format!("x-forwarded-for: {NEIGHBOUR}"),
        );
        for header in [VERSION_1, VERSION_2] {
            let mut stream = World::connect_from(&world.neighbour, 80).await;
            stream.write_all(&[header, REQUEST].concat()).await.unwrap();
            let answer = read_to_end(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        }
        world.quiet().await;
    });
}

/// Whether the connection is reset without an answer.
async fn is_reset(mut stream: TcpStream) -> bool {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.is_err() && answer.is_empty()
}

#[test]
fn a_balancer_that_says_nothing_is_not_believed() {
    run(async {
        let limits = Limits {
            handshake: Duration::from_secs(3),
            ..Limits::default()
        };
        let world = world(limits);
        world.serve(mirror);
        for bytes in [
            REQUEST,
            b"PROXY TCP5 x\r\n",
            b"\x16\x03\x01\x02",
            &VERSION_2[..20],
        ] {
            let mut stream = world.connect(80).await;
            stream.write_all(bytes).await.unwrap();
            assert!(is_reset(stream).await, "{bytes:x?}");
        }
        assert_eq!(world.status().counters.events[HttpCount::ProxyHeadersRefused], 4);
        // A check of whether anybody is there.
        let mut stream = world.connect(80).await;
        stream.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut stream).await, "");
        assert_eq!(world.status().counters.events[HttpCount::ProxyHeadersRefused], 4);
        world.quiet().await;
    });
}
