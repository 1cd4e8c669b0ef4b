//! Workers over in-memory ports: clients on port 0, pods on port 1, time as the test says.

mod apart;
mod listing;
mod terminated;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use headgate_ring::message::{Frontend, Object, Protocol, Service};
use headgate_ring::{Operation, Transaction};
use headgate_xsk::{Frame, FrameCache};
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::apart::ApartStage;
use super::work::Work;
use super::*;
use crate::config::{State, Tables};
use crate::options::EstablishedFlows;
use crate::pipeline::Context;
use crate::port::memory::{MemoryPort, pair};
use crate::port::{Faults, Faulty};
use crate::telemetry::WorkerStatus;
use crate::telemetry::flow_log::FlowLog;
use headgate_net::clock::Nanos;
use headgate_net::fib::{
    DeviceAddress, Fib, KernelRoute, Link, Neighbour, NextHop, RouteKind, RoutingTable, Snapshot,
};
use headgate_net::flow::{Ownership, SourcePorts, Termination, Timeouts};
use headgate_net::ids::{PortId, StageId, WorkerId};
use headgate_net::record::{Loop, PacketCount};
use headgate_net::wire::craft::{Transport, frame};
use headgate_net::wire::ip_packet;

const FRAMES: u32 = 8192;
const WIRE: usize = 256;
const GATEWAY: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xa0], [2, 0, 0, 0, 0, 0xa1]];
const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0xc0];
const POD: [u8; 6] = [2, 0, 0, 0, 0, 0xd0];
const SERVICE: &str = "198.51.100.10:53";
const MISSING: &str = "198.51.100.11:53";

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tables(publication: u64) -> Tables {
    let service = |(frontend, backend): (&str, &str)| {
        let frontend = socket(frontend);
        let frontend = Frontend {
            address: frontend.ip(),
            protocol: Protocol::Udp,
            port: frontend.port(),
        };
        let backends = vec![socket(backend)];
        Object::Service(Service {
            frontend,
            name: "test/dns".into(),
            backends,
            affinity_seconds: None,
        })
    };
    let services = [(SERVICE, "10.244.1.10:7"), (MISSING, "10.244.1.99:7")];
    let operations = services.into_iter().map(service).map(Operation::Put).collect();
    let transaction = Transaction {
        generation: publication,
        full: true,
        operations,
    };
    let mut tables = Tables::transact(&mut State::default(), transaction, None).unwrap();
    tables.publication = publication;
    tables
}

/// A gateway with one network on each port; of the pods only those in `known` have told their addresses.
fn fib(publication: u64, known: &[&str]) -> Fib {
    let clients = (10..30).map(|host| (IpAddr::from([192, 0, 2, host]), 2, CLIENT));
    let pods = known.iter().map(|pod| (pod.parse().unwrap(), 3, POD));
    let nets = [("192.0.2.1/24", 2), ("10.244.1.1/24", 3)];
    gateway(publication, &nets, clients.chain(pods))
}

/// A gateway with these addresses in these networks on its interfaces, and these neighbours.
fn gateway(
    publication: u64,
    nets: &[(&str, u32)],
    neighbours: impl Iterator<Item = (IpAddr, u32, [u8; 6])>,
) -> Fib {
    let route = |(net, interface): &(&str, u32)| KernelRoute {
        table: RoutingTable::Main,
        destination: net.parse::<ipnet::IpNet>().unwrap().trunc(),
        kind: RouteKind::Unicast,
        metric: 0,
        preferred_source: None,
        hops: vec![NextHop {
            gateway: None,
            interface: *interface,
            weight: 1,
        }],
    };
    let own = |net: &(&str, u32)| KernelRoute {
        table: RoutingTable::Local,
        destination: net.0.parse::<ipnet::IpNet>().unwrap().addr().into(),
        kind: RouteKind::Local,
        ..route(net)
    };
    let address = |(net, interface): &(&str, u32)| DeviceAddress {
        interface: *interface,
        address: net.parse().unwrap(),
        global: true,
        avoided: false,
    };
    let link = |index: u32| Link {
        index,
        mac: Some(GATEWAY[index as usize - 2]),
        mtu: 1500,
        up: true,
    };
    let neighbour = |(address, interface, mac)| Neighbour {
        interface,
        address,
        mac: Some(mac),
    };
    let snapshot = Snapshot {
        links: [2, 3].map(link).into(),
        addresses: nets.iter().map(address).collect(),
        routes: nets.iter().map(route).chain(nets.iter().map(own)).collect(),
        neighbours: neighbours.map(neighbour).collect(),
        ports: vec![(PortId(0), 2), (PortId(1), 3)],
        ..Snapshot::default()
    };
    Fib::build(&snapshot, publication)
}

