//! The whole dataplane on real veth pairs, with the kernel's own stack as client and as pod.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use headgate_ring::message::{
    Frontend, Listener, ListenerProtocol, Object, PathMatch, Protocol, Route, RouteKind, RouteMatch,
    RouteOrigin, Service, ToControl, Upstream, UpstreamProtocol, VirtualHost, WeightedBackend,
};
use headgate_ring::{ControlSession, Operation, Transaction};

use super::*;
use crate::start::testing::{Home, PATIENCE, until};
use crate::telemetry::{LinkState, Status};
use crate::testing::{Namespace, run as run_command};
use headgate_net::record::{Class, L7Status, Loop, PacketCount};

const PORTS: [&str; 4] = ["--port", "g0", "--port", "g1"];

/// Clients, gateway and pods, joined by veth pairs with two queues.
struct Net {
    clients: Namespace,
    gateway: Namespace,
    pods: Namespace,
    home: Home,
}

impl Net {
    fn new() -> Self {
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let net = Self {
            clients: Namespace::new("c"),
            gateway: Namespace::new("g"),
            pods: Namespace::new("p"),
            home: Home::new(),
        };
        net.join("g0", &net.clients, "c0");
        net.join("g1", &net.pods, "p0");
        for (namespace, link, addresses) in [
            (&net.gateway, "g0", ["192.0.2.1/24", "2001:db8:c::1/64"]),
            (&net.gateway, "g1", ["10.244.1.1/24", "fd00:10:244:1::1/64"]),
            (&net.clients, "c0", ["192.0.2.10/24", "2001:db8:c::10/64"]),
            (&net.pods, "p0", ["10.244.1.10/24", "fd00:10:244:1::10/64"]),
        ] {
            namespace.ip(&format!("addr add {} dev {link}", addresses[0]));
            namespace.ip(&format!("addr add {} dev {link} nodad", addresses[1]));
        }
        net.clients.ip("route add 198.51.100.0/24 via 192.0.2.1");
        net.clients.ip("route add 2001:db8:f::/64 via 2001:db8:c::1");
        net
    }

    fn join(&self, near: &str, far: &Namespace, end: &str) {
        let queues = "numrxqueues 2 numtxqueues 2";
        self.gateway.ip(&format!(
            "link add {near} {queues} type veth peer name {end} {queues} netns {}",
            far.name()
        ));
        for (namespace, link) in [(&self.gateway, near), (far, end)] {
            namespace.ip(&format!("link set {link} up"));
        }
        // Packets that their sender leaves without a checksum would reach no NIC either.
        run_command(Command::new("ip").args([
            "netns",
            "exec",
            far.name(),
            "ethtool",
            "-K",
            end,
            "tx",
            "off",
        ]));
    }

    fn options(&self, more: &[&str]) -> Options {
        self.home.options(&[&PORTS, more].concat())
    }

    fn run_file(&self, name: &str) -> PathBuf {
        self.home.file(name)
    }

    /// Runs the dataplane while `test` runs.
    fn with_dataplane<T: Send>(&self, more: &[&str], test: impl FnOnce() -> T + Send) -> T {
        let enter = || self.gateway.enter();
        self.home.with_dataplane(&[&PORTS, more].concat(), enter, test)
    }

    fn connect(&self) -> ControlSession {
        self.home.connect()
    }

    fn status(&self) -> Status {
        self.home.status()
    }
}

fn service(protocol: Protocol, frontend: &str, backend: &str) -> Operation {
    let frontend: SocketAddr = frontend.parse().unwrap();
    let frontend = Frontend {
        address: frontend.ip(),
        protocol,
        port: frontend.port(),
    };
    let backends = vec![backend.parse().unwrap()];
    Operation::Put(Object::Service(Service {
        frontend,
        name: "test/echo".into(),
        backends,
        affinity_seconds: None,
    }))
}

fn publish(session: &mut ControlSession, generation: u64, operations: Vec<Operation>) -> ToControl {
    let transaction = Transaction {
        generation,
        full: true,
        operations,
    };
    session.send_transaction(&transaction, Some(PATIENCE)).unwrap();
    session
        .receive(Some(PATIENCE))
        .unwrap()
        .expect("an answer in time")
}

/// Answers datagrams and connections at port 7 with what they say, until the test ends.
fn echo(pods: &Namespace) {
    echo_at(pods, "[::]:7");
}

fn echo_at(namespace: &Namespace, at: &str) {
    let (udp, tcp) = namespace.inside(|| (UdpSocket::bind(at).unwrap(), TcpListener::bind(at).unwrap()));
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            udp.send_to(&buffer[..length], from).unwrap();
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
}

