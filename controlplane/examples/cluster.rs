//! How long one change takes in a large cluster: from the documents that the source hands over to the transaction that
//! the other end of the ring has in its hands.
//!
//! `cargo run --release -p headgate-controlplane --example cluster [ROUNDS]`
//!
//! 50,000 pods in 200 namespaces, 10,000 NetworkPolicies with 100,000 rules, 20,000 blocks of addresses, 2,000
//! Services. Every object stands in a file of its own, as far as the store can tell; nothing is written to a disk.
#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_controlplane::compile::{Compiler, Settings, State};
use headgate_controlplane::model::Id;
use headgate_controlplane::publish::link::Publisher;
use headgate_controlplane::source::decode::Document;
use headgate_controlplane::source::{Contents, store::Store};
use headgate_ring::message::ToControl;
use headgate_ring::{DataSession, SessionListener};
use serde_json::{Value, json};

const NAMESPACES: u32 = 200;
const PODS_EACH: u32 = 250;
const POLICIES_EACH: u32 = 50;
const SERVICES_EACH: u32 = 10;
const APPS: u32 = 50;
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn namespace(n: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": format!("ns{n}"), "labels": {"team": format!("t{}", n % 20), "stage": format!("s{}", n % 3)}},
    })
}

fn pod(n: u32, p: u32) -> Value {
    let app = p % APPS;
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("app{app}-{p:08x}"), "namespace": format!("ns{n}"),
            "labels": {
                "app": format!("app{app}"), "tier": format!("tier{}", app % 5), "version": format!("v{}", p % 3),
                "pod-template-hash": format!("{:08x}", n * 1000 + app),
            },
        },
        "spec": {"containers": [{"name": "c", "ports": [
            {"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9000 + app % 4},
        ]}]},
        "status": {"phase": "Running", "podIP": format!("10.{}.{}.{}", n, p / 250, p % 250)},
    })
}

/// Ten rules: pods of the namespace, of other namespaces, of both by label, and blocks.
fn policy(n: u32, k: u32, variant: u32) -> Value {
    let own = |i: u32| json!({"podSelector": {"matchLabels": {"app": format!("app{}", (k + i) % APPS)}}});
    let other = |i: u32| {
        json!({
            "namespaceSelector": {"matchLabels": {"team": format!("t{}", (n + k + i) % 20)}},
            "podSelector": {"matchLabels": {"app": format!("app{}", (k * 7 + i) % APPS)}},
        })
    };
    let named = |i: u32| {
        json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": format!("ns{}", (n + i) % NAMESPACES)}},
        })
    };
    let number = (n * POLICIES_EACH + k) * 2;
    let block = |i: u32| {
        let b = number + i;
        json!({"ipBlock": {
            "cidr": format!("172.{}.{}.{}/28", 16 + (b >> 12), b >> 4 & 255, (b & 15) << 4),
        }})
    };
    let ports =
        |i: u32| json!([{"port": 1000 + (k * 13 + i * 7 + variant) % 500}, {"protocol": "UDP", "port": 53}]);
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": format!("np{k}"), "namespace": format!("ns{n}")},
        "spec": {
            "podSelector": {"matchLabels": {"app": format!("app{}", k % APPS)}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [own(1), own(2)], "ports": ports(0)},
                {"from": [other(1)], "ports": [{"port": "http"}]},
                {"from": [other(2)], "ports": ports(1)},
                {"from": [named(1)], "ports": [{"port": "metrics"}]},
                {"from": [block(0)], "ports": ports(2)},
                {"from": [{"podSelector": {}}], "ports": ports(3)},
            ],
            "egress": [
                {"to": [own(3)], "ports": ports(4)},
                {"to": [other(3), named(2)], "ports": [{"port": "http"}]},
                {"to": [block(1)], "ports": ports(5)},
                {"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]},
            ],
        },
    })
}

fn service(n: u32, s: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": format!("app{s}"), "namespace": format!("ns{n}")},
        "spec": {
            "selector": {"app": format!("app{s}")}, "externalIPs": [format!("198.18.{n}.{s}")],
            "ports": [{"port": 80, "targetPort": "http"}],
        },
    })
}

type File = (Arc<Path>, Contents);

fn file(value: Value) -> File {
    let name = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    let path = format!("{}-{}-{}.yaml", value["kind"], name("namespace"), name("name"));
    let document = Document { line: 1, value };
    (Arc::from(Path::new(&path)), Contents::Documents(vec![document]))
}

fn gone(value: Value) -> File {
    (file(value).0, Contents::Gone)
}

/// All that is in a namespace, and the namespace.
fn everything_in(n: u32) -> Vec<File> {
    let mut files = vec![file(namespace(n))];
    files.extend((0..PODS_EACH).map(|p| file(pod(n, p))));
    files.extend((0..POLICIES_EACH).map(|k| file(policy(n, k, 0))));
    files.extend((0..SERVICES_EACH).map(|s| file(service(n, s))));
    files
}

/// A change, from round to round of another object.
type Make = fn(u32) -> File;

