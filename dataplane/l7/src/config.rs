//! The L7 configuration of one generation: built whole from ring objects, then only read.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use headgate_net::config::{ConfigError, Fault};
use headgate_net::routes::{Number, Routes};
use headgate_ring::message::{Certificate, Key, Listener, ListenerProtocol, Upstream, VirtualHost};

use super::tls::Certificates;

/// Everything the [`Stage`](super::Stage) needs to know to answer a request. Immutable; shared by all workers.
#[derive(Debug)]
pub struct Config {
    pub(super) routes: Routes,
    /// By the numbers of their names.
    upstreams: Vec<Option<UpstreamEndpoints>>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) tls: Arc<rustls::ServerConfig>,
    pub(super) listeners: HashMap<SocketAddr, ListenerProtocol>,
}

/// The ready endpoints of an upstream.
#[derive(Debug)]
struct UpstreamEndpoints {
    /// Keeps the number from being another's.
    number: Number,
    endpoints: Arc<[SocketAddr]>,
}

impl Config {
    /// Compiles the objects of a generation, each of them checked on its own and against the others.
    ///
    /// A rule whose upstream is not among `upstreams` is kept and answers 503, as one without ready endpoints does:
    /// a Service that is missing must not keep every other change from taking effect. `previous` lends the hosts and
    /// certificates that did not change, and the keys of the session tickets, so that clients resume their sessions
    /// across generations.
    ///
    /// # Errors
    /// The first object that cannot be put to work; nothing is applied then.
    pub fn build<'a>(
        hosts: impl IntoIterator<Item = &'a Arc<VirtualHost>>,
        upstreams: impl IntoIterator<Item = &'a Upstream>,
        certificates: impl IntoIterator<Item = &'a Certificate>,
        listeners: impl IntoIterator<Item = &'a Listener>,
        previous: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        let routes = previous.map(|p| p.routes.clone()).unwrap_or_default();
        let routes = routes
            .with(hosts)
            .map_err(|(host, fault)| ConfigError::new(&Key::VirtualHost(host.host.clone()), fault))?;
        let certificates = Arc::new(Certificates::build(
            certificates,
            previous.map(|p| &*p.certificates),
        )?);
        let tls = super::tls::server_config(&certificates, previous.map(|p| &*p.tls));
        Ok(Self {
            upstreams: compile_upstreams(&routes, upstreams),
            routes,
            certificates,
            // No object is to blame for a library that does not start.
            tls: tls.map_err(|error| ConfigError::whole(Fault::new("", format!("TLS: {error}"))))?,
            listeners: listeners.into_iter().map(|l| (l.address, l.protocol)).collect(),
        })
    }

    /// Where clients connect, and what they speak there.
    pub fn listeners(&self) -> impl Iterator<Item = (SocketAddr, ListenerProtocol)> + '_ {
        self.listeners
            .iter()
            .map(|(address, protocol)| (*address, *protocol))
    }

    /// Every endpoint that a request may be sent to.
    #[must_use]
    pub fn endpoints(&self) -> HashSet<SocketAddr> {
        let upstreams = self.upstreams.iter().flatten();
        upstreams.flat_map(|u| u.endpoints.iter().copied()).collect()
    }

    /// The ready endpoints of an upstream; none where there is no upstream of the name that has the number.
    pub(super) fn endpoints_of(&self, upstream: &Number) -> Arc<[SocketAddr]> {
        let known = self.upstreams.get(upstream.index()).and_then(Option::as_ref);
        let known = known.filter(|known| known.number == *upstream);
        known.map_or_else(Arc::default, |known| Arc::clone(&known.endpoints))
    }
}

fn compile_upstreams<'a>(
    routes: &Routes,
    upstreams: impl IntoIterator<Item = &'a Upstream>,
) -> Vec<Option<UpstreamEndpoints>> {
    let mut compiled = Vec::new();
    for upstream in upstreams {
        let number = routes.upstream(&upstream.name);
        let place = number.index();
        if compiled.len() <= place {
            compiled.resize_with(place + 1, || None);
        }
        compiled[place] = Some(UpstreamEndpoints {
            number,
            endpoints: upstream.endpoints.as_slice().into(),
        });
    }
    compiled
}
