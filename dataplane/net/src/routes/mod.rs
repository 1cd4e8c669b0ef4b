//! From a request to its route.
//!
//! The most specific host that is configured wins (the name itself, then `*.` and the name without its first label), and
//! its routes are tried in their order. Where none of them matches, the routes without a host are tried. A request to a
//! known host never reaches the routes of a less specific named host: with `*.example.com` and `api.example.com`, an
//! unknown path of the latter is 404 (or the default backend), as with ingress-nginx.
//!
//! [`Routes`] are a value: a clone shares all hosts with the original, and a change of one host makes that host anew and
//! nothing else. A [`Route`] is held by its requests to their end, whatever the configuration is by then.

mod condition;
mod host;
mod parts;
#[cfg(any(test, feature = "harness"))]
pub mod reference;
mod route;

use std::sync::Arc;

use headgate_ring::message::VirtualHost;

use crate::fault::Fault;
use crate::number::{Number, Registry};
pub use condition::Head;
pub(crate) use condition::pattern;
pub use headgate_ring::path::{BadPath, normal};
use host::HostRoutes;
pub use parts::Parts;
pub use route::{Backend, Route};

/// The routes of every host.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    exact: Parts<HostRoutes>,
    /// By what follows `*.`.
    wildcard: Parts<HostRoutes>,
    any: Option<Arc<HostRoutes>>,
    registry: Arc<Registry>,
}

impl Routes {
    /// Adds or replaces the routes of a host. Costs nothing where they are those that are there already, by their
    /// address; routes that stay, by host, match and origin, keep their numbers.
    ///
    /// # Errors
    /// A regular expression that is none, or too large; everything stays as it was.
    pub fn put(&mut self, host: &Arc<VirtualHost>) -> Result<(), Fault> {
        let previous = self.get(&host.host);
        if previous.is_some_and(|previous| Arc::ptr_eq(previous.source(), host)) {
            return Ok(());
        }
        let made = Arc::new(HostRoutes::build(
            host,
            previous.map(AsRef::as_ref),
            &self.registry,
        )?);
        match host.host.strip_prefix("*.") {
            _ if host.host.is_empty() => self.any = Some(made),
            Some(parent) => self.wildcard.insert(parent, made),
            None => self.exact.insert(&host.host, made),
        }
        Ok(())
    }

    /// Removes the routes of a host, by its pattern.
    pub fn remove(&mut self, host: &str) {
        match host.strip_prefix("*.") {
            _ if host.is_empty() => self.any = None,
            Some(parent) => self.wildcard.remove(parent),
            None => self.exact.remove(host),
        }
    }

    /// These routes and no others; hosts that are here already, by their address, are taken over.
    ///
    /// # Errors
    /// As [`Self::put`], with the host at fault.
    pub fn with<'a>(
        &self,
        hosts: impl IntoIterator<Item = &'a Arc<VirtualHost>>,
    ) -> Result<Self, (&'a Arc<VirtualHost>, Fault)> {
        let mut made = Self {
            registry: Arc::clone(&self.registry),
            ..Self::default()
        };
        for host in hosts {
            if let Some(known) = self.get(&host.host) {
                made.adopt(known);
            }
            made.put(host).map_err(|fault| (host, fault))?;
        }
        Ok(made)
    }

    fn adopt(&mut self, known: &Arc<HostRoutes>) {
        let pattern = &known.source().host;
        match pattern.strip_prefix("*.") {
            _ if pattern.is_empty() => self.any = Some(Arc::clone(known)),
            Some(parent) => self.wildcard.insert(parent, Arc::clone(known)),
            None => self.exact.insert(pattern, Arc::clone(known)),
        }
    }

    fn get(&self, pattern: &str) -> Option<&Arc<HostRoutes>> {
        match pattern.strip_prefix("*.") {
            _ if pattern.is_empty() => self.any.as_ref(),
            Some(parent) => self.wildcard.get(parent),
            None => self.exact.get(pattern),
        }
    }

    /// The route of a request. `host` is in lower case without port or dot at its end; `path` is [`normal`].
    #[must_use]
    pub fn find(&self, host: &str, path: &str, head: &impl Head) -> Option<&Arc<Route>> {
        let named = self.exact.get(host).or_else(|| {
            let (_, parent) = host.split_once('.')?;
            self.wildcard.get(parent)
        });
        named
            .and_then(|host| host.find(path, head))
            .or_else(|| self.any.as_ref()?.find(path, head))
    }

    /// The number of the upstream of this name, the same as long as anybody holds it: a route that names the upstream,
    /// or whoever asked for it here.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Number {
        self.registry.upstream(name)
    }

    /// Every upstream that has a [`Number`], with its name, in no order.
    #[must_use]
    pub fn upstreams(&self) -> Vec<(Box<str>, Number)> {
        self.registry.named_upstreams()
    }

    /// All routes, in no order of hosts.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        let hosts = self.exact.iter().chain(self.wildcard.iter()).chain(&self.any);
        hosts.flat_map(|host| host.routes())
    }
}

#[cfg(test)]
mod tests;
