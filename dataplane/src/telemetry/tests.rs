use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_ring::message::{Endpoint, GroupId, Protocol};

use super::*;
use headgate_net::record::{PacketCount, WorkerRecord};
use headgate_net::verdict::Reason;

fn worker(number: u8, drops: usize) -> WorkerStatus {
    let record = WorkerRecord::default();
    record.packets.add(PacketCount::Packets, 10);
    record.packets.add(PacketCount::FromL7, 1);
    record.drops.add(Reason::Denied, drops as u64);
    let denied = |packets| DenialStatus {
        policy: "a/b".into(),
        direction: "ingress".into(),
        packets,
    };
    WorkerStatus {
        worker: number,
        flows: 3,
        counts: Counts::of(&record),
        denials: vec![denied(drops as u64)],
        held: HeldFrames {
            parked: 1,
            unsent: 2,
            inbox: 0,
        },
        queues: vec![QueueStatus {
            port: 0,
            queue: 9 - u32::from(number),
            ..QueueStatus::default()
        }],
        ..WorkerStatus::default()
    }
}

fn status() -> Status {
    let frames = FrameStatus {
        total: 100,
        free: 50,
        kernel: 43,
        ..FrameStatus::default()
    };
    let mut status = Status {
        ports: vec![PortStatus::default()],
        frames,
        ..Status::default()
    };
    status.set_workers(vec![worker(0, 2), worker(1, 3)]);
    status
}

#[test]
fn workers_are_summed_up() {
    let status = status();
    assert_eq!(
        (
            status.totals.events[PacketCount::Packets],
            status.totals.events[PacketCount::FromL7],
            status.flows
        ),
        (20, 2, 6)
    );
    assert_eq!(status.totals.drops, [("denied".to_owned(), 5)].into());
    assert_eq!(status.denials.iter().map(|d| d.packets).collect::<Vec<_>>(), [5]);
    assert_eq!((status.frames.held, status.frames.unaccounted), (6, 1));
    assert_eq!(
        status.ports[0].queues.iter().map(|q| q.queue).collect::<Vec<_>>(),
        [8, 9]
    );
}

/// Answers with what it has, and tells when somebody asks for the status.
struct Desk(PolicyState);

impl Answers for Desk {
    fn status(&self) -> Status {
        status()
    }
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn policy(&self) -> PolicyState {
        self.0.clone()
    }
    fn decide(&self, question: &Question) -> DecisionStatus {
        DecisionStatus::of(&headgate_net::policy::Compiled::default(), 0, question)
    }
    fn flows(&self, query: &FlowQuery) -> Result<FlowList, String> {
        match query.top {
            Some(0) => Err("no flows here".to_owned()),
            _ => Ok(FlowList::default()),
        }
    }
}

