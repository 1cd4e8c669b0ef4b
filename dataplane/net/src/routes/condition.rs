//! What a route asks of a request beyond host and path.

use std::borrow::Cow;

use headgate_ring::message::{RouteMatch, TextMatch, ValueMatch};
use regex::{Regex, RegexBuilder};

use crate::fault::Fault;
use headgate_ring::path::unescape;

/// Bytes that a regular expression may take when compiled, and as many again while it runs. An expression of some
/// hundred characters takes a tenth of it, unless it repeats classes of Unicode hundreds of times.
const PATTERN_BYTES: usize = 1 << 20;

/// The head of a request, as far as routes ask for it.
pub trait Head {
    /// As on the request line.
    fn method(&self) -> &str;

    /// Whether any value of the header satisfies `is`. The name is in lower case.
    fn any_header(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool;

    /// What stands behind the question mark, as it came.
    fn query(&self) -> Option<&str>;
}

/// Compiles a regular expression of a route.
pub(crate) fn pattern(text: &str) -> Result<Regex, Fault> {
    RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build()
        .map_err(|error| {
            let reason = match error {
                regex::Error::CompiledTooBig(limit) => format!("takes more than {limit} bytes when compiled"),
                error => error.to_string(),
            };
            Fault::new(
                "",
                format!("{text:?} is not a regular expression that can be used: {reason}"),
            )
        })
}

#[derive(Debug)]
pub(super) struct Conditions {
    method: Option<Box<str>>,
    headers: Box<[Value]>,
    query: Box<[Value]>,
}

#[derive(Debug)]
struct Value {
    name: Box<str>,
    text: Text,
}

#[derive(Debug)]
enum Text {
    Exact(Box<str>),
    Pattern(Regex),
}

impl Text {
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Pattern(pattern) => str::from_utf8(value).is_ok_and(|value| pattern.is_match(value)),
        }
    }
}

impl Conditions {
    /// `None` where nothing is asked.
    pub(super) fn compile(matches: &RouteMatch) -> Result<Option<Self>, Fault> {
        let RouteMatch {
            path: _,
            method,
            headers,
            query,
        } = matches;
        if method.is_none() && headers.is_empty() && query.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            method: method.as_deref().map(Into::into),
            headers: values(headers, "headers")?,
            query: values(query, "query")?,
        }))
    }

    pub(super) fn hold(&self, head: &impl Head) -> bool {
        self.method
            .as_deref()
            .is_none_or(|method| method == head.method())
            && self
                .headers
                .iter()
                .all(|header| head.any_header(&header.name, &mut |value| header.text.matches(value)))
            && self.query.iter().all(|wanted| {
                let found = head.query().and_then(|query| parameter(query, &wanted.name));
                found.is_some_and(|value| wanted.text.matches(&value))
            })
    }
}

fn values(wanted: &[ValueMatch], field: &str) -> Result<Box<[Value]>, Fault> {
    let value = |(i, wanted): (usize, &ValueMatch)| {
        let text = match &wanted.value {
            TextMatch::Exact(text) => Text::Exact(text.as_str().into()),
            TextMatch::Regex(text) => Text::Pattern(
                pattern(text).map_err(|fault| fault.within(format_args!("matches.{field}[{i}].value")))?,
            ),
        };
        Ok(Value {
            name: wanted.name.as_str().into(),
            text,
        })
    };
    wanted.iter().enumerate().map(value).collect()
}

/// The first parameter of this name, decoded as forms are (`+` is a blank; an escape that is none stays as it is).
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*form(key) == *name.as_bytes()).then(|| form(value))
    })
}

fn form(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text.as_bytes());
    }
    Cow::Owned(unescape(&text.replace('+', " ")).bytes)
}
