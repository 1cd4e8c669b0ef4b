//! The thread, its socket and its file.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::*;
use headgate_net::clock::Clock;

/// A log with one worker, and its socket.
struct World {
    service: FlowLogService,
    recorder: Recorder,
    clock: Clock,
    socket: PathBuf,
    directory: tempfile::TempDir,
}

impl World {
    fn new(settings: Settings) -> Self {
        Self::with(settings, |_| None)
    }

    fn with(settings: Settings, target: impl FnOnce(&Path) -> Option<Target>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("flows.sock");
        let log = Arc::new(FlowLog::new(settings, 1));
        let clock = Clock::start();
        let tables = tables(objects(), 1, None).1;
        let sources = Sources {
            tables: Arc::new(ArcSwap::from_pointee(tables)),
            all_see: Box::new(|_| true),
            clock,
        };
        let target = target(directory.path());
        Self {
            service: FlowLogService::start(Arc::clone(&log), sources, &socket, target).unwrap(),
            recorder: Recorder::new(log, WorkerId(0)),
            clock,
            socket,
            directory,
        }
    }

    /// A worker denies a client of this port.
    fn deny(&mut self, pod_port: u16) {
        let pod = format!("10.244.1.10:{pod_port}");
        let at = self.clock.now();
        self.recorder.denied(|| Record {
            at,
            ..record("192.0.2.200:40000", &pod, Event::FlowDenied)
        });
    }

    fn allow(&mut self, pod_port: u16) {
        let pod = format!("10.244.1.10:{pod_port}");
        let at = self.clock.now();
        self.recorder.allowed(|| Record {
            at,
            ..record("192.0.2.7:40000", &pod, Event::FlowAllowed)
        });
    }

    fn ask(&self, question: &str) -> Reader {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        stream.write_all(b"\n").unwrap();
        Reader(BufReader::new(stream))
    }

    fn wait(&self, what: &str, holds: impl Fn(FlowLogStatus) -> bool) {
        let start = Instant::now();
        let status = self.service.status();
        while !holds(status()) {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{what}: {:?}",
                status()
            );
            std::thread::yield_now();
        }
    }
}

struct Reader(BufReader<UnixStream>);

