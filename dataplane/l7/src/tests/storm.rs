//! Clients and pods that close, reset, stall, trickle, and say what they should not, at random: what is answered is right, and
//! nothing is left in the end.

mod client;
mod hostile;
mod plan;
mod pod;
mod streams;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::tls;
use super::world::{Objects, World, host, upstream};
use crate::Limits;
use client::Io;
use headgate_net::record::TcpGauge;
use headgate_tcp::network::{Channel, Random, run};
use plan::{Asked, below, rarely};

/// What is known of a storm.
#[derive(Default)]
struct Ledger {
    numbers: Cell<u64>,
    wrong: RefCell<Vec<String>>,
    /// Requests that no pod may see twice.
    seen: RefCell<HashMap<u64, usize>>,
    /// Requests that have nonsense between their bytes.
    spoilt: RefCell<HashSet<u64>>,
    answered: Cell<usize>,
    /// Good requests to good pods that were not answered by them: their kept connection was none any more.
    unlucky: Cell<usize>,
}

impl Ledger {
    fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    fn wrong(&self, what: String) {
        self.wrong.borrow_mut().push(what);
    }

    fn seen(&self, number: u64) {
        let mut seen = self.seen.borrow_mut();
        let times = seen.entry(number).or_default();
        *times += 1;
        if *times > 1 {
            self.wrong(format!("{number:x} was sent twice"));
        }
    }

    fn spoil(&self, asked: &[Asked]) {
        let numbers = asked.iter().map(|asked| asked.number);
        self.spoilt.borrow_mut().extend(numbers);
    }

    fn is_spoilt(&self, number: u64) -> bool {
        self.spoilt.borrow().contains(&number)
    }

    fn is_any_spoilt(&self) -> bool {
        !self.spoilt.borrow().is_empty()
    }

    fn answered(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    fn unlucky(&self, status: u16, asked: &Asked) {
        self.unlucky.set(self.unlucky.get() + 1);
        if status != 502 {
            self.wrong(format!("{status} to {asked:x?}"));
        }
    }
}

/// Whoever connects, and what for.
async fn client(world: Rc<World>, tls: Arc<ClientConfig>, mut random: Random, ledger: Rc<Ledger>) {
    tokio::time::sleep(Duration::from_millis(below(&mut random, 20_000) as u64)).await;
    let secure = rarely(&mut random, 2);
    let stream = world.connect(if secure { 443 } else { 80 }).await;
    let reset = stream.reset();
    if secure && rarely(&mut random, 8) {
        return stammer(stream, &tls, random).await;
    }
    let io: Box<dyn Io> = if secure {
        let name = ServerName::try_from("web.example").unwrap();
        match TlsConnector::from(tls).connect(name, stream).await {
            Ok(stream) => Box::new(stream),
            Err(error) => return ledger.wrong(format!("no handshake: {error}")),
        }
    } else {
        Box::new(stream)
    };
    if rarely(&mut random, 8) {
        client::tunnel(io, reset, random, ledger).await;
    } else {
        client::talk(io, reset, random, ledger).await;
    }
}

/// A handshake that comes to nothing.
async fn stammer(mut stream: headgate_tcp::TcpStream, tls: &Arc<ClientConfig>, mut random: Random) {
    let mut hello = Vec::new();
    let name = ServerName::try_from("web.example").unwrap();
    let mut connection = ClientConnection::new(Arc::clone(tls), name).unwrap();
    connection.write_tls(&mut hello).unwrap();
    if rarely(&mut random, 2) {
        let at = below(&mut random, hello.len());
        hello[at] ^= 1 << below(&mut random, 8);
    } else if rarely(&mut random, 2) {
        // An alert in clear: close_notify (RFC 8446, section 6.1).
        hello.extend_from_slice(&[21, 3, 3, 0, 2, 1, 0]);
    } else {
        hello.truncate(below(&mut random, hello.len()));
    }
    for piece in hello.chunks(1 + below(&mut random, 300)) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
    match below(&mut random, 3) {
        0 => stream.abort(),
        1 => drop(stream),
        _ => drop(stream.read_to_end(&mut Vec::new()).await),
    }
}

fn storm(seed: u64, clients: usize, channel: Channel) {
    run(async {
        let certificate = tls::certificate("ns/web", &["web.example"], &["web.example"]);
        let objects = Objects {
            hosts: vec![host("web.example", &[("/", "web")])],
            upstreams: vec![upstream("web", &[10, 11, 12, 13])],
            certificates: vec![Arc::clone(&certificate)],
            balancers: Vec::new(),
        };
        let world = Rc::new(World::with(objects, Limits::default(), channel));
        let ledger = Rc::new(Ledger::default());
        ledger.numbers.set(seed << 20);
        let pods = Rc::clone(&ledger);
        world.script(move |stream| pod::serve(stream, Rc::clone(&pods)));
        let configs =
            [&version::TLS12, &version::TLS13].map(|version| tls::client(&[&certificate], &[version]));
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let config = Arc::clone(&configs[below(&mut random, 2)]);
                let random = Random(random.draw() | 1);
                tokio::task::spawn_local(client(Rc::clone(&world), config, random, Rc::clone(&ledger)))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let wrong = ledger.wrong.take();
        assert!(
            wrong.is_empty(),
            "seed {seed}: {} things: {wrong:#?}",
            wrong.len()
        );
        let (answered, unlucky) = (ledger.answered.get(), ledger.unlucky.get());
        assert!(
            answered > clients / 2 && unlucky * 10 < answered,
            "{answered} {unlucky}"
        );
        world.quiet().await;
        assert_eq!(world.status().tcp.now[TcpGauge::Buffered], 0, "seed {seed}");
    });
}

/// Seeds of one run, or the one that the environment names.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let named = std::env::var("HEADGATE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first = named.unwrap_or(1);
    first..first + named.map_or(count, |_| 1)
}

#[test]
fn nothing_is_mixed_or_left_whatever_clients_and_pods_do() {
    for seed in seeds(6) {
        storm(seed, 200, Channel::perfect());
    }
}

#[test]
fn nothing_is_mixed_or_left_over_a_bad_network() {
    let channel = Channel {
        delay: Duration::from_millis(2),
        loss: 1,
        duplicate: 1,
        reorder: 2,
        ..Channel::perfect()
    };
    for seed in seeds(3) {
        storm(seed + 1_000, 100, channel);
    }
}
