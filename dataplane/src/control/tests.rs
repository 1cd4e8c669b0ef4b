use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use headgate_ring::message::{Frontend, Object, Protocol, Service};
use headgate_ring::{ControlSession, Operation};
use headgate_xsk::{AddressRule, SteeringError, Umem};
use tokio::sync::mpsc;

use super::*;
use crate::options::{EstablishedFlows, Idle, PortRange};
use crate::pipeline::PipelineConfig;
use crate::steering::{Rules, Steerer};
use crate::telemetry::flow_log::FlowLog;
use crate::worker::{self, KernelPath, Shared, WorkerConfig};
use headgate_net::clock::Clock;
use headgate_net::flow::{Ownership, SourcePorts, Termination, Timeouts};
use headgate_net::ids::WorkerId;

const PATIENCE: Duration = Duration::from_secs(10);

/// A steering program with room for two addresses.
#[derive(Default)]
struct Narrow(BTreeMap<IpAddr, AddressRule>);

impl Rules for Narrow {
    fn set_address(&mut self, address: IpAddr, rule: AddressRule) -> Result<(), SteeringError> {
        if self.0.len() == 2 && !self.0.contains_key(&address) {
            return Err(SteeringError::PortRange { first: 2, last: 1 });
        }
        self.0.insert(address, rule);
        Ok(())
    }

    fn remove_address(&mut self, address: IpAddr) -> Result<(), SteeringError> {
        self.0.remove(&address);
        Ok(())
    }

    fn add_port(&mut self, _: IpAddr, _: u8, _: u16) -> Result<(), SteeringError> {
        Ok(())
    }

    fn remove_port(&mut self, _: IpAddr, _: u8, _: u16) -> Result<(), SteeringError> {
        Ok(())
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

struct Nowhere;

impl KernelPath for Nowhere {
    fn send(&self, _: &mut [u8]) -> bool {
        true
    }
}

/// Two workers without ports, and what serves control planes.
struct Bench {
    directory: tempfile::TempDir,
    control: Option<Control>,
    shared: Arc<Shared>,
    announced: Arc<Mutex<Vec<IpAddr>>>,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (wanted, _) = mpsc::channel(1);
        let shared = Arc::new(Shared::new(2, wanted).unwrap());
        let umem = Umem::heap(64);
        let start = |id| worker::start(config(id, umem), Arc::clone(&shared), Clock::start()).unwrap();
        let workers = (0..2).map(start).collect();
        let source_ports = PortRange {
            first: 61000,
            last: 65535,
        };
        let steerer = Arc::new(Mutex::new(Steerer::new(
            vec![Box::new(Narrow::default())],
            source_ports,
        )));
        let announced = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&announced);
        let announce: Announce =
            Box::new(move |addresses| heard.lock().unwrap().extend_from_slice(addresses));
        let applier = Applier::new(Arc::clone(&shared), steerer, announce);
        let control = Control::start(&directory.path().join("control.sock"), applier).unwrap();
        Self {
            directory,
            control: Some(control),
            shared,
            announced,
            workers,
        }
    }

    fn connect(&self) -> ControlSession {
        headgate_ring::connect(&self.directory.path().join("control.sock")).unwrap()
    }

    fn status(&self) -> ControlStatus {
        self.control.as_ref().unwrap().status().lock().unwrap().clone()
    }

    fn until(&self, ready: impl Fn(&ControlStatus) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready(&self.status()) {
            assert!(Instant::now() < deadline, "{:?}", self.status());
            std::thread::yield_now();
        }
    }

    fn services(&self) -> usize {
        self.shared.tables.load().services.len()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.control = None;
        self.shared.stop();
        self.workers
            .drain(..)
            .for_each(|worker| worker.join().unwrap().unwrap());
    }
}

fn config(id: u8, umem: &'static Umem) -> WorkerConfig {
    WorkerConfig {
        core: None,
        ports: Vec::new(),
        umem,
        pipeline: PipelineConfig {
            worker: WorkerId(id),
            workers: 2,
            ownership: Ownership::Hash,
            termination: Termination::Inline,
            source_ports: SourcePorts::new(61000, 65535, 2).unwrap(),
            flow_capacity: 1024,
            timeouts: Timeouts::default(),
            established: EstablishedFlows::default(),
            flow_log: Arc::new(FlowLog::off()),
            seed: [1, 2],
        },
        l7_buffer: 65536,
        l7_memory: 16 << 20,
        l7_limits: headgate_l7::Limits::default(),
        l7_mtu: 1500,
        kernel: Arc::new(Nowhere),
        idle: Idle::Sleep,
        neighbour_timeout: Duration::from_secs(1),
    }
}

fn services(addresses: &[&str]) -> Vec<Operation> {
    let service = |address: &&str| {
        let frontend = Frontend {
            address: address.parse().unwrap(),
            protocol: Protocol::Tcp,
            port: 80,
        };
        let backends = vec![SocketAddr::new([10, 244, 1, 10].into(), 8080)];
        Operation::Put(Object::Service(Service {
            frontend,
            name: "a/b".into(),
            backends,
            affinity_seconds: None,
        }))
    };
    addresses.iter().map(service).collect()
}