const CHANGES: [(&str, Make); 9] = [
    ("pod added", |r| file(pod(r % NAMESPACES, PODS_EACH + r))),
    ("pod relabelled", |r| {
        let mut pod = pod(r % NAMESPACES, PODS_EACH + r);
        pod["metadata"]["labels"]["app"] = json!(format!("app{}", (r + 7) % APPS));
        file(pod)
    }),
    ("pod with another address", |r| {
        let mut pod = pod(r % NAMESPACES, PODS_EACH + r);
        pod["status"]["podIP"] = json!(format!("10.250.{}.{}", r >> 8, r & 255));
        file(pod)
    }),
    ("pod removed", |r| gone(pod(r % NAMESPACES, PODS_EACH + r))),
    ("policy changed", |r| {
        file(policy(r % NAMESPACES, r % POLICIES_EACH, 1 + r))
    }),
    ("policy removed", |r| {
        gone(policy(r % NAMESPACES, r % POLICIES_EACH, 0))
    }),
    ("policy added", |r| {
        file(policy(r % NAMESPACES, r % POLICIES_EACH, 0))
    }),
    ("namespace relabelled", |r| {
        let mut namespace = namespace(r % NAMESPACES);
        namespace["metadata"]["labels"]["team"] = json!(format!("t{}", (r + 1) % 20));
        file(namespace)
    }),
    ("service changed", |r| {
        let mut service = service(r % NAMESPACES, r % SERVICES_EACH);
        service["spec"]["ports"][0]["port"] = json!(1000 + r % 1000);
        file(service)
    }),
];

/// The control plane without its source, and the other end of the ring.
struct Bed {
    store: Store,
    compiler: Compiler,
    publisher: Publisher,
    session: Option<DataSession>,
    listener: SessionListener,
}

/// When the model was there, the changes, and the transaction at the other end; and how many operations it has.
struct Times {
    store: Duration,
    compile: Duration,
    ring: Duration,
    operations: usize,
}

impl Bed {
    fn change(&mut self, files: Vec<File>) -> Result<Times, Box<dyn Error>> {
        let start = Instant::now();
        let changed = self.store.update(files);
        let store = start.elapsed();
        let times = self.publish(&changed)?;
        if let Some(problem) = self.store.problems().first() {
            return Err(format!("the manifests are good, but: {problem}").into());
        }
        Ok(Times { store, ..times })
    }

    fn publish(&mut self, changed: &BTreeSet<Id>) -> Result<Times, Box<dyn Error>> {
        let start = Instant::now();
        let (compiler, model) = (&mut self.compiler, self.store.model());
        let update = |state: &State| compiler.update(state, model, changed, 0);
        let changes = self.publisher.with_state(update);
        let compile = start.elapsed();
        self.publisher.publish(changes);
        if self.session.is_none() {
            self.session = self.listener.accept(PATIENCE)?;
        }
        let session = self.session.as_mut().ok_or("no control plane")?;
        let transaction = session.receive_transaction(PATIENCE)?.ok_or("no transaction")?;
        let ring = start.elapsed() - compile;
        let generation = transaction.generation;
        session.send(&ToControl::Ack { generation }, PATIENCE)?;
        Ok(Times {
            store: Duration::ZERO,
            compile,
            ring,
            operations: transaction.operations.len(),
        })
    }

    /// The whole cluster, namespace by namespace, so that the manifests of all are never in memory at once.
    fn fill(&mut self) -> Result<(), Box<dyn Error>> {
        let before = resident()?;
        let (mut changed, mut checking) = (BTreeSet::new(), Duration::ZERO);
        for n in 0..NAMESPACES {
            let files = everything_in(n);
            let core = on_core()?;
            changed.extend(self.store.update(files));
            checking += on_core()? - core;
        }
        let model = resident()?;
        println!(
            "{} objects, checked in {checking:.2?} on a core; {} MiB",
            changed.len(),
            model - before
        );
        let core = on_core()?;
        let mut compiler = Compiler::new(Settings::default());
        let changes = compiler.update(&State::new(), self.store.model(), &changed, 0);
        println!(
            "from nothing: {} objects compiled in {:.2?} on a core; {} MiB more",
            changes.len(),
            on_core()? - core,
            resident()?.saturating_sub(model)
        );
        drop((compiler, changes));
        let times = self.publish(&changed)?;
        println!(
            "{} operations through the ring in {:.2?}; {} MiB in all, with both ends of it",
            times.operations,
            times.ring,
            resident()?
        );
        Ok(())
    }
}

/// Time that this thread has had on a core (`schedstat` of proc(5)): others may want the cores, too.
fn on_core() -> Result<Duration, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().ok_or("no time on a core")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// Resident memory now, in MiB (`VmRSS` of proc(5)).
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib >> 10)
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(200), |n| n.parse::<u32>())?;
    let temporary = tempfile::tempdir()?;
    let socket = temporary.path().join("control.sock");
    let mut bed = Bed {
        store: Store::default(),
        compiler: Compiler::new(Settings::default()),
        listener: SessionListener::bind(&socket)?,
        publisher: Publisher::start(socket, None)?,
        session: None,
    };
    bed.fill()?;
    let mut report: BTreeMap<usize, Vec<Times>> = BTreeMap::new();
    for round in 0..rounds {
        for (index, (_, make)) in CHANGES.iter().enumerate() {
            report
                .entry(index)
                .or_default()
                .push(bed.change(vec![make(round)])?);
        }
    }
    println!(
        "\n{:26} {:>10}  {:>20} {:>20} {:>20}",
        "median, worst of ms", "operations", "check", "compile", "ring"
    );
    for (index, times) in report {
        print(CHANGES[index].0, &times);
    }
    Ok(())
}

fn print(what: &str, times: &[Times]) {
    let spread = |of: fn(&Times) -> Duration| {
        let mut sorted: Vec<Duration> = times.iter().map(of).collect();
        sorted.sort_unstable();
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        format!(
            "{:9.3} {:9.3}",
            ms(sorted[sorted.len() / 2]),
            ms(sorted[sorted.len() - 1])
        )
    };
    let operations = times.iter().map(|t| t.operations).sum::<usize>() / times.len();
    println!(
        "{what:26} {operations:>10}  {:>20} {:>20} {:>20}",
        spread(|t| t.store),
        spread(|t| t.compile),
        spread(|t| t.ring)
    );
}
