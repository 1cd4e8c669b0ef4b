//! HTTP on one thread, whatever network is below it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::conn::Server;
use super::counters::Tally;
use super::current::{Allows, Publication};
use super::net::Net;
use super::request::Gateway;
use super::running::Run;
use super::{Config, Limits};
use headgate_net::clock::Nanos;
use headgate_net::phase::Phase;
use headgate_net::record::{Event, HttpCount, HttpGauge, L7Record, L7Status, Recorder};

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

/// Everything above TCP, on one thread: connections are tasks that answer requests by one configuration.
pub struct Http {
    gateway: Rc<Gateway>,
    pub(super) server: Rc<Server>,
    /// When kept connections to pods are next looked through; `None` while there are none.
    sweep: Option<Nanos>,
}

impl Http {
    /// How often kept connections are looked through.
    const SWEEP: Duration = Duration::from_secs(1);

    pub(super) fn new(net: Net, config: HttpConfig) -> Self {
        let gateway = Rc::new(Gateway::new(
            net,
            config.limits,
            config.recorder,
            Tally::new(config.record),
        ));
        Self {
            server: Rc::new(Server::new(Rc::clone(&gateway))),
            gateway,
            sweep: None,
        }
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
        let cut = |run: &Run| {
            gateway.tally.count(HttpCount::Cut);
            gateway.log(Event::RequestCut, run.client, run.listener, run.endpoint);
        };
        gateway
            .running
            .cut(|client, endpoint| gateway.current.allows(client, endpoint), cut);
    }

    /// The dataplane is so far with its end.
    pub(super) fn enter(&self, phase: Phase) {
        self.server.enter(phase);
    }

    /// Closes kept connections to pods that were not used for a while, or whose pods are gone, when it is time to.
    pub(super) fn sweep(&mut self, now: Nanos) {
        let pool = &self.gateway.pool;
        if self.sweep.is_some_and(|due| due <= now) {
            let idle = u64::try_from(self.gateway.limits.idle.as_nanos()).unwrap_or(u64::MAX);
            let left = pool.expire(Nanos(now.0.saturating_sub(idle)));
            self.sweep = left.then(|| now.after(Self::SWEEP));
        } else if self.sweep.is_none() && pool.keeps_any() {
            self.sweep = Some(now.after(Self::SWEEP));
        }
    }

    /// When [`Self::sweep`] has something to do.
    pub(super) fn next_timer(&self) -> Option<Nanos> {
        self.sweep
    }

    #[cfg(test)]
    pub(super) fn config(&self) -> Arc<Config> {
        self.gateway.current.config()
    }

    /// Writes down what it holds now; what happens it counts at once.
    pub(super) fn note(&self) {
        let now = &self.gateway.tally.record().now;
        let (idle, busy) = self.gateway.pool.counts();
        now.set_len(HttpGauge::Clients, self.server.clients());
        now.set_len(HttpGauge::Active, self.gateway.active());
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
    /// Kept connections and what answers requests know each other; what is left would keep both alive.
    fn drop(&mut self) {
        self.gateway.pool.close();
    }
}
