//! Nanoseconds that the pipeline alone takes for a packet, in memory, without any port: of a known flow, or the first of
//! one that is allowed or denied, with the flow log recording or not.
//!
//! ```text
//! cargo run --release -p headgate-dataplane --example pipeline_ns [rounds]
//! ```
//!
//! Each line: flows in the table, which packets, median and least nanoseconds a packet over the rounds, and millions of
//! packets a second by the median. A round is 64 batches of 64 packets of flows drawn at random. Frames are filled between
//! rounds and so are near, as a NIC's direct cache access leaves them; flow entries are as near as the processor's
//! caches hold them.
#![allow(clippy::print_stdout, reason = "prints its figures")]
#![allow(clippy::disallowed_methods, reason = "measures times")]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use headgate_dataplane::config::{State, Tables};
use headgate_dataplane::options::EstablishedFlows;
use headgate_dataplane::pipeline::{Context, Pipeline, PipelineConfig};
use headgate_dataplane::telemetry::flow_log::{FlowLog, Recorded, Settings};
use headgate_net::clock::Nanos;
use headgate_net::fib::{self, Fib, KernelRoute, NextHop, RouteKind, RoutingTable, Snapshot};
use headgate_net::flow::{Ownership, SourcePorts, Termination, Timeouts};
use headgate_net::ids::{PortId, WorkerId};
use headgate_net::verdict::{Reason, Verdict};
use headgate_net::wire::craft::{self, Segment, Transport};
use headgate_net::wire::{self, Address, Parsed, Tuple, tcp_flag};
use headgate_ring::message::{
    Direction, Endpoint, Frontend, Group, GroupId, Object, Policy, Protocol, Service, Tier,
};
use headgate_ring::{Operation, Transaction};
use headgate_xsk::{Frame, Umem};

const BATCH: usize = 64;
const BATCHES: usize = 64;
const BACKENDS: u8 = 64;
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xa0], [2, 0, 0, 0, 0, 0xa1]];
/// Ports of the Service: one is open, the other's pod is isolated.
const ALLOWED: u16 = 80;
const DENIED: u16 = 81;
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 0xee];

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(400);
    println!(
        "{:>9}  {:<28} {:>8} {:>8} {:>7}",
        "flows", "packets", "median", "least", "Mpps"
    );
    for flows in [1_024, 1_048_576] {
        for (name, v6, tcp) in [
            ("IPv4 UDP", false, false),
            ("IPv4 TCP", false, true),
            ("IPv6 TCP", true, true),
        ] {
            let mut bed = Bed::new(flows, v6, tcp);
            bed.report(&format!("{name} from clients"), rounds, false);
            bed.report(&format!("{name} from pods"), rounds, true);
        }
    }
    let mut bed = Bed::new(1_024, false, false);
    bed.parse_alone(rounds);
    for (name, recorded) in [
        ("nothing recorded", Recorded::None),
        ("denials recorded", Recorded::Denied),
        ("all recorded", Recorded::All),
    ] {
        bed.first_packets(&format!("allowed first, {name}"), rounds, recorded, ALLOWED);
        bed.first_packets(&format!("denied first, {name}"), rounds, recorded, DENIED);
    }
}

fn pipeline(flows: usize, settings: Settings) -> Pipeline {
    Pipeline::new(&PipelineConfig {
        worker: WorkerId(0),
        workers: 1,
        ownership: Ownership::Hash,
        termination: Termination::Inline,
        source_ports: SourcePorts::new(1_024, 65_535, 1).expect("a wide range"),
        flow_capacity: flows,
        timeouts: Timeouts::default(),
        established: EstablishedFlows::default(),
        flow_log: Arc::new(FlowLog::new(settings, 1)),
        seed: [3, 5],
    })
}

/// Random enough, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }
}

struct Bed {
    pipeline: Pipeline,
    tables: Tables,
    fib: Fib,
    frames: Vec<Frame>,
    verdicts: Vec<Verdict>,
    /// The packet of each flow from its client, and from its pod.
    packets: [Vec<Vec<u8>>; 2],
    random: Random,
    flows: usize,
}

impl Bed {
    fn new(flows: usize, v6: bool, tcp: bool) -> Self {
        let mut cache = Umem::heap(8_192).cache();
        let mut bed = Self {
            pipeline: pipeline(flows, Settings::default()),
            tables: tables(),
            fib: Fib::build(&snapshot(), 1),
            frames: (0..BATCH * BATCHES)
                .map(|_| cache.take().expect("a frame"))
                .collect(),
            verdicts: Vec::new(),
            packets: [Vec::new(), Vec::new()],
            random: Random(1),
            flows,
        };
        for flow in 0..flows {
            bed.open(flow, v6, tcp);
        }
        assert_eq!(bed.pipeline.flows(), flows);
        bed
    }

