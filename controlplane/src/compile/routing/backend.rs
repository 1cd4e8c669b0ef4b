//! References to Services, resolved in one place.

use headgate_ring::message::Protocol;

use crate::compile::world::World;
use crate::model::ObjectName;
use crate::model::ingress::{Backend, BackendPort};
use crate::model::service::{Service, ServiceKind, ServicePort};

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The upstream's name.
    pub(super) upstream: String,
    /// The Service and which of its ports feed it; a backend that does not exist has no endpoints, which answers 503.
    pub(super) fed_by: Option<(ObjectName, usize)>,
}

/// Resolves a reference of an object in `namespace_of`'s namespace. What is wrong follows the field `backend.`.
pub(super) fn resolve(
    world: &World<'_>,
    namespace_of: &ObjectName,
    backend: &Backend,
) -> (Resolved, Option<String>) {
    let name = namespace_of.sibling(&backend.service);
    let service = world.model.service(&name);
    let port = service
        .ok_or_else(|| format!("service.name: Service {name} does not exist; requests are answered 503"))
        .and_then(|service| {
            Ok((
                service,
                find_port(service, &backend.port).map_err(|e| format!("service.{e}"))?,
            ))
        });
    match port {
        Ok((service, index)) => {
            let upstream = format!("{name}:{}", service.ports[index].port);
            let fed_by = Some((name, index));
            (Resolved { upstream, fed_by }, None)
        }
        Err(problem) => {
            let upstream = format!("{name}:{}", backend.port);
            (
                Resolved {
                    upstream,
                    fed_by: None,
                },
                Some(problem),
            )
        }
    }
}

/// The place of the port among the Service's.
fn find_port(service: &Service, wanted: &BackendPort) -> Result<usize, String> {
    if service.kind == ServiceKind::ExternalName {
        return Err("name: is an ExternalName, which is not supported; requests are answered 503".to_owned());
    }
    let is_wanted = |port: &ServicePort| match wanted {
        BackendPort::Number(number) => port.port == *number,
        BackendPort::Name(name) => port.name == *name,
    };
    let mut ports = service.ports.iter();
    let found = ports.position(|port| port.protocol == Protocol::Tcp && is_wanted(port));
    found.ok_or_else(|| format!("port: the Service has no TCP port {wanted}; requests are answered 503"))
}
