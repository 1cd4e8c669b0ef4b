//! HTTP on the kernel's sockets: what stands in a [`Stage`](crate::Stage)'s place where there are no packets.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::Config;
use crate::current::Allows;
use crate::gateway::Gateway;
use crate::http::{Http, HttpConfig};
use crate::net::{Accepted, KernelNet, Net, Stream, accept, accept_waiting};
use headgate_net::clock::{Clock, Nanos};
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
/// `LocalRuntime` with I/O and time enabled: listeners are tasks of it, and so is what serves all connections.
pub struct Sockets {
    hub: Rc<Hub>,
    listening: HashMap<SocketAddr, Listening>,
    _driver: TaskGuard,
}

struct Hub {
    http: RefCell<Http>,
    gateway: Rc<Gateway>,
    clock: Clock,
    share: DescriptorShare,
    /// Told when a connection is worth a look.
    wake: Arc<Notify>,
    /// Told when a client has left.
    left: Notify,
}

/// A listener at work; dropping it closes the socket. Connections that it has accepted live on.
struct Listening {
    socket: Rc<TcpListener>,
    _task: TaskGuard,
}

/// A task that runs until this is dropped.
struct TaskGuard(AbortHandle);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Hub {
    /// Does what there is to do, for as long as it is polled.
    async fn drive(self: Rc<Self>) {
        loop {
            let next = self.turn();
            // Whatever else the runtime has to do, and the kernel has to tell.
            tokio::task::yield_now().await;
            let due = next.map(|next| self.clock.instant(next).into());
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    /// When there is something to do, if nothing happens before.
    fn turn(&self) -> Option<Nanos> {
        let mut http = self.http.borrow_mut();
        let before = http.clients();
        http.turn(self.clock.now());
        if http.clients() < before {
            self.left.notify_waiters();
        }
        http.next_timer()
    }

    fn clients(&self) -> usize {
        self.http.borrow().clients()
    }

    fn accept(&self, stream: Stream) {
        self.http.borrow_mut().accept(stream);
    }

    /// Waits until there is room for another client.
    async fn has_room(&self) {
        while self.clients() >= self.share.clients {
            self.left.notified().await;
        }
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Sockets {
    /// Without listeners or a configuration.
    #[must_use]
    pub fn new(mut config: HttpConfig, clock: Clock, share: DescriptorShare) -> Self {
        let limits = &mut config.limits;
        limits.max_idle_in_all = limits.max_idle_in_all.min(share.clients);
        let wake = Arc::new(Notify::new());
        let net = Net::Kernel(KernelNet::new(clock, share.clients));
        let http = Http::new(net, config, Arc::clone(&wake));
        let hub = Rc::new(Hub {
            gateway: Rc::clone(http.gateway()),
            http: RefCell::new(http),
            clock,
            share,
            wake,
            left: Notify::new(),
        });
        // The runtime's idea of how long a task may go on is not for one that does the work of all connections.
        let driver = tokio::task::unconstrained(Rc::clone(&hub).drive());
        Self {
            hub,
            listening: HashMap::new(),
            _driver: TaskGuard(tokio::task::spawn_local(driver).abort_handle()),
        }
    }

    /// New state, of the tables of `publication`, as a [`Stage`](crate::Stage) takes it. Listeners that the configuration does
    /// not name are closed; those that it names and that are open stay open.
    pub fn configure(&mut self, config: Arc<Config>, allows: Allows, publication: u64) {
        self.listening
            .retain(|address, _| config.listeners.contains_key(address));
        let mut http = self.hub.http.borrow_mut();
        http.configure(config, allows, publication);
    }

    /// Accepts clients of the listener that the configuration knows as `address`: at most one socket for each.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn listen(&mut self, address: SocketAddr, socket: std::net::TcpListener) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let socket = Rc::new(TcpListener::from_std(socket)?);
        let accepting = accept_all(Rc::clone(&self.hub), address, Rc::clone(&socket));
        let task = TaskGuard(tokio::task::spawn_local(accepting).abort_handle());
        self.listening.insert(address, Listening { socket, _task: task });
        Ok(())
    }

    /// The dataplane is so far with its end. Once it is closed, so are all listeners, and whoever comes then is refused; who
    /// waits there to be accepted, is first.
    pub fn enter(&mut self, phase: Phase) {
        if phase.is_closed() {
            for (address, Listening { socket, .. }) in self.listening.drain() {
                tokio::task::spawn_local(accept_the_last(Rc::clone(&self.hub), address, socket));
            }
        }
        self.hub.http.borrow_mut().enter(phase);
    }

    /// As [`Http::re_examine`].
    pub fn re_examine(&mut self) {
        self.hub.http.borrow_mut().re_examine();
    }

    /// Writes down what is held now.
    pub fn note(&self) {
        self.hub.http.borrow().note();
    }

    /// Clients that are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.hub.clients()
    }

    /// What it holds and has counted; nothing of TCP, which is the kernel's.
    #[must_use]
    pub fn status(&self) -> L7Status {
        self.hub.http.borrow().status()
    }
}

async fn accept_all(hub: Rc<Hub>, address: SocketAddr, socket: Rc<TcpListener>) {
    let gateway = &hub.gateway;
    loop {
        if hub.clients() >= hub.share.clients {
            gateway.tally.count(HttpCount::AcceptsPaused);
            hub.has_room().await;
        }
        match accept(&socket, address, &gateway.net).await {
            Accepted::Client(stream) => hub.accept(stream),
            Accepted::Failed(error) => {
                gateway.tally.count(HttpCount::AcceptErrors);
                tracing::debug!(%error, "no client could be accepted at {address}");
            }
        }
    }
}

/// Accepts whoever has connected already, and closes the socket: the kernel would reset those connections.
async fn accept_the_last(hub: Rc<Hub>, address: SocketAddr, socket: Rc<TcpListener>) {
    // Until the task is gone that has accepted so far, so that the end of this one closes the socket.
    tokio::task::yield_now().await;
    while hub.clients() < hub.share.clients
        && let Some(stream) = accept_waiting(&socket, address, &hub.gateway.net)
    {
        hub.accept(stream);
    }
}
