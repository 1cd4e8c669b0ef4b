//! From the host and path of a request to the upstream that it goes to.
//!
//! The most specific host that the configuration knows wins (the name itself, then `*.` and the name without its first
//! label), and its rules are tried in their order. Where none of them matches, the rules without a host are tried.
//! A request to a known host never reaches the rules of a less specific named host: with `*.example.com` and
//! `api.example.com`, an unknown path of the latter is 404 (or the default backend), as with ingress-nginx.

use std::borrow::Cow;
use std::collections::HashMap;

use headgate_ring::message::{PathKind, VirtualHost};

use super::config::{ConfigError, is_host_pattern};

/// The rules of every host.
#[derive(Debug, Default)]
pub(super) struct Routes {
    exact: HashMap<Box<str>, HostRules>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, HostRules>,
    any: Option<HostRules>,
}

/// Where a rule sends its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Place in `Config::upstreams`; `None` where the upstream is missing, which answers 503.
    pub(super) upstream: Option<usize>,
}

/// The rules of one host, indexed so that a look-up costs as many hash look-ups as the path has elements, however
/// many rules there are. Of all rules that match, the one that stands first wins.
#[derive(Debug, Default)]
pub(super) struct HostRules {
    targets: Vec<Target>,
    /// The first Exact rule of each path.
    exact: HashMap<Box<str>, usize>,
    /// The first Prefix rule of each path; without the slash at its end, so `/` is the empty string.
    prefix: HashMap<Box<str>, usize>,
}

impl Routes {
    pub(super) fn build<'a>(
        hosts: impl IntoIterator<Item = &'a VirtualHost>,
        upstream: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, ConfigError> {
        let mut routes = Self::default();
        for host in hosts {
            if !is_host_pattern(&host.host) {
                return Err(ConfigError::Host {
                    object: "virtual host".into(),
                    host: host.host.clone(),
                });
            }
            let rules = HostRules::build(host, &upstream)?;
            let previous = match host.host.strip_prefix("*.") {
                _ if host.host.is_empty() => routes.any.replace(rules),
                Some(parent) => routes.wildcard.insert(parent.into(), rules),
                None => routes.exact.insert(host.host.as_str().into(), rules),
            };
            if previous.is_some() {
                return Err(ConfigError::Duplicate {
                    object: format!("virtual host {:?}", host.host),
                });
            }
        }
        Ok(routes)
    }

    /// The rule for a request. `host` is in lower case without port or dot at its end; `path` is [`normal`].
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&Target> {
        let named = self.exact.get(host).or_else(|| {
            let (_, parent) = host.split_once('.')?;
            self.wildcard.get(parent)
        });
        named
            .and_then(|rules| rules.find(path))
            .or_else(|| self.any.as_ref()?.find(path))
    }
}

impl HostRules {
    fn build(host: &VirtualHost, upstream: impl Fn(&str) -> Option<usize>) -> Result<Self, ConfigError> {
        let mut rules = Self::default();
        for rule in &host.rules {
            if !rule.path.starts_with('/') || rule.path.chars().any(char::is_control) {
                return Err(ConfigError::Path {
                    host: host.host.clone(),
                    ingress: rule.ingress.clone(),
                    path: rule.path.clone(),
                });
            }
            let place = rules.targets.len();
            rules.targets.push(Target {
                upstream: upstream(&rule.upstream),
            });
            match rule.kind {
                PathKind::Exact => rules.exact.entry(rule.path.as_str().into()).or_insert(place),
                PathKind::Prefix => rules
                    .prefix
                    .entry(rule.path.trim_end_matches('/').into())
                    .or_insert(place),
            };
        }
        Ok(rules)
    }

    fn find(&self, path: &str) -> Option<&Target> {
        let exact = self.exact.get(path).copied();
        let ends = path
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'/')
            .map(|(i, _)| i);
        let prefix = ends
            .chain([path.len()])
            .filter_map(|end| self.prefix.get(&path[..end]).copied());
        exact
            .into_iter()
            .chain(prefix)
            .min()
            .map(|place| &self.targets[place])
    }
}

/// A path that no rule can be asked about: a bad escape, an escaped NUL, or dots that climb above the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPath;

/// The path of a request in the form that rules are compared with.
///
/// Escapes are decoded, dot segments resolved (RFC 3986 section 6.2.2) and runs of slashes merged, as nginx does before
/// it matches a location; `%2F` counts as a slash. A pod that normalises what it gets therefore never sees a path that
/// its rules did not cover: `/public/../admin` and `/public/%2e%2e/admin` are routed as `/admin`. The pod itself gets
/// the path as the client sent it.
pub(super) fn normal(path: &str) -> Result<Cow<'_, str>, BadPath> {
    let plain = !path.contains('%') && !path.contains("//") && !path.contains("/.");
    if plain {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path)?;
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut elements = decoded.split(|b| *b == b'/').skip(1).peekable();
    let mut directory = false;
    while let Some(element) = elements.next() {
        directory = matches!(element, b"" | b"." | b"..") && elements.peek().is_none();
        match element {
            b"" | b"." => {}
            b".." => drop(kept.pop().ok_or(BadPath)?),
            name => kept.push(name),
        }
    }
    let mut normal = Vec::with_capacity(decoded.len());
    for element in &kept {
        normal.push(b'/');
        normal.extend_from_slice(element);
    }
    if directory || kept.is_empty() {
        normal.push(b'/');
    }
    // Bytes that are not UTF-8 can match no rule, but a Prefix above them may.
    Ok(Cow::Owned(String::from_utf8(normal).unwrap_or_else(|e| {
        String::from_utf8_lossy(e.as_bytes()).into_owned()
    })))
}

fn decode(path: &str) -> Result<Vec<u8>, BadPath> {
    let hex = |b: Option<&u8>| {
        b.and_then(|b| char::from(*b).to_digit(16))
            .and_then(|d| u8::try_from(d).ok())
    };
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            decoded.push(*byte);
            at += 1;
            continue;
        }
        let (high, low) = (
            hex(bytes.get(at + 1)).ok_or(BadPath)?,
            hex(bytes.get(at + 2)).ok_or(BadPath)?,
        );
        match high << 4 | low {
            0 => return Err(BadPath),
            byte => decoded.push(byte),
        }
        at += 3;
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;
