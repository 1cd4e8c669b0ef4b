//! Many connections at once, each with a real socket.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use headgate_lab::{Namespace, address, wait_until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    sync::watch,
    task::JoinSet,
};

use crate::cluster::{Bed, HTTP_PORT, INGRESS, PODS, host, service};
use crate::truth::Cell;

/// Sockets at a time.
const AT_ONCE: usize = 256;
const SOON: Duration = Duration::from_secs(3);

/// How a pod is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A datagram to its Service.
    Udp,
    /// A connection to its Service.
    Tcp,
    /// A request to its host.
    Http,
}

/// A connection that is to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Probe {
    pub(crate) from: IpAddr,
    /// The pod, counted from 1.
    pub(crate) to: u8,
    pub(crate) port: u16,
    pub(crate) kind: Kind,
}

/// What the other end said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Forbidden,
}

impl Bed {
    /// Tries all of them; returns what went otherwise than expected, in words.
    pub(crate) fn probe(&self, probes: &[(Probe, Cell)]) -> Vec<String> {
        let (http, l4): (Vec<_>, Vec<_>) = probes.iter().partition(|(probe, _)| probe.kind == Kind::Http);
        let rounds = l4.chunks(AT_ONCE).chain(http.chunks(AT_ONCE));
        rounds.flat_map(|round| self.round(round)).collect()
    }

    fn round(&self, probes: &[(Probe, Cell)]) -> Vec<String> {
        let before = self.denied();
        let (stop, stopped) = watch::channel(false);
        let (outcomes, answers) = std::sync::mpsc::channel();
        let mut seen: HashMap<Probe, Outcome> = HashMap::new();
        let mut problem = None;
        std::thread::scope(|scope| {
            for (namespace, clients) in [(&self.lab.clients, true), (&self.lab.pods, false)] {
                let own = probes
                    .iter()
                    .map(|(probe, _)| *probe)
                    .filter(|p| is_client(p.from) == clients);
                let (own, stopped, outcomes) = (own.collect(), stopped.clone(), outcomes.clone());
                scope.spawn(move || send_all(namespace, own, &stopped, &outcomes));
            }
            let done = wait_until("every connection is answered or denied", SOON, || {
                seen.extend(answers.try_iter());
                probes.iter().all(|(probe, cell)| match (cell, probe.kind) {
                    (Cell::Allowed, _) | (_, Kind::Http) => seen.contains_key(probe),
                    _ => true,
                }) && self.lacking(&before, probes).is_none()
            });
            if done.is_err() {
                problem = self.lacking(&before, probes);
            }
            stop.send_replace(true);
        });
        seen.extend(answers.try_iter());
        let wrong = probes
            .iter()
            .filter_map(|(probe, cell)| wrong(*probe, *cell, seen.get(probe)));
        wrong.chain(problem).collect()
    }

    /// Where the counters of denied packets lack some of what is to be denied at L4.
    fn lacking(
        &self,
        before: &std::collections::BTreeMap<String, u64>,
        probes: &[(Probe, Cell)],
    ) -> Option<String> {
        let now = self.denied();
        [
            ("egress", Cell::DeniedByEgress),
            ("ingress", Cell::DeniedByIngress),
        ]
        .into_iter()
        .find_map(|(name, cell)| {
            let l4 = probes
                .iter()
                .filter(|(probe, c)| *c == cell && probe.kind != Kind::Http);
            let expected = l4.count() as u64;
            let counted = now.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
            (counted < expected)
                .then(|| format!("{expected} to be denied by {name} policies, {counted} were counted"))
        })
    }
}

fn is_client(from: IpAddr) -> bool {
    (0..address::CLIENTS)
        .map(address::client)
        .any(|(v4, v6)| from == v4 || from == v6)
}

fn wrong(probe: Probe, expected: Cell, seen: Option<&Outcome>) -> Option<String> {
    let right = match (expected, probe.kind, seen) {
        (Cell::NotAsked, _, _) => true,
        (Cell::Allowed, _, seen) => seen == Some(&Outcome::Answered),
        (_, Kind::Http, seen) => seen == Some(&Outcome::Forbidden),
        (_, _, seen) => seen.is_none(),
    };
    let Probe { from, to, port, kind } = probe;
    let pod = PODS[usize::from(to) - 1];
    (!right).then(|| format!("{from} to {pod}, {kind:?} port {port}: expected {expected:?}, got {seen:?}"))
}

/// Sends until all are answered or `stopped` says so.
fn send_all(
    namespace: &Namespace,
    probes: Vec<Probe>,
    stopped: &watch::Receiver<bool>,
    outcomes: &std::sync::mpsc::Sender<(Probe, Outcome)>,
) {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for probe in probes {
                let (mut stopped, outcomes) = (stopped.clone(), outcomes.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        outcome = send(probe) => {
                            if let Some(outcome) = outcome {
                                // The receiver waits for this thread.
                                let _ = outcomes.send((probe, outcome));
                            }
                        }
                        _ = stopped.wait_for(|stopped| *stopped) => {}
                    }
                });
            }
            while let Some(task) = tasks.join_next().await {
                task.unwrap();
            }
        });
    };
    namespace.enter(work).unwrap();
}

/// `None` where the connection failed or was answered by somebody else.
async fn send(probe: Probe) -> Option<Outcome> {
    let from = SocketAddr::new(probe.from, 0);
    let of_family = |(v4, v6)| if probe.from.is_ipv4() { v4 } else { v6 };
    let to = SocketAddr::new(of_family(service(probe.to)), probe.port);
    let pod = PODS[usize::from(probe.to) - 1];
    let answered = |by: &str| (by == pod).then_some(Outcome::Answered);
    match probe.kind {
        Kind::Udp => {
            let socket = UdpSocket::bind(from).await.unwrap();
            socket.connect(to).await.unwrap();
            socket.send(b"ping").await.unwrap();
            let mut answer = [0; 64];
            let length = socket.recv(&mut answer).await.ok()?;
            answered(
                std::str::from_utf8(&answer[..length])
                    .ok()?
                    .strip_suffix(" ping")?,
            )
        }
        // Who speaks HTTP does not greet.
        Kind::Tcp if probe.port == HTTP_PORT => {
            connect(from, to).await?;
            Some(Outcome::Answered)
        }
        Kind::Tcp => {
            let mut stream = connect(from, to).await?;
            stream.shutdown().await.ok()?;
            let mut greeting = String::new();
            stream.read_to_string(&mut greeting).await.ok()?;
            answered(greeting.trim_end())
        }
        Kind::Http => {
            let mut stream = connect(from, SocketAddr::new(of_family(INGRESS), 80)).await?;
            let request = format!(
                "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                host(probe.to)
            );
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            match answer.get(9..12)? {
                "200" if answer.contains(&format!("\"{pod}\"")) => Some(Outcome::Answered),
                "403" => Some(Outcome::Forbidden),
                _ => None,
            }
        }
    }
}

async fn connect(from: SocketAddr, to: SocketAddr) -> Option<tokio::net::TcpStream> {
    let socket = if from.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let socket = socket.unwrap();
    socket.bind(from).unwrap();
    socket.connect(to).await.ok()
}