/// A server with this many pods, and how to connect to it.
fn serve(pods: u16) -> (Server, impl Fn() -> UnixStream) {
    let endpoint = |number: u16| {
        Arc::new(Endpoint {
            name: format!("shop/web-{number:05}"),
            addresses: vec![Ipv4Addr::from(0x0a00_0000 + u32::from(number)).into()],
            hosts: Vec::new(),
            labels: vec![("app".into(), "web".into())],
            ports: Vec::new(),
            groups: vec![GroupId(u128::from(number) << 64)],
        })
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.sock");
    let state = PolicyState {
        endpoints: (0..pods).map(endpoint).collect(),
        ..PolicyState::default()
    };
    let server = Server::start(&path, Arc::new(Desk(state))).unwrap();
    let connect = move || UnixStream::connect(directory.path().join("status.sock")).unwrap();
    (server, connect)
}

fn ask(mut connection: UnixStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn who_says_nothing_or_status_gets_the_status() {
    let (_server, connect) = serve(0);
    for request in ["", "\n", "status\n", " status \r\n", "status\nmore"] {
        let text = ask(connect(), request);
        assert_eq!(
            serde_json::from_str::<Status>(&text).unwrap(),
            status(),
            "{request:?}"
        );
    }
    let connection = connect();
    connection.shutdown(Shutdown::Write).unwrap();
    assert!(ask(connection, "").contains("\"frames\""));
}

#[test]
fn who_says_policy_gets_what_policies_are_made_of() {
    let (_server, connect) = serve(300);
    let text = ask(connect(), "policy\n");
    let state: PolicyState = serde_json::from_str(&text).unwrap();
    assert_eq!(state.endpoints.len(), 300);
    assert_eq!(state.endpoints[7].groups, [GroupId(7 << 64)]);
    assert!(
        text.contains(r#""groups":["00000000000000070000000000000000"]"#),
        "{text}"
    );
}

#[test]
fn who_asks_about_a_connection_gets_the_tables_word() {
    let (_server, connect) = serve(0);
    let question = Question {
        from: Ipv4Addr::new(10, 0, 0, 1).into(),
        to: Ipv4Addr::new(10, 0, 0, 2).into(),
        protocol: Protocol::Sctp,
        port: 80,
    };
    let text = ask(connect(), &format!("decide {question}\n"));
    let allowed = DecisionStatus {
        allowed: true,
        ..DecisionStatus::default()
    };
    assert_eq!(serde_json::from_str::<DecisionStatus>(&text).unwrap(), allowed);
    for (wrong, reason) in [
        ("decide", "unknown"),
        ("decide 10.0.0.1", "it takes two addresses"),
        ("decide 10.0.0.1 10.0.0 TCP 80", "an address is not an IP address"),
        ("decide 10.0.0.1 10.0.0.2 tcp 80", "not TCP, UDP or SCTP"),
        (
            "decide 10.0.0.1 10.0.0.2 TCP 70000",
            "the port is not a number from 0 to 65535",
        ),
        ("decide 10.0.0.1 10.0.0.2 TCP 80 90", "there is more"),
    ] {
        let text = ask(connect(), &format!("{wrong}\n"));
        assert!(text.starts_with("{\"error\":") && text.contains(reason), "{text}");
    }
}

#[test]
fn what_is_no_request_is_told_so() {
    let (_server, connect) = serve(0);
    let error = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["error"].to_string();
    let unknown = error(&ask(connect(), "polcy\n"));
    assert!(
        unknown.contains("polcy") && unknown.contains("policy"),
        "{unknown}"
    );
    let long = error(&ask(connect(), &"x".repeat(4096)));
    assert!(long.contains("longer than 4096 bytes"), "{long}");
    let half = error(&ask(connect(), "poli"));
    assert!(half.contains("no end of line"), "{half}");
    // The end of what the client sends is the end of its line.
    let mut connection = connect();
    connection.write_all(b"policy").unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    assert!(ask(connection, "").contains("\"endpoints\""));
}

#[test]
fn clients_that_do_not_read_keep_nobody_waiting() {
    let (server, connect) = serve(50_000);
    let mut idle: Vec<_> = (0..8).map(|_| connect()).collect();
    idle.iter_mut()
        .for_each(|connection| connection.write_all(b"policy\n").unwrap());
    assert!(ask(connect(), "status\n").contains("\"frames\""));
    assert!(ask(connect(), "policy\n").ends_with("}\n"));
    // Nor does the end wait for them.
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn too_many_at_once_are_sent_away() {
    let (_server, connect) = serve(50_000);
    let mut connections: Vec<_> = (0..16).map(|_| connect()).collect();
    connections
        .iter_mut()
        .for_each(|connection| connection.write_all(b"policy\n").unwrap());
    assert!(ask(connect(), "").contains("too many connections"));
}

#[test]
fn the_socket_is_the_groups_too_and_nobody_elses() {
    let (_server, connect) = serve(0);
    let address = connect().peer_addr().unwrap();
    let mode = std::fs::metadata(address.as_pathname().unwrap())
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o660);
}
