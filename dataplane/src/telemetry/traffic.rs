//! What is counted of each Service, route and upstream, over all workers.
//!
//! Counts are kept by [`Number`], so that they go on from one state of the control plane to the next as long as the object
//! stays, and end with it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use headgate_net::lb;
use headgate_net::number::Number;
use headgate_net::record::{
    Block, Class, Id, Latency, Resettable, RouteCount, ServiceCount, Slab, Snapshot, UpstreamCount,
    UpstreamGauge, WorkerRecord,
};
use headgate_net::routes::{Route, Routes};
use headgate_ring::message::{PathMatch, RouteKind, RouteMatch, TextMatch, ValueMatch};
use serde::{Deserialize, Serialize};

use crate::config::Tables;

/// A Service's port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// `namespace/name`.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Ready endpoints.
    pub backends: usize,
    /// Its flows and packets.
    #[serde(default)]
    pub counts: Snapshot<ServiceCount>,
}

/// A route of HTTP requests. What is counted of a request is counted when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRouteStatus {
    /// `namespace/name` of the Ingress that it was made of.
    pub ingress: String,
    /// The host pattern; empty for any host.
    pub host: String,
    /// The path as the Ingress has it, or a regular expression.
    pub path: String,
    /// `Exact`, `Prefix` or `Regex`.
    pub path_type: String,
    /// What else requests must have; empty where nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conditions: String,
    /// Where its requests go: names of upstreams.
    pub upstreams: Vec<String>,
    /// Requests answered, by class of the status.
    pub requests: Snapshot<Class>,
    /// Bytes, and what went wrong.
    pub counts: Snapshot<RouteCount>,
    /// From the end of each request's head to the end of its response, all together.
    pub total_microseconds: u64,
}

/// An upstream: a Service's port as HTTP requests go to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// `namespace/name:port` of the Service.
    pub name: String,
    /// Events.
    pub counts: Snapshot<UpstreamCount>,
    /// What goes on now.
    #[serde(flatten)]
    pub now: Snapshot<UpstreamGauge>,
    /// From the end of a request's head to the head of the pod's response.
    pub latency: Latency,
}

impl HttpRouteStatus {
    /// Requests answered, whatever their status.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.requests.iter().map(|(_, count)| count).sum()
    }
}

/// The records of all workers.
type Records = [Arc<WorkerRecord>];

/// Every Service in force, by address.
pub(crate) fn services(tables: &Tables, records: &Records) -> Vec<ServiceStatus> {
    let status = |service: &lb::BalancedService| {
        let source = service.source();
        let mut counts = Snapshot::default();
        each(
            records,
            |r| &r.services,
            service.number(),
            |one| add(&mut counts, one),
        );
        ServiceStatus {
            name: source.name.clone(),
            protocol: source.frontend.protocol.to_string().to_lowercase(),
            address: (source.frontend.address, source.frontend.port).into(),
            backends: source.backends.len(),
            counts,
        }
    };
    let mut all: Vec<_> = tables.services.iter().map(status).collect();
    all.sort_by(|a, b| (a.address, &a.protocol).cmp(&(b.address, &b.protocol)));
    all
}

/// Every route in force, by Ingress, host and path.
pub(crate) fn routes(routes: &Routes, records: &Records) -> Vec<HttpRouteStatus> {
    let mut all: Vec<_> = routes.iter().map(|route| of_route(route, records)).collect();
    let key = |r: &HttpRouteStatus| {
        (
            r.ingress.clone(),
            r.host.clone(),
            r.path.clone(),
            r.path_type.clone(),
        )
    };
    all.sort_by_cached_key(key);
    all
}

fn of_route(route: &Route, records: &Records) -> HttpRouteStatus {
    let definition = route.definition();
    let (path_type, path) = match &definition.matches.path {
        PathMatch::Exact(path) => ("Exact", path),
        PathMatch::Prefix(path) => ("Prefix", path),
        PathMatch::Regex(pattern) => ("Regex", pattern),
    };
    let backends = definition.backends.iter().map(|backend| backend.upstream.clone());
    let mut status = HttpRouteStatus {
        ingress: match definition.origin.kind {
            RouteKind::Ingress => definition.origin.name.clone(),
            // No Ingress asks for it.
            RouteKind::Service => String::new(),
        },
        host: route.host().to_owned(),
        path: path.clone(),
        path_type: path_type.to_owned(),
        conditions: conditions(&definition.matches),
        upstreams: backends.collect(),
        ..HttpRouteStatus::default()
    };
    each(
        records,
        |r| &r.l7.routes,
        route.number(),
        |one| {
            add(&mut status.requests, &one.requests);
            add(&mut status.counts, &one.counts);
            status.total_microseconds += one.total_us.get();
        },
    );
    status
}

/// What a route asks of requests beyond host and path: with those it tells the routes of an object apart.
fn conditions(matches: &RouteMatch) -> String {
    let mut text = matches.method.clone().unwrap_or_default();
    let values = |text: &mut String, kind: &str, values: &[ValueMatch]| {
        for ValueMatch { name, value } in values {
            let (how, value) = match value {
                TextMatch::Exact(value) => ("=", value),
                TextMatch::Regex(pattern) => ("=~", pattern),
            };
            let separator = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{kind}:{name}{how}{value}");
        }
    };
    values(&mut text, "header", &matches.headers);
    values(&mut text, "query", &matches.query);
    text
}

/// Every upstream that a route or a request knows, by name.
pub(crate) fn upstreams(routes: &Routes, records: &Records) -> Vec<UpstreamStatus> {
    let status = |(name, number): (Box<str>, Number)| {
        let mut status = UpstreamStatus {
            name: name.into(),
            ..UpstreamStatus::default()
        };
        each(
            records,
            |r| &r.l7.upstreams,
            &number,
            |one| {
                add(&mut status.counts, &one.counts);
                add(&mut status.now, &one.now);
                status.latency.add(&one.latency.snapshot());
            },
        );
        status
    };
    let mut all: Vec<_> = routes.upstreams().into_iter().map(status).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Calls `each` for what every worker has counted of a number's holder.
fn each<T: Resettable>(
    records: &Records,
    slab: impl Fn(&WorkerRecord) -> &Slab<T>,
    number: &Number,
    mut each: impl FnMut(&T),
) {
    let counted = records.iter().filter_map(|record| slab(record).read(number));
    counted.for_each(&mut each);
}

fn add<I: Id, const N: usize>(sum: &mut Snapshot<I>, block: &Block<I, N>) {
    for id in I::all() {
        sum[*id] += block.get(*id);
    }
}
