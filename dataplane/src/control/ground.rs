//! What a state is put in force on, besides the workers: the steering of packets, or listeners of the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use headgate_ring::message::{Key, Protocol};

use super::listeners::Listeners;
use crate::config::{ConfigError, Managed, Tables};
use crate::host::listening;
use crate::steering::Steerer;
use headgate_net::fib::Fib;

/// Tells the neighbours that these addresses are here now.
pub type Announce = Box<dyn Fn(&[IpAddr]) + Send>;

/// Why a transaction is not in force.
#[derive(Debug)]
pub struct Refusal {
    /// In one line, what is wrong with which object, or that the steering programs have no room for it.
    pub reason: String,
    /// The object, where it is one.
    pub object: Option<Key>,
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self {
            reason: error.to_string(),
            object: error.key.map(|key| *key),
        }
    }
}

pub(super) enum Ground {
    Packets(Steered),
    Sockets(Bound),
}

impl Ground {
    /// Before a publication: what may fail.
    pub(super) fn prepare(&mut self, previous: &Tables, tables: &Tables) -> Result<(), Refusal> {
        match self {
            Self::Packets(steered) => steered.widen(previous, tables),
            Self::Sockets(_) => Ok(()),
        }
    }

    /// Before a publication that nothing keeps from being made.
    pub(super) fn announce(&self, before: &Tables, tables: &Tables, fib: &Fib) {
        match self {
            Self::Packets(_) if !Arc::ptr_eq(&before.managed, &tables.managed) => {
                warn_of_shadows(&before.managed, &tables.managed, fib);
            }
            Self::Packets(_) | Self::Sockets(_) => {}
        }
    }

    /// Once every worker works by it.
    pub(super) fn settle(&mut self, previous: &Tables, tables: &Tables) {
        match self {
            Self::Packets(steered) => {
                let moved = !Arc::ptr_eq(&previous.managed, &tables.managed);
                steered.settle(moved.then_some(&tables.managed));
            }
            Self::Sockets(bound) => bound.settle(tables),
        }
    }
}

/// Packets that the steering programs bring.
pub(super) struct Steered {
    steerer: Arc<Mutex<Steerer>>,
    announce: Announce,
    owned: BTreeSet<IpAddr>,
    hidden: BTreeSet<(Protocol, SocketAddr)>,
}

impl Steered {
    pub(super) fn new(steerer: Arc<Mutex<Steerer>>, announce: Announce) -> Self {
        Self {
            steerer,
            announce,
            owned: BTreeSet::new(),
            hidden: BTreeSet::new(),
        }
    }

    fn widen(&self, previous: &Tables, tables: &Tables) -> Result<(), Refusal> {
        let everywhere = tables.listeners.iter().find(|l| l.address.ip().is_unspecified());
        if let Some(listener) = everywhere {
            return Err(Refusal {
                reason: format!(
                    "the listener {} is for all addresses of the host, which only --port kernel can serve: name the \
                     addresses by --ingress-address",
                    listener.address
                ),
                object: Some(Key::Listener(listener.address)),
            });
        }
        let mut steerer = self.steerer.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&previous.managed, &tables.managed) && !steerer.is_doubtful() {
            return Ok(());
        }
        let widened = steerer.widen(&tables.managed);
        if widened.is_err()
            && let Err(error) = steerer.settle()
        {
            tracing::error!("the steering programs could not be put back: {error}");
        }
        widened.map_err(|error| Refusal {
            reason: format!("the steering program: {error}"),
            object: None,
        })
    }

    /// Ends what `widen` began; `managed` is `None` where nothing of it has changed.
    fn settle(&mut self, managed: Option<&Arc<[Managed]>>) {
        let mut steerer = self.steerer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(managed) = managed {
            steerer.set_managed(managed.to_vec());
        }
        if (managed.is_some() || steerer.is_doubtful())
            && let Err(error) = steerer.settle()
        {
            tracing::error!("stale rules could not be removed from the steering programs: {error}");
        }
        let owned: BTreeSet<_> = steerer.owned().collect();
        let hidden: BTreeSet<_> = steerer.hidden().collect();
        drop(steerer);
        for (protocol, address) in hidden.difference(&self.hidden) {
            tracing::error!(
                "nobody reaches {protocol} {address}: Headgate sends from this address, and from this port. Give the Service \
                 another port or address, or use other --source-ports or --source-addresses"
            );
        }
        self.hidden = hidden;
        let new: Vec<_> = owned.difference(&self.owned).copied().collect();
        if !new.is_empty() {
            (self.announce)(&new);
        }
        self.owned = owned;
    }
}

/// Sockets of the host that get no more packets because a frontend has their address and port now.
fn warn_of_shadows(old: &[Managed], new: &[Managed], fib: &Fib) {
    let before: BTreeSet<_> = frontends(old).collect();
    let appeared = frontends(new).filter(|f| !before.contains(f) && fib.is_local(f.1.ip()));
    let appeared: Vec<_> = appeared.collect();
    if appeared.is_empty() {
        return;
    }
    let sockets = listening();
    for (protocol, address) in appeared {
        if sockets.iter().any(|socket| socket.takes(protocol, address)) {
            tracing::error!(
                "address in use: a program of this host listens on {protocol} {address}, which is now a frontend; \
                 packets that arrive on Headgate's ports no longer reach that program. Stop it or move one of the two"
            );
        }
    }
}

fn frontends(managed: &[Managed]) -> impl Iterator<Item = (Protocol, SocketAddr)> {
    managed.iter().flat_map(|m| {
        m.ports
            .iter()
            .map(|(protocol, port)| (*protocol, SocketAddr::new(m.address, *port)))
    })
}

/// Connections that the kernel's listeners bring.
pub(super) struct Bound {
    listeners: Arc<Mutex<Listeners>>,
    /// Services that were there last, none of which is balanced.
    services: usize,
}

impl Bound {
    pub(super) fn new(listeners: Arc<Mutex<Listeners>>) -> Self {
        Self {
            listeners,
            services: 0,
        }
    }

    fn settle(&mut self, tables: &Tables) {
        let wanted = tables.listeners.iter().map(|listener| listener.address).collect();
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.follow(&wanted);
        drop(listeners);
        let services = tables.services.iter().count();
        if services != self.services && services > 0 {
            tracing::warn!(
                "{services} frontends of Services are not balanced: --port kernel serves Ingresses alone; Services need \
                 packets, which --port and the name of an interface bring"
            );
        }
        self.services = services;
    }
}
