//! L7 stages with cores of their own.

use headgate_net::record::TcpCount;
use headgate_net::wire::craft::Segment;
use headgate_net::wire::tcp_flag::SYN;
use headgate_tcp::network::run;

use super::terminated::{CLIENT_ADDRESS, LISTENER, client, listening};
use super::*;
use crate::telemetry::StageStatus;

fn apart(workers: u8, stages: u8) -> Bench {
    listening(Bench::build(
        workers,
        Termination::Apart(stages),
        Host::default(),
        |port| port,
    ))
}

impl Bench {
    fn stage(&mut self, stage: usize) -> StageStatus {
        self.stages[stage].note(self.now, true);
        StageStatus::of(&self.shared.records[self.engines.len() + stage])
    }

    /// One turn of one worker.
    fn turn(&mut self, worker: usize) {
        let ctx = Context {
            tables: &self.tables,
            fib: &self.fib,
            now: self.now,
        };
        self.engines[worker].receive(&ctx);
        self.engines[worker].send(&ctx);
    }

    /// One turn of one stage.
    fn stage_turn(&mut self, stage: usize) {
        let ctx = Context {
            tables: &self.tables,
            fib: &self.fib,
            now: self.now,
        };
        self.stages[stage].receive(&ctx);
        self.stages[stage].send(&ctx);
    }

    /// A client's SYN.
    fn knock(&mut self, worker: usize, port: u16) {
        let from = SocketAddr::new(CLIENT_ADDRESS.parse().unwrap(), port);
        let segment = Segment {
            sequence: 100,
            acknowledgement: 0,
            flags: SYN,
        };
        let link = [CLIENT, GATEWAY[0]];
        self.inject(
            worker,
            0,
            &frame(link, from, socket(LISTENER), Transport::Tcp(segment, b"")),
        );
    }
}

#[test]
fn connections_live_on_stages_and_their_packets_go_by_all_workers() {
    for (workers, stages) in [(1, 1), (1, 3), (2, 1), (3, 2)] {
        run(async {
            let mut bench = apart(workers, stages);
            let client = client();
            for _ in 0..24 {
                bench.ask(&client).await;
            }
            let all: Vec<_> = (0..usize::from(stages)).map(|stage| bench.stage(stage)).collect();
            let sum = |count| all.iter().map(|stage| stage.l7.tcp.counters[count]).sum::<u64>();
            assert_eq!(sum(TcpCount::Accepted), 24);
            assert_eq!(sum(TcpCount::ResetsOut), 0, "a connection was split");
            assert!(
                all.iter()
                    .all(|stage| stage.l7.tcp.counters[TcpCount::Accepted] > 0)
            );
            let from: u64 = all
                .iter()
                .map(|stage| stage.counts.events[PacketCount::FromL7])
                .sum();
            assert_eq!(from, sum(TcpCount::SegmentsOut));
            let mut given = 0;
            for worker in 0..usize::from(workers) {
                let status = bench.status(worker);
                assert_eq!(status.l7, Default::default(), "workers terminate nothing");
                assert_eq!(status.counts.events[PacketCount::HandedOver], 0);
                given += status.counts.events[PacketCount::ToL7];
            }
            assert_eq!(given, sum(TcpCount::SegmentsIn));
            bench.assert_no_leak();
        });
    }
}

/// The packets of a connection must not overtake each other.
#[test]
fn what_a_connection_sends_leaves_by_one_worker() {
    run(async {
        let mut bench = apart(3, 1);
        let mut leaves_by = BTreeMap::<u16, std::collections::BTreeSet<usize>>::new();
        for port in 5000..5060 {
            bench.knock(0, port);
            // The SYN once more: it is answered once more.
            bench.knock(1, port);
        }
        bench.settle();
        for worker in 0..3 {
            let mut frames: Vec<Frame> = Vec::new();
            let far = bench.far.get_mut(&(worker, 0)).unwrap();
            far.receive(&mut bench.cache, &mut frames, usize::MAX);
            for frame in frames {
                let packet = ip_packet(frame.data()).unwrap();
                let port = u16::from_be_bytes([packet[42], packet[43]]);
                leaves_by.entry(port).or_default().insert(worker);
                bench.cache.put(frame);
            }
        }
        assert_eq!(leaves_by.len(), 60);
        assert!(
            leaves_by.values().all(|workers| workers.len() == 1),
            "{leaves_by:?}"
        );
        for worker in 0..3 {
            let share = leaves_by
                .values()
                .filter(|workers| workers.contains(&worker))
                .count();
            assert!(share > 5, "worker {worker} sends for {share} of 60");
        }
    });
}

#[test]
fn a_stage_that_does_not_keep_up_is_given_no_more() {
    run(async {
        let mut bench = apart(1, 1);
        // The stage never has a turn.
        for round in 0..25_u16 {
            for port in 0..200 {
                bench.knock(0, 1024 + round * 200 + port);
            }
            (0..8).for_each(|_| bench.turn(0));
        }
        assert_eq!(bench.shared.stages[0].waiting(), 4096);
        assert_eq!(bench.drops(), [("stage-full".to_owned(), 5000 - 4096)].into());
        assert_eq!(bench.status(0).counts.events[PacketCount::ToL7], 5000);
        // Services do not wait for it.
        bench.tables = tables(3);
        bench.fib = fib(3, &["10.244.1.10"]);
        bench.send(0, 10, 1000, SERVICE);
        bench.turn(0);
        assert_eq!(bench.arrived(1).len(), 1);
        drop(bench.stages);
        bench.cache = bench.umem.cache();
        while let Some((frame, _)) = bench.shared.stages[0].take() {
            bench.cache.put(frame);
        }
        drop(bench.engines);
        drop(bench.far);
        assert_eq!(bench.umem.free_frames(), FRAMES as usize, "every frame is back");
    });
}