fn ask_udp(clients: &Namespace, to: &str, text: &[u8]) -> Option<Vec<u8>> {
    let to: SocketAddr = to.parse().unwrap();
    clients.inside(|| {
        let any: IpAddr = if to.is_ipv4() {
            [0, 0, 0, 0].into()
        } else {
            [0_u16; 8].into()
        };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.send_to(text, to).unwrap();
        let mut buffer = [0; 2048];
        let (length, from) = socket.recv_from(&mut buffer).ok()?;
        assert_eq!(from, to, "the answer comes from the frontend");
        Some(buffer[..length].to_vec())
    })
}

fn ask_tcp(clients: &Namespace, to: &str, length: usize) {
    let to: SocketAddr = to.parse().unwrap();
    clients.inside(|| {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let sent: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let mut received = vec![0; length];
        std::thread::scope(|scope| {
            scope.spawn(|| (&stream).write_all(&sent).unwrap());
            (&stream).read_exact(&mut received).unwrap();
        });
        assert!(received == sent, "what comes back is what was sent");
    });
}

#[test]
fn services_carry_udp_and_tcp_over_both_families() {
    let net = Net::new();
    echo(&net.pods);
    net.with_dataplane(&[], || {
        let mut session = net.connect();
        let state = vec![
            service(Protocol::Udp, "198.51.100.10:53", "10.244.1.10:7"),
            service(Protocol::Tcp, "198.51.100.10:80", "10.244.1.10:7"),
            service(Protocol::Udp, "[2001:db8:f::10]:53", "[fd00:10:244:1::10]:7"),
            service(Protocol::Tcp, "[2001:db8:f::10]:80", "[fd00:10:244:1::10]:7"),
            service(Protocol::Udp, "192.0.2.1:5353", "10.244.1.10:7"),
            service(Protocol::Udp, "192.0.2.200:53", "10.244.1.10:7"),
        ];
        assert_eq!(publish(&mut session, 5, state), ToControl::Ack { generation: 5 });
        for to in [
            "198.51.100.10:53",
            "[2001:db8:f::10]:53",
            "192.0.2.1:5353",
            "192.0.2.200:53",
        ] {
            assert_eq!(
                ask_udp(&net.clients, to, b"hello").as_deref(),
                Some(b"hello".as_slice()),
                "{to}"
            );
        }
        ask_tcp(&net.clients, "198.51.100.10:80", 3_000_000);
        ask_tcp(&net.clients, "[2001:db8:f::10]:80", 3_000_000);
        let status = net.status();
        assert_eq!(status.generation, 5);
        assert_eq!(status.services.len(), 6);
        assert!(status.flows >= 6, "{status:?}");
        assert!(status.owned_addresses.contains(&"192.0.2.200".parse().unwrap()));
        // What is in flight settles within a tick or two.
        until("every frame is accounted for", || {
            (net.status().frames.unaccounted == 0).then_some(())
        });
    });
}

/// The pods' device is no port: answers come to the kernel, and by the TAP device. Nor are those of pods on the host's network.
#[test]
fn services_reach_pods_that_only_the_kernel_reaches() {
    let net = Net::new();
    echo(&net.pods);
    // A socket at every address would answer from one that the kernel picks.
    echo_at(&net.gateway, "10.244.1.1:7");
    echo_at(&net.gateway, "[fd00:10:244:1::1]:7");
    net.pods.ip("route add default via 10.244.1.1");
    net.pods.ip("route add default via fd00:10:244:1::1");
    net.gateway.inside(|| {
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            crate::host::Sysctl::new(key).write("1").unwrap();
        }
    });
    let enter = || net.gateway.enter();
    net.home.with_dataplane(&["--port", "g0"], enter, || {
        let mut session = net.connect();
        let mut state = Vec::new();
        let frontends = [
            ("198.51.100.10", "10.244.1.10:7"),
            ("198.51.100.11", "10.244.1.1:7"),
            ("[2001:db8:f::10]", "[fd00:10:244:1::10]:7"),
            ("[2001:db8:f::11]", "[fd00:10:244:1::1]:7"),
        ];
        for (address, pod) in frontends {
            state.push(service(Protocol::Udp, &format!("{address}:53"), pod));
            state.push(service(Protocol::Tcp, &format!("{address}:80"), pod));
        }
        publish(&mut session, 1, state);
        for (address, pod) in frontends {
            let answer = ask_udp(&net.clients, &format!("{address}:53"), b"hello");
            assert_eq!(answer.as_deref(), Some(b"hello".as_slice()), "{pod}");
            ask_tcp(&net.clients, &format!("{address}:80"), 1_000_000);
        }
        let status = net.status();
        let addresses: Vec<IpAddr> = vec![
            "169.254.247.1".parse().unwrap(),
            "fd7a:61c8:24be::1".parse().unwrap(),
        ];
        assert_eq!(status.kernel_path.addresses, addresses);
        assert!(status.totals.events[PacketCount::FromKernel] > 100, "{status:?}");
        until("every frame is accounted for", || {
            (net.status().frames.unaccounted == 0).then_some(())
        });
    });
    assert!(
        !net.gateway.ip("route").contains("169.254.247"),
        "the route is gone with the device"
    );
}

