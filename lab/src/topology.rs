//! The three namespaces and what joins them.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    Impairment, Namespace, Remote, address, names,
    namespace::configure,
    servers::{Pod, PodSpec},
    watchdog::Watchdog,
};

/// How to build a [`Lab`].
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The program and first arguments that run a pod's server: [`PodCommand`](crate::pod::PodCommand)'s options follow.
    pub pod_program: Vec<String>,
}

impl LabOptions {
    /// Pods run `program first…`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, first: &[&str]) -> Self {
        let program = program.into().to_string_lossy().into_owned();
        let pod_program = std::iter::once(program)
            .chain(first.iter().map(|&s| s.to_owned()))
            .collect();
        Self { pod_program }
    }
}

/// Clients, gateway and pods; see the crate's documentation for the picture. Removed when dropped.
#[derive(Debug)]
pub struct Lab {
    /// Where clients run; interface `c0`.
    pub clients: Namespace,
    /// Where Headgate runs; interface `g0` to the clients, `g1` to the pods.
    pub gateway: Namespace,
    /// Where the pods' servers run; interface `p0`.
    pub pods: Namespace,
    /// Made when it is wanted.
    remote: Namespace,
    options: LabOptions,
    directory: TempDir,
    // Last: called off when everything else is gone.
    _watchdog: Watchdog,
}

impl Lab {
    /// The gateway's interfaces, clients' side first.
    pub const PORTS: [&str; 2] = ["g0", "g1"];

    /// Builds a lab; takes about a second.
    ///
    /// # Errors
    ///
    /// Without privileges, or when a tool (`ip`, `ethtool`, `nsenter`, `setpriv`, `setsid`) is missing.
    pub fn build(options: LabOptions) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the lab makes network namespaces and interfaces, which needs root: run with sudo"
        );
        names::sweep().context("removing what dead labs left behind")?;
        let prefix = names::unique_prefix()?;
        let names = ["clients", "gateway", "pods", "remote"].map(|role| format!("{prefix}-{role}"));
        let directory = tempfile::Builder::new().prefix("headgate-lab-").tempdir()?;
        // Before the first namespace, so that nothing is ever unwatched.
        let watchdog = Watchdog::start(directory.path(), &names)?;
        let lab = Self {
            clients: Namespace::existing(&names[0]),
            gateway: Namespace::existing(&names[1]),
            pods: Namespace::existing(&names[2]),
            remote: Namespace::existing(&names[3]),
            options,
            directory,
            _watchdog: watchdog,
        };
        for name in &names[..3] {
            Namespace::create(name)?;
        }
        lab.connect((&lab.clients, "c0"), (&lab.gateway, "g0"))?;
        lab.connect((&lab.pods, "p0"), (&lab.gateway, "g1"))?;
        lab.address()?;
        Ok(lab)
    }

    /// A directory of this lab's own, removed with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Gives the gateway's host a virtual address of both families, and lets ordinary users of it listen at low ports: for
    /// a gateway on the kernel's sockets.
    ///
    /// # Errors
    ///
    /// When the host has one of them already.
    pub fn host_vip(&self, vip: (IpAddr, IpAddr)) -> Result<()> {
        Self::host_vip_in(&self.gateway, vip)
    }

    /// The same for any gateway's host.
    ///
    /// # Errors
    ///
    /// Likewise.
    pub fn host_vip_in(gateway: &Namespace, (v4, v6): (IpAddr, IpAddr)) -> Result<()> {
        gateway.ip(&[
            format!("addr add {v4}/32 dev lo"),
            format!("addr add {v6}/128 dev lo"),
        ])?;
        gateway.sysctl("ipv4/ip_unprivileged_port_start", "0")
    }

    /// Starts a pod's server and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not start, for example because its address is taken.
    pub fn start_pod(&self, spec: &PodSpec) -> Result<Pod> {
        Pod::start(&self.pods, &self.options.pod_program, spec)
    }

    /// Adds a client behind a bad line; once for each lab.
    ///
    /// # Errors
    ///
    /// When there is one already, or no TAP devices.
    pub fn add_remote(&self, impairment: Impairment) -> Result<Remote> {
        Remote::connect(self, self.add_namespace()?, impairment)
    }

    /// The namespace that a remote client or a second gateway may have.
    pub(crate) fn add_namespace(&self) -> Result<Namespace> {
        Namespace::create(self.remote.name())
    }

    /// Joins an endpoint, by its interface, to one of a gateway's.
    pub(crate) fn connect(
        &self,
        (namespace, interface): (&Namespace, &str),
        (gateway, peer): (&Namespace, &str),
    ) -> Result<()> {
        let link = format!(
            "link add name {interface} netns {} numrxqueues 2 numtxqueues 2 type veth \
             peer name {peer} netns {} numrxqueues 2 numtxqueues 2",
            namespace.name(),
            gateway.name()
        );
        configure(std::process::Command::new("ip").args(link.split_ascii_whitespace()))?;
        // Headgate forwards frames as they are: an endpoint that leaves checksums or segmentation to a device
        // would send frames that no device ever finishes.  GRO makes veth poll, which redirects need.
        namespace.run_ok(
            "ethtool",
            &[
                "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "on",
            ],
        )?;
        namespace.ip(&[format!("link set {interface} up")])?;
        gateway.ip(&[format!("link set {peer} up")])
    }

    fn address(&self) -> Result<()> {
        let mut clients = Vec::new();
        for n in 0..address::CLIENTS {
            let (v4, v6) = address::client(n);
            clients.push(format!("addr add {v4}/24 dev c0"));
            clients.push(format!("addr add {v6}/64 dev c0 nodad"));
        }
        clients.push(format!("route add default via {}", address::GATEWAY_V4));
        // Source address selection for IPv6 takes any of several equal ones: name the first client's.
        clients.push(format!(
            "route add default via {} src {}",
            address::GATEWAY_V6,
            address::client(0).1
        ));
        self.clients.ip(&clients)?;

        let mut pods = Vec::new();
        for n in 1..=address::PODS {
            let (v4, v6) = address::pod(n);
            pods.push(format!("addr add {v4}/24 dev p0"));
            pods.push(format!("addr add {v6}/64 dev p0 nodad"));
        }
        pods.push("route add default via 10.244.1.1".to_owned());
        pods.push("route add default via fd00:10:244:1::1".to_owned());
        self.pods.ip(&pods)?;

        self.gateway.ip(&[
            "addr add 192.0.2.1/24 dev g0",
            "addr add 2001:db8:c::1/64 dev g0 nodad",
            "addr add 10.244.1.1/24 dev g1",
            "addr add fd00:10:244:1::1/64 dev g1 nodad",
        ])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let all = [&self.remote, &self.clients, &self.gateway, &self.pods];
        for namespace in all.into_iter().filter(|namespace| namespace.path().exists()) {
            let gone = namespace.kill_processes().and_then(|()| namespace.delete());
            if let Err(error) = gone {
                tracing::warn!("{error:#}; `headgate lab sweep` removes it later");
            }
        }
    }
}
