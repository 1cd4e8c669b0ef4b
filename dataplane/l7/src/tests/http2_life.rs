//! HTTP/2 from the handshake to the end, and what does not fit into a request and its response.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, ext::Protocol};
use http::{Request, StatusCode, Version};
use rustls::version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::http2::{connect, fetch, get, read, send};
use super::tls::{self, certificate};
use super::world::{World, has_line, mirror, read_to_end};
use crate::Limits;
use headgate_net::phase::Phase;
use headgate_net::record::{HttpCount, HttpGauge};
use headgate_tcp::TcpStream;
use headgate_tcp::network::run;

#[test]
fn tls_clients_choose_it_by_alpn() {
    run(async {
        let one = certificate("ns/one", &["one.example"], &["one.example"]);
        let world = tls::world(vec![one.clone()]);
        for version in [&version::TLS12, &version::TLS13] {
            let mut config = (*tls::client(&[&one], &[version])).clone();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let stream = tls::connect(&world, &Arc::new(config), "one.example")
                .await
                .unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::task::spawn_local(async move { drop(connection.await) });
            let request = Request::get("https://one.example/x").body(()).unwrap();
            let (status, _, seen) = fetch(&mut sender, request).await;
            assert_eq!(status, StatusCode::OK);
            has_line(&seen, "x-forwarded-proto: https");
            has_line(&seen, "host: one.example");
        }
        assert_eq!(world.status().counters.events[HttpCount::Http2], 2);
        world.quiet().await;
    });
}

/// A pod that takes WebSockets at `/chat` and speaks in capitals there.
async fn chat(mut stream: TcpStream) {
    let mut head = [0; 2048];
    let length = stream.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    if !head.starts_with("GET /chat ") {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother";
        stream.write_all(answer.as_bytes()).await.unwrap();
        return;
    }
    for line in [
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 13",
    ] {
        has_line(&head, line);
    }
    assert!(head.contains("\r\nsec-websocket-key: "), "{head}");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-accept: x\r\nsec-websocket-protocol: chat\r\n\r\nhello ";
    stream.write_all(switch.as_bytes()).await.unwrap();
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        stream
            .write_all(&piece[..length].to_ascii_uppercase())
            .await
            .unwrap();
    }
}

#[test]
fn a_websocket_goes_through_a_stream_and_leaves_others_alone() {
    run(async {
        let world = World::new(Limits::default());
        world.script(chat);
        let sender = connect(&world).await;
        // What the gateway speaks is known once its SETTINGS have come.
        while !sender.is_extended_connect_protocol_enabled() {
            sleep(Duration::from_millis(1)).await;
        }
        let mut sender = sender.ready().await.unwrap();
        let mut request = Request::connect("http://web.example/chat")
            .version(Version::HTTP_2)
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat")
            .body(())
            .unwrap();
        request
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        let (response, mut up) = sender.send_request(request, false).unwrap();
        up.send_data(Bytes::from("knock"), false).unwrap();
        let (head, mut down) = response.await.unwrap().into_parts();
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers["sec-websocket-protocol"], "chat");
        for name in ["connection", "upgrade", "sec-websocket-accept"] {
            assert!(!head.headers.contains_key(name), "{name}");
        }
        let mut text = Vec::new();
        while text.len() < "hello KNOCK".len() {
            text.extend_from_slice(&down.data().await.unwrap().unwrap());
        }
        assert_eq!(text, b"hello KNOCK");
        let (_, _, other) = fetch(&mut sender, get("/other")).await;
        assert_eq!(other, "other");
        up.send_data(Bytes::from("bye"), true).unwrap();
        assert_eq!(down.data().await.unwrap().unwrap(), "BYE");
        // It ends as the pod's connection does.
        while let Some(piece) = down.data().await {
            assert_eq!(piece.unwrap(), "");
        }
        assert_eq!(world.status().counters.events[HttpCount::Upgrades], 1);
        drop((sender, up, down));
        world.quiet().await;
    });
}

#[test]
fn an_upload_that_is_answered_before_its_end_is_not_read_to_it() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut sender = connect(&world).await.ready().await.unwrap();
        let request = Request::post("http://unknown.example/").body(()).unwrap();
        let (response, mut body) = sender.send_request(request, false).unwrap();
        assert_eq!(response.await.unwrap().status(), 404);
        let why = std::future::poll_fn(|cx| body.poll_reset(cx)).await.unwrap();
        assert_eq!(why, Reason::NO_ERROR);
        let (status, ..) = fetch(&mut sender, get("/")).await;
        assert_eq!(status, StatusCode::OK);
        drop((sender, body));
        world.quiet().await;
    });
}

#[test]
fn a_client_is_told_of_the_end_and_what_it_has_asked_for_is_answered() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|local, request| {
            Box::pin(async move {
                sleep(Duration::from_secs(1)).await;
                mirror(local, request).await
            })
        });
        let mut idle = connect(&world).await;
        let mut busy = connect(&world).await;
        fetch(&mut idle, get("/")).await;
        let under_way = send(&mut busy, get("/under-way"), "").await;
        world.stage.borrow_mut().enter(Phase::Leaving);
        let (status, _, seen) = read(under_way).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        has_line(&seen, "GET /under-way");
        for sender in [idle, busy] {
            assert!(sender.ready().await.is_err(), "the connection is over");
        }
        world.quiet().await;
    });
}

#[test]
fn a_connection_without_streams_closes_after_a_while_and_one_with_streams_does_not() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(|local, request| {
            Box::pin(async move {
                sleep(Duration::from_secs(50)).await;
                mirror(local, request).await
            })
        });
        let mut idle = connect(&world).await;
        let (status, ..) = fetch(&mut idle, get("/")).await;
        assert_eq!(status, StatusCode::OK);
        sleep(Duration::from_secs(55)).await;
        assert_eq!(world.status().now[HttpGauge::Clients], 1);
        let (status, ..) = fetch(&mut idle, get("/")).await;
        assert_eq!(status, StatusCode::OK);
        sleep(Duration::from_secs(62)).await;
        assert_eq!(world.status().now[HttpGauge::Clients], 0);
        assert!(idle.ready().await.is_err());
        world.quiet().await;
    });
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let mut stream = world.connect(80).await;
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            stream.write_all(&[*byte]).await.unwrap();
            stream.flush().await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        // SETTINGS is what we begin with.
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(
            (head[3], world.status().counters.events[HttpCount::Http2]),
            (4, 1)
        );
    });
}

#[test]
fn who_does_not_go_on_is_given_up() {
    run(async {
        let world = World::new(Limits::default());
        world.serve(mirror);
        let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
        // A block that does not end, and half a frame.
        let block: &[u8] = &[0, 0, 1, 1, 1, 0, 0, 0, 1, 0x82];
        let half: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1];
        for pieces in [
            vec![&preface[..10]],
            vec![preface],
            vec![preface, settings, block],
            vec![preface, settings, half],
        ] {
            let mut stream = world.connect(80).await;
            stream.write_all(&pieces.concat()).await.unwrap();
            let start = tokio::time::Instant::now();
            read_to_end(&mut stream).await;
            let took = start.elapsed().as_secs();
            assert!((59..=62).contains(&took), "{pieces:?}: {took} s");
        }
        world.quiet().await;
    });
}
