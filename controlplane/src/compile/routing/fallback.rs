//! `--default-backend-service`: who takes what no rule matches, on each host and on none.
//!
//! As ingress-nginx has it (`getDefaultUpstream`): it is the first port of the Service, and as long as the Service is
//! missing or nobody stands behind it the gateway answers 404 itself.

use headgate_ring::message::{
    PathMatch, Protocol, Route, RouteKind, RouteMatch, RouteOrigin, WeightedBackend,
};

use crate::compile::endpoints::endpoints;
use crate::compile::notes::{About, Note, Place};
use crate::compile::world::World;
use crate::model::service::{Service, ServiceKind};
use crate::model::{Age, Id, Kind, ObjectName};
use crate::problem::Problem;

/// What the flag's Service is good for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fallback {
    /// The upstream, with what feeds it; `None` while there is nobody in it.
    upstream: Option<(String, (ObjectName, usize))>,
    pub(super) note: Option<Note>,
}

impl Fallback {
    pub(super) fn of(world: &World<'_>, name: &ObjectName) -> Self {
        let found = world.model.service(name).ok_or("does not exist");
        match found.and_then(|service| is_usable(world, name, service).map(|()| service)) {
            Ok(service) => Self {
                upstream: Some((format!("{name}:{}", service.ports[0].port), (name.clone(), 0))),
                note: None,
            },
            Err(reason) => Self {
                upstream: None,
                note: Some(note(name, reason)),
            },
        }
    }

    pub(super) fn upstream(&self) -> Option<&(String, (ObjectName, usize))> {
        self.upstream.as_ref()
    }

    /// The last route of a host that has none for every path.
    pub(super) fn route(&self) -> Option<Route> {
        let (upstream, (service, _)) = self.upstream.as_ref()?;
        Some(Route {
            matches: RouteMatch {
                path: PathMatch::Prefix("/".to_owned()),
                method: None,
                headers: Vec::new(),
                query: Vec::new(),
            },
            filters: None,
            backends: vec![WeightedBackend {
                upstream: upstream.clone(),
                weight: 1,
            }],
            origin: RouteOrigin {
                kind: RouteKind::Service,
                name: service.to_string(),
                rule: "--default-backend-service".to_owned(),
            },
        })
    }
}

fn is_usable(world: &World<'_>, name: &ObjectName, service: &Service) -> Result<(), &'static str> {
    if service.kind == ServiceKind::ExternalName {
        return Err("is an ExternalName, which has no endpoints");
    }
    match service.ports.first() {
        Some(port) if port.protocol == Protocol::Tcp => {
            let found = endpoints(world, name, service, port);
            (!found.usable.is_empty())
                .then_some(())
                .ok_or("has no endpoint that is ready")
        }
        Some(_) => Err("has a first port that is not of TCP"),
        None => Err("has no port"),
    }
}

fn note(name: &ObjectName, reason: &str) -> Note {
    let place = Place {
        about: About::DefaultBackend,
        age: Age::UNKNOWN,
        object: name.clone(),
        field: [0; 3],
    };
    let text = format!("--default-backend-service: {reason}; what no rule matches is answered 404 meanwhile");
    (place, Problem::error(Id::new(Kind::Service, name.clone()), text))
}
