//! HTTP on one thread, whatever network is below it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::counters::Tally;
use super::current::{Allows, Publication};
use super::engine::Engine;
use super::gateway::Gateway;
use super::net::{Net, Stream};
use super::ready::Ready;
use super::{Config, Limits};
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;
use headgate_net::record::{HttpGauge, L7Record, L7Status, Recorder};

/// What [`Http`] may use.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Timeouts and limits.
    pub limits: Limits,
    /// Where decisions are recorded.
    pub recorder: Recorder,
    /// Where it counts: it alone writes there.
    pub record: Arc<L7Record>,
}

/// Everything above TCP, on one thread.
pub struct Http {
    gateway: Rc<Gateway>,
    engine: Engine,
    /// When kept connections to pods are next looked through; `None` while there are none.
    sweep: Option<Nanos>,
}

impl Http {
    /// How often kept connections are looked through.
    const SWEEP: Duration = Duration::from_secs(1);

    /// `notify` is told when there is something to do outside of a [`turn`](Self::turn).
    pub(super) fn new(net: Net, config: HttpConfig, notify: Arc<Notify>) -> Self {
        let tally = Tally::new(config.record);
        let ready = Ready::new(notify);
        let gateway = Gateway::new(net, config.limits, config.recorder, tally, &ready);
        let gateway = Rc::new(gateway);
        Self {
            engine: Engine::new(Rc::clone(&gateway), ready),
            gateway,
            sweep: None,
        }
    }

    /// Takes a client in.
    pub(super) fn accept(&mut self, stream: Stream) {
        self.engine.accept(stream);
    }

    /// Something may happen from here on, and a [`turn`](Self::turn) will follow without being asked for.
    pub(super) fn stay_awake(&self) {
        self.engine.stay_awake();
    }

    /// Does what there is to do.
    pub(super) fn turn(&mut self, now: Nanos) {
        self.engine.turn(now);
        self.sweep(now);
    }

    /// Clients that are connected.
    pub(super) fn clients(&self) -> usize {
        self.engine.len()
    }

    /// How far the dataplane is with its end.
    pub(super) fn phase(&self) -> Phase {
        self.gateway.phase.get()
    }

    pub(super) fn gateway(&self) -> &Rc<Gateway> {
        &self.gateway
    }

    /// Whether the configuration in force has the listeners of this one.
    pub(super) fn has_listeners_of(&self, config: &Config) -> bool {
        self.gateway.current.has_listeners_of(config)
    }

    /// New state, of the tables of `publication`: connections live on, their next requests are answered by it. Kept
    /// connections to endpoints that are gone are closed when they are looked at next. Takes the same time whatever is
    /// configured; what was in force before must be freed by the caller.
    pub fn configure(&mut self, config: Arc<Config>, allows: Allows, publication: u64) {
        self.gateway.current.replace(Publication {
            config,
            allows,
            publication,
        });
    }

    /// Cuts the requests and tunnels under way that the state of the last [`configure`](Self::configure) does not allow:
    /// who waits for an answer is told, who has a part of one finds the connection reset.
    pub fn re_examine(&mut self) {
        let gateway = &self.gateway;
        self.engine
            .cut(|client, endpoint| gateway.current.allows(client, endpoint));
    }

    /// The dataplane is so far with its end.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.engine.enter(phase);
    }

    /// Closes kept connections to pods that were not used for a while, or whose pods are gone, when it is time to.
    fn sweep(&mut self, now: Nanos) {
        let gateway = &self.gateway;
        let pool = &gateway.pool;
        if self.sweep.is_some_and(|due| due <= now) {
            let idle = u64::try_from(gateway.limits.idle.as_nanos()).unwrap_or(u64::MAX);
            let left = pool.expire(Nanos(now.0.saturating_sub(idle)));
            self.sweep = left.then(|| now.after(Self::SWEEP));
        } else if self.sweep.is_none() && pool.keeps_any() {
            self.sweep = Some(now.after(Self::SWEEP));
        }
    }

    /// When [`Self::turn`] has something to do, if nothing happens before.
    pub(super) fn next_timer(&self) -> Option<Nanos> {
        let timers = self.sweep.into_iter();
        timers.chain(self.engine.next_timer(self.gateway.net.now())).min()
    }

    #[cfg(test)]
    pub(super) fn config(&self) -> Arc<Config> {
        self.gateway.current.config()
    }

    /// Writes down what it holds now; what happens it counts at once.
    pub(super) fn note(&self) {
        let now = &self.gateway.tally.record().now;
        let (idle, busy) = self.gateway.pool.counts();
        now.set_len(HttpGauge::Clients, self.engine.len());
        now.set_len(HttpGauge::Active, self.gateway.active.get());
        now.set_len(HttpGauge::UpstreamIdle, idle);
        now.set_len(HttpGauge::UpstreamBusy, busy);
    }

    pub(super) fn record(&self) -> &L7Record {
        self.gateway.tally.record()
    }

    /// What it holds and has counted.
    pub(super) fn status(&self) -> L7Status {
        self.note();
        self.gateway.tally.record().status()
    }
}

impl Drop for Http {
    /// What is under way knows the gateway, which has the kept connections.
    fn drop(&mut self) {
        self.gateway.pool.close();
    }
}
