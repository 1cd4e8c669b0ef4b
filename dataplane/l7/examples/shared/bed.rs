//! An L7 stage between clients and pods, in memory, on one thread: all but the stage is driven by hand.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headgate_l7::{Changes, Config, Stage, StageConfig};
use headgate_net::clock::Nanos;
use headgate_net::wire::{Headers, Parsed, parse_packet};
use headgate_ring::message::{
    Certificate, Listener, ListenerProtocol, PathMatch, PrivateKey, Route, RouteKind, RouteMatch,
    RouteOrigin, Upstream, UpstreamProtocol, VirtualHost, WeightedBackend,
};
use headgate_tcp::{SourceAddress, Stack, StackConfig, TcpStream};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::AsyncWrite;

/// Bytes of an answer's body.
const BODY: usize = 100;
const CLIENTS: u8 = 4;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 1);
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
const HOST: &str = "shop.example.com";
const REQUEST: &[u8] = b"GET /catalogue/items?page=2 HTTP/1.1\r\nHost: shop.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml\r\n\
Accept-Encoding: gzip, deflate\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n\r\n";

/// What the stage's work of a turn goes through: for who times or weighs it.
pub(crate) type Around<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// Packets on their way, in buffers that are used again.
struct Packets {
    buffers: Vec<Vec<u8>>,
    used: usize,
}

impl Packets {
    fn new() -> Self {
        Self {
            buffers: (0..4_096).map(|_| Vec::with_capacity(2_048)).collect(),
            used: 0,
        }
    }

    fn push(&mut self, length: usize, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        // None is made while the stage is timed or weighed.
        if self.used == self.buffers.len() {
            return false;
        }
        let buffer = &mut self.buffers[self.used];
        buffer.resize(length, 0);
        fill(buffer);
        self.used += 1;
        true
    }
}

/// A client's connection.
pub(crate) struct Client {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

pub(crate) struct Bed {
    stage: Stage,
    clients: Vec<Stack>,
    pods: Stack,
    pub(crate) connections: Vec<Client>,
    serving: Vec<TcpStream>,
    answer: Vec<u8>,
    pub(crate) now: Nanos,
    up: Packets,
    down: Packets,
    trust: Arc<ClientConfig>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let pods = Stack::new(config(GATEWAY));
        pods.listen((0..4).map(pod));
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: pod\r\n\
             Date: Sat, 28 Nov 2026 20:00:00 GMT\r\nContent-Length: {BODY}\r\n\r\n"
        );
        let mut answer = head.into_bytes();
        answer.resize(answer.len() + BODY, b'x');
        let mut stage = Stage::new(StageConfig::new(StackConfig {
            max_connections: 200_000,
            ..config(GATEWAY)
        }));
        let (objects, trust) = objects();
        stage.configure(Arc::new(objects), Rc::new(|_, _| true), 1);
        Self {
            stage,
            clients: (0..CLIENTS)
                .map(|n| Stack::new(config(Ipv4Addr::new(192, 0, 2, 10 + n))))
                .collect(),
            pods,
            connections: Vec::new(),
            serving: Vec::new(),
            answer,
            now: Nanos(1_000_000_000),
            up: Packets::new(),
            down: Packets::new(),
            trust,
        }
    }

    /// Opens so many connections, one after another.
    pub(crate) fn connect(&mut self, count: usize, tls: bool, around: Around<'_>) {
        let listener = SocketAddr::new(VIP, if tls { 443 } else { 80 });
        for n in 0..count {
            let mut connecting = self.clients[n % self.clients.len()]
                .connect(listener)
                .expect("a port");
            let stream = loop {
                self.turn(around);
                if let Poll::Ready(stream) = Pin::new(&mut connecting).poll(&mut context()) {
                    break stream.expect("a connection");
                }
            };
            let name = ServerName::try_from(HOST).expect("a name");
            let tls = tls.then(|| {
                let connection = ClientConnection::new(Arc::clone(&self.trust), name);
                Box::new(connection.expect("a configuration"))
            });
            let mut client = Client { stream, tls };
            while client.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
                client.send(b"");
                self.turn(around);
                client.receive();
            }
            self.connections.push(client);
        }
    }

    /// One request over each of these connections at the same time, to its answer.
    pub(crate) fn exchange(&mut self, connections: std::ops::Range<usize>, around: Around<'_>) {
        for place in connections.clone() {
            let place = place % self.connections.len();
            self.connections[place].send(REQUEST);
        }
        let mut waiting: Vec<usize> = connections.collect();
        for _ in 0..1_000 {
            self.turn(around);
            let count = self.connections.len();
            waiting.retain(|place| self.connections[place % count].receive() == 0);
            if waiting.is_empty() {
                return;
            }
        }
        panic!("an answer did not come");
    }

    /// Carries packets to the stage, has it work, and carries what it sends to clients and pods, who answer.
    pub(crate) fn turn(&mut self, around: Around<'_>) {
        self.now = self.now.after(Duration::from_micros(20));
        let (now, up, down) = (self.now, &mut self.up, &mut self.down);
        for stack in self.clients.iter().chain([&self.pods]) {
            stack.egress(now, &mut |length, fill| up.push(length, fill));
        }
        let packets: Vec<(&[u8], Headers)> = up.buffers[..up.used]
            .iter()
            .map(|packet| (packet.as_slice(), headers(packet)))
            .collect();
        let stage = &mut self.stage;
        around(&mut || work(stage, &packets, down, now));
        for packet in &down.buffers[..down.used] {
            let to = match packet[16..20] {
                [192, .., n] => &self.clients[usize::from(n - 10)],
                _ => &self.pods,
            };
            to.ingress(packet, &headers(packet), now);
        }
        (up.used, down.used) = (0, 0);
        self.serve();
    }

    /// Has pods answer each request as it comes: it ends with its packet.
    fn serve(&mut self) {
        while let Some(stream) = self.pods.try_accept() {
            self.serving.push(stream);
        }
        let answer = &self.answer;
        self.serving.retain_mut(|stream| {
            if receive(stream, |_| {}) > 0 {
                let written = Pin::new(&mut *stream).poll_write(&mut context(), answer);
                assert!(matches!(written, Poll::Ready(Ok(_))));
            }
            // Until the gateway closes it.
            stream.poll_receive(&mut context(), |_| 0).is_pending()
        });
    }
}

