//! One host: the routes that objects want to have there, and who gets them.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use headgate_ring::message::{PathMatch, Route, RouteMatch, RouteOrigin, VirtualHost};
use headgate_ring::path::of_rule;

use super::ingress::{Candidate, id};
use super::rank::Rank;
use crate::compile::Settings;
use crate::compile::notes::{About, Note, Place};
use crate::few::FewSet;
use crate::model::ObjectName;
use crate::problem::Problem;

#[derive(Debug, Default)]
pub(super) struct Host {
    candidates: FewSet<Ranked>,
    /// Who takes what no other route takes, and whether by a default backend.
    root: Option<(ObjectName, bool)>,
}

/// A route in its place.
#[derive(Debug)]
struct Ranked(Arc<Candidate>);

impl Borrow<Rank> for Ranked {
    fn borrow(&self) -> &Rank {
        &self.0.rank
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.0.rank == other.0.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.rank.cmp(&other.0.rank)
    }
}

impl Host {
    pub(super) fn insert(&mut self, candidate: Arc<Candidate>) {
        self.candidates.insert(Ranked(candidate));
    }

    pub(super) fn remove(&mut self, candidate: &Candidate) {
        self.candidates.remove(&candidate.rank);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Who takes what no other route takes.
    pub(super) fn root(&self) -> Option<&ObjectName> {
        self.root.as_ref().map(|(name, _)| name)
    }

    /// Whether that is the default backend of this object.
    pub(super) fn falls_back_to(&self, object: &ObjectName) -> bool {
        self.root
            .as_ref()
            .is_some_and(|(name, fallback)| *fallback && name == object)
    }

    /// The routes in their order. Of two for the same requests the first has them: what is written down before a default
    /// backend, the older object before the younger. Where none takes all that is left, `fallback` does, redirected as the
    /// oldest object of the host wants it.
    pub(super) fn compile(
        &mut self,
        name: &str,
        has_tls: bool,
        fallback: Option<Route>,
        settings: &Settings,
    ) -> (VirtualHost, Vec<Note>) {
        let mut taken: HashMap<Cow<'_, RouteMatch>, &RouteOrigin> = HashMap::new();
        let (mut routes, mut notes) = (Vec::new(), Vec::new());
        self.root = None;
        for Ranked(candidate) in self.candidates.iter() {
            let matches = &candidate.route.matches;
            let normal = normal(matches);
            if let Some(holder) = taken.get(&*normal) {
                notes.extend(contested(candidate, holder, name));
                continue;
            }
            taken.insert(normal, &candidate.route.origin);
            if matches!(&matches.path, PathMatch::Prefix(path) if path == "/") {
                self.root = Some((candidate.rank.object().clone(), candidate.rank.field().is_none()));
            }
            let mut route = candidate.route.clone();
            route.filters = candidate.wish.filters(&matches.path, has_tls, settings);
            routes.push(route);
        }
        if let (Some(mut route), None) = (fallback, &self.root) {
            let oldest = self
                .candidates
                .iter()
                .map(|c| &c.0)
                .min_by_key(|c| (c.rank.age(), c.rank.object()));
            let wish = oldest.map(|candidate| candidate.wish).unwrap_or_default();
            route.filters = wish.filters(&route.matches.path, has_tls, settings);
            routes.push(route);
        }
        // It is kept, and mostly one.
        routes.shrink_to_fit();
        let host = name.to_owned();
        (VirtualHost { host, routes }, notes)
    }
}

/// What tells requests apart: `/p%C3%A9` and `/pé` are one path.
fn normal(matches: &RouteMatch) -> Cow<'_, RouteMatch> {
    let path = match &matches.path {
        PathMatch::Exact(path) => match of_rule(path) {
            Cow::Owned(path) => PathMatch::Exact(path),
            Cow::Borrowed(_) => return Cow::Borrowed(matches),
        },
        PathMatch::Prefix(path) => match of_rule(path) {
            Cow::Owned(path) => PathMatch::Prefix(path),
            Cow::Borrowed(_) => return Cow::Borrowed(matches),
        },
        PathMatch::Regex(_) => return Cow::Borrowed(matches),
    };
    Cow::Owned(RouteMatch {
        path,
        ..matches.clone()
    })
}

/// The line of a route that another object has.
fn contested(candidate: &Candidate, holder: &RouteOrigin, host: &str) -> Option<Note> {
    let [rule, path] = candidate.rank.field()?;
    let host = if host.is_empty() { "any host" } else { host };
    let wanted = match &candidate.route.matches.path {
        PathMatch::Exact(path) => format!("Exact \"{path}\""),
        PathMatch::Prefix(path) => format!("Prefix \"{path}\""),
        PathMatch::Regex(pattern) => format!("the expression \"{pattern}\""),
    };
    let text = format!(
        "{}.path: {wanted} of {host} belongs to {} {} already",
        candidate.route.origin.rule, holder.kind, holder.name
    );
    let place = Place {
        about: About::Rule,
        age: candidate.rank.age(),
        object: candidate.rank.object().clone(),
        field: [rule, path, 1],
    };
    Some((place, Problem::error(id(candidate.rank.object()), text)))
}
