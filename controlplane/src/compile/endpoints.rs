//! Who stands behind a port of a Service now.

use std::net::{IpAddr, SocketAddr};

use super::world::World;
use crate::model::service::{Service, ServicePort, TargetPort};
use crate::model::{ObjectName, Selector};

/// The endpoints of a Service's port, of both address families, sorted, without duplicates.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    pub(super) usable: Vec<SocketAddr>,
    /// The selector selects pods with an address, but none has a port of the name that `targetPort` gives.
    pub(super) unknown_port_name: bool,
    /// One that is left out because nobody but its own host can reach it.
    pub(super) unreachable: Option<IpAddr>,
}

/// Candidates by what they are good for.
#[derive(Default)]
struct Candidates {
    /// Whether those on loopback are any.
    loopback: bool,
    unreachable: Option<IpAddr>,
    ready: Vec<SocketAddr>,
    /// Terminating, and still able to serve: better than none.
    draining: Vec<SocketAddr>,
}

impl Candidates {
    fn add(&mut self, address: SocketAddr, ready: bool, draining: bool) {
        if address.ip().is_loopback() && !self.loopback {
            self.unreachable = Some(address.ip());
        } else if ready {
            self.ready.push(address);
        } else if draining {
            self.draining.push(address);
        }
    }

    /// As kube-proxy has it: those that drain are used only where no endpoint is ready.
    fn usable(self) -> Vec<SocketAddr> {
        let mut chosen = if self.ready.is_empty() {
            self.draining
        } else {
            self.ready
        };
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }
}

/// EndpointSlices speak for a Service where there are any, and Endpoints where it has no selector; otherwise its
/// selector does.
pub(super) fn endpoints(
    world: &World<'_>,
    name: &ObjectName,
    service: &Service,
    port: &ServicePort,
) -> Endpoints {
    let mut candidates = Candidates {
        loopback: world.loopback,
        ..Candidates::default()
    };
    let mut unknown_port_name = false;
    let mut slices = world.slices(name, service).peekable();
    if slices.peek().is_some() {
        for slice in slices {
            for p in slice
                .ports
                .iter()
                .filter(|p| p.name == port.name && p.protocol == port.protocol)
            {
                for e in &slice.endpoints {
                    candidates.add(SocketAddr::new(e.address, p.port), e.ready, e.draining);
                }
            }
        }
    } else if let Some(selector) = &service.selector {
        unknown_port_name = !select(world, &name.namespace, service, selector, port, &mut candidates);
    }
    Endpoints {
        unreachable: candidates.unreachable,
        usable: candidates.usable(),
        unknown_port_name,
    }
}

/// Whether any selected pod resolves the target port, or none is selected.
fn select(
    world: &World<'_>,
    namespace: &str,
    service: &Service,
    selector: &Selector,
    port: &ServicePort,
    candidates: &mut Candidates,
) -> bool {
    let (mut selected, mut resolved) = (0, 0);
    for pod in world.select(namespace, selector) {
        if pod.addresses.is_empty() {
            continue;
        }
        selected += 1;
        let target = match &port.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => pod.port(name, port.protocol),
        };
        let Some(target) = target else { continue };
        resolved += 1;
        let ready = service.publish_not_ready || (pod.ready && !pod.terminating);
        for address in &pod.addresses {
            candidates.add(
                SocketAddr::new(*address, target),
                ready,
                pod.ready && pod.terminating,
            );
        }
    }
    selected == 0 || resolved > 0
}
