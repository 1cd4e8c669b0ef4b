//! HTTP on one thread, and the L7 stage of a worker: HTTP on our own TCP.

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
use super::net::{Net, Stream};
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

/// What [`Http`] may use.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Timeouts and limits.
    pub limits: Limits,
    /// Where decisions are recorded.
    pub recorder: Recorder,
}

/// Terminates TCP, TLS and HTTP for a worker; lives on its thread.
pub struct Stage {
    http: Http,
    stack: Stack,
}

/// Everything above TCP, on one thread: connections are tasks that answer requests by one configuration.
pub struct Http {
    pub(super) shared: Rc<Shared>,
    /// When kept connections to pods are next looked through; `None` while there are none.
    sweep: Option<Nanos>,
}

/// What all tasks of a stage share.
pub(super) struct Shared {
    pub(super) net: Net,
    pub(super) limits: Limits,
    pub(super) pool: Pool,
    pub(super) running: Running,
    pub(super) tally: Tally,
    recorder: RefCell<Recorder>,
    pub(super) http: Builder,
    /// Requests being answered.
    pub(super) active: Rc<Cell<usize>>,
    /// Tasks that serve clients.
    pub(super) clients: Cell<usize>,
    /// Told when one of them ends.
    pub(super) left: Notify,
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
            at: self.net.now(),
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
    /// Any number.
    pub(super) fn random(&self) -> u64 {
        self.net.random()
    }

    pub(super) fn new_id(&self) -> HeaderValue {
        middleware::hexadecimal([self.net.random(), self.net.random()])
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
    /// A stage without a configuration: it refuses connections.
    #[must_use]
    pub fn new(config: StageConfig) -> Self {
        let stack = Stack::new(config.tcp);
        let http = HttpConfig {
            limits: config.limits,
            recorder: config.recorder,
        };
        Self {
            http: Http::new(Net::User(stack.clone()), http),
            stack,
        }
    }

    /// What answers the requests.
    pub fn http(&mut self) -> &mut Http {
        &mut self.http
    }

    /// As [`Http::configure`], and clients are accepted where the configuration says.
    pub fn configure(&mut self, config: Arc<Config>, allows: Allows, generation: u64) {
        if !self.http.works_by(&config) {
            self.stack.listen(config.listeners().map(|(address, _)| address));
        }
        self.http.configure(config, allows, generation);
    }

    /// As [`Http::re_examine`].
    pub fn re_examine(&mut self) {
        self.http.re_examine();
    }

    /// Takes in an IP packet without its link-layer header. Must be called within a tokio `LocalRuntime` or
    /// `LocalSet`, with time enabled: new connections become tasks of it.
    pub fn ingress(&mut self, ip_packet: &[u8], now: Nanos) {
        self.stack.ingress(ip_packet, now);
        while let Some(stream) = self.stack.try_accept() {
            Http::serve(&self.http.shared, Stream::User(stream));
        }
    }

    /// Hands out IP packets while `emit` takes them: `emit(length, fill)` gives `fill` a buffer of exactly `length`
    /// bytes (at most the MTU) and returns `true`, or returns `false` when it has none. `emit` must not call the stage.
    pub fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        self.http.sweep(now);
        self.stack.egress(now, emit);
    }

    /// When to call [`egress`](Self::egress) next, if no packet comes and no task wakes the worker before.
    #[must_use]
    pub fn next_timer(&self) -> Option<Nanos> {
        self.stack.next_timer().into_iter().chain(self.http.sweep).min()
    }

    /// Notified when tasks have made work for [`egress`](Self::egress).
    #[must_use]
    pub fn wake(&self) -> Rc<Notify> {
        self.stack.wake()
    }

    #[cfg(test)]
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(
            &self
                .http
                .shared
                .state
                .borrow()
                .as_ref()
                .expect("configured")
                .config,
        )
    }

    /// What the stage holds and has counted.
    #[must_use]
    pub fn status(&self) -> L7Status {
        L7Status {
            tcp: self.stack.status(),
            ..self.http.status()
        }
    }
}

impl Http {
    /// How often kept connections are looked through.
    pub(super) const SWEEP: Duration = Duration::from_secs(1);

    pub(super) fn new(net: Net, config: HttpConfig) -> Self {
        let shared = Shared {
            net,
            http: connection::builder(&config.limits),
            limits: config.limits,
            pool: Pool::default(),
            running: Running::default(),
            tally: Tally::default(),
            recorder: RefCell::new(config.recorder),
            active: Rc::default(),
            clients: Cell::default(),
            left: Notify::new(),
            state: RefCell::default(),
        };
        Self {
            shared: Rc::new(shared),
            sweep: None,
        }
    }

    /// Whether this is the configuration in force.
    pub(super) fn works_by(&self, config: &Arc<Config>) -> bool {
        let state = self.shared.state.borrow();
        state
            .as_ref()
            .is_some_and(|state| Arc::ptr_eq(&state.config, config))
    }

    /// New state, of the tables of `generation`: connections live on, their next requests are answered by it.
    pub fn configure(&mut self, config: Arc<Config>, allows: Allows, generation: u64) {
        let same = self.works_by(&config);
        let shared = &self.shared;
        if !same {
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

    /// Serves a client as a task of the runtime.
    pub(super) fn serve(shared: &Rc<Shared>, stream: Stream) {
        let shared = Rc::clone(shared);
        shared.clients.set(shared.clients.get() + 1);
        let guard = Serving(Rc::clone(&shared));
        tokio::task::spawn_local(async move {
            connection::serve(shared, stream).await;
            drop(guard);
        });
    }

    /// Closes kept connections to pods that were not used for a while, when it is time to.
    pub(super) fn sweep(&mut self, now: Nanos) {
        if self.sweep.is_some_and(|due| due <= now) {
            let idle = u64::try_from(self.shared.limits.idle.as_nanos()).unwrap_or(u64::MAX);
            let left = self.shared.pool.expire(Nanos(now.0.saturating_sub(idle)));
            self.sweep = left.then(|| now.after(Self::SWEEP));
        } else if self.sweep.is_none() && self.shared.pool.counts().0 > 0 {
            self.sweep = Some(now.after(Self::SWEEP));
        }
    }

    /// What it holds and has counted; nothing of TCP.
    pub(super) fn status(&self) -> L7Status {
        let (upstream_idle, upstream_busy) = self.shared.pool.counts();
        L7Status {
            tcp: StackStatus::default(),
            clients: self.shared.clients.get(),
            active: self.shared.active.get(),
            upstream_idle,
            upstream_busy,
            counters: self.shared.tally.get(),
        }
    }
}

impl Drop for Http {
    /// Kept connections and what answers requests know each other; what is left would keep both alive.
    fn drop(&mut self) {
        self.shared.pool.retain(&HashSet::new());
    }
}

/// Counts a task that serves a client, however it ends.
struct Serving(Rc<Shared>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.clients.set(self.0.clients.get() - 1);
        self.0.left.notify_waiters();
    }
}