/// The host's stack: takes what there is room for.
#[derive(Default)]
struct Host {
    taken: Mutex<Vec<Vec<u8>>>,
    full: bool,
}

impl KernelPath for Host {
    fn send(&self, frame: &mut [u8]) -> bool {
        self.taken.lock().unwrap().push(frame.to_vec());
        !self.full
    }
}

/// Engines without their threads, and the far ends of their ports.
struct Bench {
    umem: &'static Umem,
    cache: FrameCache,
    questions: mpsc::Receiver<Wanted>,
    host: Arc<Host>,
    engines: Vec<Engine>,
    /// With cores of their own.
    stages: Vec<ApartStage>,
    shared: Arc<Shared>,
    far: BTreeMap<(usize, usize), MemoryPort>,
    tables: Tables,
    fib: Fib,
    now: Nanos,
}

impl Bench {
    fn new(workers: u8) -> Self {
        Self::with(workers, Host::default(), |port| port)
    }

    fn with<P: Port + 'static>(workers: u8, host: Host, wrap: impl Fn(MemoryPort) -> P) -> Self {
        Self::build(workers, Termination::Inline, host, wrap)
    }

    fn build<P: Port + 'static>(
        workers: u8,
        termination: Termination,
        host: Host,
        wrap: impl Fn(MemoryPort) -> P,
    ) -> Self {
        let umem = Umem::heap(FRAMES);
        let (wanted, questions) = mpsc::channel(16);
        let apart = match termination {
            Termination::Inline => 0,
            Termination::Apart(stages) => stages,
        };
        let shared = Arc::new(Shared::with_stages(workers, apart, wanted).unwrap());
        let host = Arc::new(host);
        let mut far = BTreeMap::new();
        let mut engines = Vec::new();
        for id in 0..workers {
            let mut ports: Vec<Box<dyn Port>> = Vec::new();
            for port in 0..2 {
                let (near, other) = pair(WIRE);
                far.insert((usize::from(id), port), other);
                ports.push(Box::new(wrap(near)));
            }
            let mut config = config(WorkerId(id), workers, umem, ports, &host);
            config.pipeline.termination = termination;
            config.pipeline.source_ports = source_ports(workers, termination);
            engines.push(Engine::new(config, &shared));
        }
        let stage = |id| ApartStage::new(stage_config(StageId(id), workers, apart, umem, &host), &shared);
        let stages = (0..apart).map(stage).collect();
        let (tables, fib) = (tables(1), fib(1, &["10.244.1.10"]));
        Self {
            shared,
            umem,
            cache: umem.cache(),
            questions,
            host,
            engines,
            stages,
            far,
            tables,
            fib,
            now: Nanos(1 << 40),
        }
    }

    /// A datagram from client `host` to `to`, arriving at a worker's queue.
    fn send(&mut self, worker: usize, host: u8, port: u16, to: &str) {
        let from = SocketAddr::new([192, 0, 2, host].into(), port);
        self.inject(
            worker,
            0,
            &frame([CLIENT, GATEWAY[0]], from, socket(to), Transport::Udp(b"hello")),
        );
    }

    fn inject(&mut self, worker: usize, port: usize, packet: &[u8]) {
        let mut frame = self.cache.take().expect("a free frame");
        frame.copy_from(packet).unwrap();
        let mut frames = vec![frame];
        self.far
            .get_mut(&(worker, port))
            .unwrap()
            .transmit(&mut self.cache, &mut frames);
        assert!(frames.is_empty(), "the wire has room");
    }

    /// Everybody's turns until nothing moves.
    fn settle(&mut self) {
        let ctx = Context {
            tables: &self.tables,
            fib: &self.fib,
            now: self.now,
        };
        let mut quiet = 0;
        while quiet < 3 {
            let engines = self.engines.iter_mut();
            let engines = engines.map(|engine| engine.receive(&ctx) + engine.send(&ctx));
            let stages = self.stages.iter_mut();
            let stages = stages.map(|stage| stage.receive(&ctx) + stage.send(&ctx));
            let moved: usize = engines.chain(stages).sum();
            quiet = if moved == 0 { quiet + 1 } else { 0 };
        }
    }

    /// What has come out of a port at any worker's queue, as bytes.
    fn arrived(&mut self, port: usize) -> Vec<Vec<u8>> {
        let mut frames: Vec<Frame> = Vec::new();
        for (_, far) in self.far.iter_mut().filter(|((_, p), _)| *p == port) {
            far.receive(&mut self.cache, &mut frames, usize::MAX);
        }
        let bytes = frames.iter().map(|frame| frame.data().to_vec()).collect();
        frames.into_iter().for_each(|frame| self.cache.put(frame));
        bytes
    }

    fn status(&mut self, worker: usize) -> WorkerStatus {
        self.engines[worker].note(self.now, true);
        let status = WorkerStatus::of(&self.engines[worker].record);
        WorkerStatus {
            held: crate::telemetry::HeldFrames {
                inbox: self.engines[worker].peer().waiting(),
                ..status.held
            },
            ..status
        }
    }

    fn drops(&mut self) -> BTreeMap<String, u64> {
        let mut sum = crate::telemetry::Counts::default();
        (0..self.engines.len()).for_each(|worker| sum.add(&self.status(worker).counts));
        sum.drops
    }

    fn assert_no_leak(&self) {
        assert_eq!(self.umem.free_frames(), FRAMES as usize, "every frame is back");
    }
}

