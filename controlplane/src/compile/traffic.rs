//! Services, routes and certificates: what happens to traffic that policies let through.
//!
//! They are compiled in two steps. The plan says who has which address, host and path, and is made again as a whole
//! when a Service, Ingress, IngressClass or Secret changes. Who stands behind each Service is filled in: when pods or
//! EndpointSlices change, only for the Services that they stand behind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::HashMap;
use headgate_ring::message::{Key, Listener, ListenerProtocol, Object as RingObject};

use super::backends::{Fed, Filling, fill};
use super::index::{PodChange, SelectorMap};
use super::ledger::Ledger;
use super::world::World;
use super::{Settings, certificates, routes, services};
use crate::model::{Id, Kind, Object, ObjectName, Service};
use crate::problem::Problem;

#[derive(Debug)]
pub(super) struct Traffic {
    /// The Services of each namespace, by their selectors.
    selecting: HashMap<String, SelectorMap<ObjectName>>,
    services: HashMap<ObjectName, Arc<Object>>,
    /// What each Service that is in use feeds, and with what.
    filled: BTreeMap<ObjectName, Filling>,
    /// Services that may have others behind them now.
    stale: BTreeSet<ObjectName>,
    /// Whether the plan has to be made again,
    outdated: bool,
    /// and when in any case, in seconds since 1970: a certificate begins or ends to be valid.
    valid_until: i64,
    problems: Vec<Problem>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            selecting: HashMap::default(),
            services: HashMap::default(),
            filled: BTreeMap::new(),
            stale: BTreeSet::new(),
            outdated: true,
            valid_until: i64::MAX,
            problems: Vec::new(),
        }
    }
}

/// Objects and problems as they are found.
#[derive(Debug)]
pub(super) struct Plan {
    /// By key; backends are filled in later.
    pub(super) objects: BTreeMap<Key, RingObject>,
    /// In the order in which they are found.
    pub(super) problems: Vec<Problem>,
    /// What each Service feeds.
    pub(super) fed: BTreeMap<ObjectName, BTreeSet<Fed>>,
    /// The next time at which a certificate begins or ends to be valid.
    pub(super) valid_until: i64,
}

impl Plan {
    fn make(world: &World<'_>, settings: &Settings, now: i64) -> Self {
        let mut plan = Self {
            objects: BTreeMap::new(),
            problems: Vec::new(),
            fed: BTreeMap::new(),
            valid_until: i64::MAX,
        };
        listeners(settings, &mut plan);
        services::compile(world, &mut plan);
        let ingresses = routes::served(world, settings, &mut plan);
        routes::compile(world, &ingresses, &mut plan);
        certificates::compile(world, &ingresses, settings, now, &mut plan);
        plan
    }

    pub(super) fn put(&mut self, object: RingObject) {
        self.objects.insert(object.key(), object);
    }

    /// Puts an object whose backends stand behind a port of a Service.
    pub(super) fn put_fed(&mut self, service: &ObjectName, port: usize, object: RingObject) {
        let key = object.key();
        let fed = self.fed.entry(service.clone()).or_default();
        fed.insert(Fed { port, key });
        self.put(object);
    }
}

/// HTTPS is there whether or not a manifest has a certificate: clients of a host without one get the default
/// certificate, and an answer, as they do from ingress-nginx.
fn listeners(settings: &Settings, plan: &mut Plan) {
    for address in &settings.addresses {
        for (port, protocol) in [
            (settings.http_port, ListenerProtocol::Http),
            (settings.https_port, ListenerProtocol::Https),
        ] {
            if port != 0 {
                plan.put(RingObject::Listener(Listener {
                    address: SocketAddr::new(*address, port),
                    protocol,
                }));
            }
        }
    }
}

impl Traffic {
    /// Takes in a Service, Ingress, IngressClass or Secret.
    pub(super) fn object_changed(&mut self, id: &Id, new: Option<&Arc<Object>>) {
        if id.kind == Kind::Service {
            self.service_changed(&id.name, new);
        }
        self.outdated = true;
    }

    /// Takes in that these Services have other EndpointSlices.
    pub(super) fn endpoints_changed(&mut self, services: Vec<ObjectName>) {
        self.stale.extend(services);
    }

    fn service_changed(&mut self, name: &ObjectName, new: Option<&Arc<Object>>) {
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
        self.stale.insert(name.clone());
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
                self.stale.extend(services.filter(selects).cloned());
            }
        }
    }

    /// Brings the ledger up to date with all that was taken in.
    pub(super) fn update(
        &mut self,
        world: &World<'_>,
        settings: &Settings,
        now: i64,
        ledger: &mut Ledger<'_>,
    ) {
        let stale = std::mem::take(&mut self.stale);
        if std::mem::take(&mut self.outdated) || now >= self.valid_until {
            self.make(world, settings, now, &stale, ledger);
            return;
        }
        for name in stale {
            let Some(service) = world.model.service(&name) else {
                continue;
            };
            let Some(filling) = self.filled.get_mut(&name) else {
                continue;
            };
            *filling = fill(world, &name, service, std::mem::take(&mut filling.fed));
            for (key, backends) in &filling.backends {
                if let Some(object) = ledger.get(key) {
                    let mut object = RingObject::clone(object);
                    put_backends(&mut object, backends);
                    ledger.put(object);
                }
            }
        }
    }

    fn make(
        &mut self,
        world: &World<'_>,
        settings: &Settings,
        now: i64,
        stale: &BTreeSet<ObjectName>,
        ledger: &mut Ledger<'_>,
    ) {
        let Plan {
            mut objects,
            problems,
            fed,
            valid_until,
        } = Plan::make(world, settings, now);
        let mut before = std::mem::take(&mut self.filled);
        for (name, fed) in fed {
            let Some(service) = world.model.service(&name) else {
                continue;
            };
            let known = before
                .remove(&name)
                .filter(|known| known.fed == fed && !stale.contains(&name));
            let filling = known.unwrap_or_else(|| fill(world, &name, service, fed));
            for (key, backends) in &filling.backends {
                if let Some(object) = objects.get_mut(key) {
                    put_backends(object, backends);
                }
            }
            self.filled.insert(name, filling);
        }
        ledger.replace_traffic(objects);
        self.problems = problems;
        self.valid_until = valid_until;
    }

    /// What is wrong now.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems
            .iter()
            .chain(self.filled.values().flat_map(|filling| &filling.problems))
    }
}

fn selector(object: &Object) -> Option<&crate::model::Selector> {
    match object {
        Object::Service(Service { selector, .. }) => selector.as_ref(),
        _ => None,
    }
}

fn put_backends(object: &mut RingObject, backends: &[SocketAddr]) {
    match object {
        RingObject::Service(service) => service.backends = backends.to_vec(),
        RingObject::Upstream(upstream) => upstream.endpoints = backends.to_vec(),
        _ => unreachable!("only frontends and upstreams are fed"),
    }
}

#[cfg(test)]
impl Traffic {
    pub(super) fn is_empty(&self) -> bool {
        self.selecting.is_empty()
            && self.services.is_empty()
            && self.filled.is_empty()
            && self.stale.is_empty()
    }
}
