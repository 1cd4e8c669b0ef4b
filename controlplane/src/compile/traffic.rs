//! Services, routes and certificates: what happens to traffic that policies let through.
//!
//! Everything is followed in parts. Who has a frontend is a matter of the Services that claim it ([`services`]), what a
//! host does is one of the Ingresses that name it ([`routing`]), and who stands behind a Service is filled into what it
//! feeds ([`feeds`]): for a pod or EndpointSlice that changes, only where it stands behind.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::HashMap;
use headgate_ring::message::{Listener, ListenerProtocol, Object as RingObject};

use super::feeds::Feeds;
use super::index::{PodChange, SelectorMap};
use super::ledger::Ledger;
use super::notes::Note;
use super::port_maps::MappedPorts;
use super::routing::Routing;
use super::services::Frontends;
use super::world::World;
use super::{Settings, Work};
use crate::model::{Id, Kind, Object, ObjectName, Service, SharedText};
use crate::problem::Problem;

#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// The Services of each namespace, by their selectors.
    selecting: HashMap<SharedText, SelectorMap<ObjectName>>,
    services: HashMap<ObjectName, Arc<Object>>,
    frontends: Frontends,
    mapped: MappedPorts,
    routing: Routing,
    feeds: Feeds,
    /// Whether anything but endpoints has changed.
    outdated: bool,
    /// Whether the listeners are there.
    begun: bool,
}

impl Traffic {
    /// Takes in a Service, Ingress, IngressClass or Secret, or a ConfigMap that a flag names.
    pub(super) fn object_changed(&mut self, id: &Id, new: Option<&Arc<Object>>, settings: &Settings) {
        self.outdated = true;
        match id.kind {
            Kind::Service => self.service_changed(&id.name, new, settings),
            Kind::Ingress => self.routing.ingress_changed(&id.name),
            Kind::IngressClass | Kind::Namespace => self.routing.classes_changed(),
            Kind::Secret => self.routing.secret_changed(&id.name),
            Kind::ConfigMap => self.mapped.map_changed(),
            _ => {}
        }
    }

    /// Whether an Ingress is served.
    pub(super) fn serves(&self, ingress: &ObjectName) -> bool {
        self.routing.serves(ingress)
    }

    /// Whether Ingresses of a class look like ours, which it is not.
    pub(super) fn is_look_alike(&self, class: &str) -> bool {
        self.routing.is_look_alike(class)
    }

    /// Whether a Service is a load balancer of ours and clients reach it.
    pub(super) fn balances(&self, service: &ObjectName) -> bool {
        self.frontends.balances(service)
    }

    /// The Ingresses that have become served, or are no longer, since the last call, and the load balancers that may.
    pub(super) fn take_reassigned(&mut self) -> BTreeSet<Id> {
        let ingresses = self.routing.take_reassigned().into_iter();
        let services = self.frontends.take_regarded().into_iter();
        let ingresses = ingresses.map(|name| Id::new(Kind::Ingress, name));
        ingresses
            .chain(services.map(|name| Id::new(Kind::Service, name)))
            .collect()
    }

    /// Takes in that these Services have other EndpointSlices.
    pub(super) fn endpoints_changed(&mut self, services: Vec<ObjectName>) {
        self.feeds.changed(services);
    }

    fn service_changed(&mut self, name: &ObjectName, new: Option<&Arc<Object>>, settings: &Settings) {
        let old = match new {
            Some(object) => self.services.insert(name.clone(), object.clone()),
            None => self.services.remove(name),
        };
        let selecting = self.selecting.entry(name.namespace.clone()).or_default();
        if let Some(selector) = old.as_deref().and_then(selector) {
            selecting.remove(selector, name);
        }
        if let Some(selector) = new.map(Arc::as_ref).and_then(selector) {
            selecting.insert(selector, name.clone());
        }
        if selecting.is_empty() {
            self.selecting.remove(&name.namespace);
        }
        self.frontends
            .set(name, new.map(Arc::as_ref).and_then(service), settings);
        self.mapped.service_changed(name);
        self.routing.service_changed(name);
        self.feeds.changed([name.clone()]);
    }

    /// Takes in what has become of a pod.
    pub(super) fn pod_changed(&mut self, change: &PodChange) {
        if let Some(selecting) = self.selecting.get(&change.name.namespace) {
            for pod in [change.before(), change.now()].into_iter().flatten() {
                let services = selecting.candidates(&pod.labels);
                let selects = |service: &&ObjectName| {
                    let selector = self.services.get(*service).and_then(|s| selector(s));
                    selector.is_some_and(|selector| selector.matches(&pod.labels))
                };
                self.feeds.changed(services.filter(selects).cloned());
            }
        }
    }

    /// Brings the ledger up to date with all that was taken in. Gives how much was looked at for it.
    pub(super) fn update(
        &mut self,
        world: &World<'_>,
        settings: &Settings,
        now: i64,
        ledger: &mut Ledger<'_>,
    ) -> Work {
        let first = !std::mem::replace(&mut self.begun, true);
        if first {
            listeners(settings, ledger);
        }
        let mut work = Work::default();
        // Whether a default backend takes anything depends on who stands behind it.
        let default = settings.default_backend.as_ref();
        self.outdated |= default.is_some_and(|service| self.feeds.is_stale(service));
        if std::mem::take(&mut self.outdated) || first || now >= self.routing.valid_until() {
            self.mapped.settle(world, settings, first, &mut self.frontends);
            self.frontends.settle(&mut self.feeds, ledger);
            work = self.routing.settle(world, settings, now, &mut self.feeds, ledger);
        }
        work.fed = self.feeds.settle(world, ledger);
        work
    }

    /// Makes it take no more room than what it keeps.
    pub(super) fn pack(&mut self) {
        self.routing.pack();
        self.feeds.pack();
    }

    /// What is wrong now.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let l4 = self.frontends.notes().chain(self.mapped.notes());
        let notes = l4.cloned().chain(self.routing.notes());
        let mut notes: Vec<Note> = notes.collect();
        notes.sort_by(|a, b| a.0.cmp(&b.0));
        let problems = notes.into_iter().map(|(_, problem)| problem);
        problems.chain(self.feeds.problems().cloned()).collect()
    }
}

/// HTTPS is there whether or not a manifest has a certificate: clients of a host without one get the default
/// certificate, and an answer, as they do from ingress-nginx.
fn listeners(settings: &Settings, ledger: &mut Ledger<'_>) {
    for address in &settings.addresses {
        for (port, protocol) in [
            (settings.http_port, ListenerProtocol::Http),
            (settings.https_port, ListenerProtocol::Https),
        ] {
            if port != 0 {
                ledger.put(RingObject::Listener(Listener {
                    address: SocketAddr::new(*address, port),
                    protocol,
                    balancers: settings.balancers.clone(),
                }));
            }
        }
    }
}

fn service(object: &Object) -> Option<&Service> {
    match object {
        Object::Service(service) => Some(service),
        _ => None,
    }
}

fn selector(object: &Object) -> Option<&crate::model::Selector> {
    service(object).and_then(|service| service.selector.as_ref())
}

#[cfg(test)]
impl Traffic {
    pub(super) fn is_empty(&self) -> bool {
        self.selecting.is_empty()
            && self.services.is_empty()
            && self.frontends.is_empty()
            && self.mapped.is_empty()
            && self.routing.is_empty()
            && self.feeds.is_empty()
    }
}
