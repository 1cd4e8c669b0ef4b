//! Listeners of the kernel: bound for all workers at once, and handed to them.
//!
//! Each worker has a socket of its own for each address; the kernel shares the clients out among them by a hash
//! (`SO_REUSEPORT`, [`SHARES`]). An address that cannot be listened at now is tried again until it can.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
#[cfg(not(target_os = "freebsd"))]
use rustix::net::sockopt::set_socket_reuseport as set_shared;
#[cfg(target_os = "freebsd")]
use rustix::net::sockopt::set_socket_reuseport_lb as set_shared;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

use crate::worker::{Inlet, Shared};

/// Whether sockets at one address share its clients: with `SO_REUSEPORT` on Linux, with `SO_REUSEPORT_LB` on FreeBSD. On
/// other systems one of them gets all.
pub const SHARES: bool = cfg!(any(target_os = "linux", target_os = "freebsd"));

/// Clients that the kernel keeps until they are accepted; it allows fewer where `net.core.somaxconn` says so.
const BACKLOG: i32 = 4096;

/// What is listened at, and what should be.
pub struct Listeners {
    shared: Arc<Shared>,
    /// One for each worker.
    inlets: Vec<Arc<Inlet>>,
    bound: BTreeSet<SocketAddr>,
    /// With the reason.
    failed: BTreeMap<SocketAddr, String>,
}

impl Listeners {
    /// None yet.
    #[must_use]
    pub fn new(shared: &Arc<Shared>, inlets: Vec<Arc<Inlet>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            inlets,
            bound: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Listens at these addresses, and at no others. Workers close by themselves what their configuration no longer
    /// names; what stays is left alone, so that no client in its queue is lost.
    pub fn follow(&mut self, wanted: &BTreeSet<SocketAddr>) {
        self.bound.retain(|address| wanted.contains(address));
        self.failed.retain(|address, _| wanted.contains(address));
        for address in wanted {
            if !self.bound.contains(address) {
                self.open(*address);
            }
        }
    }

    /// Tries again what failed.
    pub fn retry(&mut self) {
        for address in self.failed.keys().copied().collect::<Vec<_>>() {
            self.open(address);
        }
    }

    /// Why nobody listens at an address that is wanted.
    #[must_use]
    pub fn fault(&self, address: SocketAddr) -> Option<&str> {
        self.failed.get(&address).map(String::as_str)
    }

    /// An address that is wanted and that nobody listens at, and why; the first of them.
    #[must_use]
    pub fn first_fault(&self) -> Option<(SocketAddr, &str)> {
        let (address, reason) = self.failed.first_key_value()?;
        Some((*address, reason))
    }

    fn open(&mut self, address: SocketAddr) {
        match open_all(address, self.inlets.len()) {
            Ok(sockets) => {
                for (inlet, socket) in self.inlets.iter().zip(sockets) {
                    inlet.put(address, socket);
                }
                self.shared.wake_all();
                self.bound.insert(address);
                if self.failed.remove(&address).is_some() {
                    tracing::info!("listening at {address} now");
                }
            }
            Err(error) => {
                let reason = explain(address, error);
                if self.failed.get(&address) != Some(&reason) {
                    tracing::error!("nobody listens at {address}: {reason}. It is tried again all the time");
                }
                self.failed.insert(address, reason);
            }
        }
    }
}

fn explain(address: SocketAddr, error: Errno) -> String {
    match error {
        Errno::ACCESS => {
            format!(
                "port {} is one of those that need CAP_NET_BIND_SERVICE. Give others, as --http-port 8080 --https-port \
                 8443, or let everybody listen there by `sysctl net.ipv4.ip_unprivileged_port_start=80`, or give the \
                 capability: by `setcap cap_net_bind_service+ep` on the program, in a container by \
                 `securityContext.capabilities.add: [NET_BIND_SERVICE]`",
                address.port()
            )
        }
        Errno::ADDRNOTAVAIL => format!("the address {} is not on this host", address.ip()),
        Errno::ADDRINUSE => "another program of this host listens there".into(),
        Errno::INVAL if is_of_one_link(address.ip()) => {
            "an address of one link (fe80::/10) means nothing without its interface; give another".into()
        }
        Errno::AFNOSUPPORT => "this host has no addresses of that family".into(),
        other => io::Error::from(other).to_string(),
    }
}

fn is_of_one_link(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// A socket for each worker. Alone at first: with `SO_REUSEPORT` another program of the same user that has it, too, would go
/// unnoticed and get a part of the clients.
fn open_all(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, Errno> {
    let alone = open(address, false)?;
    if count == 1 {
        return Ok(vec![alone]);
    }
    drop(alone);
    (0..count).map(|_| open(address, true)).collect()
}

fn open(address: SocketAddr, shared: bool) -> Result<TcpListener, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket: OwnedFd = socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    // Connections of a process before this one may still be in TIME-WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if shared {
        set_shared(&socket, true)?;
    }
    if address.is_ipv6() {
        // IPv4 has listeners of its own; its clients are never seen as ::ffff:192.0.2.1, which no policy names.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
