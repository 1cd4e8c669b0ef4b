//! Ingress rules: which request goes where.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use headgate_ring::message::{
    Object, PathMatch, Protocol, Route, RouteKind, RouteMatch, RouteOrigin, Upstream, VirtualHost,
    WeightedBackend,
};

use super::Settings;
use super::traffic::Plan;
use super::world::World;
use crate::model::ingress::{Backend, BackendPort, CONTROLLER, Ingress, PathKind};
use crate::model::service::{Service, ServiceKind, ServicePort};
use crate::model::{Id, Kind, ObjectName};
use crate::problem::Problem;

/// Ingresses, the older first.
pub(super) type Ingresses<'a> = Vec<(&'a ObjectName, &'a Ingress)>;

/// The order in which rules are tried: the longer path first, Exact before Prefix.
type Rank = (Reverse<usize>, bool, String);

#[derive(Default)]
struct Routes {
    hosts: BTreeMap<String, BTreeMap<Rank, Route>>,
    /// With the port of a Service that feeds it.
    upstreams: BTreeMap<String, Option<(ObjectName, usize)>>,
}

fn id(name: &ObjectName) -> Id {
    Id::new(Kind::Ingress, name.clone())
}

/// The Ingresses that Headgate serves. One that names no class, where there is no default class, gets a line: it is
/// probably not meant to be served by nobody.
pub(super) fn served<'a>(world: &World<'a>, settings: &Settings, plan: &mut Plan) -> Ingresses<'a> {
    let classes: BTreeMap<&str, _> = world
        .model
        .classes()
        .map(|(n, c)| (n.name.as_str(), *c))
        .collect();
    let default = classes.values().find(|c| c.default);
    let mut served = Ingresses::new();
    for (name, ingress) in world.model.ingresses() {
        let ours = match (&ingress.class, default) {
            (Some(class), _) => match classes.get(class.as_str()) {
                Some(class) => class.ours,
                None => *class == settings.class,
            },
            (None, Some(_)) => classes.values().any(|c| c.default && c.ours),
            (None, None) => {
                let text = format!(
                    "spec.ingressClassName: is missing and no IngressClass is the default; the Ingress is not \
                     served. Use \"{}\", or an IngressClass with the controller {CONTROLLER}",
                    settings.class
                );
                plan.problems.push(Problem::warning(id(name), text));
                false
            }
        };
        if ours {
            served.push((name, ingress));
        }
    }
    served.sort_by_key(|(name, ingress)| (ingress.age, *name));
    served
}

/// Puts virtual hosts and upstreams.
pub(super) fn compile(world: &World<'_>, ingresses: &Ingresses<'_>, plan: &mut Plan) {
    let mut routes = Routes::default();
    for (name, ingress) in ingresses {
        routes.add_rules(world, name, ingress, plan);
    }
    // Behind all rules that are written down: a default backend never takes a path from another Ingress.
    for (name, ingress) in ingresses {
        routes.add_default(world, name, ingress, plan);
    }
    for (host, rules) in routes.hosts {
        if !rules.is_empty() {
            plan.put(Object::VirtualHost(VirtualHost {
                host,
                routes: rules.into_values().collect(),
            }));
        }
    }
    for (name, fed_by) in routes.upstreams {
        let endpoints = Vec::new();
        let upstream = Object::Upstream(Upstream { name, endpoints });
        match fed_by {
            Some((service, port)) => plan.put_fed(&service, port, upstream),
            None => plan.put(upstream),
        }
    }
}

impl Routes {
    fn add_rules(&mut self, world: &World<'_>, name: &ObjectName, ingress: &Ingress, plan: &mut Plan) {
        let mut told = BTreeSet::new();
        for rule in &ingress.rules {
            for path in &rule.paths {
                let field = format!("spec.rules[{}].http.paths[{}]", rule.place, path.place);
                if path.looks_like_regex {
                    let text = format!(
                        "{field}.path: \"{}\" is compared literally, not as a regular expression",
                        path.path
                    );
                    plan.problems.push(Problem::warning(id(name), text));
                }
                let holder = self.holder(&rule.host, path.kind, &path.path);
                if let Some(holder) = holder {
                    let host = if rule.host.is_empty() {
                        "any host"
                    } else {
                        &rule.host
                    };
                    let text = format!(
                        "{field}.path: {} \"{}\" of {host} belongs to Ingress {holder} already",
                        path.kind, path.path
                    );
                    plan.problems.push(Problem::error(id(name), text));
                    continue;
                }
                let upstream = self.upstream(world, name, &path.backend, |problem| {
                    if told.insert(path.backend.clone()) {
                        plan.problems
                            .push(Problem::error(id(name), format!("{field}.backend.{problem}")));
                    }
                });
                self.insert(&rule.host, path.kind, &path.path, origin(name, field), upstream);
            }
        }
    }