impl Reader {
    /// `None` at the end.
    fn line(&mut self) -> Option<Line> {
        let mut line = String::new();
        match self.0.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// The pod's port of the next decision, which tells those of these tests apart.
    fn port(&mut self) -> Option<u16> {
        match self.line()? {
            Line::Flow(flow) => Some(flow.destination.port),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_follows_gets_what_is_decided_from_then_on() {
    let mut world = World::new(Settings::default());
    let mut reader = world.ask(r#"{"follow":true,"last":0}"#);
    world.wait("a follower", |status| status.followers == 1);
    world.deny(1);
    world.deny(2);
    assert_eq!((reader.port(), reader.port()), (Some(1), Some(2)));
    // Allowed flows are recorded from when somebody wants them.
    let start = Instant::now();
    while !world.recorder.wants_allowed() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
    world.allow(3);
    assert_eq!(reader.port(), Some(3));
    drop(reader);
    world.wait("nobody follows", |status| status.followers == 0);
    let start = Instant::now();
    while world.recorder.wants_allowed() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
}

#[test]
fn who_comes_later_gets_what_is_left() {
    let mut world = World::new(Settings {
        rate: 100_000,
        ..Settings::default()
    });
    let mut live = world.ask(r#"{"follow":true,"last":0,"filter":{"verdict":"denied"}}"#);
    world.wait("a follower", |status| status.followers == 1);
    for first in (1..=5_000).step_by(1_000) {
        let ports = first..first + 1_000;
        ports.clone().for_each(|port| world.deny(port));
        assert!(ports.eq(std::iter::from_fn(|| live.port()).take(1_000)));
    }
    assert!(!world.recorder.wants_allowed(), "nobody has asked for them");
    let mut reader = world.ask(r#"{"last":3}"#);
    let told: Vec<_> = std::iter::from_fn(|| reader.port()).collect();
    assert_eq!(told, [4_998, 4_999, 5_000]);
    let mut reader = world.ask(r#"{"last":2,"filter":{"ports":[4000,4001,4002]}}"#);
    let told: Vec<_> = std::iter::from_fn(|| reader.port()).collect();
    assert_eq!(told, [4_001, 4_002]);
    // Of all, the newest 4,096 are kept.
    let mut reader = world.ask("{}");
    let told: Vec<_> = std::iter::from_fn(|| reader.port()).collect();
    assert_eq!(told, (905..=5_000).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_and_learns_what_it_missed() {
    let mut world = World::new(Settings {
        rate: 1_000_000,
        ..Settings::default()
    });
    let mut slow = world.ask(r#"{"follow":true,"last":0,"filter":{"verdict":"denied"}}"#);
    let mut live = world.ask(r#"{"follow":true,"last":0,"filter":{"verdict":"denied"}}"#);
    world.wait("followers", |status| status.followers == 2);
    let mut sent: u64 = 0;
    while (world.service.status())().unfollowed < 10 {
        // As many as fit in the queue; no port comes again within the time of a repetition.
        let first = u16::try_from(sent + 1).unwrap();
        let ports = first..first + 1_000;
        ports.clone().for_each(|port| world.deny(port));
        assert!(ports.eq(std::iter::from_fn(|| live.port()).take(1_000)));
        sent += 1_000;
    }
    let mut got = 0;
    let lost = loop {
        match slow.line() {
            Some(Line::Flow(_)) => got += 1,
            Some(Line::Lost(lost)) => break lost,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lost.reason, Loss::SlowReader);
    assert_eq!(lost.count + got, sent, "what it got and what it missed are all");
    world.wait("losses", |status| status.unfollowed == lost.count);
    // From here on it gets everything again.
    world.deny(60_001);
    assert_eq!(slow.port(), Some(60_001));
}

#[test]
fn what_workers_leave_out_is_told_once_with_a_number() {
    let mut world = World::new(Settings {
        rate: 5,
        ..Settings::default()
    });
    let mut reader = world.ask(r#"{"follow":true,"last":0}"#);
    world.wait("a follower", |status| status.followers == 1);
    for port in 1..=50 {
        world.deny(port);
    }
    let mut lost = 0;
    let mut flows = 0;
    while lost + flows < 50 {
        match reader.line() {
            Some(Line::Flow(_)) => flows += 1,
            Some(Line::Lost(line)) => {
                assert_eq!(line.reason, Loss::Rate);
                lost += line.count;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((lost + flows, lost >= 40), (50, true));
}

#[test]
fn a_question_that_is_none_is_refused_in_a_line() {
    let world = World::new(Settings::default());
    for question in ["what?", r#"{"last":-1}"#, r#"{"filter":{"from":["a/b/c"]}}"#] {
        let mut reader = world.ask(question);
        let Some(Line::Error { message }) = reader.line() else {
            panic!("{question}");
        };
        assert!(message.contains("not understood"), "{message}");
        assert_eq!(reader.line(), None);
    }
    // Nobody is waited for who never asks.
    let mut silent = BufReader::new(UnixStream::connect(&world.socket).unwrap());
    assert_eq!(silent.read_line(&mut String::new()).unwrap(), 0);
}

#[test]
fn lines_go_to_the_file_and_to_its_successor() {
    let mut world = World::with(Settings::default(), |directory| {
        Some(Target::File(directory.join("flows.log")))
    });
    let path = world.directory.path().join("flows.log");
    world.deny(1);
    world.wait("a line", |status| status.written == 1);
    let rotated = world.directory.path().join("flows.log.1");
    std::fs::rename(&path, &rotated).unwrap();
    let mut port = 2;
    while !path.exists() {
        world.deny(port);
        let written = u64::from(port);
        world.wait("a line", |status| status.written == written);
        port += 1;
        assert!(port < 60_000, "the file is never made anew");
    }
    drop(world.service);
    let lines = |path: &Path| -> Vec<u16> {
        let text = std::fs::read_to_string(path).unwrap();
        let flow = |line: &str| match serde_json::from_str(line).unwrap() {
            Line::Flow(flow) => flow.destination.port,
            other => panic!("{other:?}"),
        };
        text.lines().map(flow).collect()
    };
    let all: Vec<_> = [lines(&rotated), lines(&path)].concat();
    assert_eq!(all, (1..port).collect::<Vec<_>>());
}

#[test]
fn allowed_flows_of_a_follower_are_not_for_the_file() {
    let mut world = World::with(Settings::default(), |directory| {
        Some(Target::File(directory.join("flows.log")))
    });
    let mut reader = world.ask(r#"{"follow":true,"last":0}"#);
    let start = Instant::now();
    while !world.recorder.wants_allowed() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
    world.allow(1);
    world.deny(2);
    assert_eq!((reader.port(), reader.port()), (Some(1), Some(2)));
    drop(world.service);
    let text = std::fs::read_to_string(world.directory.path().join("flows.log")).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(r#""verdict":"denied""#), "{text}");
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let mut world = World::with(Settings::default(), |_| Some(Target::File("/dev/full".into())));
    let mut reader = world.ask(r#"{"follow":true,"last":0,"filter":{"verdict":"denied"}}"#);
    world.wait("a follower", |status| status.followers == 1);
    for port in 1..=3 {
        world.deny(port);
        assert_eq!(reader.port(), Some(port));
    }
    world.wait("lines that were lost", |status| {
        (status.unwritten, status.written) == (3, 0)
    });
}

#[test]
fn a_file_that_cannot_be_made_is_said_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources {
        tables: Arc::default(),
        all_see: Box::new(|_| true),
        clock: Clock::start(),
    };
    let target = Target::File(directory.path().join("no/such/flows.log"));
    let log = Arc::new(FlowLog::off());
    let started = FlowLogService::start(log, sources, &directory.path().join("flows.sock"), Some(target));
    let error = started.err().unwrap().to_string();
    assert!(error.contains("no/such/flows.log"), "{error}");
}