#[test]
fn a_stage_waits_for_a_worker_that_has_no_room() {
    run(async {
        let mut bench = apart(1, 1);
        for port in 5000..5100 {
            bench.knock(0, port);
        }
        bench.turn(0);
        bench.turn(0);
        // Others have filled the worker's outbox.
        let mut held = 0;
        while let Some(frame) = bench.cache.take() {
            match bench.shared.peers[0].send(frame, PortId(0)) {
                Ok(()) => held += 1,
                Err(frame) => {
                    bench.cache.put(frame);
                    break;
                }
            }
        }
        assert_eq!(held, 2048);
        bench.stage_turn(0);
        let soon = bench.now.after(Duration::from_millis(1));
        assert!(bench.stages[0].deadline(bench.now) <= soon, "it looks again soon");
        assert_eq!(bench.stage(0).counts.events[PacketCount::FromL7], 0);
        // The worker sends, and then the stage's, none of which is lost.
        let mut arrived = 0;
        for _ in 0..100 {
            bench.turn(0);
            bench.stage_turn(0);
            arrived += bench.arrived(0).len();
        }
        assert_eq!(arrived, held + 100);
        assert_eq!(bench.stage(0).counts.events[PacketCount::FromL7], 100);
        assert!(bench.drops().is_empty() && bench.stage(0).counts.drops.is_empty());
        bench.assert_no_leak();
    });
}

/// A worker and a stage on their threads.
struct Threads {
    shared: Arc<Shared>,
    umem: &'static Umem,
    threads: Vec<JoinHandle<io::Result<()>>>,
    _ports: [MemoryPort; 2],
}

impl Threads {
    fn start() -> Self {
        let umem = Umem::heap(FRAMES);
        let (wanted, _questions) = mpsc::channel(16);
        let shared = Arc::new(Shared::with_stages(1, 1, wanted).unwrap());
        let ((near, clients), (other, pods)) = (pair(WIRE), pair(WIRE));
        let host = Arc::default();
        let mut config = config(WorkerId(0), 1, umem, vec![Box::new(near), Box::new(other)], &host);
        config.pipeline.termination = Termination::Apart(1);
        let worker = start(config, Arc::clone(&shared), Clock::start()).unwrap();
        Self {
            threads: vec![worker],
            shared,
            umem,
            _ports: [clients, pods],
        }
    }

    fn start_stage(&mut self) {
        let config = stage_config(StageId(0), 1, 1, self.umem, &Arc::default());
        let stage = start_stage(config, Arc::clone(&self.shared), Clock::start()).unwrap();
        self.threads.push(stage);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            thread.join().unwrap().unwrap();
        }
    }
}

#[test]
fn a_publication_is_in_force_when_stages_work_by_it_too() {
    let mut threads = Threads::start();
    let shared = Arc::clone(&threads.shared);
    shared.observe();
    shared.tables.store(Arc::new(tables(1)));
    shared.wake_all();
    until(|| shared.late(1) == ["L7 stage 0"]);
    assert!(!shared.all_see(1));
    threads.start_stage();
    until(|| shared.all_see(1));
    // Asleep, they are woken: whoever is not looks again after a second only.
    for publication in 2..100 {
        until(|| shared.stage_record(StageId(0)).turns.get(Loop::Sleeps) > 0);
        let published = std::time::Instant::now();
        shared.tables.store(Arc::new(tables(publication)));
        shared.wake_all();
        while !shared.all_see(publication) {
            std::thread::park_timeout(AT_ONCE);
        }
        assert!(published.elapsed() < AT_ONCE, "publication {publication}");
    }
    assert_eq!(shared.late(99), Vec::<String>::new());
}

#[test]
fn packets_wake_a_stage_that_sleeps() {
    let mut threads = Threads::start();
    threads.start_stage();
    let handle = &threads.shared.stages[0];
    let record = threads.shared.stage_record(StageId(0));
    until(|| record.turns.get(Loop::Sleeps) > 0);
    let mut cache = threads.umem.cache();
    let from = SocketAddr::new(CLIENT_ADDRESS.parse().unwrap(), 5000);
    let segment = Segment {
        sequence: 1,
        acknowledgement: 0,
        flags: SYN,
    };
    let syn = frame(
        [CLIENT, GATEWAY[0]],
        from,
        socket(LISTENER),
        Transport::Tcp(segment, b""),
    );
    let Ok(headgate_net::wire::Parsed::Ip(headers)) = headgate_net::wire::parse(&syn) else {
        panic!("a packet");
    };
    for round in 1..100 {
        let given = std::time::Instant::now();
        let mut frame = cache.take().unwrap();
        frame.copy_from(&syn).unwrap();
        assert!(handle.give(frame, headers).is_ok());
        handle.subscriber.wake();
        until(|| record.l7.tcp.events.get(TcpCount::SegmentsIn) == round);
        assert!(given.elapsed() < AT_ONCE, "packet {round}");
    }
}

#[test]
fn a_stage_that_fails_has_ended() {
    let threads = Threads::start();
    // Ports are cut for one stage, and this is the second.
    let config = stage_config(StageId(1), 1, 1, threads.umem, &Arc::default());
    let stage = start_stage(config, Arc::clone(&threads.shared), Clock::start()).unwrap();
    assert_eq!(stage.thread().name(), Some("headgate-l7-1"));
    until(|| stage.is_finished());
    assert!(
        stage.join().is_err(),
        "a panic is for whoever looks after threads"
    );
}
