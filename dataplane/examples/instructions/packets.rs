//! Packets at L4: parsed, decided on, forwarded.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use headgate_dataplane::config::Tables;
use headgate_dataplane::options::EstablishedFlows;
use headgate_dataplane::pipeline::{Context, Pipeline, PipelineConfig};
use headgate_dataplane::telemetry::flow_log::{FlowLog, Settings};
use headgate_net::clock::Nanos;
use headgate_net::fib::Fib;
use headgate_net::flow::{Ownership, SourcePorts, Termination, Timeouts};
use headgate_net::ids::{PortId, WorkerId};
use headgate_net::verdict::{Reason, Verdict};
use headgate_net::wire::craft::{self, Segment, Transport};
use headgate_net::wire::{self, Address, Parsed, Tuple, tcp_flag};
use headgate_xsk::{Frame, Umem};

use crate::objects::{ALLOWED, DENIED, MACS, client, pod, routes, service_address, tables};
use crate::{Scenario, counted};

const BATCH: usize = 64;
const FLOWS: usize = 1_024;
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 0xee];
const NOW: Nanos = Nanos(1_000_000_000);

/// Each counts packets.
pub(crate) fn scenarios() -> impl Iterator<Item = Scenario> {
    let of = |run: fn(&str, usize), names: &'static [&'static str]| {
        names.iter().map(move |name| Scenario {
            name,
            repetitions: FLOWS,
            run,
        })
    };
    let parse_names: &[_] = &[
        "parse-ipv4-udp",
        "parse-ipv4-tcp",
        "parse-ipv6-tcp",
        "parse-ipv6-extensions",
        "parse-vlan",
    ];
    let decision_names: &[_] = &["policy-allowed-ipv4", "policy-allowed-ipv6", "policy-denied-ipv4"];
    let flow_names: &[_] = &[
        "flow-hit-ipv4-udp",
        "flow-hit-ipv4-tcp",
        "flow-hit-ipv6-tcp",
        "flow-hit-ipv4-tcp-from-pod",
    ];
    let first_names: &[_] = &[
        "first-packet-ipv4-tcp",
        "first-packet-ipv6-tcp",
        "first-packet-denied",
    ];
    of(parse, parse_names)
        .chain(of(decide, decision_names))
        .chain(of(flow_hit, flow_names))
        .chain(of(first_packet, first_names))
}

fn parse(name: &str, repetitions: usize) {
    let (from, to) = (
        SocketAddr::new(client(10, false), 4_000),
        SocketAddr::new(service_address(false), ALLOWED),
    );
    let v6 = (
        SocketAddr::new(client(10, true), 4_000),
        SocketAddr::new(service_address(true), ALLOWED),
    );
    let ends = [PEER, MACS[0]];
    let frame = match name {
        "parse-ipv4-udp" => craft::frame(ends, from, to, UDP_PAYLOAD),
        "parse-ipv4-tcp" => craft::frame(ends, from, to, segment(tcp_flag::ACK)),
        "parse-ipv6-tcp" => craft::frame(ends, v6.0, v6.1, segment(tcp_flag::ACK)),
        "parse-ipv6-extensions" => extended(&craft::frame(ends, v6.0, v6.1, segment(tcp_flag::ACK))),
        _ => tagged(&craft::frame(ends, from, to, UDP_PAYLOAD)),
    };
    assert!(matches!(wire::parse(&frame), Ok(Parsed::Ip(h)) if h.destination_port == ALLOWED));
    counted(&mut || {
        for _ in 0..repetitions {
            black_box(wire::parse(black_box(&frame))).expect("sound");
        }
    });
}

/// With hop-by-hop and destination options (RFC 8200, 4.3 and 4.6) of eight bytes each in front of the TCP header.
fn extended(frame: &[u8]) -> Vec<u8> {
    const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];
    let (link_and_ip, tcp) = frame.split_at(14 + 40);
    let mut extended = link_and_ip.to_vec();
    let length = u16::try_from(tcp.len() + 16).expect("short");
    extended[14 + 4..14 + 6].copy_from_slice(&length.to_be_bytes());
    let next = std::mem::replace(&mut extended[14 + 6], 0);
    for next in [60, next] {
        extended.extend([next, 0].iter().chain(&PADDING));
    }
    extended.extend_from_slice(tcp);
    extended
}

/// With an IEEE 802.1Q tag.
fn tagged(frame: &[u8]) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    [macs, &[0x81, 0x00, 0x00, 0x64], rest].concat()
}

fn decide(name: &str, repetitions: usize) {
    let tables = tables(None);
    let v6 = name.ends_with("ipv6");
    let allowed = name.starts_with("policy-allowed");
    let pods: Vec<_> = if allowed {
        (10..74).map(|host| pod(host, v6)).collect()
    } else {
        vec![pod(90, v6)]
    };
    let from = client(10, v6);
    counted(&mut || {
        for i in 0..repetitions {
            let decision = tables
                .policy
                .decide(black_box(from), pods[i % pods.len()], wire::TCP, 8080);
            assert_eq!(decision.is_allowed(), allowed);
        }
    });
}

fn flow_hit(name: &str, repetitions: usize) {
    let (v6, tcp, from_pod) = (
        name.contains("ipv6"),
        name.contains("tcp"),
        name.ends_with("from-pod"),
    );
    let mut node = Node::new();
    let mut packets: Vec<_> = (0..FLOWS)
        .map(|flow| node.open(flow, v6, tcp)[usize::from(from_pod)].clone())
        .collect();
    shuffle(&mut packets);
    node.send(usize::from(from_pod), &packets, &mut |work| work());
    let verdicts = node.send(usize::from(from_pod), &packets[..repetitions], &mut counted);
    let egress = Verdict::Forward(PortId(u8::from(!from_pod)));
    assert!(verdicts.iter().all(|v| *v == egress), "{verdicts:?}");
}

