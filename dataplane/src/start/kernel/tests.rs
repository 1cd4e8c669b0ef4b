//! The whole dataplane on loopback, as an ordinary user can run it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use headgate_ring::message::{
    Action, Direction, Endpoint, Frontend, GroupId, Listener, ListenerProtocol, Object, PathMatch, Policy,
    PolicyRule, Protocol, Route, RouteKind, RouteMatch, RouteOrigin, Service, Tier, ToControl, Upstream,
    UpstreamProtocol, VirtualHost, WeightedBackend,
};
use headgate_ring::{ControlSession, Operation, Transaction};
use tokio::sync::mpsc::UnboundedSender;

use super::*;
use crate::start::Ask;
use crate::start::testing::{Home, PATIENCE, free, until};
use headgate_net::record::{Class, HttpCount};

struct Loopback {
    home: Home,
}

impl Loopback {
    fn new() -> Self {
        Self { home: Home::new() }
    }

    fn options(&self, more: &[&str]) -> Options {
        self.home.options(more)
    }

    /// Runs the dataplane while `test` runs.
    fn with_dataplane(&self, more: &[&str], test: impl FnOnce() + Send) {
        let words = [&["--port", KERNEL], more].concat();
        self.home.with_dataplane(&words, || {}, test);
    }

    fn connect(&self) -> ControlSession {
        self.home.connect()
    }

    fn status(&self) -> Status {
        self.home.status()
    }
}

fn publish(session: &mut ControlSession, generation: u64, objects: Vec<Object>) {
    let transaction = Transaction {
        generation,
        full: true,
        operations: objects.into_iter().map(Operation::Put).collect(),
    };
    session.send_transaction(&transaction, Some(PATIENCE)).unwrap();
    let answer = session.receive(Some(PATIENCE)).unwrap();
    assert_eq!(answer, Some(ToControl::Ack { generation }));
}

/// Whether nobody listens there any more. Who does is asked and answers, which takes its time: connections that come faster
/// than they are accepted fill the listener's queue, and then connecting takes seconds.
fn is_closed(to: SocketAddr) -> Option<()> {
    let Ok(mut stream) = TcpStream::connect(to) else {
        return Some(());
    };
    let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let _ = stream.read_to_end(&mut Vec::new());
    None
}

