//! Clients, a stage and pods on a virtual network.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headgate_ring::message::{
    Certificate, Listener, ListenerProtocol, PathMatch, Route, RouteKind, RouteMatch, RouteOrigin, Upstream,
    UpstreamProtocol, VirtualHost, WeightedBackend,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::{Changes, Config, Limits, Stage, StageConfig};
use headgate_net::clock::Nanos;
use headgate_net::config::ConfigError;
use headgate_net::ids::WorkerId;
use headgate_net::record::{FlowLog, Recorded, Recorder, Settings};
use headgate_net::record::{HttpGauge, L7Status, TcpGauge};
use headgate_net::wire::{Parsed, parse_packet};
use headgate_tcp::network::{Channel, Network, Node};
use headgate_tcp::{Emit, SourceAddress, Stack, StackConfig, TcpStream};

pub(super) const CLIENT: &str = "192.0.2.10";
/// Another one.
pub(super) const NEIGHBOUR: &str = "192.0.2.11";
pub(super) const VIP: &str = "198.51.100.10";
pub(super) const GATEWAY: &str = "10.244.1.1";

pub(super) type PodBody = BoxBody<Bytes, Infallible>;
pub(super) type Answer = Pin<Box<dyn Future<Output = Response<PodBody>>>>;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn stack(address: &'static str, listen: &[SocketAddr]) -> Stack {
    let source: SourceAddress = Rc::new(move |_| Some(ip(address)));
    let stack = Stack::new(StackConfig {
        buffer: 64 << 10,
        ..StackConfig::new(40_000..=60_000, source)
    });
    stack.listen(listen.iter().copied());
    stack
}

pub(super) struct World {
    pub(super) client: Stack,
    pub(super) neighbour: Stack,
    pub(super) stage: Rc<RefCell<Stage>>,
    pub(super) pods: Stack,
    pub(super) objects: Objects,
    /// The objects of the configuration in force.
    in_force: RefCell<Option<Objects>>,
    pub(super) denied: Rc<RefCell<Vec<SocketAddr>>>,
    pub(super) flow_log: Arc<FlowLog>,
}

/// What a configuration is built from.
#[derive(Clone, Default)]
pub(super) struct Objects {
    pub(super) hosts: Vec<Arc<VirtualHost>>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) certificates: Vec<Arc<Certificate>>,
    pub(super) balancers: Vec<IpNet>,
}

pub(super) fn endpoint(pod: u8) -> SocketAddr {
    SocketAddr::new(ip(&format!("10.244.1.{pod}")), 8080)
}

