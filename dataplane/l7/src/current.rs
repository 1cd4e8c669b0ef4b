//! The configuration and the policies in force.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use headgate_net::number::Number;

use super::config::Config;

/// Whether NetworkPolicy lets a client (by its real address) reach an endpoint over TCP.
pub type Allows = Rc<dyn Fn(IpAddr, SocketAddr) -> bool>;

/// What requests are answered by. Tasks look at it and never hold on to it: a slow request would keep the tables of its
/// time, whose memory would be freed on the worker then, between two packets.
#[derive(Default)]
pub(crate) struct Current(RefCell<Option<Publication>>);

pub(crate) struct Publication {
    pub(crate) config: Arc<Config>,
    pub(crate) allows: Allows,
    /// Which one it is, for the flow log.
    pub(crate) publication: u64,
}

impl Current {
    /// Puts a publication in force. Who published it still holds what was in force before, and frees it.
    pub(crate) fn replace(&self, publication: Publication) {
        self.0.replace(Some(publication));
    }

    /// What `look` finds in the configuration; `None` before the first one.
    pub(crate) fn configured<T>(&self, look: impl FnOnce(&Config) -> T) -> Option<T> {
        self.0
            .borrow()
            .as_ref()
            .map(|publication| look(&publication.config))
    }

    /// Whether policies let a client reach an endpoint, as they are now.
    pub(crate) fn allows(&self, client: IpAddr, endpoint: SocketAddr) -> bool {
        self.0
            .borrow()
            .as_ref()
            .is_some_and(|publication| (publication.allows)(client, endpoint))
    }

    /// Whether requests to an upstream may still be sent to an endpoint.
    pub(crate) fn is_endpoint(&self, upstream: &Number, endpoint: SocketAddr) -> bool {
        self.configured(|config| config.upstreams.has(upstream, endpoint))
            .unwrap_or_default()
    }

    /// Whether these are the listeners in force.
    pub(crate) fn has_listeners_of(&self, config: &Config) -> bool {
        self.configured(|current| Arc::ptr_eq(&current.listeners, &config.listeners))
            .unwrap_or_default()
    }

    pub(crate) fn publication(&self) -> u64 {
        self.0
            .borrow()
            .as_ref()
            .map_or(0, |publication| publication.publication)
    }

    #[cfg(test)]
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow().as_ref().expect("configured").config)
    }
}