    /// Opens a flow, in full if it is TCP, and keeps a packet of each direction.
    fn open(&mut self, flow: usize, v6: bool, tcp: bool) {
        let port = u16::try_from(flow % 32_768).expect("below") + 1_024;
        let host = u8::try_from(flow / 32_768).expect("few") + 10;
        let (client, vip): (IpAddr, IpAddr) = if v6 {
            (
                [0x2001, 0xdb8, 0xc, 0, 0, 0, 0, u16::from(host)].into(),
                [0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x10].into(),
            )
        } else {
            ([192, 0, 2, host].into(), [198, 51, 100, 10].into())
        };
        let (client, vip) = (SocketAddr::new(client, port), SocketAddr::new(vip, 80));
        let packet = |flags| {
            if tcp {
                segment(flags)
            } else {
                Transport::Udp(b"eighteen bytes....")
            }
        };
        let first = craft::frame([PEER, MACS[0]], client, vip, packet(tcp_flag::SYN));
        let (source, pod) = ends(&self.one(PortId(0), &first));
        let answer = craft::frame(
            [PEER, MACS[1]],
            pod,
            source,
            packet(tcp_flag::SYN | tcp_flag::ACK),
        );
        self.one(PortId(1), &answer);
        let from_client = craft::frame([PEER, MACS[0]], client, vip, packet(tcp_flag::ACK));
        let from_pod = craft::frame([PEER, MACS[1]], pod, source, packet(tcp_flag::ACK));
        self.one(PortId(0), &from_client);
        self.packets[0].push(from_client);
        self.packets[1].push(from_pod);
    }

    /// Sends one packet through and gives what comes out.
    fn one(&mut self, port: PortId, bytes: &[u8]) -> Vec<u8> {
        let ctx = Context {
            tables: &self.tables,
            fib: &self.fib,
            now: Nanos(1),
        };
        self.frames[0].copy_from(bytes).expect("short");
        self.pipeline
            .process(&ctx, port, &mut self.frames[..1], &mut self.verdicts);
        assert!(
            matches!(self.verdicts[..], [Verdict::Forward(_)]),
            "{:?}",
            self.verdicts
        );
        self.frames[0].data().to_vec()
    }

    fn fill(&mut self, from_pod: bool) {
        for frame in &mut self.frames {
            let flow = self.random.below(self.flows);
            frame
                .copy_from(&self.packets[usize::from(from_pod)][flow])
                .expect("short");
        }
    }

    fn report(&mut self, name: &str, rounds: usize, from_pod: bool) {
        let ingress = PortId(u8::from(from_pod));
        let egress = Verdict::Forward(PortId(u8::from(!from_pod)));
        let mut times = Vec::new();
        for round in 0..rounds {
            self.fill(from_pod);
            let ctx = Context {
                tables: &self.tables,
                fib: &self.fib,
                now: Nanos(round as u64 * 1_000_000),
            };
            let begin = Instant::now();
            for batch in self.frames.chunks_mut(BATCH) {
                self.pipeline.process(&ctx, ingress, batch, &mut self.verdicts);
                black_box(&self.verdicts);
            }
            times.push(begin.elapsed().as_secs_f64() * 1e9 / (BATCH * BATCHES) as f64);
            assert!(self.verdicts.iter().all(|v| *v == egress));
        }
        print(self.flows, name, times);
    }

    /// Each round has a table and a log of its own, so that none is full: 4,096 packets, as many new clients.
    fn first_packets(&mut self, name: &str, rounds: usize, recorded: Recorded, port: u16) {
        let settings = Settings {
            recorded,
            rate: 1_000_000,
            ..Settings::default()
        };
        let ends = [PEER, MACS[0]];
        let vip = SocketAddr::new([198, 51, 100, 10].into(), port);
        let packet = |client: u16| {
            let client = SocketAddr::new([192, 0, 2, 10].into(), client);
            craft::frame(ends, client, vip, segment(tcp_flag::SYN))
        };
        let packets: Vec<_> = (1_024..).take(self.frames.len()).map(packet).collect();
        let mut times = Vec::new();
        for _ in 0..rounds {
            let mut pipeline = pipeline(BATCH * BATCHES, settings);
            for (frame, packet) in self.frames.iter_mut().zip(&packets) {
                frame.copy_from(packet).expect("short");
            }
            let (tables, fib) = (&self.tables, &self.fib);
            let ctx = Context {
                tables,
                fib,
                now: Nanos(1_000_000_000),
            };
            let begin = Instant::now();
            for batch in self.frames.chunks_mut(BATCH) {
                pipeline.process(&ctx, PortId(0), batch, &mut self.verdicts);
                black_box(&self.verdicts);
            }
            times.push(begin.elapsed().as_secs_f64() * 1e9 / (BATCH * BATCHES) as f64);
            let denied = self.verdicts.iter().all(|v| *v == Verdict::Drop(Reason::Denied));
            assert_eq!(denied, port == DENIED, "{:?}", self.verdicts);
        }
        print(BATCH * BATCHES, name, times);
    }

    fn parse_alone(&mut self, rounds: usize) {
        let mut times = Vec::new();
        for _ in 0..rounds {
            self.fill(false);
            let begin = Instant::now();
            for frame in &self.frames {
                black_box(wire::parse(black_box(frame.data()))).expect("sound");
            }
            times.push(begin.elapsed().as_secs_f64() * 1e9 / (BATCH * BATCHES) as f64);
        }
        print(self.flows, "IPv4 UDP parsed only", times);
    }
}

