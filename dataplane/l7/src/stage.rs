//! The L7 stage of a worker: HTTP on our own TCP.

use std::sync::Arc;

use tokio::sync::Notify;

use super::current::Allows;
use super::http::{Http, HttpConfig};
use super::net::{ByKernel, Net, Stream};
use super::{Config, Limits};
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;
use headgate_net::record::{L7Record, L7Status, Recorder};
use headgate_net::wire::Headers;
use headgate_tcp::{Emit, Stack, StackConfig};

/// What a [`Stage`] may use.
#[derive(Clone, Debug)]
pub struct StageConfig {
    /// Limits of TCP, and the source addresses and ports of connections to pods.
    pub tcp: StackConfig,
    /// Timeouts and limits of HTTP.
    pub limits: Limits,
    /// Where decisions are recorded.
    pub recorder: Recorder,
    /// Where the stage counts: it alone writes there. Its TCP stack writes to `tcp.record`.
    pub record: Arc<L7Record>,
    /// Which pods are reached by the kernel's sockets.
    pub by_kernel: ByKernel,
}

impl StageConfig {
    /// With the default timeouts and limits of HTTP; nothing is recorded, and all pods are reached by packets.
    #[must_use]
    pub fn new(tcp: StackConfig) -> Self {
        let record = L7Record {
            tcp: Arc::clone(&tcp.record),
            ..L7Record::default()
        };
        Self {
            record: Arc::new(record),
            tcp,
            limits: Limits::default(),
            recorder: Recorder::off(),
            by_kernel: ByKernel::new(|_| false),
        }
    }
}

/// Terminates TCP, TLS and HTTP for a worker; lives on its thread.
pub struct Stage {
    http: Http,
    stack: Stack,
}

impl Stage {
    /// A stage without a configuration: it refuses connections.
    #[must_use]
    pub fn new(config: StageConfig) -> Self {
        let stack = Stack::new(config.tcp);
        let http = HttpConfig {
            limits: config.limits,
            recorder: config.recorder,
            record: config.record,
        };
        Self {
            http: Http::new(Net::user(stack.clone(), config.by_kernel), http, stack.wake()),
            stack,
        }
    }

    /// As [`Http::configure`], and clients are accepted where the configuration says.
    pub fn configure(&mut self, config: Arc<Config>, allows: Allows, publication: u64) {
        if !self.http.has_listeners_of(&config) {
            self.stack.listen(config.listeners.keys().copied());
        }
        self.http.configure(config, allows, publication);
    }

    /// As [`Http::re_examine`].
    pub fn re_examine(&mut self) {
        self.http.re_examine();
    }

    /// The dataplane is so far with its end. Packets that open connections still do: it is for others to keep them out.
    pub fn enter(&mut self, phase: Phase) {
        self.http.enter(phase);
    }

    /// Clients that are connected or about to be, and connections whose last bytes the peer does not have yet: 0 when nothing would be
    /// broken off by the end of the thread. Looks at every connection.
    #[must_use]
    pub fn held(&self) -> usize {
        // Handshakes that nobody finishes for so long are those of nobody.
        let coming = match self.http.phase() {
            Phase::Parting | Phase::Over => 0,
            Phase::Serving | Phase::Leaving | Phase::Closed => self.stack.half_open(),
        };
        coming + self.http.clients() + self.stack.unfinished()
    }

    /// Takes in an IP packet, as [`Stack::ingress`] does. What it sets off is done by the next [`egress`](Self::egress), once for
    /// all packets of a batch.
    pub fn ingress(&mut self, frame: &[u8], headers: &Headers, now: Nanos) {
        self.http.stay_awake();
        self.stack.ingress(frame, headers, now);
        while let Some(stream) = self.stack.try_accept() {
            self.http.accept(Stream::User(stream));
        }
    }

    /// Hands out IP packets while `emit` takes them: `emit(length, fill)` gives `fill` a buffer of exactly `length`
    /// bytes (at most the MTU) and returns `true`, or returns `false` when it has none. `emit` must not call the stage. Must be
    /// called within a tokio runtime with I/O enabled where pods are reached by the kernel's sockets.
    pub fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        self.http.turn(now);
        self.stack.egress(now, emit);
    }

    /// When to call [`egress`](Self::egress) next, if no packet comes and no task wakes the worker before.
    #[must_use]
    pub fn next_timer(&self) -> Option<Nanos> {
        let timers = self.stack.next_timer().into_iter();
        timers.chain(self.http.next_timer()).min()
    }

    /// Notified when tasks have made work for [`egress`](Self::egress).
    #[must_use]
    pub fn wake(&self) -> Arc<Notify> {
        self.stack.wake()
    }

    #[cfg(test)]
    pub(super) fn config(&self) -> Arc<Config> {
        self.http.config()
    }

    /// Writes down what the stage holds now; what happens it counts at once.
    pub fn note(&self) {
        self.http.note();
        self.stack.note();
    }

    /// Where the stage counts.
    #[must_use]
    pub fn record(&self) -> &L7Record {
        self.http.record()
    }

    /// What the stage holds and has counted.
    #[must_use]
    pub fn status(&self) -> L7Status {
        self.note();
        self.http.status()
    }
}
