//! The L7 stage of a worker.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::http1::Builder;
use tokio::sync::Notify;

use super::counters::{L7Counters, Tally};
use super::running::{Run, Running};
use super::upstream::Pool;
use super::{Config, Limits, http as connection, middleware};
use headgate_net::clock::Nanos;
use headgate_net::record::{Event, Record, Recorder};
use headgate_net::wire;
use headgate_tcp::{Emit, Stack, StackConfig, StackStatus};

/// Whether NetworkPolicy lets a client (by its real address) reach an endpoint over TCP.
pub type Allows = Rc<dyn Fn(IpAddr, SocketAddr) -> bool>;

/// What a [`Stage`] may use.
#[derive(Clone, Debug)]
pub struct StageConfig {
    /// Limits of TCP, and the source addresses and ports of connections to pods.
    pub tcp: StackConfig,
    /// Timeouts and limits of HTTP.
    pub limits: Limits,
    /// Where decisions are recorded.
    pub recorder: Recorder,
}

impl StageConfig {
    /// With the default timeouts and limits of HTTP; nothing is recorded.
    #[must_use]
    pub fn new(tcp: StackConfig) -> Self {
        Self {
            tcp,
            limits: Limits::default(),
            recorder: Recorder::off(),
        }
    }
}

/// Terminates TCP, TLS and HTTP for a worker; lives on its thread.
pub struct Stage {
    shared: Rc<Shared>,
    /// When kept connections to pods are next looked through; `None` while there are none.
    sweep: Option<Nanos>,
}

/// What all tasks of a stage share.
pub(super) struct Shared {
    pub(super) stack: Stack,
    pub(super) limits: Limits,
    pub(super) pool: Pool,
    pub(super) running: Running,
    pub(super) tally: Tally,
    recorder: RefCell<Recorder>,
    pub(super) http: Builder,
    /// Requests being answered.
    pub(super) active: Rc<Cell<usize>>,
    /// Tasks that serve clients.
    clients: Cell<usize>,
    state: RefCell<Option<State>>,
}

/// What requests are answered by. Tasks look at it and never hold on to it: a slow request would keep the tables of its
/// time, whose memory would be freed on the worker then, between two packets.
struct State {
    config: Arc<Config>,
    allows: Allows,
    /// Of the tables that `allows` asks.
    generation: u64,
    endpoints: HashSet<SocketAddr>,
}

impl Shared {
    /// What `look` finds in the configuration; `None` before the first one.
    pub(super) fn configured<T>(&self, look: impl FnOnce(&Config) -> T) -> Option<T> {
        self.state.borrow().as_ref().map(|state| look(&state.config))
    }

    /// Whether policies let a client reach an endpoint, as they are now.
    pub(super) fn allows(&self, client: IpAddr, endpoint: SocketAddr) -> bool {
        self.state
            .borrow()
            .as_ref()
            .is_some_and(|state| (state.allows)(client, endpoint))
    }

    /// Whether requests may still be sent to an endpoint.
    pub(super) fn is_endpoint(&self, endpoint: SocketAddr) -> bool {
        self.state
            .borrow()
            .as_ref()
            .is_some_and(|state| state.endpoints.contains(&endpoint))
    }

    /// Tells the flow log of a decision on a client of `listener`.
    pub(super) fn record(
        &self,
        event: Event,
        client: SocketAddr,
        listener: SocketAddr,
        endpoint: SocketAddr,
    ) {
        let generation = self.state.borrow().as_ref().map_or(0, |state| state.generation);
        let record = || Record {
            at: self.stack.now(),
            generation,
            client,
            frontend: listener,
            pod: endpoint,
            protocol: wire::TCP,
            event,
        };
        let mut recorder = self.recorder.borrow_mut();
        if event.is_allowed() {
            recorder.allowed(record);
        } else {
            recorder.denied(record);
        }
    }

    /// Whether the flow log records requests that are allowed.
    pub(super) fn records_allowed(&self) -> bool {
        self.recorder.borrow().wants_allowed()
    }

    /// An ID for a request that came without.
    pub(super) fn new_id(&self) -> HeaderValue {
        middleware::hexadecimal([self.stack.random(), self.stack.random()])
    }
}

/// What a [`Stage`] holds and has counted.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct L7Status {
    /// TCP connections and counters.
    pub tcp: StackStatus,
    /// Client connections being served.
    pub clients: usize,
    /// Requests being answered.
    pub active: usize,
    /// Connections to pods that wait for a request.
    pub upstream_idle: usize,
    /// Connections to pods that carry a request.
    pub upstream_busy: usize,
    /// Event counters.
    pub counters: L7Counters,
}

