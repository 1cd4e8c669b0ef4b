//! The whole control plane, as `headgate controlplane` runs it, against a dataplane's end of the ring.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use headgate_controlplane::{IngressOptions, Options, ServiceOptions, run_directory as run};
use headgate_ring::message::{Key, Object, ToControl};
use headgate_ring::{DataSession, Operation, SessionListener, Transaction};

/// How long a wait in vain takes.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn service(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{externalIPs: [198.51.100.1], selector: {{a: b}}, \
         ports: [{{port: {port}}}]}}\n"
    )
}

fn options(root: &Path) -> Options {
    Options {
        wait_for_dataplane: Duration::ZERO,
        manifests: Some(root.join("manifests")),
        run_dir: root.to_owned(),
        ingress_addresses: vec!["203.0.113.1".parse().expect("an address")],
        http_port: 80,
        https_port: 443,
        proxy_protocol_from: Vec::new(),
        ingresses: IngressOptions::default(),
        services: ServiceOptions::default(),
        ssl_redirect: true,
        loopback_endpoints: false,
        default_certificate: None,
        strict_manifests: false,
    }
}

/// The next transaction, acknowledged.
fn receive(session: &mut DataSession) -> Transaction {
    let transaction = session
        .receive_transaction(PATIENCE)
        .expect("a session")
        .expect("a transaction");
    let ack = ToControl::Ack {
        generation: transaction.generation,
    };
    session.send(&ack, PATIENCE).expect("a session");
    transaction
}

/// `CapEff`, `CapPrm` and `NoNewPrivs` of the threads with this name.
fn privileges(thread: &str) -> Vec<String> {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").expect("proc") {
        let path = task.expect("a task").path();
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        if status.lines().any(|line| line == format!("Name:\t{thread}")) {
            let wanted = |line: &&str| {
                ["CapEff", "CapPrm", "NoNewPrivs"]
                    .iter()
                    .any(|w| line.starts_with(w))
            };
            found.extend(status.lines().filter(wanted).map(str::to_owned));
        }
    }
    found
}

#[test]
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn from_a_file_to_the_dataplane_until_sigterm() {
    let temporary = tempfile::tempdir().expect("a directory");
    let root = temporary.path();
    fs::create_dir(root.join("manifests")).expect("a directory");
    fs::write(root.join("manifests/s.yaml"), service(80)).expect("written");
    let listener = SessionListener::bind(&root.join("control.sock")).expect("a socket");
    let options = options(root);
    let control = std::thread::spawn(move || run(options));

    let mut session = listener
        .accept(PATIENCE)
        .expect("a handshake")
        .expect("a control plane");
    let first = receive(&mut session);
    assert!(first.full);
    let objects: Vec<_> = first
        .operations
        .iter()
        .filter_map(|o| if let Operation::Put(o) = o { Some(o) } else { None })
        .collect();
    let at = |address: &str| Key::Listener(address.parse::<SocketAddr>().expect("an address"));
    let keys: Vec<_> = objects.iter().map(|o| o.key()).collect();
    assert!(
        keys.contains(&at("203.0.113.1:80")) && keys.contains(&at("203.0.113.1:443")),
        "{keys:?}"
    );
    let default = objects.iter().find_map(|o| {
        if let Object::Certificate(c) = o {
            Some(c)
        } else {
            None
        }
    });
    let default = default.expect("a certificate for unknown hosts");
    assert_eq!(default.hosts, [""]);
    assert!(!default.key.0.is_empty());

    fs::write(root.join("manifests/s.yaml"), service(81)).expect("written");
    let second = receive(&mut session);
    assert_eq!(
        (second.generation, second.full, second.operations.len()),
        (2, false, 2)
    );

    for thread in ["publish", "follow", "signals"] {
        assert_eq!(
            privileges(thread),
            [
                "CapPrm:\t0000000000000000",
                "CapEff:\t0000000000000000",
                "NoNewPrivs:\t1"
            ]
        );
    }
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)
        .expect("a signal");
    control.join().expect("no panic").expect("a clean end");
    assert!(
        session.receive_transaction(PATIENCE).is_err(),
        "the session is over"
    );
}

#[test]
fn what_cannot_start_says_why() {
    let temporary = tempfile::tempdir().expect("a directory");
    let root = temporary.path();
    let error = |options| run(options).expect_err("an error").to_string();
    let missing = root.join("manifests");
    assert_eq!(
        error(options(root)),
        format!(
            "--manifests: cannot read the directory of manifests {}: No such file or directory (os error 2)",
            missing.display()
        )
    );
    assert_eq!(
        error(Options {
            https_port: 80,
            ..options(root)
        }),
        "--https-port: 80 is the port of HTTP"
    );
    assert_eq!(
        error(Options {
            ingresses: IngressOptions {
                ingress_class: "A".to_owned(),
                ..IngressOptions::default()
            },
            ..options(root)
        }),
        "--ingress-class: \"A\" is not an IngressClass's name"
    );
    let unusable = vec!["224.0.0.1".parse().expect("an address")];
    assert_eq!(
        error(Options {
            ingress_addresses: unusable,
            ..options(root)
        }),
        "--ingress-address: 224.0.0.1 is not an address that clients can connect to"
    );
}