fn publish(session: &mut ControlSession, generation: u64, addresses: &[&str]) -> ToControl {
    let transaction = Transaction {
        generation,
        full: true,
        operations: services(addresses),
    };
    session.send_transaction(&transaction, Some(PATIENCE)).unwrap();
    session.receive(Some(PATIENCE)).unwrap().expect("an answer")
}

#[test]
fn an_acknowledgement_means_that_every_worker_has_it() {
    let bench = Bench::new();
    let mut session = bench.connect();
    for generation in 1..100 {
        let addresses = [["198.51.100.1"], ["198.51.100.2"]][generation as usize % 2];
        assert_eq!(
            publish(&mut session, generation, &addresses),
            ToControl::Ack { generation }
        );
        assert!(bench.shared.all_see(bench.shared.tables.load().publication));
    }
    assert_eq!(
        bench.announced.lock().unwrap().len(),
        99,
        "each address is new each time"
    );
    assert_eq!((bench.status().applied, bench.status().generation), (99, 99));
}

#[test]
fn a_newer_control_plane_takes_over_and_counts_anew() {
    let bench = Bench::new();
    let mut old = bench.connect();
    publish(&mut old, 70, &["198.51.100.1"]);
    let mut new = bench.connect();
    assert_eq!(
        publish(&mut new, 1, &["198.51.100.1", "198.51.100.2"]),
        ToControl::Ack { generation: 1 }
    );
    assert!(matches!(old.receive(Some(PATIENCE)), Err(SessionError::PeerGone)));
    assert_eq!((bench.status().sessions, bench.services()), (2, 2));
}

#[test]
fn a_state_that_steering_has_no_room_for_is_refused_whole() {
    let bench = Bench::new();
    let mut session = bench.connect();
    publish(&mut session, 1, &["198.51.100.1"]);
    let many = ["198.51.100.2", "198.51.100.3", "198.51.100.4"];
    let answer = publish(&mut session, 2, &many);
    assert!(
        matches!(answer, ToControl::Nack { generation: 2, ref reason, .. } if reason.contains("steering")),
        "{answer:?}"
    );
    assert_eq!(bench.services(), 1);
    assert_eq!(
        publish(&mut session, 3, &many[..1]),
        ToControl::Ack { generation: 3 },
        "room is not used up"
    );
    assert_eq!(bench.status().rejected, 1);
}

#[test]
fn who_does_not_speak_the_protocol_is_turned_away() {
    let bench = Bench::new();
    let mut good = bench.connect();
    publish(&mut good, 1, &["198.51.100.1"]);
    let mut bad = UnixStream::connect(bench.directory.path().join("control.sock")).unwrap();
    bad.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    bench.until(|status| status.refused == 1);
    assert_eq!(
        publish(&mut good, 2, &["198.51.100.2"]),
        ToControl::Ack { generation: 2 },
        "the good one is served on"
    );
}

#[test]
fn a_control_plane_that_goes_leaves_its_state() {
    let bench = Bench::new();
    publish(&mut bench.connect(), 1, &["198.51.100.1"]);
    bench.until(|status| !status.connected);
    assert_eq!((bench.services(), bench.status().generation), (1, 1));
}

#[test]
fn rivals_do_not_replace_each_other_for_ever() {
    let bench = Bench::new();
    let mut sessions: Vec<_> = (0..4).map(|_| bench.connect()).collect();
    bench.until(|status| status.sessions == 4);
    let mut served = sessions.pop().unwrap();
    std::thread::scope(|scope| {
        let path = bench.directory.path().join("control.sock");
        // It is patient with an offer that is not taken up, as control planes are.
        let rival = scope
            .spawn(move || std::iter::repeat_with(|| headgate_ring::connect(&path)).find_map(Result::ok));
        for generation in 1..4 {
            let answer = publish(&mut served, generation, &["198.51.100.1"]);
            assert_eq!(answer, ToControl::Ack { generation });
        }
        assert_eq!(bench.status().sessions, 4, "it keeps its place");
        drop(served);
        let mut rival = rival.join().unwrap().unwrap();
        let answer = publish(&mut rival, 1, &["198.51.100.2"]);
        assert_eq!(
            answer,
            ToControl::Ack { generation: 1 },
            "and leaves it when it goes"
        );
    });
}

#[test]
fn one_that_never_pauses_neither_keeps_others_out_nor_the_dataplane_from_stopping() {
    let mut bench = Bench::new();
    let path = bench.directory.path().join("control.sock");
    let chatter = std::thread::spawn(move || {
        let mut session = headgate_ring::connect(&path).unwrap();
        for generation in 1.. {
            let operations = services(&["198.51.100.1"]);
            let full = true;
            let transaction = Transaction {
                generation,
                full,
                operations,
            };
            let sent = session.send_transaction(&transaction, Some(PATIENCE));
            // Answers are read as they come, or the ring for them would fill up.
            if sent.is_err() || std::iter::from_fn(|| session.try_receive().transpose()).any(|a| a.is_err()) {
                return;
            }
        }
    });
    bench.until(|status| status.applied > 10);
    let mut newer = bench.connect();
    assert_eq!(
        publish(&mut newer, 1, &["198.51.100.2"]),
        ToControl::Ack { generation: 1 }
    );
    chatter.join().unwrap();
    bench.control = None;
}