impl Client {
    /// Sends plain text, and whatever TLS has to say.
    fn send(&mut self, plain: &[u8]) {
        let mut bytes = Vec::new();
        match &mut self.tls {
            None => bytes.extend_from_slice(plain),
            Some(tls) => {
                tls.writer().write_all(plain).expect("room");
                while tls.wants_write() {
                    tls.write_tls(&mut bytes).expect("memory");
                }
            }
        }
        if !bytes.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(&mut context(), &bytes);
            assert!(matches!(written, Poll::Ready(Ok(length)) if length == bytes.len()));
        }
    }

    /// Reads what has arrived, and throws it away; how much plain text it was.
    fn receive(&mut self) -> usize {
        let Some(tls) = &mut self.tls else {
            return receive(&self.stream, |_| {});
        };
        receive(&self.stream, |mut data| {
            while !data.is_empty() {
                tls.read_tls(&mut data).expect("memory");
                tls.process_new_packets().expect("TLS");
            }
        });
        let mut got = [0; 4096];
        let mut count = 0;
        while let Ok(length @ 1..) = tls.reader().read(&mut got) {
            count += length;
        }
        count
    }
}

/// What is timed, by a name that profilers know.
#[inline(never)]
fn work(stage: &mut Stage, packets: &[(&[u8], Headers)], down: &mut Packets, now: Nanos) {
    for (packet, headers) in packets {
        stage.ingress(packet, headers, now);
    }
    stage.egress(now, &mut |length, fill| down.push(length, fill));
}

/// Lets `take` see what has arrived.
fn receive(stream: &TcpStream, mut take: impl FnMut(&[u8])) -> usize {
    let mut got = 0;
    let mut all = |data: &[u8]| {
        take(data);
        data.len()
    };
    while let Poll::Ready(Ok(count @ 1..)) = stream.poll_receive(&mut context(), &mut all) {
        got += count;
    }
    got
}

fn pod(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 244, 1, 10 + n], 8080))
}

fn config(address: Ipv4Addr) -> StackConfig {
    let address = IpAddr::from(address);
    let source: SourceAddress = Rc::new(move |_| Some(address));
    StackConfig {
        max_connections: 60_000,
        ..StackConfig::new(2_000..=62_000, source)
    }
}

fn objects() -> (Config, Arc<ClientConfig>) {
    let host = Arc::new(VirtualHost {
        host: HOST.into(),
        routes: vec![Route {
            matches: RouteMatch {
                path: PathMatch::Prefix("/".into()),
                method: None,
                headers: Vec::new(),
                query: Vec::new(),
            },
            filters: None,
            backends: vec![WeightedBackend {
                upstream: "shop".into(),
                weight: 1,
            }],
            origin: RouteOrigin {
                kind: RouteKind::Ingress,
                name: "shop/shop".into(),
                rule: "spec.rules[0].http.paths[0]".into(),
            },
        }],
    });
    let upstream = Upstream {
        name: "shop".into(),
        protocol: UpstreamProtocol::default(),
        endpoints: (0..4).map(pod).collect(),
    };
    let listeners =
        [(80, ListenerProtocol::Http), (443, ListenerProtocol::Https)].map(|(port, protocol)| Listener {
            address: SocketAddr::new(VIP, port),
            protocol,
            balancers: Vec::new(),
        });
    let pair = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).expect("a certificate");
    let certificate = Arc::new(Certificate {
        name: "shop/tls".into(),
        hosts: vec![HOST.into()],
        chain: vec![pair.cert.der().to_vec()],
        key: PrivateKey(pair.signing_key.serialize_der().into()),
    });
    let changes = Changes {
        hosts: vec![(HOST, Some(&host))],
        upstreams: vec![("shop", Some(&upstream))],
        certificates: vec![("shop/tls", Some(&certificate))],
        listeners: listeners
            .iter()
            .map(|listener| (listener.address, Some(listener)))
            .collect(),
    };
    let config = Config::empty().and_then(|config| config.with(&changes));
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(certificate.chain[0].clone()))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (config.expect("a configuration"), Arc::new(trust))
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn headers(packet: &[u8]) -> Headers {
    match parse_packet(packet) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}
