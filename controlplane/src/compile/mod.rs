//! From the model to what the dataplane is told: pure functions, the same result for the same input.
//!
//! Selectors become groups, names of ports become numbers, and where two objects claim the same thing the older
//! one has it (`metadata.creationTimestamp`, then namespace and name) and the other gets a line.

mod certificates;
mod cluster_policies;
mod endpoints;
mod groups;
mod policies;
mod routes;
mod services;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use headgate_ring::message::{Certificate, Key, Listener, Object};

use crate::model::{Model, ObjectName};
use crate::problem::Problem;
use groups::Groups;
use world::World;

/// The state that the dataplane shall have.
pub type State = BTreeMap<Key, Object>;

/// What does not come from manifests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses where Ingresses are served.
    pub addresses: Vec<IpAddr>,
    /// The port of HTTP at each of them; 0 for none.
    pub http_port: u16,
    /// The port of HTTPS at each of them; 0 for none.
    pub https_port: u16,
    /// Ingresses of this class are served even where there is no such IngressClass.
    pub class: String,
    /// The Secret of the certificate for clients that name no host or an unknown one.
    pub default_certificate: Option<ObjectName>,
    /// What stands in where that is not given or not there; its hosts are ignored.
    pub fallback_certificate: Option<Certificate>,
}

/// A state and what was found wrong on the way to it.
#[derive(Debug, Default)]
pub struct Compiled {
    /// By key.
    pub state: State,
    /// In the order of kinds and names.
    pub problems: Vec<Problem>,
}

impl Compiled {
    fn put(&mut self, object: Object) {
        self.state.insert(object.key(), object);
    }
}

/// Compiles the whole state. `now` is in seconds since 1970, for the expiry of certificates.
#[must_use]
pub fn compile(model: &Model, settings: &Settings, now: i64) -> Compiled {
    let world = World::new(model);
    let mut out = Compiled::default();
    listeners(settings, &mut out);
    services::compile(&world, &mut out);
    let ingresses = routes::served(&world, settings, &mut out);
    routes::compile(&world, &ingresses, &mut out);
    certificates::compile(&world, &ingresses, settings, now, &mut out);
    let mut groups = Groups::default();
    policies::compile(&world, &mut groups, &mut out);
    cluster_policies::compile(&world, &mut groups, &mut out);
    groups.finish(&world, &mut out);
    out
}

/// HTTPS is there whether or not a manifest has a certificate: clients of a host without one get the default
/// certificate, and an answer, as they do from ingress-nginx.
fn listeners(settings: &Settings, out: &mut Compiled) {
    for address in &settings.addresses {
        for (port, tls) in [(settings.http_port, false), (settings.https_port, true)] {
            if port != 0 {
                out.put(Object::Listener(Listener {
                    address: SocketAddr::new(*address, port),
                    tls,
                }));
            }
        }
    }
}