impl Stage {
    /// How often kept connections are looked through.
    const SWEEP: Duration = Duration::from_secs(1);

    /// A stage without a configuration: it refuses connections.
    #[must_use]
    pub fn new(config: StageConfig) -> Self {
        let shared = Shared {
            stack: Stack::new(config.tcp),
            http: connection::builder(&config.limits),
            limits: config.limits,
            pool: Pool::default(),
            running: Running::default(),
            tally: Tally::default(),
            recorder: RefCell::new(config.recorder),
            active: Rc::default(),
            clients: Cell::default(),
            state: RefCell::default(),
        };
        Self {
            shared: Rc::new(shared),
            sweep: None,
        }
    }

    /// New state, of the tables of `generation`: connections live on, their next requests are answered by it.
    pub fn configure(&mut self, config: Arc<Config>, allows: Allows, generation: u64) {
        let shared = &self.shared;
        let state = shared.state.borrow();
        let same = state
            .as_ref()
            .is_some_and(|state| Arc::ptr_eq(&state.config, &config));
        drop(state);
        if !same {
            let listeners = config.listeners().map(|(address, _)| address);
            shared.stack.listen(listeners);
            shared.pool.retain(&config.endpoints());
        }
        let before = shared.state.take().filter(|_| same);
        let state = State {
            endpoints: before.map_or_else(|| config.endpoints(), |state| state.endpoints),
            config,
            allows,
            generation,
        };
        shared.state.replace(Some(state));
    }

    /// Cuts the requests and tunnels under way that the state of the last [`configure`](Self::configure) does not allow:
    /// who waits for an answer is told, who has a part of one finds the connection reset.
    pub fn re_examine(&mut self) {
        let shared = &self.shared;
        let cut = |run: &Run| {
            shared.tally.count(|c| c.cut += 1);
            shared.record(Event::RequestCut, run.client, run.listener, run.endpoint);
        };
        shared
            .running
            .cut(|client, endpoint| shared.allows(client, endpoint), cut);
    }

    /// Takes in an IP packet without its link-layer header. Must be called within a tokio `LocalRuntime` or
    /// `LocalSet`, with time enabled: new connections become tasks of it.
    pub fn ingress(&mut self, ip_packet: &[u8], now: Nanos) {
        self.shared.stack.ingress(ip_packet, now);
        while let Some(stream) = self.shared.stack.try_accept() {
            let shared = Rc::clone(&self.shared);
            shared.clients.set(shared.clients.get() + 1);
            let guard = Serving(Rc::clone(&shared));
            tokio::task::spawn_local(async move {
                connection::serve(shared, stream).await;
                drop(guard);
            });
        }
    }

    /// Hands out IP packets while `emit` takes them: `emit(length, fill)` gives `fill` a buffer of exactly `length`
    /// bytes (at most the MTU) and returns `true`, or returns `false` when it has none. `emit` must not call the stage.
    pub fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        if self.sweep.is_some_and(|due| due <= now) {
            let idle = u64::try_from(self.shared.limits.idle.as_nanos()).unwrap_or(u64::MAX);
            let left = self.shared.pool.expire(Nanos(now.0.saturating_sub(idle)));
            self.sweep = left.then(|| now.after(Self::SWEEP));
        } else if self.sweep.is_none() && self.shared.pool.counts().0 > 0 {
            self.sweep = Some(now.after(Self::SWEEP));
        }
        self.shared.stack.egress(now, emit);
    }

    /// When to call [`egress`](Self::egress) next, if no packet comes and no task wakes the worker before.
    #[must_use]
    pub fn next_timer(&self) -> Option<Nanos> {
        self.shared.stack.next_timer().into_iter().chain(self.sweep).min()
    }

    /// Notified when tasks have made work for [`egress`](Self::egress).
    #[must_use]
    pub fn wake(&self) -> Rc<Notify> {
        self.shared.stack.wake()
    }

    #[cfg(test)]
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.shared.state.borrow().as_ref().expect("configured").config)
    }

    /// What the stage holds and has counted.
    #[must_use]
    pub fn status(&self) -> L7Status {
        let (upstream_idle, upstream_busy) = self.shared.pool.counts();
        L7Status {
            tcp: self.shared.stack.status(),
            clients: self.shared.clients.get(),
            active: self.shared.active.get(),
            upstream_idle,
            upstream_busy,
            counters: self.shared.tally.get(),
        }
    }
}

impl Drop for Stage {
    /// Kept connections and the stage know each other; what is left would keep both alive.
    fn drop(&mut self) {
        self.shared.pool.retain(&HashSet::new());
    }
}

/// Counts a task that serves a client, however it ends.
struct Serving(Rc<Shared>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.clients.set(self.0.clients.get() - 1);
    }
}
