//! Requests at L7: from a client's packets to a pod's and back.

use std::io::{Read, Write};
use std::sync::Arc;

use headgate_ring::message::{Certificate, PrivateKey};
use headgate_tcp::TcpStream;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, version};

use crate::gateway::{Around, Gateway, MAX_TURNS, receive, send, uncounted, whole};
use crate::objects::{endpoints, listener, tables};
use crate::{Scenario, counted};
use headgate_net::record::TcpGauge;

/// Bytes of a small answer.
const SMALL: usize = 100;
/// Bytes of a large one.
const LARGE: usize = 64 << 10;
/// Bytes of a request's small body.
const BODY: usize = 4 << 10;
/// Requests before those that are counted: after them there is a connection to each pod.
const WARM_UP: usize = 16;

/// Each counts requests.
pub(crate) fn scenarios() -> impl Iterator<Item = Scenario> {
    let of = |name, repetitions, run| Scenario {
        name,
        repetitions,
        run,
    };
    [
        of("request-get", 64, kept as fn(&str, usize)),
        of("request-post-4k", 64, kept),
        of("request-get-64k", 16, kept),
        of("request-get-tls", 64, kept),
        of("request-get-64k-tls", 16, kept),
        of("request-post-64k-tls", 16, kept),
        of("connection-get", 32, opened),
        of("connection-get-tls", 16, opened),
        of("connection-get-resumed-tls", 16, opened),
    ]
    .into_iter()
}

/// Requests over one connection that is kept, as those to pods are.
fn kept(name: &str, repetitions: usize) {
    let body = if name.contains("get-64k") { LARGE } else { SMALL };
    let mut bed = Bed::new(name, body);
    let mut client = bed.connect(uncounted);
    for _ in 0..WARM_UP {
        bed.exchange(&mut client, uncounted);
    }
    for _ in 0..repetitions {
        bed.exchange(&mut client, counted);
    }
}

/// Each request over a connection of its own, from its SYN to the last FIN; those to pods are kept.
fn opened(name: &str, repetitions: usize) {
    let mut bed = Bed::new(name, SMALL);
    for round in 0..WARM_UP + repetitions {
        let around: Around = if round < WARM_UP { uncounted } else { counted };
        let mut client = bed.connect(around);
        bed.exchange(&mut client, around);
        assert!(round == 0 || client.resumed() == name.contains("resumed"));
        drop(client);
        bed.until_closed(around);
    }
}

struct Bed {
    gateway: Gateway,
    request: Vec<u8>,
    trust: Option<Arc<ClientConfig>>,
}

/// A client's connection, in TLS or not.
struct Client {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    out: Vec<u8>,
    got: Vec<u8>,
}

impl Bed {
    fn new(name: &str, body: usize) -> Self {
        let certificate = name.ends_with("tls").then(certificate);
        let trust = certificate
            .as_ref()
            .map(|certificate| trust(certificate, name.contains("resumed")));
        let length = if name.contains("post-64k") { LARGE } else { BODY };
        let headers = "host: web.example\r\n\
             user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
             accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
             accept-language: en-GB,en;q=0.5\r\naccept-encoding: gzip, deflate, br\r\n\
             cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n";
        let mut request = if name.contains("post") {
            format!("POST /shop/07/basket HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n").into_bytes()
        } else {
            format!("GET /shop/07/item?colour=blue HTTP/1.1\r\n{headers}\r\n").into_bytes()
        };
        if name.contains("post") {
            request.resize(request.len() + length, b'y');
        }
        Self {
            gateway: Gateway::new(&tables(certificate), endpoints(), body),
            request,
            trust,
        }
    }

    fn connect(&mut self, around: Around) -> Client {
        let stream = self.gateway.connect(listener(self.trust.is_some()), around);
        let tls = self.trust.as_ref().map(|config| {
            let name = ServerName::try_from("web.example").expect("a name");
            let mut tls = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
            tls.set_buffer_limit(None);
            tls
        });
        Client {
            stream,
            tls,
            out: Vec::new(),
            got: Vec::new(),
        }
    }

    /// Sends the request and takes the whole answer.
    fn exchange(&mut self, client: &mut Client, around: Around) {
        client.write(&self.request);
        let mut turns = 0;
        while !client.answered() {
            turns += 1;
            assert!(turns < MAX_TURNS, "no answer");
            self.gateway.turn(around);
        }
        assert!(
            client.got.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&client.got)
        );
        client.got.clear();
    }

    /// Turns until nothing is left of any client's connection.
    fn until_closed(&mut self, around: Around) {
        let mut turns = 0;
        while self.gateway.clients().status().now[TcpGauge::Connections] > 0 {
            turns += 1;
            assert!(turns < MAX_TURNS, "a connection does not end");
            self.gateway.turn(around);
        }
    }
}

impl Client {
    fn write(&mut self, data: &[u8]) {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(data).expect("room"),
            None => self.out.extend_from_slice(data),
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            tls.write_tls(&mut self.out).expect("a vector takes all");
        }
        send(&mut self.stream, &mut self.out);
    }

    /// Whether its handshake was one of a session that is resumed.
    fn resumed(&self) -> bool {
        let kind = self.tls.as_ref().and_then(|tls| tls.handshake_kind());
        kind == Some(HandshakeKind::Resumed)
    }

    /// Whether the answer has come as a whole.
    fn answered(&mut self) -> bool {
        if let Some(tls) = &mut self.tls {
            let mut records = Vec::new();
            receive(&self.stream, &mut records);
            let mut left = records.as_slice();
            while !left.is_empty() {
                tls.read_tls(&mut left).expect("a slice gives all");
                tls.process_new_packets().expect("sound TLS");
                // Would block at its end.
                let _ = tls.reader().read_to_end(&mut self.got);
            }
        } else {
            receive(&self.stream, &mut self.got);
        }
        self.flush();
        whole(&self.got).is_some()
    }
}

fn certificate() -> Certificate {
    let name = "web.example".to_owned();
    let pair = rcgen::generate_simple_self_signed([name.clone()]).expect("a certificate");
    Certificate {
        name: "default/web".to_owned(),
        hosts: vec![name],
        chain: vec![pair.cert.der().to_vec()],
        key: PrivateKey(pair.signing_key.serialize_der().into()),
    }
}

/// A client that trusts the certificate. Where it resumes no session, every handshake is whole.
fn trust(certificate: &Certificate, resumes: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(certificate.chain[0].clone()))
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Arc::new(config)
}
