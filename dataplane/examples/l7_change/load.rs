//! A worker's stage, with clients that ask without pause.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use headgate_tcp::TcpStream;

use crate::gateway::{Gateway, receive, send, uncounted, whole};
use crate::{BUSY, ENDPOINTS, LISTENER, Shared, endpoint, name};
use headgate_net::record::TcpGauge;

/// Connections, each with one request under way.
const CLIENTS: usize = 32;
/// Turns of which the times are kept.
const TURNS: usize = 200_000;
/// Bytes of an answer.
const BODY: usize = 100;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    gateway: Gateway,
    clients: Vec<Client>,
    report: Report,
}

/// What the worker has seen.
#[derive(Default)]
pub(crate) struct Report {
    /// What each change took of its time.
    pub(crate) taken_over: Vec<Duration>,
    pub(crate) turns: Vec<Duration>,
    pub(crate) answered: usize,
    /// Requests that got another answer than 200, or none.
    pub(crate) disturbed: usize,
}

struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    out: Vec<u8>,
    got: Vec<u8>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let tables = shared.tables.load_full();
        let endpoints = (0..BUSY).flat_map(|host| (0..ENDPOINTS).map(move |i| endpoint(host, i)));
        let mut gateway = Gateway::new(&tables, endpoints, BODY);
        shared.seen.store(tables.publication, Ordering::Release);
        let clients = (0..CLIENTS).map(|i| Client::new(&mut gateway, i)).collect();
        Self {
            shared,
            gateway,
            clients,
            report: Report::default(),
        }
    }

    pub(crate) fn run(mut self) -> Report {
        while !self.shared.stop.load(Ordering::Acquire) {
            self.take_over();
            let began = Instant::now();
            self.gateway.turn(uncounted);
            if self.report.turns.len() < TURNS {
                self.report.turns.push(began.elapsed());
            }
            for client in &mut self.clients {
                client.ask(&mut self.gateway, &mut self.report);
            }
        }
        let connected = self.gateway.clients().status().now[TcpGauge::Connections];
        assert_eq!(connected, CLIENTS as u64, "each has one connection");
        self.report
    }

    fn take_over(&mut self) {
        let tables = self.shared.tables.load();
        if tables.publication == self.shared.seen.load(Ordering::Relaxed) {
            return;
        }
        let began = Instant::now();
        self.gateway.configure(&tables);
        self.report.taken_over.push(began.elapsed());
        let publication = tables.publication;
        // The control thread frees the tables before.
        drop(tables);
        self.shared.seen.store(publication, Ordering::Release);
    }
}

impl Client {
    fn new(gateway: &mut Gateway, i: usize) -> Self {
        let request = format!(
            "GET /part/{} HTTP/1.1\r\nhost: {}\r\n\r\n",
            i % 12,
            name(i % BUSY)
        );
        let request = request.into_bytes();
        Self {
            stream: gateway.connect(LISTENER, uncounted),
            out: request.clone(),
            request,
            got: Vec::new(),
        }
    }

    /// Takes what has come of the answer; where it is whole, asks again.
    fn ask(&mut self, gateway: &mut Gateway, report: &mut Report) {
        let open = receive(&self.stream, &mut self.got);
        if let Some(length) = whole(&self.got) {
            report.answered += 1;
            report.disturbed += usize::from(!self.got.starts_with(b"HTTP/1.1 200"));
            self.got.drain(..length);
            self.out.extend_from_slice(&self.request);
        } else if !open {
            report.disturbed += 1;
            self.got.clear();
            self.out = self.request.clone();
            self.stream = gateway.connect(LISTENER, uncounted);
        }
        send(&mut self.stream, &mut self.out);
    }
}
