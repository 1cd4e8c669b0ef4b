//! TLS: which certificate a client sees, and what becomes of clients that are refused.

use std::io;
use std::sync::Arc;

use headgate_ring::message::{Certificate, PrivateKey};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedCipherSuite,
    SupportedProtocolVersion, version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::{Objects, World, has_line, host, mirror, read_to_end, upstream};
use crate::Limits;
use headgate_net::record::HttpCount;
use headgate_ring::message::Key;
use headgate_tcp::TcpStream;
use headgate_tcp::network::{Channel, run};

/// A self-signed certificate for names, served for hosts.
pub(super) fn certificate(name: &str, hosts: &[&str], names: &[&str]) -> Arc<Certificate> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let pair = rcgen::generate_simple_self_signed(names).unwrap();
    Arc::new(Certificate {
        name: name.into(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        chain: vec![pair.cert.der().to_vec()],
        key: PrivateKey(pair.signing_key.serialize_der().into()),
    })
}

pub(super) fn world(certificates: Vec<Arc<Certificate>>) -> World {
    let objects = Objects {
        hosts: vec![host("", &[("/", "web")])],
        upstreams: vec![upstream("web", &[10])],
        certificates,
        balancers: Vec::new(),
    };
    let world = World::with(objects, Limits::default(), Channel::perfect());
    world.serve(mirror);
    world
}

pub(super) fn client(
    trusted: &[&Arc<Certificate>],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    client_with(rustls::crypto::aws_lc_rs::default_provider(), trusted, versions)
}

