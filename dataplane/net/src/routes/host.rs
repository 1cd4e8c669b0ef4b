//! The routes of one host.

use std::collections::HashMap;
use std::sync::Arc;

use headgate_ring::message::{PathMatch, Route as Definition, RouteKind, RouteMatch, VirtualHost};
use headgate_ring::path;
use regex::Regex;

use super::condition::{Head, pattern};
use super::route::Route;
use crate::fault::Fault;
use crate::hash::Keyed;
use crate::number::Registry;

/// The place of a route among those of its host.
type RouteIndex = u32;

/// Stands behind the last of a chain.
const END: RouteIndex = RouteIndex::MAX;

/// Routes indexed so that a look-up costs as many hash look-ups as the path has elements, however many routes there are,
/// and one run of each regular expression that stands before what is found otherwise. Of all routes that match, the one
/// that stands first wins.
#[derive(Debug)]
pub(super) struct HostRoutes {
    source: Arc<VirtualHost>,
    routes: Vec<Arc<Route>>,
    /// The first Exact route of each path,
    exact: HashMap<Box<str>, RouteIndex, Keyed>,
    /// the first Prefix route of each path, without the slash at its end, so that `/` is the empty string,
    prefix: HashMap<Box<str>, RouteIndex, Keyed>,
    /// and behind each route the next one of the same kind and path.
    next: Vec<RouteIndex>,
    /// In the order of places.
    patterns: Vec<(RouteIndex, Regex)>,
}

impl HostRoutes {
    /// Compiles a host; `previous` lends their numbers to the routes that it had already.
    pub(super) fn build(
        source: &Arc<VirtualHost>,
        previous: Option<&Self>,
        registry: &Registry,
    ) -> Result<Self, Fault> {
        let known: HashMap<RouteIdentity<'_>, &Route> = previous
            .into_iter()
            .flat_map(|previous| {
                previous
                    .routes
                    .iter()
                    .map(|route| (identity(route.definition()), &**route))
            })
            .collect();
        let mut host = Self {
            source: Arc::clone(source),
            routes: Vec::with_capacity(source.routes.len()),
            exact: HashMap::default(),
            prefix: HashMap::default(),
            next: vec![END; source.routes.len()],
            patterns: Vec::new(),
        };
        for (place, route) in source.routes.iter().enumerate() {
            let number = known.get(&identity(route)).map(|known| known.number().clone());
            let made = Route::build(source, place, number, registry)
                .map_err(|fault| fault.within(format_args!("routes[{place}]")))?;
            host.routes.push(Arc::new(made));
        }
        // Backwards, so that each becomes the head of its chain in turn and the first is it in the end.
        for (place, route) in (0..END).zip(&source.routes).rev() {
            host.index(place, &route.matches.path)
                .map_err(|fault| fault.within(format_args!("routes[{place}].matches.path")))?;
        }
        host.patterns.reverse();
        Ok(host)
    }

    fn index(&mut self, place: RouteIndex, path: &PathMatch) -> Result<(), Fault> {
        let (paths, key) = match path {
            PathMatch::Exact(path) => (&mut self.exact, Box::from(&*path::of_rule(path))),
            PathMatch::Prefix(path) => (
                &mut self.prefix,
                Box::from(path::of_rule(path).trim_end_matches('/')),
            ),
            PathMatch::Regex(text) => {
                self.patterns.push((place, pattern(text)?));
                return Ok(());
            }
        };
        if let Some(behind) = paths.insert(key, place) {
            self.next[place as usize] = behind;
        }
        Ok(())
    }

    pub(super) fn source(&self) -> &Arc<VirtualHost> {
        &self.source
    }

    pub(super) fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    pub(super) fn find(&self, path: &str, head: &impl Head) -> Option<&Arc<Route>> {
        let mut best = END;
        if let Some(first) = self.exact.get(path) {
            self.follow(*first, head, &mut best);
        }
        if !self.prefix.is_empty() {
            let slashes = path.bytes().enumerate().filter(|(_, b)| *b == b'/');
            for end in slashes.map(|(i, _)| i).chain([path.len()]) {
                if let Some(first) = self.prefix.get(&path[..end]) {
                    self.follow(*first, head, &mut best);
                }
            }
        }
        let before = self.patterns.iter().take_while(|(place, _)| *place < best);
        let mut matching = before
            .filter(|(place, pattern)| self.routes[*place as usize].admits(head) && pattern.is_match(path));
        let place = matching.next().map_or(best, |(place, _)| *place);
        self.routes.get(place as usize)
    }

    /// Looks for a route that stands before `best` and whose other conditions hold.
    fn follow(&self, first: RouteIndex, head: &impl Head, best: &mut RouteIndex) {
        let mut place = first;
        while place < *best {
            if self.routes[place as usize].admits(head) {
                *best = place;
            }
            place = self.next[place as usize];
        }
    }
}

/// What makes a route the same as before. The rule's place in its object is no part of it: a path that is put in front
/// moves all others.
type RouteIdentity<'a> = (&'a RouteMatch, RouteKind, &'a str);

fn identity(route: &Definition) -> RouteIdentity<'_> {
    (&route.matches, route.origin.kind, &route.origin.name)
}
