//! A route as requests hold it.

use std::sync::Arc;

use headgate_ring::message::{Filters, Route as Definition, VirtualHost};

use super::condition::{Conditions, Head};
use crate::fault::Fault;
use crate::number::{Number, Registry};

/// What happens to a request, from the moment it is found until the last byte of the answer.
#[derive(Debug)]
pub struct Route {
    number: Number,
    host: Arc<VirtualHost>,
    /// Among the host's routes.
    place: usize,
    /// Beyond host and path; most routes have none.
    conditions: Option<Box<Conditions>>,
    backends: Box<[Backend]>,
}

/// One of the upstreams of a route.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The upstream, whether or not there is one of that name.
    pub upstream: Number,
    /// Its share.
    pub weight: u32,
}

impl Route {
    pub(super) fn build(
        host: &Arc<VirtualHost>,
        place: usize,
        number: Option<Number>,
        registry: &Registry,
    ) -> Result<Self, Fault> {
        let definition = &host.routes[place];
        let backend = |b: &headgate_ring::message::WeightedBackend| Backend {
            upstream: registry.upstream(&b.upstream),
            weight: b.weight,
        };
        let backends: Box<[Backend]> = definition.backends.iter().map(backend).collect();
        Ok(Self {
            number: number.unwrap_or_else(|| registry.routes.give()),
            host: Arc::clone(host),
            place,
            conditions: Conditions::compile(&definition.matches)?.map(Box::new),
            backends,
        })
    }

    /// By which state of this route is kept.
    #[must_use]
    pub fn number(&self) -> &Number {
        &self.number
    }

    /// The host pattern that it stands under; empty for any host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host.host
    }

    /// The route as the control plane wrote it.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.host.routes[self.place]
    }

    /// What is done besides forwarding.
    #[inline]
    #[must_use]
    pub fn filters(&self) -> Option<&Filters> {
        self.definition().filters.as_deref()
    }

    /// Where requests go, each by its share; whose turn it is, the L7 stage keeps by [`Self::number`].
    #[must_use]
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Whether what the route asks beyond host and path holds.
    #[inline]
    pub(super) fn admits(&self, head: &impl Head) -> bool {
        self.conditions
            .as_ref()
            .is_none_or(|conditions| conditions.hold(head))
    }
}