/// An Ingress without a host that sends everything to the pod's port 8080.
fn ingress(listeners: &[&str]) -> Vec<Operation> {
    let route = Route {
        matches: RouteMatch {
            path: PathMatch::Prefix("/".into()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        },
        filters: None,
        backends: vec![WeightedBackend {
            upstream: "test/web:80".into(),
            weight: 1,
        }],
        origin: RouteOrigin {
            kind: RouteKind::Ingress,
            name: "test/web".into(),
            rule: "spec.rules[0].http.paths[0]".into(),
        },
    };
    let endpoints = vec!["10.244.1.10:8080".parse().unwrap()];
    let mut state = vec![
        Object::VirtualHost(VirtualHost {
            host: String::new(),
            routes: vec![route],
        }),
        Object::Upstream(Upstream {
            name: "test/web:80".into(),
            protocol: UpstreamProtocol::default(),
            endpoints,
        }),
    ];
    let listener = |address: &&str| {
        Object::Listener(Listener {
            address: address.parse().unwrap(),
            protocol: ListenerProtocol::Http,
            balancers: Vec::new(),
        })
    };
    state.extend(listeners.iter().map(listener));
    state.into_iter().map(Operation::Put).collect()
}

/// Answers each request with its length, until the test ends.
fn web(pods: &Namespace) {
    let server = pods.inside(|| TcpListener::bind("10.244.1.10:8080").unwrap());
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let body = "x".repeat(100_000);
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nx-length: {length}\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    stream.write_all((head + &body).as_bytes()).unwrap();
                }
            });
        }
    });
}

#[test]
fn http_is_terminated_on_addresses_of_the_host_and_of_headgate() {
    terminates(&[], |status| {
        assert!(status.stages.is_empty(), "{status:?}");
        assert!(
            status
                .workers
                .iter()
                .any(|worker| worker.l7.counters.requests[Class::Success] > 0)
        );
    });
}

#[test]
fn http_is_terminated_on_cores_of_its_own() {
    terminates(&["--workers", "2", "--l7-cores", "0"], |status| {
        let [stage] = &*status.stages else {
            panic!("{status:?}");
        };
        assert_eq!((stage.stage, stage.core), (0, Some(0)));
        assert_eq!(stage.l7.counters.requests[Class::Success], 3);
        assert_eq!(
            stage.counts.events[PacketCount::FromL7],
            status.totals.events[PacketCount::FromL7]
        );
        assert!(
            status
                .workers
                .iter()
                .all(|worker| worker.l7 == L7Status::default())
        );
    });
}

fn terminates(flags: &[&str], check: impl FnOnce(&Status) + Send) {
    let net = Net::new();
    web(&net.pods);
    net.with_dataplane(flags, || {
        let mut session = net.connect();
        let state = ingress(&["192.0.2.1:80", "198.51.100.10:80", "[2001:db8:f::10]:80"]);
        assert_eq!(publish(&mut session, 1, state), ToControl::Ack { generation: 1 });
        for to in ["192.0.2.1:80", "198.51.100.10:80", "[2001:db8:f::10]:80"] {
            let answer = net.clients.inside(|| {
                let mut stream = TcpStream::connect(to).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream
                    .write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")
                    .unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            });
            assert!(
                answer.starts_with("HTTP/1.1 200 OK") && answer.len() > 100_000,
                "{to}: {answer:.300}"
            );
        }
        let status = net.status();
        assert!(
            status.totals.events[PacketCount::ToL7] > 0 && status.totals.events[PacketCount::FromL7] > 0,
            "{status:?}"
        );
        assert_eq!(status.listeners.len(), 3);
        check(&status);
        until("every frame is accounted for", || {
            (net.status().frames.unaccounted == 0).then_some(())
        });
    });
}

#[test]
fn the_host_keeps_what_is_its_own() {
    let net = Net::new();
    net.with_dataplane(&[], || {
        let mut session = net.connect();
        let state = vec![service(Protocol::Tcp, "192.0.2.1:80", "10.244.1.10:7")];
        publish(&mut session, 1, state);
        let ssh = net.gateway.inside(|| TcpListener::bind("192.0.2.1:22").unwrap());
        let greeter = std::thread::spawn(move || ssh.accept().unwrap().0.write_all(b"SSH-2.0").unwrap());
        let greeting = net.clients.inside(|| {
            let mut text = String::new();
            TcpStream::connect("192.0.2.1:22")
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        });
        greeter.join().unwrap();
        assert_eq!(greeting, "SSH-2.0");
    });
}

