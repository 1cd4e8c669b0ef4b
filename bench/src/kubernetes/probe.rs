//! Asks the gateway whether a change has come to each of its workers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use headgate_apiserver::ApiServer;

use super::cluster::{pod, probe_ingress, probe_slice};
use super::heartbeat;

/// Connections, of which the kernel gives each worker some: that one of two has none of them is as likely as 16 equal
/// throws of a coin.
const CONNECTIONS: usize = 16;
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Probe {
    connections: Vec<BufReader<TcpStream>>,
    metrics: SocketAddr,
}

impl Probe {
    pub(super) fn open(http: SocketAddr, metrics: SocketAddr) -> Result<Self> {
        let connect = || -> Result<_> {
            let stream = TcpStream::connect(http).context("a connection to the gateway")?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(BufReader::new(stream))
        };
        Ok(Self {
            connections: (0..CONNECTIONS).map(|_| connect()).collect::<Result<_>>()?,
            metrics,
        })
    }

    /// A route comes or goes.
    pub(super) fn route(&mut self, server: &ApiServer) -> Result<Duration> {
        // The one that is there may be from another round.
        let there = server.store().get("Ingress", "team-0", "probe");
        let there = there.context("the Ingress of the probe")?["spec"]["rules"][0]["http"]["paths"][0]["path"]
            == "/path";
        server.store().apply(&probe_ingress(!there))?;
        self.until("/path", if there { 404 } else { 503 })
    }

    /// An endpoint comes, which refuses connections, or goes.
    pub(super) fn endpoint(&mut self, server: &ApiServer) -> Result<Duration> {
        let there = server.store().get("EndpointSlice", "team-0", "probe-x");
        let there = !there.context("the EndpointSlice of the probe")?["endpoints"][0].is_null();
        server.store().apply(&probe_slice(!there))?;
        self.until("/endpoint", if there { 503 } else { 502 })
    }

    /// How long it takes from now until all connections are answered so.
    fn until(&mut self, path: &str, expected: u16) -> Result<Duration> {
        let begun = Instant::now();
        for at in 0..self.connections.len() {
            loop {
                let status = ask(&mut self.connections[at], path)?;
                if status == expected {
                    break;
                }
                ensure!(
                    begun.elapsed() < PATIENCE,
                    "{path} is answered {status} and not {expected}"
                );
            }
        }
        Ok(begun.elapsed())
    }

    /// How many transactions a thousand changes make that do not count, before one that does.
    pub(super) fn heartbeats(&mut self, server: &ApiServer) -> Result<u64> {
        let before = self.generation()?;
        for n in 0..500 {
            let mut node = server.store().get("Node", "", "node-0").context("a node")?;
            node["status"]["conditions"] = heartbeat(n);
            server.store().apply(&node)?;
            let mut pod = pod(0, 0);
            pod["status"]["conditions"][1]["lastProbeTime"] =
                format!("2026-11-22T00:00:{:02}Z", n % 60).into();
            server.store().apply(&pod)?;
        }
        // The last of each kind is there once this is in force.
        self.route(server)?;
        self.route(server)?;
        let by_routes = before + 2;
        let transactions = self.generation()?.checked_sub(by_routes);
        transactions.context("the two changes of a route made less than two transactions")
    }

    /// The generation that is in force.
    fn generation(&self) -> Result<u64> {
        let text = get(self.metrics, "/metrics")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("headgate_generation "));
        line.and_then(|value| value.trim().parse().ok())
            .context("no headgate_generation among the metrics")
    }
}

fn ask(connection: &mut BufReader<TcpStream>, path: &str) -> Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: probe.example.com\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no status in {line:?}"))?;
    let mut length = 0;
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    std::io::copy(&mut connection.by_ref().take(length), &mut std::io::sink())?;
    Ok(status)
}

fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Waits until a path is answered 200.
pub(super) fn wait_for(address: SocketAddr, path: &str, patience: Duration) -> Result<()> {
    let begun = Instant::now();
    while !get(address, path).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
        if begun.elapsed() > patience {
            bail!("{path} is not answered 200 within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
