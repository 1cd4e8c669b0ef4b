//! What is counted of each Service, route and upstream, with the names of the objects as labels.
//!
//! Labels tell what stays: the place of a rule in its Ingress is none of them, since a rule that is put in front would
//! move all others, and their counts would seem to go back.

use headgate_net::record::{Id, Snapshot};

use super::Detail;
use super::family::{Buckets, Family, FamilyKind, LabelText, Value};
use super::listed::{each, listed};
use crate::telemetry::{HttpRouteStatus, Mode, ServiceStatus, Status, UpstreamStatus};

/// Of each Service's port at one address.
const SERVICE: &[&str] = &["namespace", "service", "protocol", "address"];
/// Of each route.
const ROUTE: &[&str] = &["namespace", "ingress", "host", "path", "path_type", "conditions"];
/// Of each upstream.
const UPSTREAM: &[&str] = &["namespace", "service", "port"];

/// Every family of them; those of `without` have no samples.
pub(super) fn families(status: &Status, without: &[Detail]) -> Vec<Family> {
    // On the kernel's sockets there are no packets to balance.
    let with =
        |detail| !without.contains(&detail) && (detail != Detail::Services || status.mode == Mode::Packets);
    let mut families = services(if with(Detail::Services) {
        &status.services
    } else {
        &[]
    });
    families.extend(routes(if with(Detail::Routes) {
        &status.http_routes
    } else {
        &[]
    }));
    families.extend(upstreams(if with(Detail::Upstreams) {
        &status.upstreams
    } else {
        &[]
    }));
    families
}

fn services(services: &[ServiceStatus]) -> Vec<Family> {
    let labels = |service: &ServiceStatus| {
        let (namespace, name) = object(&service.name);
        let address = service.address.to_string();
        LabelText::new(
            SERVICE
                .iter()
                .copied()
                .zip([namespace, name, &service.protocol, &address]),
        )
    };
    let labelled: Vec<_> = services
        .iter()
        .map(|service| (labels(service), service))
        .collect();
    let mut backends = Family::new(
        "service_backends",
        FamilyKind::Gauge,
        "Ready endpoints of the Service's port at this address",
        SERVICE,
    );
    for (labels, service) in &labelled {
        backends.push(labels, None, Value::Integer(service.backends as u64));
    }
    let counts = each(&labelled, |service| &service.counts);
    let mut families = vec![backends];
    families.extend(listed(FamilyKind::Counter, SERVICE, None, &counts));
    families
}

/// Of routes that have had a request.
fn routes(routes: &[HttpRouteStatus]) -> Vec<Family> {
    let used = routes.iter().filter(|route| route.answered() > 0);
    let labelled: Vec<_> = used.map(|route| (route_labels(route), route)).collect();
    let mut requests = Family::new(
        "route_requests",
        FamilyKind::Counter,
        "Requests of the route that have ended, by class of the status; classes that occurred",
        &[ROUTE, &["class"]].concat(),
    );
    let mut durations = Family::new(
        "route_request_duration_seconds",
        FamilyKind::Summary,
        "From the end of a request's head to the end of its response",
        ROUTE,
    );
    for (labels, route) in &labelled {
        for (class, count) in occurred(&route.requests) {
            requests.push(labels, Some(("class", class.value())), Value::Integer(count));
        }
        let value = Value::Sum {
            count: route.answered(),
            sum: seconds(route.total_microseconds),
        };
        durations.push(labels, None, value);
    }
    let counts = each(&labelled, |route| &route.counts);
    let mut families = vec![requests, durations];
    families.extend(listed(FamilyKind::Counter, ROUTE, None, &counts));
    families
}

fn route_labels(route: &HttpRouteStatus) -> LabelText {
    let (namespace, ingress) = object(&route.ingress);
    let (host, path, path_type) = (route.host.as_str(), route.path.as_str(), route.path_type.as_str());
    let values = [namespace, ingress, host, path, path_type, &route.conditions];
    let labels = ROUTE.iter().copied().zip(values);
    // Most routes have none.
    LabelText::new(labels.filter(|(name, value)| *name != "conditions" || !value.is_empty()))
}

/// Of upstreams that have had a request.
fn upstreams(upstreams: &[UpstreamStatus]) -> Vec<Family> {
    let used = upstreams
        .iter()
        .filter(|upstream| upstream.latency.count() > 0 || asked(upstream));
    let labels = |upstream: &UpstreamStatus| {
        let (namespace, rest) = object(&upstream.name);
        let (service, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
        LabelText::new(UPSTREAM.iter().copied().zip([namespace, service, port]))
    };
    let labelled: Vec<_> = used.map(|upstream| (labels(upstream), upstream)).collect();
    let counts = each(&labelled, |upstream| &upstream.counts);
    let now = each(&labelled, |upstream| &upstream.now);
    let mut families = listed(FamilyKind::Counter, UPSTREAM, None, &counts);
    families.extend(listed(FamilyKind::Gauge, UPSTREAM, None, &now));
    let mut latency = Family::new(
        "upstream_response_seconds",
        FamilyKind::Histogram,
        "From the end of a request's head to the head of the pod's response",
        UPSTREAM,
    );
    for (labels, upstream) in &labelled {
        latency.push(labels, None, Value::Buckets(Buckets::of(&upstream.latency, 2)));
    }
    families.push(latency);
    families
}

fn asked(upstream: &UpstreamStatus) -> bool {
    occurred(&upstream.counts).next().is_some()
}

fn occurred<I: Id>(counts: &Snapshot<I>) -> impl Iterator<Item = (I, u64)> {
    counts.iter().filter(|(_, count)| *count > 0)
}

/// `namespace/name`, taken apart.
fn object(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}
