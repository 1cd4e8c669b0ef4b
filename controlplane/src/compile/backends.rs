//! Which backends the endpoints of a Service are to the frontends and upstreams that it feeds.

use std::net::SocketAddr;

use headgate_ring::limits::SERVICE_BACKENDS;
use headgate_ring::message::{Key, Object, Service as Balanced, Upstream, UpstreamProtocol};

use super::endpoints::{Endpoints, endpoints};
use super::world::World;
use crate::few::FewSet;
use crate::model::service::{Application, Service, ServicePort, TargetPort};
use crate::model::{Id, Kind, ObjectName};
use crate::problem::Problem;

/// An object whose backends stand behind a port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fed {
    /// Which of the Service's ports.
    pub(super) port: usize,
    /// A frontend or an upstream.
    pub(super) key: Key,
}

/// With what a Service feeds others.
#[derive(Debug, Default)]
pub(super) struct Filling {
    /// Those that are fed.
    pub(super) objects: Vec<Object>,
    pub(super) problems: Vec<Problem>,
}

/// Looks who stands behind the ports of a Service that feed something.
pub(super) fn fill(world: &World<'_>, name: &ObjectName, service: &Service, fed: &FewSet<Fed>) -> Filling {
    let mut filling = Filling::default();
    for (index, port) in service.ports.iter().enumerate() {
        let of_port: Vec<&Key> = fed.iter().filter(|f| f.port == index).map(|f| &f.key).collect();
        if of_port.is_empty() {
            continue;
        }
        let found = endpoints(world, name, service, port);
        let balanced = of_port.iter().any(|key| matches!(key, Key::Service(_)));
        if let (true, true, TargetPort::Name(target)) = (balanced, found.unknown_port_name, &port.target) {
            let text = format!(
                "spec.ports[{}].targetPort: no selected pod has a port named \"{target}\"",
                port.place
            );
            filling.problems.push(Problem::warning(id(name), text));
        }
        if let Some(address) = found.unreachable {
            let text = format!(
                "spec.ports[{}]: endpoints on loopback, as {address}, are left out: packets reach none there, only \
                 --port kernel does",
                port.place
            );
            filling.problems.push(Problem::warning(id(name), text));
        }
        for key in of_port {
            let backends = match key {
                Key::Service(frontend) => of_family(frontend.address.is_ipv6(), &found),
                _ => one_family(service, &found),
            };
            let backends = at_most(backends, name, port.place, &mut filling.problems);
            let object = object(key.clone(), name, service, port, backends);
            filling.objects.push(object);
        }
        let proxied = fed
            .iter()
            .any(|f| f.port == index && matches!(f.key, Key::Upstream(_)));
        if proxied && port.application == Application::Tls {
            let text = format!(
                "spec.ports[{}].appProtocol: TLS is not spoken to pods: Ingresses reach them in plain text",
                port.place
            );
            filling.problems.push(Problem::warning(id(name), text));
        }
    }
    filling
}

fn object(
    key: Key,
    name: &ObjectName,
    service: &Service,
    port: &ServicePort,
    backends: Vec<SocketAddr>,
) -> Object {
    match key {
        Key::Service(frontend) => Object::Service(Balanced {
            frontend,
            name: name.to_string(),
            backends,
            affinity_seconds: service.affinity_seconds,
        }),
        Key::Upstream(name) => Object::Upstream(Upstream {
            name,
            protocol: match port.application {
                Application::Any | Application::Tls => UpstreamProtocol::Http1,
                Application::Http2 => UpstreamProtocol::Http2,
            },
            endpoints: backends,
        }),
        _ => unreachable!("only frontends and upstreams are fed"),
    }
}

fn id(name: &ObjectName) -> Id {
    Id::new(Kind::Service, name.clone())
}

/// As many as can be balanced.
fn at_most(
    mut backends: Vec<SocketAddr>,
    name: &ObjectName,
    port: usize,
    problems: &mut Vec<Problem>,
) -> Vec<SocketAddr> {
    if backends.len() > SERVICE_BACKENDS {
        let text = format!(
            "spec.ports[{port}]: of {} endpoints the first {SERVICE_BACKENDS} are used",
            backends.len()
        );
        problems.push(Problem::error(id(name), text));
        backends.truncate(SERVICE_BACKENDS);
    }
    backends
}

/// Those of the frontend's address family.
fn of_family(ipv6: bool, found: &Endpoints) -> Vec<SocketAddr> {
    let of_family = found.usable.iter().filter(|backend| backend.is_ipv6() == ipv6);
    let mut backends: Vec<_> = of_family.copied().collect();
    // They are kept.
    backends.shrink_to_fit();
    backends
}

/// One address family for HTTP, so that a pod of two families is not two endpoints: the first of `spec.ipFamilies`,
/// IPv4 where it is missing; the other where there is no endpoint of that one.
fn one_family(service: &Service, found: &Endpoints) -> Vec<SocketAddr> {
    let ipv6 = service.prefers_ipv6.unwrap_or(false);
    let preferred = of_family(ipv6, found);
    if preferred.is_empty() {
        of_family(!ipv6, found)
    } else {
        preferred
    }
}
