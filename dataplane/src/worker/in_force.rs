//! The publication that HTTP on a worker works by.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use crate::config::Tables;
use crate::options::EstablishedFlows;
use headgate_l7::{Allows, Config, Sockets, Stage};
use headgate_net::policy::Compiled;
use headgate_net::wire;

/// Whatever answers requests by a configuration.
pub(super) trait Answering {
    fn configure(&mut self, config: Arc<Config>, allows: Allows, publication: u64);
    fn re_examine(&mut self);
}

impl Answering for Stage {
    fn configure(&mut self, config: Arc<Config>, allows: Allows, publication: u64) {
        Stage::configure(self, config, allows, publication);
    }

    fn re_examine(&mut self) {
        Stage::re_examine(self);
    }
}

impl Answering for Sockets {
    fn configure(&mut self, config: Arc<Config>, allows: Allows, publication: u64) {
        Sockets::configure(self, config, allows, publication);
    }

    fn re_examine(&mut self) {
        Sockets::re_examine(self);
    }
}

/// Knows what was taken over, to see what is new.
pub(super) struct InForce {
    publication: Option<u64>,
    /// What requests under way are allowed by.
    policy: Option<Arc<Compiled>>,
    established: EstablishedFlows,
}

impl InForce {
    pub(super) fn new(established: EstablishedFlows) -> Self {
        Self {
            publication: None,
            policy: None,
            established,
        }
    }

    /// Takes over a publication that is new, and has requests under way looked at again where policies have changed.
    pub(super) fn take_over(&mut self, tables: &Tables, http: &mut impl Answering) {
        if self.publication == Some(tables.publication) {
            return;
        }
        self.publication = Some(tables.publication);
        let policy = Arc::clone(&tables.policy);
        let allows = move |client: IpAddr, pod: SocketAddr| {
            policy
                .decide(client, pod.ip(), wire::TCP, pod.port())
                .is_allowed()
        };
        if let Some(config) = tables.l7() {
            http.configure(Arc::clone(config), Rc::new(allows), tables.publication);
        }
        let changed = self
            .policy
            .as_ref()
            .is_none_or(|old| !Arc::ptr_eq(old, &tables.policy));
        if changed {
            self.policy = Some(Arc::clone(&tables.policy));
            if self.established == EstablishedFlows::Cut {
                http.re_examine();
            }
        }
    }
}
