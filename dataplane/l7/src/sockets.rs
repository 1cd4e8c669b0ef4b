//! HTTP on the kernel's sockets: what stands in a [`Stage`](crate::Stage)'s place where there are no packets.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::Config;
use crate::conn::Server;
use crate::current::Allows;
use crate::http::{Http, HttpConfig};
use crate::net::{Accepted, KernelNet, Net, accept, accept_waiting};
use headgate_net::clock::Clock;
use headgate_net::phase::Phase;
use headgate_net::record::{HttpCount, L7Status};

/// How many descriptors HTTP on one thread may hold, and so how many clients it serves at a time. Further ones wait in the
/// kernel's queue of the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorShare {
    clients: usize,
}

impl DescriptorShare {
    /// A client has a connection to a pod at most while its request is answered. As many again may be kept for the next
    /// request, and may be waited for after their end.
    const OF_A_CLIENT: usize = 4;
    /// Clients at most, whatever descriptors there are.
    const MOST_CLIENTS: usize = 16_384;

    /// At least one client is served, however few descriptors there are.
    #[must_use]
    pub fn of(descriptors: usize) -> Self {
        Self {
            clients: (descriptors / Self::OF_A_CLIENT).clamp(1, Self::MOST_CLIENTS),
        }
    }

    /// Clients that are served at a time.
    #[must_use]
    pub fn clients(self) -> usize {
        self.clients
    }
}

/// HTTP on one thread, with listeners and connections of the kernel. All calls must be made within a tokio
/// `LocalRuntime` with I/O and time enabled: listeners and connections are tasks of it.
pub struct Sockets {
    http: Http,
    clock: Clock,
    share: DescriptorShare,
    listening: HashMap<SocketAddr, Listening>,
}

/// A listener at work; dropping it closes the socket. Connections that it has accepted live on.
struct Listening {
    socket: Rc<TcpListener>,
    _task: Accepting,
}

/// A task that accepts clients until this is dropped.
struct Accepting(AbortHandle);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sockets {
    /// Without listeners or a configuration.
    #[must_use]
    pub fn new(mut config: HttpConfig, clock: Clock, share: DescriptorShare) -> Self {
        let limits = &mut config.limits;
        limits.max_idle_in_all = limits.max_idle_in_all.min(share.clients);
        Self {
            http: Http::new(Net::Kernel(KernelNet::new(clock, share.clients)), config),
            clock,
            share,
            listening: HashMap::new(),
        }
    }

    /// New state, of the tables of `publication`, as a [`Stage`](crate::Stage) takes it. Listeners that the configuration does
    /// not name are closed; those that it names and that are open stay open.
    pub fn configure(&mut self, config: Arc<Config>, allows: Allows, publication: u64) {
        self.listening
            .retain(|address, _| config.listeners.contains_key(address));
        self.http.configure(config, allows, publication);
    }

    /// Accepts clients of the listener that the configuration knows as `address`: at most one socket for each.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn listen(&mut self, address: SocketAddr, socket: std::net::TcpListener) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let socket = Rc::new(TcpListener::from_std(socket)?);
        let server = Rc::clone(&self.http.server);
        let accepting = accept_all(server, address, Rc::clone(&socket), self.share.clients);
        let task = Accepting(tokio::task::spawn_local(accepting).abort_handle());
        self.listening.insert(address, Listening { socket, _task: task });
        Ok(())
    }

    /// The dataplane is so far with its end. Once it is closed, so are all listeners, and whoever comes then is refused; who
    /// waits there to be accepted, is first.
    pub fn enter(&mut self, phase: Phase) {
        if phase.is_closed() {
            for (address, Listening { socket, .. }) in self.listening.drain() {
                let server = Rc::clone(&self.http.server);
                tokio::task::spawn_local(accept_the_last(server, address, socket, self.share.clients));
            }
        }
        self.http.enter(phase);
    }

    /// As [`Http::re_examine`].
    pub fn re_examine(&mut self) {
        self.http.re_examine();
    }

    /// To be called once a second at least: closes kept connections to pods that were not used for a while, and writes down what
    /// is held now.
    pub fn sweep(&mut self) {
        self.http.note();
        self.http.sweep(self.clock.now());
    }

    /// Clients that are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.http.server.clients()
    }

    /// What it holds and has counted; nothing of TCP, which is the kernel's.
    #[must_use]
    pub fn status(&self) -> L7Status {
        self.http.status()
    }
}

async fn accept_all(server: Rc<Server>, address: SocketAddr, socket: Rc<TcpListener>, most: usize) {
    let gateway = &server.gateway;
    loop {
        if server.clients() >= most {
            gateway.tally.count(HttpCount::AcceptsPaused);
            server.has_room(most).await;
        }
        match accept(&socket, address, &gateway.net).await {
            Accepted::Client(stream) => server.serve(stream),
            Accepted::Failed(error) => {
                gateway.tally.count(HttpCount::AcceptErrors);
                tracing::debug!(%error, "no client could be accepted at {address}");
            }
        }
    }
}

/// Accepts whoever has connected already, and closes the socket: the kernel would reset those connections.
async fn accept_the_last(server: Rc<Server>, address: SocketAddr, socket: Rc<TcpListener>, most: usize) {
    // Until the task is gone that has accepted so far, so that the end of this one closes the socket.
    tokio::task::yield_now().await;
    while server.clients() < most
        && let Some(stream) = accept_waiting(&socket, address, &server.gateway.net)
    {
        server.serve(stream);
    }
}
