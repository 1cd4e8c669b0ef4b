//! Whose fault it is when the dataplane refuses something: from its objects back to those of Kubernetes.

use std::collections::BTreeSet;

use headgate_ring::message::{Object, RouteKind, Tier};

use crate::model::{Id, Kind, ObjectName};

/// The objects of Kubernetes that an object of the state was made of and that are to be told of what becomes of it;
/// none for what comes from flags, and for groups, which belong to all policies that use them.
pub(crate) fn origins(object: &Object) -> BTreeSet<Id> {
    match object {
        Object::Service(service) => named(Kind::Service, &service.name),
        Object::VirtualHost(host) => {
            let origins = host.routes.iter().map(|route| &route.origin);
            let kind = |kind| match kind {
                RouteKind::Ingress => Kind::Ingress,
                RouteKind::Service => Kind::Service,
            };
            origins
                .flat_map(|origin| named(kind(origin.kind), &origin.name))
                .collect()
        }
        // `NAMESPACE/SERVICE:PORT`.
        Object::Upstream(upstream) => {
            let service = upstream.name.rsplit_once(':').map_or("", |(service, _)| service);
            named(Kind::Service, service)
        }
        Object::Certificate(certificate) => named(Kind::Secret, &certificate.name),
        Object::Endpoint(endpoint) if endpoint.name.contains('/') => named(Kind::Pod, &endpoint.name),
        Object::Endpoint(endpoint) => cluster_wide(Kind::Node, &endpoint.name),
        Object::Policy(policy) if policy.tier == Tier::NetworkPolicy => {
            named(Kind::NetworkPolicy, &policy.name)
        }
        Object::Policy(policy) => cluster_wide(Kind::ClusterNetworkPolicy, &policy.name),
        Object::Listener(_) | Object::Group(_) => BTreeSet::new(),
    }
}

/// One object by `NAMESPACE/NAME`; none for what is not written so, such as the self-signed certificate.
fn named(kind: Kind, name: &str) -> BTreeSet<Id> {
    let name = name
        .split_once('/')
        .filter(|(namespace, _)| !namespace.is_empty());
    name.map(|(namespace, name)| Id::new(kind, ObjectName::new(namespace, name)))
        .into_iter()
        .collect()
}

fn cluster_wide(kind: Kind, name: &str) -> BTreeSet<Id> {
    BTreeSet::from([Id::new(kind, ObjectName::new("", name))])
}
