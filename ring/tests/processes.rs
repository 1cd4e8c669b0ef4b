//! The planes as what they are, two processes, one of which is killed with SIGKILL at any moment.
//!
//! The other process is this test binary again: run with the test `other_process` and told by the environment
//! what to play. Killed processes are waited for, and nothing here waits for time to pass.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use headgate_ring::message::{Generation, Key, Object, ToControl, Upstream, UpstreamProtocol};
use headgate_ring::{
    ControlSession, DataSession, HandshakeError, Operation, SessionError, SessionListener, Sizes,
    Transaction, connect,
};

const ROLE: &str = "HEADGATE_RING_TEST_ROLE";
const SOCKET: &str = "HEADGATE_RING_TEST_SOCKET";
/// Long enough that only a hang reaches it.
const LONG: Option<Duration> = Some(Duration::from_secs(30));
/// Small, so that a transaction is many ringfuls.
const SIZES: Sizes = Sizes {
    to_data: 8192,
    to_control: 4096,
};

/// Kills the process when dropped, so that a failing test leaves none behind.
struct Other(Child);

impl Other {
    fn start(role: &str, socket: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "other_process"])
            .env(ROLE, role)
            .env(SOCKET, socket);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    /// SIGKILL; returns when the process is gone.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn socket() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    (directory, path)
}

/// A transaction that can be told whole from its generation alone. Some are larger than the ring.
fn transaction(generation: Generation) -> Transaction {
    let name = |i: u64| format!("default/web-{generation}-{i}:80");
    let endpoints = |i: u64| {
        (0..i % 40)
            .map(|n| ([10, 0, i as u8, n as u8], 80).into())
            .collect()
    };
    let operations = (0..generation * 37 % 200).map(|i| match i % 5 {
        0 => Operation::Delete(Key::Upstream(name(i))),
        _ => Operation::Put(Object::Upstream(Upstream {
            name: name(i),
            protocol: UpstreamProtocol::default(),
            endpoints: endpoints(i),
        })),
    });
    Transaction {
        generation,
        full: generation == 1,
        operations: operations.collect(),
    }
}

/// Publishes one generation after the other and reads the acknowledgements, as far as they have come.
fn publish(session: &mut ControlSession) -> SessionError {
    for generation in 1.. {
        if let Err(error) = session.send_transaction(&transaction(generation), None) {
            return error;
        }
        loop {
            match session.try_receive() {
                Ok(Some(ToControl::Ack { .. })) => {}
                Ok(Some(nack)) => panic!("{nack:?}"),
                Ok(None) => break,
                Err(error) => return error,
            }
        }
    }
    unreachable!("generations do not end")
}

/// Checks and acknowledges transactions; gives the last generation and the error that ended it.
fn apply(session: &mut DataSession, until: Generation) -> (Generation, Option<SessionError>) {
    for expected in 1..=until {
        match session.receive_transaction(LONG) {
            Ok(Some(received)) => assert_eq!(received, transaction(expected)),
            Ok(None) => panic!("generation {expected} did not come"),
            Err(error) => return (expected - 1, Some(error)),
        }
        match session.send(&ToControl::Ack { generation: expected }, LONG) {
            Ok(()) => {}
            // What it had sent can still be read.
            Err(SessionError::PeerGone) => return (expected, Some(SessionError::PeerGone)),
            Err(error) => panic!("{error}"),
        }
    }
    (until, None)
}

/// Not a test of its own: what the other process does.
#[test]
fn other_process() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(SOCKET)) else {
        return;
    };
    let path = PathBuf::from(path);
    match role.as_str() {
        "control" => drop(publish(&mut connect(&path).unwrap())),
        "data" => {
            let listener = SessionListener::bind_with(&path, SIZES).unwrap();
            let mut session = listener.accept(None).unwrap().unwrap();
            apply(&mut session, Generation::MAX);
        }
        "deaf" => {
            let listener = SessionListener::bind_with(&path, SIZES).unwrap();
            let _session = listener.accept(None).unwrap().unwrap();
            loop {
                std::thread::park();
            }
        }
        other => panic!("{other} is no role"),
    }
}

/// The session with a dataplane that was just started, as soon as it listens.
fn connect_when_there(path: &Path) -> ControlSession {
    loop {
        match connect(path) {
            Ok(session) => return session,
            // Not bound yet, or bound and not listening yet.
            Err(HandshakeError::Io { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_control_plane_killed_at_any_moment_leaves_whole_transactions_and_can_come_back() {
    let (_directory, path) = socket();
    let listener = SessionListener::bind_with(&path, SIZES).unwrap();
    for round in 0..12 {
        let other = Other::start("control", &path);
        let mut session = listener.accept(LONG).unwrap().unwrap();
        assert_eq!(session.peer().pid as u32, other.0.id());
        let (applied, error) = apply(&mut session, round * 3);
        assert!(error.is_none(), "{error:?}");
        // It is somewhere in a transaction, or in a wait for room.
        other.kill();
        // What it had committed before still comes; then the end, and not a part of a transaction.
        let mut expected = applied;
        let error = loop {
            match session.receive_transaction(LONG) {
                Ok(received) => {
                    expected += 1;
                    assert_eq!(received, Some(transaction(expected)));
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(error, SessionError::PeerGone), "{error}");
    }
}

#[test]
fn a_dataplane_killed_at_any_moment_is_noticed_and_replaced() {
    let (_directory, path) = socket();
    for round in 0..8 {
        // The socket file of the one that was killed is still there.
        let other = Other::start("data", &path);
        let mut session = connect_when_there(&path);
        for generation in 1..=round * 3 {
            session.send_transaction(&transaction(generation), LONG).unwrap();
            assert_eq!(
                session.receive(LONG).unwrap(),
                Some(ToControl::Ack { generation })
            );
        }
        let killer = std::thread::spawn(move || other.kill());
        let mut session_error = None;
        for generation in round * 3 + 1.. {
            if let Err(error) = session.send_transaction(&transaction(generation), None) {
                session_error = Some(error);
                break;
            }
        }
        killer.join().unwrap();
        assert!(
            matches!(session_error, Some(SessionError::PeerGone)),
            "{session_error:?}"
        );
    }
}

#[test]
fn the_death_of_a_deaf_dataplane_ends_blocked_calls_at_once() {
    let (_directory, path) = socket();
    let blocked: [fn(&mut ControlSession) -> SessionError; 2] =
        [|session| session.receive(None).unwrap_err(), publish];
    for block in blocked {
        let other = Other::start("deaf", &path);
        let mut session = connect_when_there(&path);
        let blocked = std::thread::spawn(move || block(&mut session));
        other.kill();
        let error = blocked.join().unwrap();
        assert!(matches!(error, SessionError::PeerGone), "{error}");
    }
}