fn config(
    worker: WorkerId,
    workers: u8,
    umem: &'static Umem,
    ports: Vec<Box<dyn Port>>,
    host: &Arc<Host>,
) -> WorkerConfig {
    let pipeline = PipelineConfig {
        worker,
        workers,
        ownership: Ownership::Hash,
        termination: Termination::Inline,
        source_ports: source_ports(workers, Termination::Inline),
        flow_capacity: 4096,
        timeouts: Timeouts::default(),
        established: EstablishedFlows::default(),
        flow_log: Arc::new(FlowLog::off()),
        seed: [7, 11],
    };
    WorkerConfig {
        core: None,
        ports,
        umem,
        pipeline,
        l7_buffer: 65536,
        l7_memory: 16 << 20,
        l7_limits: headgate_l7::Limits::default(),
        l7_mtu: 1500,
        kernel: Arc::clone(host) as Arc<dyn KernelPath>,
        idle: Idle::Sleep,
        neighbour_timeout: Duration::from_secs(1),
    }
}

fn source_ports(workers: u8, termination: Termination) -> SourcePorts {
    SourcePorts::cut(61000, 65535, workers, termination.stages(workers)).unwrap()
}

fn stage_config(
    id: StageId,
    workers: u8,
    stages: u8,
    umem: &'static Umem,
    host: &Arc<Host>,
) -> StageThreadConfig {
    StageThreadConfig {
        id,
        core: None,
        umem,
        source_ports: source_ports(workers, Termination::Apart(stages)),
        established: EstablishedFlows::default(),
        flow_log: Arc::new(FlowLog::off()),
        seed: [7, 11],
        buffer: 65536,
        memory: 16 << 20,
        limits: headgate_l7::Limits::default(),
        mtu: 1500,
        kernel: Arc::clone(host) as Arc<dyn KernelPath>,
        idle: Idle::Sleep,
        neighbour_timeout: Duration::from_secs(1),
    }
}

fn destination(packet: &[u8]) -> [u8; 4] {
    ip_packet(packet).unwrap()[16..20].try_into().unwrap()
}

