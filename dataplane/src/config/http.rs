//! The objects of the L7 stage and what is compiled from them.

use std::sync::Arc;

use headgate_ring::message::{Certificate, Listener, Upstream, VirtualHost};

use super::tables::same;
use headgate_l7 as l7;
use headgate_net::config::{ConfigError, State, Stored};

/// What the L7 stage works by, and the objects that it was compiled from, to know whether they changed.
#[derive(Clone, Debug)]
pub(super) struct Http {
    objects: Objects,
    pub(super) config: Arc<l7::Config>,
}

#[derive(Clone, Debug, Default)]
struct Objects {
    hosts: Vec<Arc<VirtualHost>>,
    upstreams: Vec<Arc<Upstream>>,
    certificates: Vec<Arc<Certificate>>,
    listeners: Vec<Arc<Listener>>,
}

impl Http {
    /// Compiles the state's objects, or takes over `previous` where none of them changed.
    pub(super) fn compile(state: &State, previous: Option<&Self>) -> Result<Self, ConfigError> {
        let objects = Objects::of(state);
        if let Some(previous) = previous.filter(|p| p.objects.same(&objects)) {
            return Ok(previous.clone());
        }
        let config = l7::Config::build(
            &objects.hosts,
            objects.upstreams.iter().map(AsRef::as_ref),
            objects.certificates.iter().map(AsRef::as_ref),
            objects.listeners.iter().map(AsRef::as_ref),
            previous.map(|p| &*p.config),
        )?;
        Ok(Self {
            objects,
            config: Arc::new(config),
        })
    }
}

impl Objects {
    fn of(state: &State) -> Self {
        let mut objects = Self::default();
        for object in state.objects() {
            match object {
                Stored::VirtualHost(o) => objects.hosts.push(Arc::clone(o)),
                Stored::Upstream(o) => objects.upstreams.push(Arc::clone(o)),
                Stored::Certificate(o) => objects.certificates.push(Arc::clone(o)),
                Stored::Listener(o) => objects.listeners.push(Arc::clone(o)),
                Stored::Service(_) | Stored::Endpoint(_) | Stored::Group(_) | Stored::Policy(_) => {}
            }
        }
        objects
    }

    fn same(&self, other: &Self) -> bool {
        same(&self.hosts, &other.hosts)
            && same(&self.upstreams, &other.upstreams)
            && same(&self.certificates, &other.certificates)
            && same(&self.listeners, &other.listeners)
    }
}
