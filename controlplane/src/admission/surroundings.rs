//! Which objects another one meets: few of all that there are, so that they are soon found and soon compiled.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::Proposal;
use crate::compile::{Settings, served_at};
use crate::model::{Id, Ingress, Kind, Model, Object, ObjectName, Service};

/// The objects that a proposed one meets, without itself.
#[derive(Clone, Debug, Default)]
pub struct Surroundings(Model);

impl Surroundings {
    /// Those of `model`. Looks through the Ingresses or Services once.
    #[must_use]
    pub fn of(model: &Model, settings: &Settings, proposal: &Proposal) -> Self {
        let readings = [Some(&proposal.new), proposal.old.as_ref()];
        let objects = readings.into_iter().flatten().filter_map(|r| r.object.as_deref());
        let mut gathering = Gathering {
            all: model,
            settings,
            found: Model::default(),
        };
        let own = &proposal.id.name;
        match proposal.id.kind {
            Kind::Ingress => {
                let ingresses = objects.filter_map(|object| match object {
                    Object::Ingress(ingress) => Some(ingress),
                    _ => None,
                });
                gathering.about_ingress(own, &ingresses.collect::<Vec<_>>());
            }
            Kind::Service => {
                let services = objects.filter_map(|object| match object {
                    Object::Service(service) => Some(service),
                    _ => None,
                });
                gathering.about_service(own, &services.collect::<Vec<_>>());
            }
            _ => {}
        }
        gathering.found.remove(&proposal.id);
        Self(gathering.found)
    }

    pub(super) fn model(&self) -> &Model {
        &self.0
    }

    /// Among these, the object as it is now.
    pub(super) fn with(&self, id: &Id, object: Option<&Arc<Object>>) -> Model {
        let mut model = self.0.clone();
        if let Some(object) = object {
            model.insert(id.clone(), object.clone());
        }
        model
    }

    /// Likewise, without others of its kind.
    pub(super) fn alone_with(&self, id: &Id, object: Option<&Arc<Object>>) -> Model {
        let mut model = self.with(id, object);
        let others = self.0.ids().filter(|other| other.kind == id.kind);
        others.for_each(|other| model.remove(other));
        model
    }
}

/// What has been found so far.
struct Gathering<'a> {
    all: &'a Model,
    settings: &'a Settings,
    found: Model,
}

impl Gathering<'_> {
    /// All who want something of the same hosts, and what they and it name.
    fn about_ingress(&mut self, name: &ObjectName, readings: &[&Ingress]) {
        self.classes();
        self.namespace(name);
        let hosts: BTreeSet<&str> = readings.iter().flat_map(|ingress| hosts(ingress)).collect();
        let all = self.all;
        for (other, ingress) in all.ingresses() {
            if self::hosts(ingress).any(|host| hosts.contains(host)) {
                self.ingress(other, ingress);
            }
        }
        for ingress in readings {
            self.secrets(name, ingress);
            let services: BTreeSet<_> = services(ingress).collect();
            for service in services {
                self.keep(Kind::Service, &name.sibling(service));
            }
        }
    }

    /// All who want the same addresses, and the Ingresses that name it.
    fn about_service(&mut self, name: &ObjectName, readings: &[&Service]) {
        self.classes();
        let (all, settings) = (self.all, self.settings);
        let addresses = |service: &Service| served_at(service, settings).0.into_owned();
        let own: BTreeSet<IpAddr> = readings.iter().flat_map(|service| addresses(service)).collect();
        for (other, service) in all.services() {
            if served_at(service, settings)
                .0
                .iter()
                .any(|address| own.contains(address))
            {
                self.keep(Kind::Service, other);
            }
        }
        for (other, ingress) in all.ingresses() {
            let named = || services(ingress).any(|service| name.name == service);
            if other.namespace == name.namespace && named() {
                self.ingress(other, ingress);
            }
        }
    }

    fn ingress(&mut self, name: &ObjectName, ingress: &Ingress) {
        self.keep(Kind::Ingress, name);
        self.namespace(name);
        // Who has a host's certificate is a matter of the Secrets that are there.
        self.secrets(name, ingress);
    }

    fn secrets(&mut self, name: &ObjectName, ingress: &Ingress) {
        for secret in ingress.tls.iter().filter_map(|tls| tls.secret.as_deref()) {
            self.keep(Kind::Secret, &name.sibling(secret));
        }
    }

    fn namespace(&mut self, of: &ObjectName) {
        self.keep(Kind::Namespace, &ObjectName::new("", &of.namespace));
    }

    fn classes(&mut self) {
        let all = self.all;
        all.classes()
            .for_each(|(name, _)| self.keep(Kind::IngressClass, name));
    }

    fn keep(&mut self, kind: Kind, name: &ObjectName) {
        let id = Id::new(kind, name.clone());
        if let Some(object) = self.all.get(&id) {
            self.found.insert(id, object.clone());
        }
    }
}

/// The hosts of which an Ingress wants something; the empty one is any.
fn hosts(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let rules = ingress.rules.iter().map(|rule| rule.host.as_str());
    let tls = ingress.tls.iter().flat_map(|tls| &tls.hosts);
    let any = ingress.default_backend.as_ref().map(|_| "");
    rules.chain(tls.map(|host| host.name.as_str())).chain(any)
}

/// The Services that an Ingress names.
fn services(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths);
    let backends = paths.map(|path| &path.backend).chain(&ingress.default_backend);
    backends.map(|backend| backend.service.as_str())
}