fn first_packet(name: &str, repetitions: usize) {
    let v6 = name.contains("ipv6");
    let denied = name.ends_with("denied");
    let port = if denied { DENIED } else { ALLOWED };
    let vip = SocketAddr::new(service_address(v6), port);
    let syn = |host, port| {
        let from = SocketAddr::new(client(host, v6), port);
        craft::frame([PEER, MACS[0]], from, vip, segment(tcp_flag::SYN))
    };
    let mut node = Node::new();
    // The first batches of a table grow it and what stands around it.
    let before: Vec<_> = (2_000..).take(4 * BATCH).map(|port| syn(11, port)).collect();
    node.send(0, &before, &mut |work| work());
    let packets: Vec<_> = (2_000..).take(repetitions).map(|port| syn(12, port)).collect();
    let verdicts = node.send(0, &packets, &mut counted);
    let expected = if denied {
        Verdict::Drop(Reason::Denied)
    } else {
        Verdict::Forward(PortId(1))
    };
    assert!(verdicts.iter().all(|v| *v == expected), "{verdicts:?}");
}

/// A pipeline with its tables.
struct Node {
    pipeline: Pipeline,
    tables: Tables,
    fib: Fib,
    frames: Vec<Frame>,
}

impl Node {
    fn new() -> Self {
        let mut cache = Umem::heap(2_048).cache();
        Self {
            pipeline: Pipeline::new(&PipelineConfig {
                worker: WorkerId(0),
                workers: 1,
                ownership: Ownership::Hash,
                termination: Termination::Inline,
                source_ports: SourcePorts::new(1_024, 65_535, 1).expect("a wide range"),
                flow_capacity: 4 * FLOWS,
                timeouts: Timeouts::default(),
                established: EstablishedFlows::default(),
                flow_log: Arc::new(FlowLog::new(Settings::default(), 1)),
                seed: [3, 5],
            }),
            tables: tables(None),
            fib: Fib::build(&routes(), 1),
            frames: (0..FLOWS).map(|_| cache.take().expect("a frame")).collect(),
        }
    }

    /// Opens a flow, in full if it is TCP, and gives a packet of each direction: of the client, and of the pod.
    fn open(&mut self, flow: usize, v6: bool, tcp: bool) -> [Vec<u8>; 2] {
        let from = SocketAddr::new(client(10, v6), 1_024 + u16::try_from(flow).expect("few"));
        let vip = SocketAddr::new(service_address(v6), ALLOWED);
        let packet = |flags| if tcp { segment(flags) } else { UDP_PAYLOAD };
        let syn = craft::frame([PEER, MACS[0]], from, vip, packet(tcp_flag::SYN));
        let (source, pod) = ends(&self.one(0, &syn));
        let answer = packet(tcp_flag::SYN | tcp_flag::ACK);
        self.one(1, &craft::frame([PEER, MACS[1]], pod, source, answer));
        let of_client = craft::frame([PEER, MACS[0]], from, vip, packet(tcp_flag::ACK));
        self.one(0, &of_client);
        [
            of_client,
            craft::frame([PEER, MACS[1]], pod, source, packet(tcp_flag::ACK)),
        ]
    }

    /// Sends one packet through and gives what comes out.
    fn one(&mut self, port: usize, packet: &[u8]) -> Vec<u8> {
        let verdicts = self.send(port, &[packet.to_vec()], &mut |work| work());
        assert!(matches!(verdicts[..], [Verdict::Forward(_)]), "{verdicts:?}");
        self.frames[0].data().to_vec()
    }

    /// Sends packets through in batches, of which `around` runs the work.
    fn send(
        &mut self,
        port: usize,
        packets: &[Vec<u8>],
        around: &mut dyn FnMut(&mut dyn FnMut()),
    ) -> Vec<Verdict> {
        for (frame, packet) in self.frames.iter_mut().zip(packets) {
            frame.copy_from(packet).expect("short");
        }
        let ctx = Context {
            tables: &self.tables,
            fib: &self.fib,
            now: NOW,
        };
        let port = PortId(u8::try_from(port).expect("two"));
        let mut all = Vec::with_capacity(packets.len());
        let mut verdicts = Vec::with_capacity(BATCH);
        for batch in self.frames[..packets.len()].chunks_mut(BATCH) {
            around(&mut || self.pipeline.process(&ctx, port, batch, &mut verdicts));
            all.append(&mut verdicts);
        }
        all
    }
}

const UDP_PAYLOAD: Transport<'static> = Transport::Udp(b"eighteen bytes....");

fn segment(flags: u8) -> Transport<'static> {
    let fields = Segment {
        sequence: 1,
        acknowledgement: 1,
        flags,
    };
    Transport::Tcp(fields, b"")
}

/// The same order in every run, and far from that in which the flows were opened.
fn shuffle<T>(items: &mut [T]) {
    let mut random = 1_u64;
    for i in (1..items.len()).rev() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let j = usize::try_from(random >> 33).expect("31 bits") % (i + 1);
        items.swap(i, j);
    }
}

fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    fn of<A: Address>(tuple: Tuple<A>) -> (SocketAddr, SocketAddr) {
        (
            SocketAddr::new(tuple.source.ip(), tuple.source_port),
            SocketAddr::new(tuple.destination.ip(), tuple.destination_port),
        )
    }
    match wire::parse(frame) {
        Ok(Parsed::Ip(h)) if h.v6 => of(Tuple::<[u8; 16]>::of(frame, &h)),
        Ok(Parsed::Ip(h)) => of(Tuple::<[u8; 4]>::of(frame, &h)),
        other => panic!("{other:?}"),
    }
}
