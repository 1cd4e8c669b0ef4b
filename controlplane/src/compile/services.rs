//! Services at L4.

use headgate_ring::limits::SERVICE_BACKENDS;
use headgate_ring::message::{Frontend, Key, Object, Protocol, Service as Balanced};

use super::Compiled;
use super::endpoints::endpoints;
use super::world::World;
use crate::model::service::{Service, ServiceKind, Target};
use crate::model::{Id, Kind, ObjectName};
use crate::problem::Problem;

/// Puts one object for each address and port; listeners stand in the state already.
pub(super) fn compile(world: &World<'_>, out: &mut Compiled) {
    let mut services: Vec<_> = world
        .model
        .services()
        .filter(|(_, s)| !s.addresses.is_empty())
        .collect();
    services.sort_by_key(|(name, service)| (service.age, *name));
    for (name, service) in services {
        match refused(service) {
            Some(reason) => out.problems.push(Problem::error(id(name), reason)),
            None => balance(world, name, service, out),
        }
    }
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

fn balance(world: &World<'_>, name: &ObjectName, service: &Service, out: &mut Compiled) {
    for (index, port) in service.ports.iter().enumerate() {
        if port.protocol == Protocol::Sctp {
            let text = format!("spec.ports[{index}].protocol: SCTP is not balanced");
            out.problems.push(Problem::error(id(name), text));
            continue;
        }
        let endpoints = endpoints(world, name, service, port);
        if let (true, Target::Name(target)) = (endpoints.unknown_port_name, &port.target) {
            let text =
                format!("spec.ports[{index}].targetPort: no selected pod has a port named \"{target}\"");
            out.problems.push(Problem::warning(id(name), text));
        }
        for address in &service.addresses {
            let frontend = Frontend {
                address: *address,
                protocol: port.protocol,
                port: port.port,
            };
            if let Some(holder) = holder(out, &frontend) {
                let at = std::net::SocketAddr::new(frontend.address, frontend.port);
                let text = format!(
                    "spec.ports[{index}].port: {:?} {at} belongs to {holder}",
                    port.protocol
                );
                out.problems.push(Problem::error(id(name), text));
                continue;
            }
            let family = |b: &&std::net::SocketAddr| b.is_ipv4() == address.is_ipv4();
            let mut backends: Vec<_> = endpoints.usable.iter().filter(family).copied().collect();
            if backends.len() > SERVICE_BACKENDS {
                let text = format!(
                    "spec.ports[{index}]: of {} endpoints the first {SERVICE_BACKENDS} are used",
                    backends.len()
                );
                out.problems.push(Problem::error(id(name), text));
                backends.truncate(SERVICE_BACKENDS);
            }
            out.put(Object::Service(Balanced {
                frontend,
                name: name.to_string(),
                backends,
                affinity_seconds: service.affinity_seconds,
            }));
        }
    }
}

/// Who has the frontend already.
fn holder(out: &Compiled, frontend: &Frontend) -> Option<String> {
    let listener = Key::Listener(std::net::SocketAddr::new(frontend.address, frontend.port));
    if frontend.protocol == Protocol::Tcp && out.state.contains_key(&listener) {
        return Some("an ingress listener".to_owned());
    }
    match out.state.get(&Key::Service(*frontend)) {
        Some(Object::Service(other)) => Some(format!("Service {}, which is older", other.name)),
        _ => None,
    }
}
