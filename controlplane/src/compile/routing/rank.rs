//! The one order in which the routes of a host are tried, whatever kind of object they come from.
//!
//! It is that of the Gateway API (HTTPRouteRule.matches: the exact path, then the prefix with the most characters, then
//! a method, then the most headers, then the most query parameters, then the older object, then its name, then the first
//! in the object), which says of the Ingress API's two kinds of paths what that says itself. Regular expressions, which
//! both leave open, stand between exact paths and prefixes, the longer expression first: so nginx tries them, and so
//! ingress-nginx sorts them. Hosts are no part of it: the exact host stands before the wildcard by the look-up itself.

use std::cmp::Reverse;

use headgate_ring::message::{PathMatch, RouteMatch};
use headgate_ring::path::of_rule;

use crate::model::{Age, ObjectName};

/// Where a route stands among those of its host: the lesser is tried first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    kind: MatchKind,
    /// Characters of the path or expression, the most first.
    length: Reverse<usize>,
    /// A route that names no method stands behind.
    any_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    /// A default backend stands behind all that is written down for the same requests, by whomever.
    fallback: bool,
    age: Age,
    object: ObjectName,
    /// Places in the object.
    field: [usize; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MatchKind {
    Exact,
    Regex,
    Prefix,
}

/// The object of a route, and the place in it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) age: Age,
    pub(super) object: ObjectName,
    /// Of the rule and of the path in it; `None` for a default backend.
    pub(super) field: Option<[usize; 2]>,
}

impl Rank {
    /// Of the object that the route is of.
    pub(super) fn age(&self) -> Age {
        self.age
    }

    /// The object that the route is of.
    pub(super) fn object(&self) -> &ObjectName {
        &self.object
    }

    /// The places of its rule and of the path in that; `None` for a default backend, which is told of as a whole.
    pub(super) fn field(&self) -> Option<[usize; 2]> {
        (!self.fallback).then_some(self.field)
    }

    pub(super) fn new(matches: &RouteMatch, source: &Source) -> Self {
        let (kind, text) = match &matches.path {
            PathMatch::Exact(path) => (MatchKind::Exact, of_rule(path)),
            PathMatch::Regex(pattern) => (MatchKind::Regex, pattern.into()),
            PathMatch::Prefix(path) => (MatchKind::Prefix, of_rule(path)),
        };
        Self {
            kind,
            length: Reverse(text.chars().count()),
            any_method: matches.method.is_none(),
            headers: Reverse(matches.headers.len()),
            query: Reverse(matches.query.len()),
            fallback: source.field.is_none(),
            age: source.age,
            object: source.object.clone(),
            field: source.field.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use headgate_ring::message::{TextMatch, ValueMatch};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn any_age() -> impl Strategy<Value = Age> {
        const TIMES: [&str; 3] = ["", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"];
        select(&TIMES[..]).prop_map(|time| {
            let metadata = match time {
                "" => serde_json::json!({}),
                time => serde_json::json!({"creationTimestamp": time}),
            };
            crate::model::age(&serde_json::from_value(metadata).expect("metadata"))
        })
    }

    fn any_match() -> impl Strategy<Value = RouteMatch> {
        let path = (0..3, "/[ab]{0,3}").prop_map(|(kind, text)| match kind {
            0 => PathMatch::Exact(text),
            1 => PathMatch::Regex(text),
            _ => PathMatch::Prefix(text),
        });
        let values = |count: usize| {
            let value = ValueMatch {
                name: "x".into(),
                value: TextMatch::Exact("1".into()),
            };
            vec![value; count]
        };
        (path, any::<bool>(), 0..3usize, 0..3usize).prop_map(move |(path, method, headers, query)| {
            RouteMatch {
                path,
                method: method.then(|| "GET".into()),
                headers: values(headers),
                query: values(query),
            }
        })
    }

    fn any_route() -> impl Strategy<Value = (RouteMatch, Source)> {
        let field = prop::option::of([0..2usize, 0..2usize]);
        let source = (any_age(), select(&["a", "b"][..]), field).prop_map(|(age, name, field)| Source {
            age,
            object: ObjectName::new("ns", name),
            field,
        });
        (any_match(), source)
    }

    /// The words of the Gateway API, one after the other; `None` where they leave it open.
    fn precedes(a: &(RouteMatch, Source), b: &(RouteMatch, Source)) -> Option<bool> {
        let exact = |m: &RouteMatch| matches!(m.path, PathMatch::Exact(_));
        let prefix = |m: &RouteMatch| match &m.path {
            PathMatch::Prefix(path) => Some(path.len()),
            _ => None,
        };
        let ((a, from_a), (b, from_b)) = (a, b);
        if exact(a) != exact(b) {
            return Some(exact(a));
        }
        match (prefix(a), prefix(b)) {
            (Some(a), Some(b)) if a != b => return Some(a > b),
            (Some(_), Some(_)) => {}
            // Between expressions, between exact paths (of which one request has one), and for expressions.
            _ if a.path != b.path => return None,
            _ => {}
        }
        if a.method.is_some() != b.method.is_some() {
            return Some(a.method.is_some());
        }
        if a.headers.len() != b.headers.len() {
            return Some(a.headers.len() > b.headers.len());
        }
        if a.query.len() != b.query.len() {
            return Some(a.query.len() > b.query.len());
        }
        if from_a.field.is_some() != from_b.field.is_some() {
            return Some(from_a.field.is_some());
        }
        let older = (from_a.age, &from_a.object, from_a.field) < (from_b.age, &from_b.object, from_b.field);
        Some(older)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn the_order_is_total_transitive_and_that_of_the_specification(routes in [any_route(), any_route(), any_route()]) {
            let [a, b, c] = routes.each_ref().map(|(matches, source)| Rank::new(matches, source));
            prop_assert_eq!([a < b, b < a, a == b].iter().filter(|holds| **holds).count(), 1);
            prop_assert!(!(a <= b && b <= c) || a <= c);
            if let (Some(precedes), true) = (precedes(&routes[0], &routes[1]), a != b) {
                prop_assert_eq!(a < b, precedes, "{:?} {:?}", &routes[0], &routes[1]);
            }
        }
    }
}
