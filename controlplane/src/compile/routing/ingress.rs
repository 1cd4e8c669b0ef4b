//! What an Ingress says, as neutral routes.

use std::collections::BTreeSet;
use std::sync::Arc;

use headgate_ring::message::{PathMatch, Route, RouteKind, RouteMatch, RouteOrigin, WeightedBackend};

use super::backend::{Resolved, resolve};
use super::certificates::IngressCertificates;
use super::rank::{Rank, Source};
use super::tls_redirect::Wish;
use crate::compile::Settings;
use crate::compile::notes::{About, Note, Place};
use crate::compile::world::World;
use crate::few::{FewMap, FewSet};
use crate::model::ingress::{Backend, Ingress, PathKind};
use crate::model::{Age, Id, Kind, ObjectName};
use crate::problem::Problem;

/// A route that an Ingress wants to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) rank: Rank,
    /// Its filters depend on the host.
    pub(super) route: Route,
    pub(super) wish: Wish,
}

/// All that an Ingress says, and what is wrong with it; a value of the Ingress and of what it names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) age: Age,
    /// What it wants to have at each host, shared with the host.
    pub(super) hosts: FewMap<String, Vec<Arc<Candidate>>>,
    pub(super) has_default: bool,
    /// With what feeds them.
    pub(super) upstreams: FewMap<String, Option<(ObjectName, usize)>>,
    /// Services that it names.
    pub(super) services: FewSet<ObjectName>,
    pub(super) tls: IngressCertificates,
    pub(super) notes: Vec<Note>,
    wish: Wish,
}

pub(super) fn id(name: &ObjectName) -> Id {
    Id::new(Kind::Ingress, name.clone())
}

impl Written {
    pub(super) fn read(world: &World<'_>, settings: &Settings, name: &ObjectName, ingress: &Ingress) -> Self {
        let mut notes = Vec::new();
        let wish = Wish::read(&ingress.annotations, settings, &id(name), ingress.age, &mut notes);
        let mut written = Self {
            age: ingress.age,
            hosts: FewMap::default(),
            has_default: ingress.default_backend.is_some(),
            upstreams: FewMap::default(),
            services: FewSet::default(),
            tls: IngressCertificates::read(world, name, ingress),
            notes,
            wish,
        };
        let mut told = BTreeSet::new();
        for rule in &ingress.rules {
            for path in &rule.paths {
                let at = [rule.place, path.place];
                let field = format!("spec.rules[{}].http.paths[{}]", rule.place, path.place);
                if path.looks_like_regex {
                    let text = format!(
                        "{field}.path: \"{}\" is compared literally, not as a regular expression",
                        path.path
                    );
                    written.note(name, [at[0], at[1], 0], Problem::warning(id(name), text));
                }
                let (upstream, problem) = written.upstream(world, name, &path.backend);
                if let Some(problem) = problem.filter(|_| told.insert(path.backend.clone())) {
                    let text = format!("{field}.backend.{problem}");
                    written.note(name, [at[0], at[1], 2], Problem::error(id(name), text));
                }
                let matched = match path.kind {
                    PathKind::Exact => PathMatch::Exact(path.path.clone()),
                    PathKind::Prefix => PathMatch::Prefix(path.path.clone()),
                };
                written.add(name, &rule.host, matched, (Some(at), field), upstream);
            }
        }
        if let Some(backend) = &ingress.default_backend {
            written.default_backend(world, name, ingress, backend);
        }
        written
    }

    /// A default backend takes what no rule of its hosts takes, and, the oldest of all Ingresses', what no rule of any
    /// host takes.
    fn default_backend(
        &mut self,
        world: &World<'_>,
        name: &ObjectName,
        ingress: &Ingress,
        backend: &Backend,
    ) {
        let (upstream, problem) = self.upstream(world, name, backend);
        if let Some(problem) = problem {
            let problem = Problem::error(id(name), format!("spec.defaultBackend.{problem}"));
            self.note(name, [usize::MAX, 0, 0], problem);
        }
        let hosts: BTreeSet<&str> = ingress
            .rules
            .iter()
            .map(|r| r.host.as_str())
            .chain([""])
            .collect();
        for host in hosts {
            let field = (None, "spec.defaultBackend".to_owned());
            self.add(
                name,
                host,
                PathMatch::Prefix("/".to_owned()),
                field,
                upstream.clone(),
            );
        }
    }

    fn upstream(
        &mut self,
        world: &World<'_>,
        name: &ObjectName,
        backend: &Backend,
    ) -> (String, Option<String>) {
        let (Resolved { upstream, fed_by }, problem) = resolve(world, name, backend);
        self.services.insert(name.sibling(&backend.service));
        self.upstreams.insert(upstream.clone(), fed_by);
        (upstream, problem)
    }

    fn add(
        &mut self,
        name: &ObjectName,
        host: &str,
        path: PathMatch,
        (field, rule): (Option<[usize; 2]>, String),
        upstream: String,
    ) {
        let matches = RouteMatch {
            path,
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        };
        let source = Source {
            age: self.age,
            object: name.clone(),
            field,
        };
        let candidate = Candidate {
            rank: Rank::new(&matches, &source),
            route: Route {
                matches,
                filters: None,
                backends: vec![WeightedBackend { upstream, weight: 1 }],
                origin: RouteOrigin {
                    kind: RouteKind::Ingress,
                    name: name.to_string(),
                    rule,
                },
            },
            wish: self.wish,
        };
        let at = self.hosts.get_or_default(host.to_owned());
        at.reserve_exact(1);
        at.push(Arc::new(candidate));
    }

    fn note(&mut self, name: &ObjectName, field: [usize; 3], problem: Problem) {
        let place = Place {
            about: About::Rule,
            age: self.age,
            object: name.clone(),
            field,
        };
        self.notes.push((place, problem));
    }
}