#[test]
fn a_control_plane_comes_and_goes() {
    let net = Net::new();
    echo(&net.pods);
    net.with_dataplane(&[], || {
        let mut first = net.connect();
        publish(
            &mut first,
            9,
            vec![service(Protocol::Udp, "198.51.100.10:53", "10.244.1.10:7")],
        );
        drop(first);
        until("the loss is seen", || {
            (!net.status().control.connected).then_some(())
        });
        assert!(
            ask_udp(&net.clients, "198.51.100.10:53", b"alone").is_some(),
            "traffic goes on"
        );
        let mut second = net.connect();
        let wrong = service(Protocol::Udp, "198.51.100.11:53", "[fd00::1]:7");
        assert!(matches!(
            publish(&mut second, 1, vec![wrong]),
            ToControl::Nack { generation: 1, .. }
        ));
        assert!(
            ask_udp(&net.clients, "198.51.100.10:53", b"still").is_some(),
            "a refused state changes nothing"
        );
        let moved = vec![service(Protocol::Udp, "198.51.100.11:53", "10.244.1.10:7")];
        assert_eq!(publish(&mut second, 2, moved), ToControl::Ack { generation: 2 });
        assert!(ask_udp(&net.clients, "198.51.100.11:53", b"moved").is_some());
        let status = net.status();
        assert_eq!(
            (
                status.control.sessions,
                status.control.rejected,
                status.generation
            ),
            (2, 1, 2)
        );
        assert_eq!(
            status.owned_addresses,
            ["198.51.100.11".parse::<IpAddr>().unwrap()]
        );
    });
}

#[test]
fn nothing_is_left_behind() {
    let net = Net::new();
    let traces = || {
        let links: BTreeSet<_> = net
            .gateway
            .ip("-br link")
            .lines()
            .map(|l| l.split(' ').next().unwrap().to_owned())
            .collect();
        let xdp = net.gateway.ip("link show dev g0").contains("xdp");
        let reserved = net.gateway.inside(|| {
            crate::host::Sysctl::new("net/ipv4/ip_local_reserved_ports")
                .read()
                .unwrap()
        });
        let sockets = ["control.sock", "status.sock"].map(|name| net.run_file(name).exists());
        (links, xdp, reserved, sockets)
    };
    let before = traces();
    net.with_dataplane(&[], || {
        publish(
            &mut net.connect(),
            1,
            vec![service(Protocol::Udp, "198.51.100.10:53", "10.244.1.10:7")],
        );
        net.status();
        let during = traces();
        assert!(
            during.1 && during.2 == "61000-65535" && during.3 == [true, true],
            "{during:?}"
        );
    });
    assert_eq!(traces(), before);
}

#[test]
fn what_is_wrong_is_said() {
    let net = Net::new();
    let start = |flags: &[&str]| {
        let options = net.options(flags);
        let error = net.gateway.block_on(async || {
            run_until(&options, &mut tokio::sync::mpsc::unbounded_channel().1)
                .await
                .unwrap_err()
        });
        error.to_string()
    };
    let cases: [(&[&str], &str); 8] = [
        (&["--port", "g2"], "there is no interface \"g2\"; there are"),
        (&["--port", "g0"], "given twice"),
        (&["--port", "lo"], "no Ethernet interface"),
        (&["--workers", "3"], "has 2 queues"),
        (&["--workers", "2", "--cores", "0"], "--cores names 1"),
        (&["--cores", "0", "--l7-cores", "0"], "core 0 is a worker's"),
        (&["--l7-cores", "4095"], "names core 4095, which is not there"),
        (&["--frames", "1024"], "need 16384"),
    ];
    for (flags, expected) in cases {
        let error = start(flags);
        assert!(error.contains(expected), "{flags:?} gave {error}");
    }
}

#[test]
fn a_port_that_goes_down_is_told_and_its_worker_sleeps() {
    let net = Net::new();
    net.with_dataplane(&[], || {
        until("the links are up", || {
            (net.status().ports[1].link == LinkState::Up).then_some(())
        });
        net.gateway.ip("link set g1 down");
        until("the link is down", || {
            (net.status().ports[1].link == LinkState::Down).then_some(())
        });
        net.gateway.ip("link del g1");
        until("the link is gone", || {
            (net.status().ports[1].link == LinkState::Gone).then_some(())
        });
        // A worker that takes an error for a packet would turn without end.
        let turns = |status: &Status| {
            status
                .workers
                .iter()
                .map(|worker| worker.turns[Loop::Turns])
                .sum::<u64>()
        };
        let before = turns(&net.status());
        let reports: Vec<_> = (0..20).map(|_| turns(&net.status())).collect();
        assert!(reports[19] - before < 20 * 2 * 50, "{before} {reports:?}");
    });
}
