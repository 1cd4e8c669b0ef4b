//! The L7 configuration of one publication.
//!
//! It is a value of parts, each of which the next publication takes over as it is where nothing in it changes: an endpoint
//! that comes or goes makes the endpoints of one upstream anew, and nothing else.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use headgate_net::config::ConfigError;
use headgate_net::fault::Fault;
use headgate_net::routes::Routes;
use ipnet::IpNet;

use headgate_ring::message::{Certificate, Key, Listener, ListenerProtocol, Upstream, VirtualHost};

use super::endpoints::Upstreams;
use super::tls::Tls;

/// Everything the [`Stage`](super::Stage) needs to know to answer a request. Immutable; shared by all workers.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) routes: Arc<Routes>,
    pub(super) upstreams: Upstreams,
    pub(super) tls: Arc<Tls>,
    pub(super) listeners: Arc<HashMap<SocketAddr, Door>>,
}

/// What there is to know of a listener when a client comes.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) protocol: ListenerProtocol,
    balancers: Vec<IpNet>,
}

impl Door {
    fn of(listener: &Listener) -> Self {
        Self {
            protocol: listener.protocol,
            balancers: listener.balancers.clone(),
        }
    }

    /// Whether who connects from here says first who the client is.
    pub(super) fn is_balancer(&self, address: IpAddr) -> bool {
        self.balancers.iter().any(|network| network.contains(&address))
    }
}

/// What changes from one publication to the next, by key: what is there now, or `None` where it is gone. An object that
/// did not change may be among them and costs little.
#[derive(Clone, Debug, Default)]
pub struct Changes<'a> {
    /// By host pattern.
    pub hosts: Vec<(&'a str, Option<&'a Arc<VirtualHost>>)>,
    /// By name.
    pub upstreams: Vec<(&'a str, Option<&'a Upstream>)>,
    /// By name.
    pub certificates: Vec<(&'a str, Option<&'a Arc<Certificate>>)>,
    /// By address.
    pub listeners: Vec<(SocketAddr, Option<&'a Listener>)>,
}

impl Changes<'_> {
    /// Whether nothing of L7 changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            hosts,
            upstreams,
            certificates,
            listeners,
        } = self;
        hosts.is_empty() && upstreams.is_empty() && certificates.is_empty() && listeners.is_empty()
    }
}

impl Config {
    /// Nothing is served.
    ///
    /// # Errors
    /// The cryptography library does not start: no object is to blame.
    pub fn empty() -> Result<Self, ConfigError> {
        let tls = Tls::new().map_err(|error| ConfigError::whole(Fault::new("", format!("TLS: {error}"))))?;
        Ok(Self {
            routes: Arc::default(),
            upstreams: Upstreams::default(),
            tls: Arc::new(tls),
            listeners: Arc::default(),
        })
    }

    /// Where requests go.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The next publication; each object has been checked on its own and against the others.
    ///
    /// A route whose upstream is not there is kept and answers 503, as one without ready endpoints does: a Service that
    /// is missing must not keep every other change from taking effect. Keys of session tickets stay, so that clients
    /// resume their sessions across publications.
    ///
    /// # Errors
    /// The first object that cannot be put to work.
    pub fn with(&self, changes: &Changes<'_>) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        if !changes.hosts.is_empty() {
            let routes = Arc::make_mut(&mut next.routes);
            for (pattern, host) in &changes.hosts {
                match host {
                    Some(host) => routes.put(host).map_err(|fault| {
                        let key = Key::VirtualHost((*pattern).to_owned());
                        ConfigError::new(&key, fault)
                    })?,
                    None => routes.remove(pattern),
                }
            }
        }
        for (name, upstream) in &changes.upstreams {
            let number = next.routes.upstream(name);
            match upstream {
                Some(upstream) => next.upstreams.put(number, upstream),
                None => next.upstreams.remove(&number),
            }
        }
        if !changes.certificates.is_empty() {
            let tls = Arc::make_mut(&mut next.tls);
            tls.change(&changes.certificates)
                .map_err(|(name, fault)| ConfigError::new(&Key::Certificate(name.to_owned()), fault))?;
        }
        if !changes.listeners.is_empty() {
            let listeners = Arc::make_mut(&mut next.listeners);
            for (address, listener) in &changes.listeners {
                match listener {
                    Some(listener) => listeners.insert(*address, Door::of(listener)),
                    None => listeners.remove(address),
                };
            }
        }
        Ok(next)
    }
}