#[test]
fn a_flow_is_carried_wherever_its_packets_arrive() {
    let mut bench = Bench::new(2);
    for port in 1000..1100 {
        bench.send(usize::from(port % 3 == 0), 10, port, SERVICE);
    }
    bench.settle();
    let requests = bench.arrived(1);
    assert_eq!(requests.len(), 100);
    for (index, request) in requests.iter().enumerate() {
        assert_eq!(
            (&request[..6], &request[6..12]),
            (POD.as_slice(), GATEWAY[1].as_slice())
        );
        assert_eq!(destination(request), [10, 244, 1, 10]);
        // The answer goes back to where it came from, by the other queue as often as not.
        let udp = ip_packet(request).unwrap()[20..28].to_vec();
        let source = u16::from_be_bytes([udp[0], udp[1]]);
        let (from, to) = (
            socket("10.244.1.10:7"),
            SocketAddr::new([10, 244, 1, 1].into(), source),
        );
        bench.inject(
            index % 2,
            1,
            &frame([POD, GATEWAY[1]], from, to, Transport::Udp(b"answer")),
        );
    }
    bench.settle();
    let answers = bench.arrived(0);
    assert_eq!(
        answers.len(),
        100,
        "{:?} {:?}",
        bench.status(0).counts,
        bench.status(1).counts
    );
    assert!(
        answers
            .iter()
            .all(|answer| destination(answer) == [192, 0, 2, 10] && answer[..6] == CLIENT)
    );
    let counts = [bench.status(0).counts, bench.status(1).counts];
    assert!(
        counts[0].events[PacketCount::HandedOver] > 10 && counts[1].events[PacketCount::HandedOver] > 10,
        "{counts:?}"
    );
    assert_eq!(
        counts[0].events[PacketCount::HandedOver],
        counts[1].events[PacketCount::TakenOver]
    );
    assert_eq!(
        counts[1].events[PacketCount::HandedOver],
        counts[0].events[PacketCount::TakenOver]
    );
    bench.assert_no_leak();
}

#[test]
fn packets_wait_for_their_neighbour() {
    let mut bench = Bench::new(1);
    for port in 1000..1010 {
        bench.send(0, 10, port, MISSING);
    }
    bench.settle();
    assert_eq!(bench.status(0).held.parked, 10);
    let wanted = (PortId(1), "10.244.1.99".parse().unwrap());
    assert_eq!(bench.questions.try_recv(), Ok(wanted));
    assert!(
        bench.questions.try_recv().is_err(),
        "one question for all of them"
    );
    bench.fib = fib(2, &["10.244.1.10", "10.244.1.99"]);
    bench.settle();
    let sent = bench.arrived(1);
    assert_eq!(sent.len(), 10);
    assert!(
        sent.iter()
            .all(|packet| packet[..6] == POD && destination(packet) == [10, 244, 1, 99])
    );
    bench.assert_no_leak();
}

#[test]
fn packets_do_not_wait_for_ever() {
    let mut bench = Bench::new(1);
    bench.send(0, 10, 1000, MISSING);
    bench.settle();
    bench.now = bench.now.after(Duration::from_millis(999));
    bench.settle();
    assert_eq!(bench.status(0).held.parked, 1);
    bench.now = bench.now.after(Duration::from_millis(2));
    bench.settle();
    assert_eq!(bench.status(0).held.parked, 0);
    assert_eq!(bench.drops(), [("unresolved".to_owned(), 1)].into());
    bench.assert_no_leak();
}

#[test]
fn one_dead_neighbour_has_its_share_of_places_and_no_more() {
    let mut bench = Bench::new(1);
    for port in 1000..1100 {
        bench.send(0, 10, port, MISSING);
    }
    bench.settle();
    assert_eq!(bench.status(0).held.parked, 64);
    assert_eq!(bench.drops(), [("resolve-full".to_owned(), 36)].into());
}

#[test]
fn the_host_gets_its_packets_if_it_has_room() {
    for full in [false, true] {
        let mut bench = Bench::with(
            1,
            Host {
                full,
                ..Host::default()
            },
            |port| port,
        );
        bench.send(0, 10, 1000, "203.0.113.1:53");
        bench.settle();
        assert_eq!(bench.host.taken.lock().unwrap().len(), 1);
        assert_eq!(bench.drops().get("kernel-full").copied(), full.then_some(1));
        bench.assert_no_leak();
    }
}

#[test]
fn a_worker_that_does_not_keep_up_is_handed_no_more() {
    let mut bench = Bench::new(2);
    let ctx_free = |bench: &mut Bench| {
        let ctx = Context {
            tables: &bench.tables,
            fib: &bench.fib,
            now: bench.now,
        };
        while bench.engines[0].receive(&ctx) + bench.engines[0].send(&ctx) > 0 {}
    };
    // Worker 1 never has a turn.
    for round in 0..40_u16 {
        for port in 0..200 {
            bench.send(0, 10, 1000 + round * 200 + port, SERVICE);
        }
        ctx_free(&mut bench);
        bench.arrived(1);
    }
    let handed_over = bench.status(0).counts.events[PacketCount::HandedOver];
    let inbox = bench.status(1).held.inbox as u64;
    assert_eq!(inbox, 2048);
    assert_eq!(bench.drops()["hand-over-full"], handed_over - inbox);
    bench.settle();
    bench.arrived(1);
    bench.settle();
    bench.arrived(1);
}

