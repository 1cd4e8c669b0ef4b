//! The pipeline on a virtual gateway: clients on port 0, pods on port 1, no kernel.

mod changes;
mod counts;
mod draining;
mod headers;
mod icmp;
mod l7;
mod log;
mod network;
mod stages;
mod tap;

use std::net::{IpAddr, SocketAddr};

use headgate_ring::message::{
    Action, Direction, Endpoint, Frontend, GroupId, Listener, Object, Peer, Policy, PolicyRule, Protocol,
    Service, Tier,
};
use headgate_ring::{Operation, Transaction};
use headgate_xsk::{FrameCache, Umem};
use ipnet::IpNet;

use super::*;
use crate::config::State;
use crate::telemetry::flow_log::{Recorded, Settings};
use headgate_net::fib::{self, KernelRoute, NextHop, RouteKind, RoutingTable, Snapshot};
use headgate_net::ids::StageId;
use headgate_net::verdict::Answer;
use headgate_net::wire::craft::{self, Segment, Transport};
use headgate_net::wire::tcp_flag;

const CLIENTS: PortId = PortId(0);
const PODS: PortId = PortId(1);
const GATEWAY_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xa0], [2, 0, 0, 0, 0, 0xa1]];
/// Whoever sends to the gateway.
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xee];

const VIP: &str = "198.51.100.10:80";
const VIP6: &str = "[2001:db8:f::10]:80";
const EMPTY: &str = "198.51.100.11:80";
const LISTENER: &str = "198.51.100.12:443";
const LISTENER6: &str = "[2001:db8:f::12]:443";
const CLIENT: &str = "192.0.2.10:40000";
const CLIENT6: &str = "[2001:db8:c::10]:40000";

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address and port")
}

fn prefix(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn service(frontend: &str, protocol: Protocol, backends: &[&str]) -> Object {
    let frontend = socket(frontend);
    Object::Service(Service {
        frontend: Frontend {
            address: frontend.ip(),
            protocol,
            port: frontend.port(),
        },
        name: format!("default/{frontend}"),
        backends: backends.iter().map(|b| socket(b)).collect(),
        affinity_seconds: None,
    })
}

/// Only clients in `block` may reach the pod at `subject`.
fn policy(name: &str, subject: &str, block: &str) -> [Object; 2] {
    let group = GroupId(name.bytes().fold(0, |sum, byte| sum << 8 | u128::from(byte)));
    let endpoint = Endpoint {
        name: format!("pod-of-{name}"),
        addresses: vec![ip(subject)],
        hosts: Vec::new(),
        labels: Vec::new(),
        ports: Vec::new(),
        groups: vec![group],
    };
    let policy = Policy {
        name: name.to_owned(),
        tier: Tier::NetworkPolicy,
        priority: 0,
        direction: Direction::Ingress,
        subjects: group,
        rules: vec![PolicyRule {
            number: 0,
            name: String::new(),
            action: Action::Accept,
            only: None,
            peers: Some(vec![Peer::Block {
                block: prefix(block),
                except: Vec::new(),
            }]),
            ports: None,
        }],
    };
    [Object::Endpoint(endpoint), Object::Policy(policy)]
}

/// Services over both families and protocols, one without backends, and a listener.
fn objects() -> Vec<Object> {
    let v4 = ["10.244.1.10:8080", "10.244.1.11:8080", "10.244.1.12:8080"];
    let v6 = ["[fd00:10:244:1::10]:8080", "[fd00:10:244:1::11]:8080"];
    let listener = |address| {
        Object::Listener(Listener {
            address: socket(address),
            protocol: headgate_ring::message::ListenerProtocol::Https,
            balancers: Vec::new(),
        })
    };
    let mut objects = vec![listener(LISTENER), listener(LISTENER6)];
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        objects.push(service(VIP, protocol, &v4));
        objects.push(service(VIP6, protocol, &v6));
        objects.push(service(EMPTY, protocol, &[]));
    }
    objects
}

fn route(destination: IpNet, interface: u32, kind: RouteKind) -> KernelRoute {
    KernelRoute {
        table: if kind == RouteKind::Unicast {
            RoutingTable::Main
        } else {
            RoutingTable::Local
        },
        destination,
        kind,
        metric: 0,
        preferred_source: None,
        hops: vec![NextHop {
            gateway: None,
            interface,
            weight: 1,
        }],
    }
}