/// A Prefix route to backends by their weights.
pub(super) fn route(path: &str, backends: &[(&str, u32)]) -> Route {
    let backend = |(upstream, weight): &(&str, u32)| WeightedBackend {
        upstream: (*upstream).into(),
        weight: *weight,
    };
    Route {
        matches: RouteMatch {
            path: PathMatch::Prefix(path.into()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        },
        filters: None,
        backends: backends.iter().map(backend).collect(),
        origin: RouteOrigin {
            kind: RouteKind::Ingress,
            name: "test/ingress".into(),
            rule: "spec.rules[0].http.paths[0]".into(),
        },
    }
}

/// A host with a Prefix route to an upstream for each path.
pub(super) fn host(name: &str, routes: &[(&str, &str)]) -> Arc<VirtualHost> {
    let routes = routes
        .iter()
        .map(|(path, upstream)| route(path, &[(upstream, 1)]));
    Arc::new(VirtualHost {
        host: name.into(),
        routes: routes.collect(),
    })
}

pub(super) fn upstream(name: &str, pods: &[u8]) -> Upstream {
    Upstream {
        name: name.into(),
        protocol: UpstreamProtocol::default(),
        endpoints: pods.iter().map(|pod| endpoint(*pod)).collect(),
    }
}

impl Objects {
    /// The configuration of these objects and no others, which makes anew what is not the same in `before`.
    pub(super) fn build(&self, before: Option<(&Objects, &Config)>) -> Result<Config, ConfigError> {
        let listeners =
            [(80, ListenerProtocol::Http), (443, ListenerProtocol::Https)].map(|(port, protocol)| Listener {
                address: SocketAddr::new(ip(VIP), port),
                protocol,
                balancers: self.balancers.clone(),
            });
        let mut changes = Changes::default();
        if let Some((before, _)) = before {
            let gone = before.hosts.iter().map(|host| (&*host.host, None));
            changes
                .hosts
                .extend(gone.filter(|(name, _)| self.hosts.iter().all(|h| h.host != *name)));
            let gone = before.upstreams.iter().map(|upstream| (&*upstream.name, None));
            changes
                .upstreams
                .extend(gone.filter(|(name, _)| self.upstreams.iter().all(|u| u.name != *name)));
            let gone = before
                .certificates
                .iter()
                .map(|certificate| (&*certificate.name, None));
            changes
                .certificates
                .extend(gone.filter(|(name, _)| self.certificates.iter().all(|c| c.name != *name)));
        }
        if before.is_none_or(|(before, _)| before.balancers != self.balancers) {
            changes
                .listeners
                .extend(listeners.iter().map(|l| (l.address, Some(l))));
        }
        changes
            .hosts
            .extend(self.hosts.iter().map(|host| (&*host.host, Some(host))));
        changes
            .upstreams
            .extend(self.upstreams.iter().map(|u| (&*u.name, Some(u))));
        changes
            .certificates
            .extend(self.certificates.iter().map(|c| (&*c.name, Some(c))));
        match before {
            Some((_, config)) => config.with(&changes),
            None => Config::empty()?.with(&changes),
        }
    }
}

impl World {
    /// One host, `web.example`, whose paths all go to pods 10, 11 and 12.
    pub(super) fn new(limits: Limits) -> Self {
        let objects = Objects {
            hosts: vec![host("web.example", &[("/", "web")])],
            upstreams: vec![upstream("web", &[10, 11, 12])],
            certificates: Vec::new(),
            balancers: Vec::new(),
        };
        Self::with(objects, limits, Channel::perfect())
    }

    pub(super) fn with(objects: Objects, limits: Limits, channel: Channel) -> Self {
        Self::with_source_ports(objects, limits, channel, 32_768..=33_768)
    }

    pub(super) fn with_source_ports(
        objects: Objects,
        limits: Limits,
        channel: Channel,
        source_ports: RangeInclusive<u16>,
    ) -> Self {
        let client = stack(CLIENT, &[]);
        let neighbour = stack(NEIGHBOUR, &[]);
        let pods = stack("10.244.1.10", &(10..20).map(endpoint).collect::<Vec<_>>());
        let source: SourceAddress = Rc::new(|_| Some(ip(GATEWAY)));
        let tcp = StackConfig {
            buffer: 64 << 10,
            ..StackConfig::new(source_ports, source)
        };
        let settings = Settings {
            recorded: Recorded::All,
            ..Settings::default()
        };
        let flow_log = Arc::new(FlowLog::new(settings, 1));
        let stage = Rc::new(RefCell::new(Stage::new(StageConfig {
            limits,
            recorder: Recorder::new(Arc::clone(&flow_log), WorkerId(0)),
            ..StageConfig::new(tcp)
        })));
        let mut network = Network::new(channel, 1);
        network.join(client.clone(), [ip(CLIENT)]);
        network.join(neighbour.clone(), [ip(NEIGHBOUR)]);
        network.join(StageNode(Rc::clone(&stage)), [ip(VIP), ip(GATEWAY)]);
        network.join(pods.clone(), (10..20).map(|pod| endpoint(pod).ip()));
        tokio::task::spawn_local(network.run());
        let world = Self {
            client,
            neighbour,
            stage,
            pods,
            objects,
            in_force: RefCell::default(),
            denied: Rc::default(),
            flow_log,
        };
        world.configure(&world.objects);
        world
    }

    pub(super) fn configure(&self, objects: &Objects) {
        let denied = Rc::clone(&self.denied);
        let allows = move |client: IpAddr, pod: SocketAddr| {
            [CLIENT, NEIGHBOUR].map(ip).contains(&client) && !denied.borrow().contains(&pod)
        };
        let before = self.in_force.replace(Some(objects.clone()));
        let mut stage = self.stage.borrow_mut();
        let config = {
            let before = before.map(|objects| (objects, stage.config()));
            objects.build(before.as_ref().map(|(objects, config)| (objects, &**config)))
        };
        let config = config.unwrap();
        stage.configure(Arc::new(config), Rc::new(allows), 1);
    }

    /// Has policies deny pods to the client, and requests under way looked at if `cut`.
    pub(super) fn deny(&self, pods: &[u8], cut: bool) {
        self.denied
            .borrow_mut()
            .extend(pods.iter().map(|pod| endpoint(*pod)));
        if cut {
            self.stage.borrow_mut().re_examine();
        }
    }

    pub(super) fn status(&self) -> L7Status {
        self.stage.borrow().status()
    }

    /// Serves every connection to every pod with hyper.
    pub(super) fn serve(
        &self,
        answer: impl Fn(SocketAddr, Request<Incoming>) -> Answer + 'static,
    ) -> Rc<Cell<usize>> {
        let (answer, pods, accepted) = (Rc::new(answer), self.pods.clone(), Rc::new(Cell::new(0)));
        let count = Rc::clone(&accepted);
        tokio::task::spawn_local(async move {
            loop {
                let stream = pods.accept().await;
                count.set(count.get() + 1);
                let (answer, local) = (Rc::clone(&answer), stream.local_addr());
                let service = service_fn(move |request| {
                    let answer = answer(local, request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let server = hyper::server::conn::http1::Builder::new()
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::task::spawn_local(server);
            }
        });
        accepted
    }

    /// Serves every connection to every pod by hand.
    pub(super) fn script<F: Future<Output = ()> + 'static>(&self, script: impl Fn(TcpStream) -> F + 'static) {
        let pods = self.pods.clone();
        tokio::task::spawn_local(async move {
            loop {
                tokio::task::spawn_local(script(pods.accept().await));
            }
        });
    }

    pub(super) async fn connect(&self, port: u16) -> TcpStream {
        Self::connect_from(&self.client, port).await
    }

    pub(super) async fn connect_from(client: &Stack, port: u16) -> TcpStream {
        client
            .connect(SocketAddr::new(ip(VIP), port))
            .unwrap()
            .await
            .unwrap()
    }

    /// A client connection driven by hyper.
    pub(super) async fn browser(&self) -> SendRequest<PodBody> {
        let io = TokioIo::new(self.connect(80).await);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::task::spawn_local(connection);
        sender
    }

    /// One request over a connection of its own, by hand; returns everything that came back.
    pub(super) async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect(80).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }

    /// Waits until no connection, task or request is left.
    pub(super) async fn quiet(&self) {
        let left = |status: &L7Status| {
            let tcp = &status.tcp;
            status.now[HttpGauge::Clients]
                + status.now[HttpGauge::Active]
                + status.now[HttpGauge::UpstreamIdle]
                + status.now[HttpGauge::UpstreamBusy]
                + tcp.now[TcpGauge::Connections]
                + tcp.now[TcpGauge::HalfOpen]
                + tcp.now[TcpGauge::TimeWait]
        };
        let start = tokio::time::Instant::now();
        while left(&self.status()) > 0 {
            assert!(start.elapsed() < Duration::from_secs(600), "{:#?}", self.status());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

pub(super) async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut got = Vec::new();
    drop(stream.read_to_end(&mut got).await);
    String::from_utf8_lossy(&got).into_owned()
}

pub(super) fn full(bytes: impl Into<Bytes>) -> PodBody {
    Full::new(bytes.into()).boxed()
}

pub(super) fn get(path: &str) -> Request<PodBody> {
    Request::builder()
        .uri(path)
        .header("host", "web.example")
        .body(full(""))
        .unwrap()
}

/// Sends a request and reads the whole answer.
pub(super) async fn fetch(
    browser: &mut SendRequest<PodBody>,
    request: Request<PodBody>,
) -> (StatusCode, HeaderMap, String) {
    browser.ready().await.unwrap();
    let response = browser.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status,
        head.headers,
        String::from_utf8_lossy(&body).into_owned(),
    )
}

/// Answers with the pod's address, the request line and the headers, one in a line.
pub(super) fn mirror(local: SocketAddr, request: Request<Incoming>) -> Answer {
    Box::pin(async move {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut text = format!("{local}\n{} {}\n", head.method, head.uri);
        for (name, value) in &head.headers {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        text += &format!("\n{}", String::from_utf8_lossy(&body));
        Response::new(full(text))
    })
}

/// Reads the request and answers with so many bytes.
pub(super) fn answer_with(request: Request<Incoming>, length: usize) -> Answer {
    Box::pin(async move {
        drop(request.into_body().collect().await);
        Response::new(full(vec![b'x'; length]))
    })
}

/// Checks that a text has a line.
#[track_caller]
pub(super) fn has_line(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
}

struct StageNode(Rc<RefCell<Stage>>);

impl Node for StageNode {
    fn ingress(&mut self, packet: &[u8], now: Nanos) {
        if let Ok(Parsed::Ip(headers)) = parse_packet(packet) {
            self.0.borrow_mut().ingress(packet, &headers, now);
        }
    }

    fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        self.0.borrow_mut().egress(now, emit);
    }

    fn next_timer(&self) -> Option<Nanos> {
        self.0.borrow().next_timer()
    }

    fn wake(&self) -> Arc<Notify> {
        self.0.borrow().wake()
    }
}
