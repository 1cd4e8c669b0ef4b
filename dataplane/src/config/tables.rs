//! What workers read.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use headgate_ring::Transaction;
use headgate_ring::message::{Key, Listener, Protocol, Service};

use super::http;
use headgate_l7 as l7;
use headgate_net::config::{Change, ConfigError, State, Stored, Undo};
use headgate_net::fault::Fault;
use headgate_net::number::Numbers;
use headgate_net::record::WorkerRecord;
use headgate_net::{hash, lb, policy};

/// Everything that the packet path needs of one state. Never changed once built; a clone is cheap, and what did not
/// change from one state to the next is shared.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Counts tables: those that follow these have the next number. Never goes back, while control planes that come anew
    /// count their states from 1.
    pub publication: u64,
    /// Balanced frontends.
    pub services: lb::Services,
    /// What may connect to what; shared with the tables before while no policy, pod or group changes.
    pub policy: Arc<policy::Compiled>,
    /// Frontends where HTTP is terminated.
    pub listeners: Listeners,
    /// What the steering must bring to us, by address.
    pub managed: Arc<[Managed]>,
    l7: Option<Arc<l7::Config>>,
    /// Of Services.
    numbers: Numbers,
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
    by_address: Arc<HashMap<SocketAddr, Listener, hash::Keyed>>,
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
    /// Compiles a state from nothing.
    ///
    /// # Errors
    /// When an object that is well-formed cannot be put to work.
    pub fn compile(state: &State) -> Result<Self, ConfigError> {
        Self::default().changed(state, &state.all())
    }

    /// Compiles what the last transaction of `state` has changed, where these are the tables of the state before; it costs
    /// what changed. Services and listeners, of which there are few, are compiled as a whole when one of them changes.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn follow(&self, state: &State, undo: &Undo) -> Result<Self, ConfigError> {
        self.changed(state, &state.changes(undo))
    }

    fn changed(&self, state: &State, changes: &[Change<'_>]) -> Result<Self, ConfigError> {
        let mut tables = Self {
            publication: self.publication + 1,
            policy: Arc::clone(state.policy()),
            l7: Some(http::follow(self.l7.as_ref(), changes)?),
            ..self.clone()
        };
        let services = changes.iter().any(|change| matches!(change.key, Key::Service(_)));
        let listeners = changes
            .iter()
            .any(|change| matches!(change.key, Key::Listener(_)));
        if services || listeners {
            let frontends = Frontends::of(state);
            tables.managed = managed(&frontends);
            if services {
                tables.services = compile_services(&frontends.services, self)?;
            }
            if listeners {
                let by_address = frontends
                    .listeners
                    .iter()
                    .map(|l| (l.address, Listener::clone(l)));
                tables.listeners.by_address = Arc::new(by_address.collect());
            }
        }
        Ok(tables)
    }

    /// Applies a transaction to a state and compiles it, or leaves the state as it was. `previous` are the tables of the
    /// state before, if there are any.
    ///
    /// # Errors
    /// Names the first object and field that is wrong.
    pub fn transact(
        state: &mut State,
        transaction: Transaction,
        previous: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        let undo = state.apply(transaction)?;
        let compiled = match previous {
            Some(previous) => previous.follow(state, &undo),
            None => Self::compile(state),
        };
        if compiled.is_err() {
            state.revert(undo);
        }
        compiled
    }

    /// What the L7 stage works by; `None` before the first state.
    #[must_use]
    pub fn l7(&self) -> Option<&Arc<l7::Config>> {
        self.l7.as_ref()
    }

    /// Makes room in a worker's record for what it will count of packets by these tables; not for the worker to call.
    pub fn make_room(&self, record: &WorkerRecord) {
        record.services.make_room(self.numbers.end());
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
struct Frontends<'a> {
    services: Vec<&'a Arc<Service>>,
    listeners: Vec<&'a Listener>,
}

impl<'a> Frontends<'a> {
    fn of(state: &'a State) -> Self {
        let mut frontends = Self::default();
        for object in state.objects() {
            match object {
                Stored::Service(o) => frontends.services.push(o),
                Stored::Listener(o) => frontends.listeners.push(o),
                // They stand first in the order of keys.
                _ => break,
            }
        }
        frontends
    }
}

fn compile_services(services: &[&Arc<Service>], previous: &Tables) -> Result<lb::Services, ConfigError> {
    let build = |source: &&Arc<Service>| {
        let frontend = source.frontend;
        let old = previous
            .services
            .lookup(frontend.address, frontend.protocol.number(), frontend.port);
        match old {
            Some(old) if Arc::ptr_eq(old.source(), source) => Ok(old.clone()),
            _ => lb::BalancedService::build(Arc::clone(source), old, &previous.numbers).map_err(|error| {
                let key = Key::Service(frontend);
                ConfigError::new(&key, Fault::new("backends", error.to_string()))
            }),
        }
    };
    let built = services.iter().map(build).collect::<Result<_, _>>()?;
    Ok(lb::Services::build(built))
}

fn managed(frontends: &Frontends<'_>) -> Arc<[Managed]> {
    let mut ports: BTreeMap<IpAddr, Vec<(Protocol, u16)>> = BTreeMap::new();
    for service in &frontends.services {
        let frontend = service.frontend;
        ports
            .entry(frontend.address)
            .or_default()
            .push((frontend.protocol, frontend.port));
    }
    for listener in &frontends.listeners {
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
