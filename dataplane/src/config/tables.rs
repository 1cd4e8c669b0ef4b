//! What workers read.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use headgate_ring::Transaction;
use headgate_ring::message::{Generation, Key, Listener, Protocol, Service};

use super::http::Http;
use headgate_l7 as l7;
use headgate_net::config::{ConfigError, Fault, State, Stored};
use headgate_net::{hash, lb, policy};

/// Everything that the packet path needs of one state. Never changed once built.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The state that this was compiled from.
    pub generation: Generation,
    /// Balanced frontends.
    pub services: lb::Services,
    /// What may connect to what; shared with the tables before while no policy, pod or group changes.
    pub policy: Arc<policy::Compiled>,
    /// Frontends where HTTP is terminated.
    pub listeners: Listeners,
    /// What the steering must bring to us, by address.
    pub managed: Vec<Managed>,
    http: Option<Http>,
}

/// An address of Services or listeners, and their ports there. Whether the whole address is ours (nobody
/// answers ARP for it but us) or the host's own depends on the [`Fib`](headgate_net::fib::Fib).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// The address.
    pub address: IpAddr,
    /// Sorted, without duplicates, never empty.
    pub ports: Vec<(Protocol, u16)>,
}

/// Listeners by address and TCP port.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    by_address: HashMap<SocketAddr, Listener, hash::Keyed>,
}

impl Listeners {
    /// The listener at this address and TCP port.
    #[inline]
    #[must_use]
    pub fn lookup(&self, dst: IpAddr, port: u16) -> Option<&Listener> {
        self.by_address.get(&SocketAddr::new(dst, port))
    }

    /// All listeners, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Listener> {
        self.by_address.values()
    }
}

impl Tables {
    /// Compiles a state. What did not change since `previous` is taken over from it.
    ///
    /// # Errors
    /// When an object that is well-formed cannot be put to work.
    pub fn compile(state: &State, previous: Option<&Self>) -> Result<Self, ConfigError> {
        let parts = Parts::of(state);
        Ok(Self {
            generation: state.generation(),
            services: compile_services(&parts.services, previous)?,
            policy: Arc::clone(state.policy()),
            managed: managed(&parts),
            http: Some(Http::compile(state, previous.and_then(|p| p.http.as_ref()))?),
            listeners: Listeners {
                by_address: parts
                    .listeners
                    .iter()
                    .map(|l| (l.address, Listener::clone(l)))
                    .collect(),
            },
        })
    }

    /// Applies a transaction to a state and compiles it, or leaves the state as it was.
    ///
    /// # Errors
    /// Names the first object and field that is wrong.
    pub fn transact(
        state: &mut State,
        transaction: Transaction,
        previous: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        let undo = state.apply(transaction)?;
        let compiled = Self::compile(state, previous);
        if compiled.is_err() {
            state.revert(undo);
        }
        compiled
    }

    /// What the L7 stage works by; `None` before the first state.
    #[must_use]
    pub fn l7(&self) -> Option<&Arc<l7::Config>> {
        self.http.as_ref().map(|http| &http.config)
    }

    /// Whether any Service or listener has this address.
    #[inline]
    #[must_use]
    pub fn is_managed(&self, address: IpAddr) -> bool {
        self.managed.binary_search_by_key(&address, |m| m.address).is_ok()
    }

    /// Bytes on the heap, about, shared parts included.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.services.memory() + self.policy.memory()
    }
}

/// What is balanced and what is terminated, each in the order of its keys.
#[derive(Default)]
struct Parts<'a> {
    services: Vec<&'a Arc<Service>>,
    listeners: Vec<&'a Listener>,
}

impl<'a> Parts<'a> {
    fn of(state: &'a State) -> Self {
        let mut parts = Self::default();
        for object in state.objects() {
            match object {
                Stored::Service(o) => parts.services.push(o),
                Stored::Listener(o) => parts.listeners.push(o),
                Stored::VirtualHost(_) | Stored::Upstream(_) | Stored::Certificate(_) => {}
                Stored::Endpoint(_) | Stored::Group(_) | Stored::Policy(_) => {}
            }
        }
        parts
    }
}

fn compile_services(
    services: &[&Arc<Service>],
    previous: Option<&Tables>,
) -> Result<lb::Services, ConfigError> {
    let build = |source: &&Arc<Service>| {
        let frontend = source.frontend;
        let old = previous.and_then(|p| {
            p.services
                .lookup(frontend.address, frontend.protocol.number(), frontend.port)
        });
        match old {
            Some(old) if Arc::ptr_eq(old.source(), source) => Ok(old.clone()),
            _ => lb::Service::build(Arc::clone(source), old).map_err(|error| {
                let key = Key::Service(frontend);
                ConfigError::new(&key, Fault::new("backends", error.to_string()))
            }),
        }
    };
    Ok(lb::Services::build(
        services.iter().map(build).collect::<Result<_, _>>()?,
    ))
}

pub(super) fn same<T>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

fn managed(parts: &Parts<'_>) -> Vec<Managed> {
    let mut ports: BTreeMap<IpAddr, Vec<(Protocol, u16)>> = BTreeMap::new();
    for service in &parts.services {
        let frontend = service.frontend;
        ports
            .entry(frontend.address)
            .or_default()
            .push((frontend.protocol, frontend.port));
    }
    for listener in &parts.listeners {
        let address = listener.address;
        ports
            .entry(address.ip())
            .or_default()
            .push((Protocol::Tcp, address.port()));
    }
    let sorted = |(address, mut ports): (IpAddr, Vec<_>)| {
        ports.sort_unstable();
        ports.dedup();
        Managed { address, ports }
    };
    ports.into_iter().map(sorted).collect()
}
