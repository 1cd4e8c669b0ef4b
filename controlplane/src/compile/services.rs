//! Services at L4: who has which frontend.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use headgate_ring::message::{Frontend, Key, Protocol};

use super::Settings;
use super::feeds::Feeds;
use super::ledger::Ledger;
use super::notes::{About, Note, Notes, Place, of_port_map};
use crate::model::service::{LoadBalancer, Service, ServiceKind};
use crate::model::{Age, Id, Kind, ObjectName};
use crate::problem::Problem;

/// What a load balancer of ours lacks.
const NOWHERE: &str = "spec.loadBalancerClass: without --ingress-address (0.0.0.0 and :: are none) there is no address where it could be served";

/// Why somebody may have a frontend; the first goes before the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Title {
    /// This ConfigMap, which a flag names, gives it away: who runs the gateway goes before the owners of Services.
    Map(ObjectName),
    /// The Service says so itself; the older first.
    Own(Age),
}

/// Who claims a frontend: a Service, with which of its ports.
type FrontendClaim = (Title, ObjectName, usize);

/// A port of a Service that a ConfigMap gives a frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) map: ObjectName,
    pub(super) service: ObjectName,
    pub(super) port: usize,
}

/// Frontends by who claims them. A change of a Service is a matter of the frontends that it claims.
#[derive(Debug, Default)]
pub(super) struct Frontends {
    /// With the port's place in `spec.ports`.
    claims: BTreeMap<Frontend, BTreeMap<FrontendClaim, usize>>,
    of_service: BTreeMap<ObjectName, Vec<(Frontend, FrontendClaim)>>,
    /// Who has it: the Service and its port.
    held: BTreeMap<Frontend, (ObjectName, usize)>,
    stale: BTreeSet<Frontend>,
    /// Services of type LoadBalancer that are ours.
    ours: BTreeSet<ObjectName>,
    /// Services that have got a frontend, or lost one.
    regarded: BTreeSet<ObjectName>,
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

/// Where a Service is served, and whether it is ours: then at the gateway's own addresses, or at the one that it wants, and
/// not where its status says, which is what we have written for all gateways.
pub(crate) fn served_at<'a>(service: &'a Service, settings: &Settings) -> (Cow<'a, [IpAddr]>, bool) {
    let ours = |balancer: &&LoadBalancer| settings.load_balancers.contains(balancer);
    let Some(balancer) = service.load_balancer.as_deref().filter(ours) else {
        return (Cow::Borrowed(&service.addresses), false);
    };
    if balancer.wanted.is_some() {
        return (Cow::Borrowed(&balancer.written), true);
    }
    let all: BTreeSet<_> = balancer
        .written
        .iter()
        .chain(settings.frontend_addresses())
        .collect();
    (all.into_iter().copied().collect(), true)
}

impl Frontends {
    /// Takes in a Service as it is now.
    pub(super) fn set(&mut self, name: &ObjectName, service: Option<&Service>, settings: &Settings) {
        for (frontend, claim) in self.of_service.remove(name).unwrap_or_default() {
            self.remove(frontend, &claim);
        }
        self.ours.remove(name);
        let mut notes = Vec::new();
        if let Some(service) = service {
            let (addresses, ours) = served_at(service, settings);
            match refused(service) {
                _ if addresses.is_empty() && ours => notes.push(note(name, service.age, 0, NOWHERE)),
                _ if addresses.is_empty() => {}
                Some(reason) => notes.push(note(name, service.age, 0, reason)),
                None => self.claim(name, service, &addresses, &mut notes),
            }
            if ours {
                self.ours.insert(name.clone());
            }
        }
        self.refused.set(name.clone(), notes);
    }

    /// A ConfigMap gives this away from now on.
    pub(super) fn map(&mut self, frontend: Frontend, to: &Mapped) {
        self.insert(frontend, to.claim(), 0);
    }

    /// And no longer.
    pub(super) fn unmap(&mut self, frontend: Frontend, to: &Mapped) {
        self.remove(frontend, &to.claim());
    }

    fn insert(&mut self, frontend: Frontend, claim: FrontendClaim, place: usize) {
        self.claims.entry(frontend).or_default().insert(claim, place);
        self.stale.insert(frontend);
    }

    fn remove(&mut self, frontend: Frontend, claim: &FrontendClaim) {
        if let Some(claims) = self.claims.get_mut(&frontend) {
            claims.remove(claim);
            if claims.is_empty() {
                self.claims.remove(&frontend);
            }
        }
        self.stale.insert(frontend);
    }

    /// Whether a Service is a load balancer of ours and clients reach it.
    pub(super) fn balances(&self, name: &ObjectName) -> bool {
        let held = |(frontend, claim): &(Frontend, FrontendClaim)| {
            self.held
                .get(frontend)
                .is_some_and(|(service, port)| *service == claim.1 && *port == claim.2)
        };
        self.ours.contains(name) && self.of_service.get(name).is_some_and(|all| all.iter().any(held))
    }

    /// The load balancers of ours that have got a frontend, or lost one, since the last call.
    pub(super) fn take_regarded(&mut self) -> BTreeSet<ObjectName> {
        std::mem::take(&mut self.regarded)
    }

    fn regard(&mut self, name: &ObjectName) {
        if self.ours.contains(name) {
            self.regarded.insert(name.clone());
        }
    }

    fn claim(&mut self, name: &ObjectName, service: &Service, addresses: &[IpAddr], notes: &mut Vec<Note>) {
        let mut claimed = Vec::new();
        for (index, port) in service.ports.iter().enumerate() {
            if port.protocol == Protocol::Sctp {
                let text = format!("spec.ports[{}].protocol: SCTP is not balanced", port.place);
                notes.push(note(name, service.age, port.place, text));
                continue;
            }
            for address in addresses {
                let frontend = Frontend {
                    address: *address,
                    protocol: port.protocol,
                    port: port.port,
                };
                let claim = (Title::Own(service.age), name.clone(), index);
                self.insert(frontend, claim.clone(), port.place);
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
                    Some((Title::Map(map), other, _)) => {
                        format!("Service {other}, to which ConfigMap {map} gives it")
                    }
                    Some((Title::Own(_), other, _)) => format!("Service {other}, which is older"),
                };
                let text = format!("{} {at} belongs to {text}", frontend.protocol);
                notes.push(contested(claim, *place, frontend.port, &text));
            }
            let key = Key::Service(frontend);
            let now = holder.map(|(_, name, port)| (name.clone(), *port));
            let before = self.held.get(&frontend).cloned();
            if before != now {
                for (service, _) in before.iter().chain(&now) {
                    self.regard(service);
                }
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

impl Mapped {
    fn claim(&self) -> FrontendClaim {
        (Title::Map(self.map.clone()), self.service.clone(), self.port)
    }
}

/// The line of a claim to what is somebody else's.
fn contested((title, service, _): &FrontendClaim, place: usize, port: u16, text: &str) -> Note {
    match title {
        Title::Own(age) => note(service, *age, place, format!("spec.ports[{place}].port: {text}")),
        Title::Map(map) => of_port_map(map, port, format!("data[{port}]: {text}")),
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
        self.claims.is_empty()
            && self.of_service.is_empty()
            && self.held.is_empty()
            && self.stale.is_empty()
            && self.ours.is_empty()
    }
}