fn client_with(
    provider: CryptoProvider,
    trusted: &[&Arc<Certificate>],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots
            .add(CertificateDer::from(certificate.chain[0].clone()))
            .unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

pub(super) async fn connect(
    world: &World,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = world.connect(443).await;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// One request; the connection is closed after it.
pub(super) async fn request(stream: &mut TlsStream<TcpStream>, host: &str) -> String {
    let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    read_to_end(stream).await
}

#[test]
fn the_certificate_follows_the_server_name() {
    run(async {
        let one = certificate("ns/one", &["one.example"], &["one.example"]);
        let wild = certificate("ns/wild", &["*.w.example"], &["*.w.example"]);
        let world = world(vec![one.clone(), wild.clone()]);
        for versions in [&[&version::TLS12], &[&version::TLS13]] {
            for (name, trusted, good) in [
                ("one.example", &one, true),
                ("ONE.example", &one, true),
                ("one.example", &wild, false),
                ("two.w.example", &wild, true),
            ] {
                let config = client(&[trusted], versions);
                let connected = connect(&world, &config, name).await;
                assert_eq!(connected.is_ok(), good, "{name} {connected:?}");
                if let Ok(mut stream) = connected {
                    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                    let seen = request(&mut stream, name).await;
                    has_line(&seen, "x-forwarded-proto: https");
                    has_line(&seen, "x-forwarded-port: 443");
                }
            }
        }
        let error = connect(&world, &client(&[&wild], &[&version::TLS13]), "a.b.w.example")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
        let counters = world.status().counters;
        assert_eq!(
            (
                counters.events[HttpCount::UnknownNames],
                counters.events[HttpCount::Handshakes]
            ),
            (1, 6)
        );
        world.quiet().await;
    });
}

/// rustls refuses them while it reads the client's first message, before it asks for a certificate; docs/l7.md tells of
/// it. Where this fails, rustls has learnt to let them be, and the default certificate should serve them.
#[test]
fn server_names_that_are_no_dns_names_are_refused() {
    run(async {
        let default = certificate("ns/default", &[""], &["any.example"]);
        let world = world(vec![default.clone()]);
        let config = client(&[&default], &[&version::TLS12, &version::TLS13]);
        for name in [
            "shop.example.com:443",
            "[shop.example.com]",
            "-x.example.com",
            "a..b",
            "*.example.com",
        ] {
            // A name that the client takes, in whose place the other one is put.
            let decent = "x".repeat(name.len());
            let server = ServerName::try_from(decent.clone()).unwrap();
            let mut hello = Vec::new();
            let mut connection = ClientConnection::new(Arc::clone(&config), server).unwrap();
            connection.write_tls(&mut hello).unwrap();
            let at = hello.windows(name.len()).position(|w| w == decent.as_bytes());
            let at = at.expect("the name is sent in clear");
            hello[at..at + name.len()].copy_from_slice(name.as_bytes());
            let mut stream = world.connect(443).await;
            stream.write_all(&hello).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            // A record of an alert (RFC 8446, sections 5.1 and 6): fatal, illegal_parameter.
            assert_eq!((answer[0], &answer[3..]), (21, &[0, 2, 2, 47][..]), "{name}");
        }
        assert_eq!(world.status().counters.events[HttpCount::Handshakes], 0);
    });
}

#[test]
fn a_default_certificate_serves_every_other_name() {
    run(async {
        let default = certificate("ns/default", &[""], &["any.example", "198.51.100.10"]);
        let world = world(vec![default.clone()]);
        let config = client(&[&default], &[&version::TLS13]);
        let mut stream = connect(&world, &config, "any.example").await.unwrap();
        assert!(
            request(&mut stream, "another.example")
                .await
                .starts_with("HTTP/1.1 200 OK")
        );
        // An address is no server name: the client sends none.
        let mut stream = connect(&world, &config, "198.51.100.10").await.unwrap();
        assert!(
            request(&mut stream, "198.51.100.10")
                .await
                .starts_with("HTTP/1.1 200 OK")
        );
    });
}

#[test]
fn a_client_gets_aes_128_unless_it_has_no_aes() {
    use CipherSuite as Suite;
    let chacha = |suite: &SupportedCipherSuite| format!("{suite:?}").contains("CHACHA");
    let small = |suite: &SupportedCipherSuite| format!("{suite:?}").contains("AES_128");
    // What the client's order is by, what of it is left out, and what it gets with either version.
    type Case = (
        fn(&SupportedCipherSuite) -> bool,
        fn(&SupportedCipherSuite) -> bool,
        [CipherSuite; 2],
    );
    let cases: [Case; 3] = [
        // AES-256 first.
        (
            |_| false,
            |_| false,
            [
                Suite::TLS13_AES_128_GCM_SHA256,
                Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ],
        ),
        (
            chacha,
            |_| false,
            [
                Suite::TLS13_CHACHA20_POLY1305_SHA256,
                Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            ],
        ),
        (
            |_| false,
            small,
            [
                Suite::TLS13_AES_256_GCM_SHA384,
                Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            ],
        ),
    ];
    run(async {
        let one = certificate("ns/one", &["one.example"], &["one.example"]);
        let world = world(vec![one.clone()]);
        for (first, without, gets) in cases {
            for (versions, gets) in [&[&version::TLS13], &[&version::TLS12]].into_iter().zip(gets) {
                let mut provider = rustls::crypto::aws_lc_rs::default_provider();
                provider.cipher_suites.retain(|suite| !without(suite));
                provider.cipher_suites.sort_by_key(|suite| !first(suite));
                let config = client_with(provider, &[&one], versions);
                // The second time the session is resumed, by the same suite.
                for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                    let mut stream = connect(&world, &config, "one.example").await.unwrap();
                    assert!(
                        request(&mut stream, "one.example")
                            .await
                            .starts_with("HTTP/1.1 200 OK")
                    );
                    let tls = stream.get_ref().1;
                    assert_eq!(tls.negotiated_cipher_suite().unwrap().suite(), gets);
                    assert_eq!(tls.handshake_kind(), Some(kind), "{gets:?}");
                }
            }
        }
        world.quiet().await;
    });
}

#[test]
fn sessions_are_resumed_across_configurations() {
    for versions in [&[&version::TLS12], &[&version::TLS13]] {
        run(async {
            let one = certificate("ns/one", &["one.example"], &["one.example"]);
            let world = world(vec![one.clone()]);
            let config = client(&[&one], versions);
            let mut first = connect(&world, &config, "one.example").await.unwrap();
            request(&mut first, "one.example").await;
            world.configure(&Objects {
                certificates: vec![Arc::new((*one).clone())],
                ..world.objects.clone()
            });
            let mut second = connect(&world, &config, "one.example").await.unwrap();
            assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
            assert!(
                request(&mut second, "one.example")
                    .await
                    .starts_with("HTTP/1.1 200 OK")
            );
            assert_eq!(world.status().counters.events[HttpCount::Resumed], 1);
        });
    }
}

#[test]
fn plain_http_on_a_tls_port_is_told_so_and_garbage_is_not() {
    run(async {
        let world = world(vec![certificate("ns/one", &["one.example"], &["one.example"])]);
        let mut stream = world.connect(443).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: one.example\r\n\r\n")
            .await
            .unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer:?}");
        assert!(answer.contains("this port speaks HTTPS"), "{answer:?}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        has_line(&answer, &format!("content-length: {}", body.len()));
        // A record that says it is a handshake, and is none.
        let mut stream = world.connect(443).await;
        stream.write_all(&[22, 3, 1, 0, 5, 9, 9, 9, 9, 9]).await.unwrap();
        let mut got = Vec::new();
        drop(stream.read_to_end(&mut got).await);
        assert!(!got.starts_with(b"HTTP"), "{got:?}");
        let counters = world.status().counters;
        assert_eq!(
            (
                counters.events[HttpCount::PlainOnTls],
                counters.events[HttpCount::HandshakesFailed]
            ),
            (1, 1)
        );
        // A client that says nothing is not waited for for ever.
        let start = tokio::time::Instant::now();
        let mut stream = world.connect(443).await;
        read_to_end(&mut stream).await;
        assert_eq!(start.elapsed().as_secs(), 10);
        drop(stream);
        world.quiet().await;
    });
}

#[test]
fn certificates_that_are_no_use_are_refused_by_name() {
    let good = certificate("ns/good", &["good.example"], &["good.example"]);
    let other = certificate("ns/other", &["other.example"], &["other.example"]);
    let build = |certificates: &[&Arc<Certificate>]| {
        let objects = Objects {
            certificates: certificates.iter().map(|c| Arc::clone(c)).collect(),
            ..Objects::default()
        };
        objects.build(None)
    };
    assert!(build(&[&good, &other]).is_ok());
    let swapped = Certificate {
        key: other.key.clone(),
        ..(*good).clone()
    };
    let garbage = Certificate {
        key: PrivateKey(b"garbage".to_vec().into()),
        ..(*good).clone()
    };
    let empty = Certificate {
        chain: Vec::new(),
        ..(*good).clone()
    };
    let broken = Certificate {
        chain: vec![b"garbage".to_vec()],
        ..(*good).clone()
    };
    for bad in [swapped, garbage, empty, broken] {
        let error = build(&[&other, &Arc::new(bad)]).unwrap_err();
        let key = Key::Certificate("ns/good".into());
        assert_eq!(error.key.as_deref(), Some(&key), "{error}");
        assert!(
            error.to_string().starts_with("Certificate \"ns/good\": "),
            "{error}"
        );
    }
}
