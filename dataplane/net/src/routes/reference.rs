//! What a request's route is, by the words of the contract alone: one route after the other.

use std::sync::Arc;

use headgate_ring::message::{PathMatch, Route, TextMatch, ValueMatch, VirtualHost};
use regex::Regex;

use super::condition::{Head, parameter};
use headgate_ring::path::of_rule;

/// The host's place and the route's, of the route for a request; `path` is in normal form.
#[must_use]
pub fn find(hosts: &[Arc<VirtualHost>], host: &str, path: &str, head: &impl Head) -> Option<(usize, usize)> {
    let named = |name: &str| hosts.iter().position(|h| h.host == name && !name.is_empty());
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let specific = named(host).or_else(|| named(&wildcard?));
    let any = hosts.iter().position(|h| h.host.is_empty());
    specific.into_iter().chain(any).find_map(|h| {
        let route = hosts[h]
            .routes
            .iter()
            .position(|route| matches(route, path, head));
        Some((h, route?))
    })
}

fn matches(route: &Route, path: &str, head: &impl Head) -> bool {
    let wanted = &route.matches;
    let path = match &wanted.path {
        PathMatch::Exact(rule) => of_rule(rule) == path,
        PathMatch::Prefix(rule) => elements(path).starts_with(&elements(&of_rule(rule))),
        PathMatch::Regex(pattern) => Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(path)),
    };
    let header = |wanted: &ValueMatch| head.any_header(&wanted.name, &mut |value| text(&wanted.value, value));
    let query = |wanted: &ValueMatch| {
        let found = head.query().and_then(|query| parameter(query, &wanted.name));
        found.is_some_and(|value| text(&wanted.value, &value))
    };
    path && wanted
        .method
        .as_deref()
        .is_none_or(|method| method == head.method())
        && wanted.headers.iter().all(header)
        && wanted.query.iter().all(query)
}

fn elements(path: &str) -> Vec<&str> {
    path.split('/').filter(|e| !e.is_empty()).collect()
}

fn text(wanted: &TextMatch, value: &[u8]) -> bool {
    match (wanted, str::from_utf8(value)) {
        (TextMatch::Exact(text), _) => text.as_bytes() == value,
        (TextMatch::Regex(pattern), Ok(value)) => {
            Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(value))
        }
        (TextMatch::Regex(_), Err(_)) => false,
    }
}
