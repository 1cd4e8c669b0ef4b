//! Services at L4.

use headgate_ring::message::{Frontend, Key, Object, Protocol, Service as Balanced};

use super::traffic::Plan;
use super::world::World;
use crate::model::service::{Service, ServiceKind};
use crate::model::{Id, Kind, ObjectName};
use crate::problem::Problem;

/// Puts one object for each address and port; listeners stand in the plan already.
pub(super) fn compile(world: &World<'_>, plan: &mut Plan) {
    let mut services: Vec<_> = world
        .model
        .services()
        .filter(|(_, s)| !s.addresses.is_empty())
        .collect();
    services.sort_by_key(|(name, service)| (service.age, *name));
    for (name, service) in services {
        match refused(service) {
            Some(reason) => plan.problems.push(Problem::error(id(name), reason)),
            None => balance(name, service, plan),
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

fn balance(name: &ObjectName, service: &Service, plan: &mut Plan) {
    for (index, port) in service.ports.iter().enumerate() {
        let place = port.place;
        if port.protocol == Protocol::Sctp {
            let text = format!("spec.ports[{place}].protocol: SCTP is not balanced");
            plan.problems.push(Problem::error(id(name), text));
            continue;
        }
        for address in &service.addresses {
            let frontend = Frontend {
                address: *address,
                protocol: port.protocol,
                port: port.port,
            };
            if let Some(holder) = holder(plan, &frontend) {
                let at = std::net::SocketAddr::new(frontend.address, frontend.port);
                let text = format!(
                    "spec.ports[{place}].port: {:?} {at} belongs to {holder}",
                    port.protocol
                );
                plan.problems.push(Problem::error(id(name), text));
                continue;
            }
            let balanced = Balanced {
                frontend,
                name: name.to_string(),
                backends: Vec::new(),
                affinity_seconds: service.affinity_seconds,
            };
            plan.put_fed(name, index, Object::Service(balanced));
        }
    }
}

/// Who has the frontend already.
fn holder(plan: &Plan, frontend: &Frontend) -> Option<String> {
    let listener = Key::Listener(std::net::SocketAddr::new(frontend.address, frontend.port));
    if frontend.protocol == Protocol::Tcp && plan.objects.contains_key(&listener) {
        return Some("an ingress listener".to_owned());
    }
    match plan.objects.get(&Key::Service(*frontend)) {
        Some(Object::Service(other)) => Some(format!("Service {}, which is older", other.name)),
        _ => None,
    }
}
