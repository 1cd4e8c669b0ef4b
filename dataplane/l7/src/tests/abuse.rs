//! TLS that is spoken to cost us something, or to be misread: the connection ends, and a counter tells of it.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use headgate_ring::message::Certificate;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

use super::tls;
use super::world::{World, has_line, read_to_end};
use headgate_net::record::{Class, HttpCount, HttpGauge};
use headgate_tcp::TcpStream;
use headgate_tcp::network::run;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n";

/// The stage, and a client of it that has shaken hands with TLS 1.3.
async fn greeted() -> (World, TlsStream<TcpStream>) {
    let certificate = tls::certificate("ns/web", &[""], &["web.example"]);
    let world = tls::world(vec![certificate.clone()]);
    let config = tls::client(&[&certificate], &[&rustls::version::TLS13]);
    let stream = tls::connect(&world, &config, "web.example").await.unwrap();
    // The client is done before the stage is.
    tokio::time::sleep(Duration::from_millis(10)).await;
    (world, stream)
}

/// The stage lets the client go, and counts `events` of such errors.
async fn ends(world: &World, stream: &mut TlsStream<TcpStream>, errors: u64) {
    let (text, took) = (read_to_end(stream).await, tokio::time::Instant::now());
    assert_eq!(text, "");
    assert!(took.elapsed() < Duration::from_secs(1));
    world.quiet().await;
    let events = world.status().counters.events;
    assert_eq!(events[HttpCount::ClientErrors], errors);
}

/// Asks for new keys so often, and says nothing else.
async fn ask_for_keys(stream: &mut TlsStream<TcpStream>, times: usize) {
    for _ in 0..times {
        stream.get_mut().1.refresh_traffic_keys().unwrap();
        // It may have ended.
        if stream.flush().await.is_err() {
            return;
        }
    }
}

#[test]
fn new_keys_are_given_and_a_flood_of_requests_for_them_ends_the_connection() {
    run(async {
        let (world, mut stream) = greeted().await;
        // Each request with data between is an honest one.
        for _ in 0..10 {
            ask_for_keys(&mut stream, 20).await;
            stream.write_all(REQUEST).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            stream.read_exact(&mut body).await.unwrap();
        }
        ask_for_keys(&mut stream, 1_000).await;
        ends(&world, &mut stream, 1).await;
    });
}

/// Longer than a record may be (RFC 8446, section 5.2), of a type that there is not, or not what the keys say.
#[test]
fn records_that_are_none_end_the_connection() {
    let records: [&[u8]; 4] = [
        &[&[23, 3, 3, 0x41, 1][..], &[7; 0x4101]].concat(),
        &[&[99, 3, 3, 0, 1][..], &[7; 1]].concat(),
        &[&[23, 3, 3, 0, 40][..], &[7; 40]].concat(),
        &[&[23, 3, 3, 0, 0][..]].concat(),
    ];
    for record in records {
        run(async {
            let (world, mut stream) = greeted().await;
            stream.get_mut().0.write_all(record).await.unwrap();
            ends(&world, &mut stream, 1).await;
        });
    }
}

/// A hello that never ends is no hello.
#[test]
fn a_handshake_that_goes_on_and_on_is_given_up() {
    run(async {
        let (world, stream) = greeted().await;
        drop(stream);
        let mut stream = world.connect(443).await;
        // A client's first message of 2^24 - 1 bytes, in records of 2^14 bytes.
        let mut first = vec![1, 255, 255, 255];
        first.resize(1 << 14, 7);
        for _ in 0..16 {
            let record = [&[22, 3, 1, 0x40, 0][..], &first].concat();
            stream.write_all(&record).await.unwrap();
        }
        assert_eq!(world.status().now[HttpGauge::Clients], 0);
        drop(stream);
        world.quiet().await;
        assert_eq!(world.status().counters.events[HttpCount::HandshakesFailed], 1);
    });
}

/// What `client` says goes to `server` and what that says goes back, until neither has anything to say.
fn talk(client: &mut ClientConnection, server: &mut ServerConnection) {
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        while !bytes.is_empty() {
            let read = server.read_tls(&mut &bytes[..]).unwrap();
            bytes.drain(..read);
            server.process_new_packets().unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        if bytes.is_empty() {
            return;
        }
        while !bytes.is_empty() {
            let read = client.read_tls(&mut &bytes[..]).unwrap();
            bytes.drain(..read);
            client.process_new_packets().unwrap();
        }
    }
}

/// A client that has a ticket of another server, by which it may send early data.
fn early_client(certificate: &Arc<Certificate>) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from(certificate.chain[0].clone())];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.key.0.to_vec()));
    let mut other = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    other.max_early_data_size = 4_096;
    other.session_storage = ServerSessionMemoryCache::new(10);
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut config = (*tls::client(&[certificate], &[&rustls::version::TLS13])).clone();
    config.enable_early_data = true;
    let config = Arc::new(config);
    let name = ServerName::try_from("web.example").unwrap();
    let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
    talk(&mut client, &mut ServerConnection::new(Arc::new(other)).unwrap());
    assert!(!client.is_handshaking());
    config
}

/// Early data may be sent again by anybody (RFC 8446, section 8): what a client sends before its handshake is read by nobody.
#[test]
fn early_data_is_never_read() {
    run(async {
        let certificate = tls::certificate("ns/web", &[""], &["web.example"]);
        let world = tls::world(vec![certificate.clone()]);
        let config = early_client(&certificate);
        let name = ServerName::try_from("web.example").unwrap();
        let mut client = ClientConnection::new(config, name).unwrap();
        let request =
            |path: &str| format!("GET {path} HTTP/1.1\r\nhost: web.example\r\nconnection: close\r\n\r\n");
        let mut early = client.early_data().expect("the ticket allows it");
        early.write_all(request("/early").as_bytes()).unwrap();
        client.writer().write_all(request("/late").as_bytes()).unwrap();
        let mut stream = world.connect(443).await;
        let (mut text, mut buffer) = (Vec::new(), [0; 4_096]);
        loop {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            stream.write_all(&bytes).await.unwrap();
            let length = stream.read(&mut buffer).await.unwrap();
            let mut come = &buffer[..length];
            while !come.is_empty() {
                client.read_tls(&mut come).unwrap();
                let state = client.process_new_packets().unwrap();
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                client.reader().read_exact(&mut plain).unwrap();
                text.extend(plain);
            }
            if length == 0 {
                break;
            }
        }
        let text = String::from_utf8(text).unwrap();
        assert!(!client.is_early_data_accepted());
        has_line(&text, "GET /late");
        assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{text}");
        drop(stream);
        let counters = world.status().counters;
        assert_eq!(counters.requests[Class::Success], 1);
        assert_eq!(counters.events[HttpCount::Resumed], 0);
        world.quiet().await;
    });
}