/// Devices 2 and 3 are the ports; 4 is the kernel's. Clients .10 to .40 and pods .10 to .20 are known neighbours.
fn snapshot() -> Snapshot {
    let link = |index: u32, mac| fib::Link {
        index,
        mac: Some(mac),
        mtu: 1500,
        up: true,
    };
    let mut snapshot = Snapshot {
        links: vec![
            link(2, GATEWAY_MACS[0]),
            link(3, GATEWAY_MACS[1]),
            link(4, [2, 0, 0, 0, 0, 9]),
        ],
        ports: vec![(CLIENTS, 2), (PODS, 3)],
        ..Snapshot::default()
    };
    let nets = [("192.0.2", 2), ("10.244.1", 3), ("203.0.113", 4)];
    for (net, interface) in nets {
        snapshot.routes.push(route(
            prefix(&format!("{net}.0/24")),
            interface,
            RouteKind::Unicast,
        ));
        own(&mut snapshot, &format!("{net}.1/24"), interface);
    }
    for (net, interface) in [("2001:db8:c", 2), ("fd00:10:244:1", 3)] {
        snapshot.routes.push(route(
            prefix(&format!("{net}::/64")),
            interface,
            RouteKind::Unicast,
        ));
        own(&mut snapshot, &format!("{net}::1/64"), interface);
    }
    for host in 10..=40_u8 {
        for (net, interface) in [
            ("192.0.2.", 2),
            ("10.244.1.", 3),
            ("2001:db8:c::", 2),
            ("fd00:10:244:1::", 3),
        ] {
            let mac = [2, 0, 0, 0, u8::try_from(interface).unwrap(), host];
            let neighbour = fib::Neighbour {
                interface,
                address: ip(&format!("{net}{host}")),
                mac: Some(mac),
            };
            snapshot.neighbours.push(neighbour);
        }
    }
    snapshot
}

fn own(snapshot: &mut Snapshot, address: &str, interface: u32) {
    let address = prefix(address);
    snapshot.addresses.push(fib::DeviceAddress {
        interface,
        address,
        global: true,
        avoided: false,
    });
    snapshot
        .routes
        .push(route(address.addr().into(), interface, RouteKind::Local));
}

fn fib(publication: u64) -> Fib {
    Fib::build(&snapshot(), publication)
}

/// The gateway: workers, what they decide by, and the frames.
struct Gateway {
    workers: Vec<Pipeline>,
    state: State,
    tables: Tables,
    fib: Fib,
    now: Nanos,
    cache: FrameCache,
    ports: SourcePorts,
    flow_log: Arc<FlowLog>,
}

/// What came of a frame.
#[derive(Clone, Debug)]
struct Outcome {
    verdict: Verdict,
    frame: Vec<u8>,
    /// Who decided in the end.
    worker: u8,
}

impl Gateway {
    fn new(workers: u8, ownership: Ownership) -> Self {
        Self::with(workers, ownership, EstablishedFlows::default())
    }

    /// One worker.
    fn keeping(established: EstablishedFlows) -> Self {
        Self::with(1, Ownership::Hash, established)
    }

    fn with(workers: u8, ownership: Ownership, established: EstablishedFlows) -> Self {
        Self::build(workers, ownership, Termination::Inline, established)
    }

    fn build(
        workers: u8,
        ownership: Ownership,
        termination: Termination,
        established: EstablishedFlows,
    ) -> Self {
        let stages = termination.stages(workers);
        let source_ports = SourcePorts::cut(50_000, 50_255, workers, stages)
            .unwrap()
            .with_addresses(OWN);
        let settings = Settings {
            recorded: Recorded::All,
            ..Settings::default()
        };
        let flow_log = Arc::new(FlowLog::new(settings, workers));
        let pipeline = |worker| {
            Pipeline::new(&PipelineConfig {
                worker: WorkerId(worker),
                workers,
                ownership,
                termination,
                source_ports,
                flow_capacity: 128,
                timeouts: Timeouts::default(),
                established,
                flow_log: Arc::clone(&flow_log),
                seed: [7, 9],
            })
        };
        let mut gateway = Self {
            workers: (0..workers).map(pipeline).collect(),
            state: State::default(),
            tables: Tables::default(),
            fib: fib(1),
            now: Nanos(1_000_000_000),
            cache: Umem::heap(64).cache(),
            ports: source_ports,
            flow_log: Arc::clone(&flow_log),
        };
        gateway.publish(objects());
        gateway
    }