fn print(flows: usize, name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!(
        "{flows:>9}  {name:<28} {median:>8.1} {:>8.1} {:>7.2}",
        times[0],
        1e3 / median
    );
}

fn segment(flags: u8) -> Transport<'static> {
    Transport::Tcp(
        Segment {
            sequence: 1,
            acknowledgement: 1,
            flags,
        },
        b"",
    )
}

fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    fn of<A: Address>(tuple: Tuple<A>) -> (SocketAddr, SocketAddr) {
        let pair = [
            (tuple.source, tuple.source_port),
            (tuple.destination, tuple.destination_port),
        ];
        let [a, b] = pair.map(|(address, port)| SocketAddr::new(address.ip(), port));
        (a, b)
    }
    match wire::parse(frame) {
        Ok(Parsed::Ip(h)) if h.v6 => of(Tuple::<[u8; 16]>::of(frame, &h)),
        Ok(Parsed::Ip(h)) => of(Tuple::<[u8; 4]>::of(frame, &h)),
        other => panic!("{other:?}"),
    }
}

fn tables() -> Tables {
    let mut operations = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for v6 in [false, true] {
            let pod = |host: u8| -> IpAddr {
                if v6 {
                    [0xfd00, 0x10, 0x244, 1, 0, 0, 0, u16::from(host)].into()
                } else {
                    [10, 244, 1, host].into()
                }
            };
            let address = if v6 {
                [0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x10].into()
            } else {
                [198, 51, 100, 10].into()
            };
            operations.push(Operation::Put(Object::Service(Service {
                frontend: Frontend {
                    address,
                    protocol,
                    port: 80,
                },
                name: "default/bench".to_owned(),
                backends: (10..10 + BACKENDS)
                    .map(|host| SocketAddr::new(pod(host), 8080))
                    .collect(),
                affinity_seconds: None,
            })));
        }
    }
    operations.extend(isolated().map(Operation::Put));
    let transaction = Transaction {
        generation: 1,
        full: true,
        operations,
    };
    Tables::transact(&mut State::default(), transaction, None).expect("a sound state")
}

/// A Service of one pod, which a policy closes to all.
fn isolated() -> [Object; 4] {
    let (address, group) = (IpAddr::from([10, 244, 1, 90]), GroupId(1));
    let service = Service {
        frontend: Frontend {
            address: [198, 51, 100, 10].into(),
            protocol: Protocol::Tcp,
            port: DENIED,
        },
        name: "default/isolated".to_owned(),
        backends: vec![SocketAddr::new(address, 8080)],
        affinity_seconds: None,
    };
    let pod = Endpoint {
        name: "default/isolated-1".to_owned(),
        addresses: vec![address],
        labels: Vec::new(),
        ports: Vec::new(),
        groups: vec![group],
        hosts: Vec::new(),
    };
    let policy = Policy {
        name: "default/isolated".to_owned(),
        tier: Tier::NetworkPolicy,
        priority: 0,
        direction: Direction::Ingress,
        subjects: group,
        rules: Vec::new(),
    };
    let group = Group {
        id: group,
        text: "the isolated pod".to_owned(),
    };
    [
        Object::Service(service),
        Object::Group(group),
        Object::Endpoint(pod),
        Object::Policy(policy),
    ]
}

/// Devices 2 and 3 are the ports; everybody on them is a known neighbour.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (port, net4, net6) in [
        (0_u8, "192.0.2.", "2001:db8:c::"),
        (1, "10.244.1.", "fd00:10:244:1::"),
    ] {
        let interface = u32::from(port) + 2;
        let mac = Some(MACS[usize::from(port)]);
        snapshot.ports.push((PortId(port), interface));
        snapshot.links.push(fib::Link {
            index: interface,
            mac,
            mtu: 1500,
            up: true,
        });
        for (net, bits, zero) in [(net4, 24, "0"), (net6, 64, "")] {
            let own: IpAddr = format!("{net}1").parse().expect("an address");
            let whole = format!("{net}{zero}/{bits}").parse().expect("a prefix");
            let address = format!("{own}/{bits}").parse().expect("a prefix");
            snapshot.addresses.push(fib::DeviceAddress {
                interface,
                address,
                global: true,
                avoided: false,
            });
            for (table, destination, kind) in [
                (RoutingTable::Main, whole, RouteKind::Unicast),
                (RoutingTable::Local, own.into(), RouteKind::Local),
            ] {
                let hops = vec![NextHop {
                    gateway: None,
                    interface,
                    weight: 1,
                }];
                snapshot.routes.push(KernelRoute {
                    table,
                    destination,
                    kind,
                    metric: 0,
                    preferred_source: None,
                    hops,
                });
            }
            for host in 10..100_u8 {
                let text = if bits == 24 {
                    format!("{net}{host}")
                } else {
                    format!("{net}{host:x}")
                };
                let address = text.parse().expect("an address");
                snapshot.neighbours.push(fib::Neighbour {
                    interface,
                    address,
                    mac: Some([2, 0, 0, 1, port, host]),
                });
            }
        }
    }
    snapshot
}