#[test]
fn a_wire_that_is_full_is_waited_for() {
    let mut bench = Bench::new(1);
    for round in 0..2_u16 {
        for port in 0..200 {
            bench.send(0, 10, 1000 + round * 200 + port, SERVICE);
        }
        bench.settle();
    }
    assert_eq!(bench.status(0).held.unsent, 400 - WIRE);
    assert_eq!(bench.arrived(1).len(), WIRE);
    bench.settle();
    assert_eq!(bench.arrived(1).len(), 400 - WIRE);
    bench.assert_no_leak();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the line does to packets: every frame comes back.
    #[test]
    fn no_frame_is_lost(
        seed: u64,
        loss in 0..300_000_u32,
        corruption in 0..300_000_u32,
        packets in prop::collection::vec((0..2_usize, 10..14_u8, 1..9_u16, any::<bool>()), 1..200),
    ) {
        let faults = Faults { loss, corruption, duplication: 100_000, reordering: 100_000, reorder_by: 3 };
        let mut bench = Bench::with(2, Host::default(), |port| Faulty::new(port, faults, faults, seed));
        for (worker, host, port, known) in packets {
            bench.send(worker, host, port, if known { SERVICE } else { MISSING });
        }
        bench.settle();
        bench.now = bench.now.after(Duration::from_secs(5));
        bench.settle();
        bench.engines.iter_mut().for_each(Engine::reap);
        bench.arrived(0);
        bench.arrived(1);
        bench.assert_no_leak();
    }
}

/// A worker on its thread, with nothing to do, and so asleep.
fn with_sleeper(test: impl FnOnce(&Arc<Shared>, &'static Umem, &mut MemoryPort)) {
    let umem = Umem::heap(FRAMES);
    let (wanted, _questions) = mpsc::channel(16);
    let shared = Arc::new(Shared::new(1, wanted).unwrap());
    shared.fib.store(Arc::new(fib(1, &["10.244.1.10"])));
    let (near, _clients) = pair(WIRE);
    let (other, mut pods) = pair(WIRE);
    let ports: Vec<Box<dyn Port>> = vec![Box::new(near), Box::new(other)];
    let config = config(WorkerId(0), 1, umem, ports, &Arc::default());
    let thread = start(config, Arc::clone(&shared), Clock::start()).unwrap();
    until(|| shared.records[0].turns.get(Loop::Sleeps) > 0);
    test(&shared, umem, &mut pods);
    shared.stop();
    thread.join().unwrap().unwrap();
}

fn until(mut ready: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !ready() {
        assert!(std::time::Instant::now() < deadline, "not within 10 s");
        std::thread::yield_now();
    }
}

/// Less than the tick of a sleeping worker that has nothing to do, which is a second; a loaded machine takes half of one.
const AT_ONCE: Duration = Duration::from_millis(900);

#[test]
fn a_publication_wakes_a_sleeper() {
    with_sleeper(|shared, _, _| {
        shared.observe();
        for publication in 1..200 {
            let published = std::time::Instant::now();
            shared.tables.store(Arc::new(tables(publication)));
            shared.wake_all();
            while !shared.all_see(publication) {
                std::thread::park_timeout(AT_ONCE);
            }
            assert!(
                published.elapsed() < AT_ONCE,
                "publication {publication} took {:?}",
                published.elapsed()
            );
        }
    });
}

#[test]
fn frames_for_a_sleeper_wake_it() {
    with_sleeper(|shared, umem, pods| {
        let mut cache = umem.cache();
        for round in 0..200 {
            let given = std::time::Instant::now();
            let mut frame = cache.take().unwrap();
            frame.copy_from(&[round; 60]).unwrap();
            assert!(shared.peers[0].send(frame, PortId(1)).is_ok());
            shared.peers[0].wake();
            let mut out = Vec::new();
            until(|| pods.receive(&mut cache, &mut out, 8) > 0);
            assert!(
                given.elapsed() < AT_ONCE,
                "frame {round} took {:?}",
                given.elapsed()
            );
            out.into_iter().for_each(|frame| cache.put(frame));
        }
    });
}
