//! Services at L4: who has which frontend.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use headgate_ring::message::{Frontend, Key, Protocol};

use super::feeds::Feeds;
use super::ledger::Ledger;
use super::notes::{About, Note, Notes, Place};
use crate::model::service::{Service, ServiceKind};
use crate::model::{Age, Id, Kind, ObjectName};
use crate::problem::Problem;

/// Who claims a frontend, the older first: with which of its ports.
type FrontendClaim = (Age, ObjectName, usize);

/// Frontends by who claims them. A change of a Service is a matter of the frontends that it claims.
#[derive(Debug, Default)]
pub(super) struct Frontends {
    /// With the port's place in `spec.ports`.
    claims: BTreeMap<Frontend, BTreeMap<FrontendClaim, usize>>,
    of_service: BTreeMap<ObjectName, Vec<(Frontend, FrontendClaim)>>,
    /// Who has it: the Service and its port.
    held: BTreeMap<Frontend, (ObjectName, usize)>,
    stale: BTreeSet<Frontend>,
    /// Of Services that claim nothing, or not with all ports.
    refused: Notes<ObjectName>,
    contested: Notes<Frontend>,
}

fn id(name: &ObjectName) -> Id {
    Id::new(Kind::Service, name.clone())
}

fn refused(service: &Service) -> Option<&'static str> {
    match service.kind {
        ServiceKind::ExternalName => Some("spec.type: an ExternalName has no endpoints; it is not balanced"),
        ServiceKind::Headless => Some("spec.clusterIP: a headless Service is not balanced"),
        // To let everybody in where a manifest names a few would be worse than to let in nobody.
        ServiceKind::Balanced if service.source_ranges => Some(
            "spec.loadBalancerSourceRanges: is not supported; the Service is not balanced. \
             Use a NetworkPolicy with ipBlock instead",
        ),
        ServiceKind::Balanced => None,
    }
}

impl Frontends {
    /// Takes in a Service as it is now.
    pub(super) fn set(&mut self, name: &ObjectName, service: Option<&Service>) {
        for (frontend, claim) in self.of_service.remove(name).unwrap_or_default() {
            if let Some(claims) = self.claims.get_mut(&frontend) {
                claims.remove(&claim);
                if claims.is_empty() {
                    self.claims.remove(&frontend);
                }
            }
            self.stale.insert(frontend);
        }
        let mut notes = Vec::new();
        if let Some(service) = service.filter(|service| !service.addresses.is_empty()) {
            match refused(service) {
                Some(reason) => notes.push(note(name, service.age, 0, reason)),
                None => self.claim(name, service, &mut notes),
            }
        }
        self.refused.set(name.clone(), notes);
    }

    fn claim(&mut self, name: &ObjectName, service: &Service, notes: &mut Vec<Note>) {
        let mut claimed = Vec::new();
        for (index, port) in service.ports.iter().enumerate() {
            if port.protocol == Protocol::Sctp {
                let text = format!("spec.ports[{}].protocol: SCTP is not balanced", port.place);
                notes.push(note(name, service.age, port.place, text));
                continue;
            }
            for address in &service.addresses {
                let frontend = Frontend {
                    address: *address,
                    protocol: port.protocol,
                    port: port.port,
                };
                let claim = (service.age, name.clone(), index);
                let claims = self.claims.entry(frontend).or_default();
                claims.insert(claim.clone(), port.place);
                self.stale.insert(frontend);
                claimed.push((frontend, claim));
            }
        }
        if !claimed.is_empty() {
            self.of_service.insert(name.clone(), claimed);
        }
    }

    /// Gives each frontend that changed to the oldest that claims it, where it is no listener.
    pub(super) fn settle(&mut self, feeds: &mut Feeds, ledger: &mut Ledger<'_>) {
        for frontend in std::mem::take(&mut self.stale) {
            let claims = self.claims.get(&frontend).into_iter().flatten();
            let at = SocketAddr::new(frontend.address, frontend.port);
            let is_listener = frontend.protocol == Protocol::Tcp && ledger.get(&Key::Listener(at)).is_some();
            let mut holder: Option<&FrontendClaim> = None;
            let mut notes = Vec::new();
            for (claim, place) in claims {
                let text = match holder {
                    _ if is_listener => "an ingress listener".to_owned(),
                    None => {
                        holder = Some(claim);
                        continue;
                    }
                    Some((_, other, _)) => format!("Service {other}, which is older"),
                };
                let text = format!(
                    "spec.ports[{place}].port: {} {at} belongs to {text}",
                    frontend.protocol
                );
                notes.push(note(&claim.1, claim.0, *place, text));
            }
            let key = Key::Service(frontend);
            let now = holder.map(|(_, name, port)| (name.clone(), *port));
            let before = self.held.get(&frontend).cloned();
            if before != now {
                if let Some((service, port)) = before {
                    feeds.remove(&service, port, key.clone());
                }
                match now {
                    Some((service, port)) => {
                        feeds.add(&service, port, key);
                        self.held.insert(frontend, (service, port));
                    }
                    None => {
                        self.held.remove(&frontend);
                        ledger.delete(&key);
                    }
                }
            }
            self.contested.set(frontend, notes);
        }
    }

    pub(super) fn notes(&self) -> impl Iterator<Item = &Note> {
        self.refused.iter().chain(self.contested.iter())
    }
}

fn note(name: &ObjectName, age: Age, port: usize, text: impl Into<String>) -> Note {
    let place = Place {
        about: About::Frontend,
        age,
        object: name.clone(),
        field: [port, 0, 0],
    };
    (place, Problem::error(id(name), text))
}

#[cfg(test)]
impl Frontends {
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.of_service.is_empty() && self.held.is_empty() && self.stale.is_empty()
    }
}