    /// A default backend takes what no rule of its hosts takes, and, the oldest of all Ingresses', what no rule of
    /// any host takes.
    fn add_default(&mut self, world: &World<'_>, name: &ObjectName, ingress: &Ingress, plan: &mut Plan) {
        let Some(backend) = &ingress.default_backend else {
            return;
        };
        let mut used = false;
        let upstream = self.upstream(world, name, backend, |problem| {
            plan.problems
                .push(Problem::error(id(name), format!("spec.defaultBackend.{problem}")));
        });
        let hosts: BTreeSet<&str> = ingress
            .rules
            .iter()
            .map(|r| r.host.as_str())
            .chain([""])
            .collect();
        for host in hosts {
            if self.holder(host, PathKind::Prefix, "/").is_none() {
                self.insert(
                    host,
                    PathKind::Prefix,
                    "/",
                    origin(name, "spec.defaultBackend".to_owned()),
                    upstream.clone(),
                );
                used = true;
            }
        }
        if let (false, Some(holder)) = (used, self.holder("", PathKind::Prefix, "/")) {
            let text =
                format!("spec.defaultBackend: is not used: Ingress {holder} takes all such requests already");
            plan.problems.push(Problem::warning(id(name), text));
        }
    }

    fn holder(&self, host: &str, kind: PathKind, path: &str) -> Option<&str> {
        self.hosts
            .get(host)?
            .get(&rank(kind, path))
            .map(|route| route.origin.name.as_str())
    }

    fn insert(&mut self, host: &str, kind: PathKind, path: &str, origin: RouteOrigin, upstream: String) {
        let route = Route {
            matches: RouteMatch {
                path: match kind {
                    PathKind::Exact => PathMatch::Exact(path.to_owned()),
                    PathKind::Prefix => PathMatch::Prefix(path.to_owned()),
                },
                method: None,
                headers: Vec::new(),
                query: Vec::new(),
            },
            filters: None,
            backends: vec![WeightedBackend { upstream, weight: 1 }],
            origin,
        };
        self.hosts
            .entry(host.to_owned())
            .or_default()
            .insert(rank(kind, path), route);
    }

    /// The name of the upstream of a backend, which is put if it is new. A backend that does not exist has no
    /// endpoints, which answers 503.
    fn upstream(
        &mut self,
        world: &World<'_>,
        ingress: &ObjectName,
        backend: &Backend,
        tell: impl FnOnce(&str),
    ) -> String {
        let service_name = ingress.sibling(&backend.service);
        let service = world.model.service(&service_name);
        let port = match service {
            None => Err(format!(
                "service.name: Service {service_name} does not exist; requests are answered 503"
            )),
            Some(service) => find_port(service, &backend.port).map_err(|e| format!("service.{e}")),
        };
        let (name, fed_by) = match (service, port) {
            (Some(service), Ok(index)) => (
                format!("{service_name}:{}", service.ports[index].port),
                Some((service_name, index)),
            ),
            (_, Err(problem)) => {
                tell(&problem);
                (format!("{service_name}:{}", backend.port), None)
            }
            (None, Ok(_)) => unreachable!("a port without a Service"),
        };
        self.upstreams.entry(name.clone()).or_insert(fed_by);
        name
    }
}

fn origin(ingress: &ObjectName, rule: String) -> RouteOrigin {
    RouteOrigin {
        kind: RouteKind::Ingress,
        name: ingress.to_string(),
        rule,
    }
}

fn rank(kind: PathKind, path: &str) -> Rank {
    (Reverse(path.len()), kind == PathKind::Prefix, path.to_owned())
}

/// The place of the port in `spec.ports`.
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