    /// Makes `objects` the whole state.
    fn publish(&mut self, objects: Vec<Object>) {
        let transaction = Transaction {
            generation: self.state.generation() + 1,
            full: true,
            operations: objects.into_iter().map(Operation::Put).collect(),
        };
        self.tables =
            Tables::transact(&mut self.state, transaction, Some(&self.tables)).expect("a sound state");
        for worker in &self.workers {
            self.tables.make_room(worker.counters().record());
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now.0 += seconds * 1_000_000_000;
    }

    /// Lets a worker receive a frame, and hands it over as it says.
    fn receive(&mut self, worker: u8, port: PortId, bytes: &[u8]) -> Outcome {
        let ctx = Context {
            tables: &self.tables,
            fib: &self.fib,
            now: self.now,
        };
        let mut frame = self.cache.take().expect("a frame");
        frame.copy_from(bytes).expect("a frame that fits");
        let mut frames = [frame];
        let mut verdicts = Vec::new();
        let pipeline = &mut self.workers[usize::from(worker)];
        pipeline.process(&ctx, port, &mut frames, &mut verdicts);
        let mut decided = worker;
        if let [Verdict::HandOver(WorkerId(owner))] = verdicts[..] {
            assert_ne!(owner, worker);
            assert_eq!(frames[0].data(), bytes, "a frame is handed over as it came");
            decided = owner;
            self.workers[usize::from(owner)].process_handed_over(&ctx, port, &mut frames, &mut verdicts);
        }
        let outcome = Outcome {
            verdict: verdicts[0],
            frame: frames[0].data().to_vec(),
            worker: decided,
        };
        assert!(
            !matches!(outcome.verdict, Verdict::HandOver(_)),
            "handed over twice"
        );
        let [frame] = frames;
        self.cache.put(frame);
        outcome
    }

    fn client_sends(&mut self, from: &str, to: &str, transport: Transport<'_>) -> Outcome {
        let frame = craft::frame([PEER_MAC, GATEWAY_MACS[0]], socket(from), socket(to), transport);
        self.receive(0, CLIENTS, &frame)
    }

    fn sweep_all(&mut self) {
        let ctx = Context {
            tables: &self.tables,
            fib: &self.fib,
            now: self.now,
        };
        for worker in &mut self.workers {
            // A removal may move an entry from before the cursor's start to behind it: a second round finds it.
            for _ in 0..2 {
                worker.sweep(&ctx, worker.slots());
            }
        }
    }

    fn flows(&self) -> usize {
        self.workers.iter().map(Pipeline::flows).sum()
    }

    fn source_ports_in_use(&self) -> usize {
        self.workers.iter().map(Pipeline::source_ports_in_use).sum()
    }

    fn counters(&self) -> &Counters {
        self.workers[0].counters()
    }
}

/// For this L7 stage, as it came.
fn to_l7(stage: u8, frame: &[u8]) -> Verdict {
    Verdict::ToL7 {
        stage: StageId(stage),
        headers: headers(frame),
    }
}

/// Source and destination of an IP packet whose checksums are right.
fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    fn of<A: Address>(frame: &[u8], headers: &Headers) -> (SocketAddr, SocketAddr) {
        let tuple = Tuple::<A>::of(frame, headers);
        (
            SocketAddr::new(tuple.source.ip(), tuple.source_port),
            SocketAddr::new(tuple.destination.ip(), tuple.destination_port),
        )
    }
    let headers = headers(frame);
    if matches!(headers.protocol, wire::TCP | wire::UDP) {
        assert_eq!(wire::checksum::transport_of(frame, &headers), 0, "checksum");
    }
    if headers.v6 {
        of::<[u8; 16]>(frame, &headers)
    } else {
        of::<[u8; 4]>(frame, &headers)
    }
}

fn headers(frame: &[u8]) -> Headers {
    match wire::parse(frame) {
        Ok(Parsed::Ip(headers)) => headers,
        other => panic!("{other:?}"),
    }
}

fn tcp(flags: u8) -> Transport<'static> {
    Transport::Tcp(
        Segment {
            sequence: 100,
            acknowledgement: 200,
            flags,
        },
        b"",
    )
}

/// What it sends from besides the host's addresses.
const OWN: &[IpAddr] = &[
    IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 1, 250)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, 0xfa)),
];
const UDP: Transport<'static> = Transport::Udp(b"query");
const SYN: u8 = tcp_flag::SYN;
const ACK: u8 = tcp_flag::ACK;