/// A pod that answers whatever comes with `answer`, until its client closes.
fn pod(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                while stream.read(&mut head).is_ok_and(|length| length > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

fn listener(address: SocketAddr) -> Object {
    Object::Listener(Listener {
        address,
        protocol: ListenerProtocol::Http,
        balancers: Vec::new(),
    })
}

/// `shop.example` goes to these pods.
fn route(endpoints: &[SocketAddr]) -> [Object; 2] {
    let route = Route {
        matches: RouteMatch {
            path: PathMatch::Prefix("/".into()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        },
        filters: None,
        backends: vec![WeightedBackend {
            upstream: "test/web".into(),
            weight: 1,
        }],
        origin: RouteOrigin {
            kind: RouteKind::Ingress,
            name: "test/shop".into(),
            rule: "spec.rules[0].http.paths[0]".into(),
        },
    };
    [
        Object::VirtualHost(VirtualHost {
            host: "shop.example".into(),
            routes: vec![route],
        }),
        Object::Upstream(Upstream {
            name: "test/web".into(),
            protocol: UpstreamProtocol::default(),
            endpoints: endpoints.to_vec(),
        }),
    ]
}

/// A policy that lets nobody reach the pods on 127.0.0.2.
fn closed() -> [Object; 2] {
    [
        Object::Endpoint(Endpoint {
            name: "test/web-1".into(),
            addresses: vec![[127, 0, 0, 2].into()],
            hosts: Vec::new(),
            labels: Vec::new(),
            ports: Vec::new(),
            groups: vec![GroupId(1)],
        }),
        Object::Policy(Policy {
            name: "test/closed".into(),
            tier: Tier::NetworkPolicy,
            priority: 0,
            direction: Direction::Ingress,
            subjects: GroupId(1),
            rules: vec![PolicyRule {
                number: 0,
                name: String::new(),
                action: Action::Accept,
                only: None,
                peers: Some(Vec::new()),
                ports: None,
            }],
        }),
    ]
}

fn send(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream
}

fn ask(to: SocketAddr) -> String {
    let mut text = String::new();
    send(to).read_to_string(&mut text).unwrap();
    text
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn listeners_come_and_go_and_requests_reach_pods_on_loopback() {
    let net = Loopback::new();
    let (web, [first, second]) = (pod(HELLO), [free(), free()]);
    net.with_dataplane(&["--workers", "2"], || {
        let mut session = net.connect();
        let state = |addresses: &[SocketAddr]| {
            let listeners = addresses.iter().map(|address| listener(*address));
            route(&[web]).into_iter().chain(listeners).collect::<Vec<_>>()
        };
        publish(&mut session, 1, state(&[first]));
        assert!(ask(first).ends_with("\r\n\r\nhello"));
        // One that has connected before a change is answered after it.
        let mut kept = TcpStream::connect(first).unwrap();
        publish(&mut session, 2, state(&[first, second]));
        kept.write_all(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        kept.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(ask(second).ends_with("hello"));
        publish(&mut session, 3, state(&[second]));
        until("the listener is closed", || is_closed(first));
        assert!(ask(second).ends_with("hello"));
        let status = net.status();
        assert_eq!((status.mode, status.workers.len()), (Mode::Sockets, 2));
        let served: u64 = status
            .workers
            .iter()
            .map(|w| w.l7.counters.requests[Class::Success])
            .sum();
        assert_eq!(served, 4);
    });
}

#[test]
fn all_addresses_are_one_listener_and_another_program_s_port_is_told() {
    let net = Loopback::new();
    let web = pod(HELLO);
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = theirs.local_addr().unwrap();
    let everywhere = SocketAddr::new([0, 0, 0, 0].into(), free().port());
    net.with_dataplane(&["--workers", "2"], || {
        let mut session = net.connect();
        let mut state: Vec<_> = route(&[web]).into();
        state.extend([listener(everywhere), listener(taken)]);
        let service = Service {
            frontend: Frontend {
                address: [198, 51, 100, 10].into(),
                protocol: Protocol::Udp,
                port: 53,
            },
            name: "test/dns".into(),
            backends: Vec::new(),
            affinity_seconds: None,
        };
        state.push(Object::Service(service));
        publish(&mut session, 1, state);
        for address in [[127, 0, 0, 1], [127, 0, 0, 9]] {
            assert!(ask((address, everywhere.port()).into()).ends_with("hello"));
        }
        let status = net.status();
        let fault = |address| {
            status
                .listeners
                .iter()
                .find(|l| l.address == address)?
                .fault
                .clone()
        };
        assert_eq!(fault(everywhere), None);
        assert!(
            fault(taken).is_some_and(|fault| fault.contains("another program")),
            "{status:?}"
        );
        assert_eq!(status.services.len(), 1, "which are told not to be balanced");
        drop(theirs);
        until("the port is free now", || TcpStream::connect(taken).ok());
        until("it is ours", || {
            net.status()
                .listeners
                .iter()
                .all(|l| l.fault.is_none())
                .then_some(())
        });
        assert!(ask(taken).ends_with("hello"));
    });
}

#[test]
fn policies_deny_requests_and_cut_those_under_way() {
    let net = Loopback::new();
    let (slow, to) = (pod("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"), free());
    net.with_dataplane(&[], || {
        let mut session = net.connect();
        let mut state: Vec<_> = route(&[slow]).into_iter().chain([listener(to)]).collect();
        publish(&mut session, 1, state.clone());
        let mut under_way = send(to);
        let mut head = Vec::new();
        while !head.ends_with(b"hello") {
            let mut byte = [0];
            under_way.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        state.extend(closed());
        publish(&mut session, 2, state);
        let error = under_way.read_to_end(&mut head).expect_err("it is reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(ask(to).starts_with("HTTP/1.1 403"));
        let l7 = net.status().workers.into_iter().map(|worker| worker.l7.counters);
        let counted = l7.fold((0, 0), |sum, c| {
            (
                sum.0 + c.events[HttpCount::Cut],
                sum.1 + c.events[HttpCount::Denied],
            )
        });
        assert_eq!(counted, (1, 1));
    });
}

#[test]
fn a_client_that_sends_more_than_is_read_still_gets_its_answer() {
    let net = Loopback::new();
    let to = free();
    net.with_dataplane(&[], || {
        let mut session = net.connect();
        publish(&mut session, 1, vec![listener(to)]);
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // No method: answered 400 and closed while the rest is still under way.
        let garbage = vec![b'\0'; 300_000];
        let _ = stream.write_all(&garbage);
        let mut text = String::new();
        stream
            .read_to_string(&mut text)
            .expect("no reset before the answer");
        assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    });
}

/// A dataplane that serves one listener, whose requests go to a pod that the test is.
struct Drained<'a> {
    asks: &'a UnboundedSender<Ask>,
    to: SocketAddr,
    pods: TcpListener,
    metrics: SocketAddr,
}

impl Drained<'_> {
    /// Runs it with these flags while `test` runs.
    fn with(flags: &[&str], test: impl FnOnce(&Drained<'_>) + Send) {
        let net = Loopback::new();
        let (to, metrics) = (free(), free());
        let pods = TcpListener::bind("127.0.0.2:0").unwrap();
        let endpoint = pods.local_addr().unwrap();
        let at = metrics.to_string();
        let words = [&["--port", KERNEL, "--metrics", &at][..], flags].concat();
        net.home.with_dataplane_and_asks(
            &words,
            || {},
            |asks| {
                let mut session = net.connect();
                let objects = route(&[endpoint]).into_iter().chain([listener(to)]);
                publish(&mut session, 1, objects.collect());
                test(&Drained {
                    asks,
                    to,
                    pods,
                    metrics,
                });
            },
        );
    }

    /// A request on its way: the client's end, and the pod's, which has read it.
    fn ask(&self) -> (TcpStream, TcpStream) {
        let asking = send(self.to);
        let (mut answering, _) = self.pods.accept().unwrap();
        let mut head = [0; 4096];
        assert!(answering.read(&mut head).unwrap() > 0);
        (asking, answering)
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.metrics).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_request_under_way_ends_before_the_process_does() {
    let (client, asking) = std::sync::mpsc::channel();
    Drained::with(&[], |drained| {
        let (asking, mut answering) = drained.ask();
        drained.asks.send(Ask::Terminate).unwrap();
        // A second one takes nothing back.
        drained.asks.send(Ask::Terminate).unwrap();
        until("the listener is closed", || is_closed(drained.to));
        answering.write_all(HELLO.as_bytes()).unwrap();
        client.send(asking).unwrap();
        until("the process ends by itself", || {
            TcpStream::connect(drained.metrics).is_err().then_some(())
        });
    });
    let text = read(asking.recv().unwrap());
    assert!(text.ends_with("hello"), "{text}");
}

#[test]
fn who_drains_is_not_ready_serves_new_clients_for_the_delay_and_says_so() {
    Drained::with(&["--drain-delay", "10s"], |drained| {
        assert!(drained.get("/readyz").unwrap().starts_with("HTTP/1.1 200"));
        drained.asks.send(Ask::Terminate).unwrap();
        let ready = || {
            drained
                .get("/readyz")
                .filter(|text| text.starts_with("HTTP/1.1 503"))
        };
        let text = until("it is not ready", ready);
        assert!(text.contains("draining"), "{text}");
        assert!(drained.get("/healthz").unwrap().starts_with("HTTP/1.1 200"));
        let metrics = drained.get("/metrics").unwrap();
        assert!(
            metrics.lines().any(|line| line == "headgate_draining 1"),
            "{metrics}"
        );
        let (asking, mut answering) = drained.ask();
        answering.write_all(HELLO.as_bytes()).unwrap();
        let text = read(asking);
        assert!(text.ends_with("hello"), "{text}");
    });
}

#[test]
fn what_takes_longer_than_the_limit_is_cut() {
    let started = std::time::Instant::now();
    Drained::with(&["--drain-time", "500ms"], |drained| {
        let (asking, answering) = drained.ask();
        drained.asks.send(Ask::Terminate).unwrap();
        until("the process ends", || {
            TcpStream::connect(drained.metrics).is_err().then_some(())
        });
        drop(answering);
        assert!(!read_what_there_is(asking).ends_with("hello"));
    });
    assert!(started.elapsed() >= Duration::from_millis(500));
}

/// Until the connection ends, in whatever way.
fn read_what_there_is(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn descriptors_are_shared_out() {
    let clients = |descriptors, workers| share_out(descriptors, workers).clients();
    // For each client a connection to a pod, one that is kept, and one that is waited for; the rest is for all else.
    assert_eq!(clients(Some(1024), 2), (1024 - 128 - 2 * 16) / 2 / 4);
    assert_eq!(clients(Some(20_000), 4), (20_000 - 128 - 4 * 16) / 4 / 4);
    assert_eq!(clients(Some(1 << 20), 2), 16_384);
    assert_eq!(clients(None, 64), 16_384);
    assert_eq!(clients(Some(64), 8), 1);
}

#[test]
fn what_is_for_interfaces_is_refused() {
    let net = Loopback::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (flags, said) in [
        (["--port", "eth0"], "cannot be mixed with interfaces (eth0)"),
        (["--l7-cores", "0"], "--l7-cores is for packets"),
    ] {
        let options = net.options(&[&["--port", "kernel"][..], &flags].concat());
        let error = runtime
            .block_on(super::super::run_until(
                &options,
                &mut mpsc::unbounded_channel().1,
            ))
            .expect_err("it is refused");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn metrics_and_probes_are_served_there_too() {
    let net = Loopback::new();
    let (web, to, metrics) = (pod(HELLO), free(), free());
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = theirs.local_addr().unwrap();
    net.with_dataplane(&["--metrics", &metrics.to_string()], || {
        let mut session = net.connect();
        let get = |path: &str| {
            let mut stream = until("the metrics", || TcpStream::connect(metrics).ok());
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        assert!(get("/healthz").starts_with("HTTP/1.1 200"));
        assert!(
            get("/readyz").starts_with("HTTP/1.1 503"),
            "before the first state"
        );
        let state: Vec<_> = route(&[web]).into();
        publish(&mut session, 1, [state.clone(), vec![listener(to)]].concat());
        assert!(ask(to).ends_with("hello"));
        let text = get("/readyz");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let text = get("/metrics");
        let line = "headgate_http_requests_total{class=\"2xx\"} 1";
        assert!(text.lines().any(|l| l == line), "{text}");
        publish(
            &mut session,
            2,
            [state, vec![listener(to), listener(taken)]].concat(),
        );
        let text = get("/readyz");
        assert!(
            text.starts_with("HTTP/1.1 503") && text.contains(&taken.to_string()),
            "{text}"
        );
    });
}
