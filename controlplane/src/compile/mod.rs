//! From the model to what the dataplane is told: the same result for the same model, whatever it was before.
//!
//! Selectors become groups, names of ports become numbers, and where two objects claim the same thing the older
//! one has it (`metadata.creationTimestamp`, then namespace and name) and the other gets a line.
//!
//! A [`Compiler`] keeps no state: its caller does, once, and applies what the compiler says. It is told which objects have changed and looks only at what depends on them: a pod that changes is one
//! endpoint, found without looking at the policies; a policy that changes is itself and the groups that it alone names.

mod backends;
mod cluster_policies;
mod compilation;
mod compiler;
mod endpoints;
mod feeds;
mod fit;
mod groups;
mod index;
mod ledger;
mod notes;
mod origins;
mod policies;
mod port_maps;
mod routing;
mod services;
mod slab;
#[cfg(test)]
pub(crate) mod tests;
mod traffic;
mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;

use headgate_ring::PackedObject;
use headgate_ring::message::{Certificate, Key, Object, Protocol};
use ipnet::IpNet;

use crate::model::service::LoadBalancer;
use crate::model::{Model, ObjectName};
use crate::problem::Problem;
pub use compilation::Compilation;
pub use compiler::Compiler;
pub(crate) use fit::stand_in;
pub(crate) use origins::origins;
pub use routing::IngressSelection;
pub(crate) use routing::{Assignment, assign};
pub(crate) use services::served_at;

/// The state that the dataplane shall have.
pub type State = BTreeMap<Key, PackedObject>;

/// What changes a state: the objects that are put, and `None` for those that are removed.
pub type Changes = BTreeMap<Key, Option<PackedObject>>;

/// Makes the changes.
pub fn apply(state: &mut State, changes: Changes) {
    for (key, object) in changes {
        match object {
            Some(object) => state.insert(key, object),
            None => state.remove(&key),
        };
    }
}

/// What does not come from manifests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses where Ingresses are served.
    pub addresses: Vec<IpAddr>,
    /// The port of HTTP at each of them; 0 for none.
    pub http_port: u16,
    /// The port of HTTPS at each of them; 0 for none.
    pub https_port: u16,
    /// `--proxy-protocol-from`: who says by the PROXY protocol who the client is.
    pub balancers: Vec<IpNet>,
    /// Which Ingresses are served.
    pub ingresses: IngressSelection,
    /// Whether HTTP requests to a host with TLS are sent to HTTPS, where their Ingress says nothing about it.
    pub ssl_redirect: bool,
    /// The Secret of the certificate for clients that name no host or an unknown one.
    pub default_certificate: Option<ObjectName>,
    /// What stands in where that is not given or not there; its hosts are ignored.
    pub fallback_certificate: Option<Certificate>,
    /// Whether the dataplane reaches endpoints on loopback, as one on the kernel's sockets does.
    pub loopback_endpoints: bool,
    /// `--default-backend-service`: the first port of this Service takes what no rule matches.
    pub default_backend: Option<ObjectName>,
    /// ConfigMaps that give ports of the ingress addresses to Services.
    pub port_maps: PortMaps,
    /// Which Services of type LoadBalancer are served at the ingress addresses.
    pub load_balancers: LoadBalancerSelection,
    /// Ports of the control plane's own, with what each is for: no ConfigMap gives them away.
    pub reserved_ports: Vec<(u16, &'static str)>,
}

/// Which Services of type LoadBalancer are ours; by default none.
#[derive(Clone, Debug, Default)]
pub struct LoadBalancerSelection {
    /// `--load-balancer-class`: those with this `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// `--load-balancer-without-class`: those with none.
    pub without_class: bool,
}

impl LoadBalancerSelection {
    fn contains(&self, balancer: &LoadBalancer) -> bool {
        match &balancer.class {
            Some(_) => balancer.class == self.class,
            None => self.without_class,
        }
    }
}

/// `--tcp-services-configmap` and `--udp-services-configmap`.
#[derive(Clone, Debug, Default)]
pub struct PortMaps {
    /// Of TCP.
    pub tcp: Option<ObjectName>,
    /// Of UDP.
    pub udp: Option<ObjectName>,
}

impl PortMaps {
    /// Those that are given, each with its protocol.
    pub fn each(&self) -> impl Iterator<Item = (Protocol, &ObjectName)> {
        let both = [(Protocol::Tcp, &self.tcp), (Protocol::Udp, &self.udp)];
        both.into_iter()
            .filter_map(|(protocol, map)| Some((protocol, map.as_ref()?)))
    }

    /// Whether this ConfigMap is one of them.
    #[must_use]
    pub fn contains(&self, name: &ObjectName) -> bool {
        self.each().any(|(_, map)| map == name)
    }
}

/// No addresses, and what flags say where they are not given.
impl Default for Settings {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            http_port: 80,
            https_port: 443,
            balancers: Vec::new(),
            ingresses: IngressSelection::default(),
            ssl_redirect: true,
            default_certificate: None,
            fallback_certificate: None,
            loopback_endpoints: false,
            default_backend: None,
            port_maps: PortMaps::default(),
            load_balancers: LoadBalancerSelection::default(),
            reserved_ports: Vec::new(),
        }
    }
}

impl Settings {
    /// Where Services can be served: a listener may stand for all addresses of the host, a frontend is a single one.
    pub(crate) fn frontend_addresses(&self) -> impl Iterator<Item = &IpAddr> {
        self.addresses.iter().filter(|address| !address.is_unspecified())
    }
}

/// How much of Services, routes and certificates the last update looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Ingresses that were read.
    pub ingresses: usize,
    /// Hosts whose routes were put in order.
    pub hosts: usize,
    /// Frontends and upstreams that were filled with endpoints.
    pub fed: usize,
}

/// A state and what was found wrong on the way to it.
#[derive(Debug, Default)]
pub struct Compiled {
    /// By key.
    pub state: BTreeMap<Key, Object>,
    /// What was found wrong.
    pub problems: Vec<Problem>,
}

/// Compiles the whole state from nothing. `now` is in seconds since 1970, for the expiry of certificates.
#[must_use]
pub fn compile(model: &Model, settings: &Settings, now: i64) -> Compiled {
    let mut compilation = Compilation::new(settings.clone());
    compilation.update(model, &model.ids().cloned().collect(), now);
    compilation.into_compiled()
}
