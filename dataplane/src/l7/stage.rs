//! The L7 stage of a worker.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Config;
use crate::clock::Nanos;
use crate::tcp::{Emit, Stack, StackConfig, StackStatus};

/// Whether NetworkPolicy lets a client (by its real address) reach an endpoint over TCP.
pub type Allows = Rc<dyn Fn(IpAddr, SocketAddr) -> bool>;

/// What a [`Stage`] may use.
#[derive(Clone, Debug)]
pub struct StageConfig {
    /// Limits of TCP, and the source addresses and ports of connections to pods.
    pub tcp: StackConfig,
}

/// Terminates TCP, TLS and HTTP for a worker; lives on its thread.
pub struct Stage {
    stack: Stack,
    config: Option<(Arc<Config>, Allows)>,
}

/// What a [`Stage`] holds and has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct L7Status {
    /// TCP connections and counters.
    pub tcp: StackStatus,
}

impl Stage {
    /// A stage without a configuration: it refuses connections.
    #[must_use]
    pub fn new(config: StageConfig) -> Self {
        Self {
            stack: Stack::new(config.tcp),
            config: None,
        }
    }

    /// New state: connections live on, their next requests are answered by it.
    pub fn configure(&mut self, config: Arc<Config>, allows: Allows) {
        self.stack.listen(config.listeners().map(|(address, _)| address));
        self.config = Some((config, allows));
    }

    /// Takes in an IP packet without its link-layer header. Must be called within a tokio `LocalRuntime` or
    /// `LocalSet`: new connections become tasks of it.
    pub fn ingress(&mut self, ip_packet: &[u8], now: Nanos) {
        self.stack.ingress(ip_packet, now);
    }

    /// Hands out IP packets while `emit` takes them: `emit(length, fill)` gives `fill` a buffer of exactly `length`
    /// bytes (at most the MTU) and returns `true`, or returns `false` when it has none. `emit` must not call the stage.
    pub fn egress(&mut self, now: Nanos, emit: &mut Emit<'_>) {
        self.stack.egress(now, emit);
    }

    /// When to call [`egress`](Self::egress) next, if no packet comes and no task wakes the worker before.
    #[must_use]
    pub fn next_timer(&self) -> Option<Nanos> {
        self.stack.next_timer()
    }

    /// Notified when tasks have made work for [`egress`](Self::egress).
    #[must_use]
    pub fn wake(&self) -> Rc<Notify> {
        self.stack.wake()
    }

    /// What the stage holds and has counted.
    #[must_use]
    pub fn status(&self) -> L7Status {
        L7Status {
            tcp: self.stack.status(),
        }
    }
}
