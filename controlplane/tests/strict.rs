//! `--strict-manifests`, from a directory to a dataplane's end of the ring.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use headgate_controlplane::compile::Settings;
use headgate_controlplane::follow::{Follower, Progress, Readiness};
use headgate_controlplane::source::directory::Directory;
use headgate_controlplane::{RunError, Wake, drive};
use headgate_ring::message::{Key, ToControl};
use headgate_ring::{DataSession, Operation, SessionListener, Transaction};

/// How long a wait in vain takes.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{externalIPs: [198.51.100.1], selector: {{a: b}}, \
         ports: [{{port: {port}}}]}}\n"
    )
}

/// The next transaction, acknowledged.
fn receive(session: &mut DataSession) -> Transaction {
    let transaction = session
        .receive_transaction(PATIENCE)
        .expect("a session")
        .expect("a transaction");
    let generation = transaction.generation;
    session
        .send(&ToControl::Ack { generation }, PATIENCE)
        .expect("a session");
    transaction
}

/// A control plane that ends by a wake, where the process's own ends by a signal.
struct Driven {
    wake: Sender<Wake>,
    progress: Progress,
    control: JoinHandle<Result<(), RunError>>,
}

fn drive_strictly(root: &Path) -> Driven {
    let directory = Directory::open(&root.join("manifests")).expect("a directory");
    let settings = Settings {
        addresses: vec!["203.0.113.1".parse().expect("an address")],
        ..Settings::default()
    };
    let follower = Follower::new(settings, true);
    let progress = follower.progress();
    let socket = root.join("control.sock");
    let (wake, woken) = channel();
    let waking = wake.clone();
    Driven {
        wake,
        progress,
        control: std::thread::spawn(move || drive(directory, follower, socket, (waking, woken))),
    }
}

#[test]
fn strict_manifests_hold_up_the_beginning_and_nothing_later() {
    let temporary = tempfile::tempdir().expect("a directory");
    let root = temporary.path();
    let file = |name: &str| root.join("manifests").join(name);
    fs::create_dir(root.join("manifests")).expect("a directory");
    fs::write(file("s.yaml"), service("s", 80)).expect("written");
    fs::write(file("broken.yaml"), "kind: [").expect("written");
    let listener = SessionListener::bind(&root.join("control.sock")).expect("a socket");
    let driven = drive_strictly(root);
    let held = Readiness::Held(vec!["broken.yaml".to_owned()]);
    while driven.progress.now() != held {
        std::thread::yield_now();
    }
    assert_eq!(
        held.to_string(),
        "--strict-manifests: nothing is published while it is not known what these hold: broken.yaml"
    );
    // Another file, so that a further batch has been taken in.
    fs::write(file("also.yaml"), "kind: {").expect("written");
    while driven.progress.now() == held {
        std::thread::yield_now();
    }
    let nobody = listener.accept(Some(Duration::ZERO)).expect("no handshake");
    assert!(nobody.is_none(), "nothing is published");

    fs::remove_file(file("also.yaml")).expect("removed");
    fs::write(file("broken.yaml"), "# nothing\n").expect("written");
    let mut session = listener
        .accept(PATIENCE)
        .expect("a handshake")
        .expect("a control plane");
    let first = receive(&mut session);
    assert!(first.full && first.operations.len() >= 3, "{first:?}");
    assert_eq!(driven.progress.now(), Readiness::Serving);

    // From now on a broken file leaves its last good state, and holds up nothing.
    fs::write(file("s.yaml"), "kind: [").expect("written");
    fs::write(file("new.yaml"), "kind: [").expect("written");
    fs::write(file("t.yaml"), service("t", 81)).expect("written");
    let second = receive(&mut session);
    let keys: Vec<_> = second
        .operations
        .iter()
        .map(|operation| match operation {
            Operation::Put(object) => object.key(),
            Operation::Delete(key) => panic!("{key:?} stays"),
        })
        .collect();
    assert!(
        matches!(&keys[..], [Key::Service(frontend)] if frontend.port == 81),
        "{keys:?}"
    );
    assert_eq!(driven.progress.now(), Readiness::Serving);
    driven.wake.send(Wake::Stop).expect("a control plane");
    driven.control.join().expect("no panic").expect("a clean end");
}
