//! One endpoint changes among 5,000 hosts of 10 paths each and 50,000 endpoints, while requests go through: how long the
//! dataplane takes from a transaction to published tables, how long the worker is kept from packets by it, and how
//! many requests suffer.
//!
//! ```text
//! cargo run --release -p headgate-dataplane --example l7_change [changes]
//! ```
//!
//! One thread changes, as the control thread does; another has the stage of a worker with clients and pods in memory.
//! Every change takes an endpoint from an upstream that requests go to, or gives it back. The worker's share is what it
//! does to take the tables over; its longest turns are those that carry packets and run tasks, the change included.
#![allow(clippy::print_stdout, reason = "prints its figures")]
#![allow(clippy::disallowed_methods, reason = "measures times")]
#![forbid(unsafe_code)]

#[path = "../shared/gateway.rs"]
mod gateway;
mod load;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use headgate_dataplane::config::{State, Tables};
use headgate_ring::message::{
    Listener, ListenerProtocol, Object, PathMatch, Route, RouteKind, RouteMatch, RouteOrigin, Upstream,
    UpstreamProtocol, VirtualHost, WeightedBackend,
};
use headgate_ring::{Operation, Transaction};

use load::Worker;

const HOSTS: usize = 5_000;
const PATHS: usize = 10;
/// Of each host, all behind one Service.
const ENDPOINTS: usize = 10;
/// Hosts that requests go to, and whose upstreams change.
const BUSY: usize = 16;
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(5);
const LISTENER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 20)),
    80,
);

/// What the two threads share.
#[derive(Default)]
struct Shared {
    tables: ArcSwap<Tables>,
    /// The publication that the worker works by.
    seen: AtomicU64,
    stop: AtomicBool,
}

fn main() {
    let changes = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    println!(
        "{HOSTS} hosts of {PATHS} paths, {} endpoints, {changes} changes",
        HOSTS * ENDPOINTS
    );
    let mut control = Control::default();
    let whole = (0..HOSTS).flat_map(|host| [virtual_host(host), upstream(host, ENDPOINTS)]);
    let listener = Object::Listener(Listener {
        address: LISTENER,
        protocol: ListenerProtocol::Http,
        balancers: Vec::new(),
    });
    let began = Instant::now();
    control.publish(true, whole.chain([listener]).collect());
    println!("all from nothing: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);

    let worker = std::thread::spawn({
        let shared = Arc::clone(&control.shared);
        move || Worker::new(shared).run()
    });
    control.wait();
    let mut published = Vec::new();
    let mut seen = Vec::new();
    for change in 0..changes {
        std::thread::sleep(PAUSE);
        let endpoints = ENDPOINTS - usize::from((change / BUSY).is_multiple_of(2));
        let objects = vec![upstream(change % BUSY, endpoints)];
        let began = Instant::now();
        let previous = control.publish(false, objects);
        published.push(began.elapsed());
        control.wait();
        seen.push(began.elapsed());
        drop(previous);
        control.state.settle();
    }
    control.shared.stop.store(true, Ordering::Release);
    let report = worker.join().expect("the worker ends");
    print("from a transaction to tables published", published);
    print("until the worker works by them", seen);
    print("of it work on the worker", report.taken_over);
    print("its turns, without a change", report.turns);
    println!(
        "{} requests answered, {} disturbed",
        report.answered, report.disturbed
    );
}

/// The control thread's side.
#[derive(Default)]
struct Control {
    state: State,
    publication: u64,
    shared: Arc<Shared>,
}

impl Control {
    /// Puts objects in force, and gives the tables before, which must not be freed by the worker.
    fn publish(&mut self, full: bool, objects: Vec<Object>) -> Arc<Tables> {
        self.publication += 1;
        let transaction = Transaction {
            generation: self.state.generation() + 1,
            full,
            operations: objects.into_iter().map(Operation::Put).collect(),
        };
        let previous = self.shared.tables.load_full();
        let undo = self.state.apply(transaction).expect("a sound state");
        let tables = previous.follow(&self.state, &undo).expect("a sound state");
        self.shared.tables.store(Arc::new(tables));
        previous
    }

    /// Until the worker works by what was published last.
    fn wait(&self) {
        while self.shared.seen.load(Ordering::Acquire) < self.publication {
            std::thread::yield_now();
        }
    }
}

fn name(host: usize) -> String {
    format!("host-{host}.example")
}

fn virtual_host(host: usize) -> Object {
    let route = |path: usize| Route {
        matches: RouteMatch {
            path: PathMatch::Prefix(if path == 0 {
                "/".to_owned()
            } else {
                format!("/part/{path}")
            }),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        },
        filters: None,
        backends: vec![WeightedBackend {
            upstream: format!("team/{host}:80"),
            weight: 1,
        }],
        origin: RouteOrigin {
            kind: RouteKind::Ingress,
            name: format!("team/{host}"),
            rule: format!("spec.rules[0].http.paths[{path}]"),
        },
    };
    Object::VirtualHost(VirtualHost {
        host: name(host),
        routes: (0..PATHS).rev().map(route).collect(),
    })
}

fn upstream(host: usize, endpoints: usize) -> Object {
    Object::Upstream(Upstream {
        name: format!("team/{host}:80"),
        protocol: UpstreamProtocol::default(),
        endpoints: (0..endpoints).map(|i| endpoint(host, i)).collect(),
    })
}

fn endpoint(host: usize, i: usize) -> SocketAddr {
    let [.., a, b, c] = u32::try_from(host * ENDPOINTS + i + 1)
        .expect("few")
        .to_be_bytes();
    ([10, a, b, c], 8080).into()
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let micros = |share| at(share).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6);
    println!(
        "{what:<42} median {:>9.1}  p99 {:>9.1}  longest {:>9.1} us",
        micros(50),
        micros(99),
        micros(100)
    );
}
