//! Pods of a lab.

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use rustix::process::Signal;

#[cfg(target_os = "linux")]
use crate::address;
use crate::{Namespace, process::Process};

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);

/// What a pod's server serves.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// What it answers with.
    pub name: String,
    /// Which addresses it has: see [`address::pod`].
    pub number: u8,
    /// TCP ports with HTTP.
    pub http: Vec<u16>,
    /// TCP ports with an echo.
    pub tcp: Vec<u16>,
    /// UDP ports with an echo.
    pub udp: Vec<u16>,
}

impl PodSpec {
    /// HTTP on 8080, TCP echo on 9000, UDP echo on 9000, at the addresses of pod `number`.
    #[must_use]
    pub fn new(name: &str, number: u8) -> Self {
        Self {
            name: name.to_owned(),
            number,
            http: vec![8080],
            tcp: vec![9000],
            udp: vec![9000],
        }
    }
}

/// A pod whose server runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Pod {
    name: String,
    addresses: Vec<IpAddr>,
    process: Process,
}

impl Pod {
    /// At the addresses of the pod's number.
    #[cfg(target_os = "linux")]
    pub(crate) fn start(namespace: &Namespace, program: &[String], spec: &PodSpec) -> Result<Self> {
        let (v4, v6) = address::pod(spec.number);
        Self::start_at(namespace, program, spec, vec![v4, v6])
    }

    pub(crate) fn start_at(
        namespace: &Namespace,
        program: &[String],
        spec: &PodSpec,
        addresses: Vec<IpAddr>,
    ) -> Result<Self> {
        let (first, rest) = program
            .split_first()
            .map_or(("", program), |(f, r)| (f.as_str(), r));
        let mut command = namespace.command(first);
        command.args(rest).args(["--name", &spec.name]);
        for &ip in &addresses {
            listen(&mut command, "--http", ip, &spec.http);
            listen(&mut command, "--tcp", ip, &spec.tcp);
            listen(&mut command, "--udp", ip, &spec.udp);
        }
        let process = Process::spawn_until(&spec.name, command, crate::pod::READY, START)?;
        Ok(Self {
            name: spec.name.clone(),
            addresses,
            process,
        })
    }

    /// Sends SIGTERM and waits for the end: it does nothing about it, whatever is under way.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn terminate(self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.finish(START).map(drop)
    }

    /// What it answers with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its addresses, in a lab IPv4 and IPv6.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}

fn listen(command: &mut Command, flag: &str, ip: IpAddr, ports: &[u16]) {
    for &port in ports {
        command.arg(flag).arg(SocketAddr::new(ip, port).to_string());
    }
}
