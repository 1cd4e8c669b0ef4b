//! What a request asks for (RFC 9112, section 3.2), and of whom.

use std::borrow::Cow;

use super::RefusedRequest;

/// A request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'b> {
    /// Begins with a slash; `*` of a request for all of a server.
    pub(crate) path: &'b str,
    /// Behind the question mark.
    pub(crate) query: Option<&'b str>,
    /// Of an absolute target: who is asked, whatever Host says.
    pub(crate) authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// Reads the target of a request that is no CONNECT. There is no `#` in one: whether a rule looks at what stands before it
    /// or at all of it would be anybody's guess.
    pub(crate) fn of(method: &str, target: &'b str) -> Result<Self, RefusedRequest> {
        const NONE: RefusedRequest = RefusedRequest::bad("the request target is neither a path nor a URL");
        if find(target, |byte| byte == b'#').is_some() {
            return Err(RefusedRequest::bad("the request target has a fragment"));
        }
        if target == "*" && method == "OPTIONS" {
            return Ok(Self {
                path: target,
                query: None,
                authority: None,
            });
        }
        let (authority, rest) = if target.starts_with('/') {
            (None, target)
        } else {
            let rest = strip_scheme(target).ok_or(NONE)?;
            let end = find(rest, |byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        };
        if authority == Some("") {
            return Err(NONE);
        }
        let (path, query) = match find(rest, |byte| byte == b'?') {
            Some(mark) => (&rest[..mark], Some(&rest[mark + 1..])),
            None => (rest, None),
        };
        Ok(Self {
            path: if path.is_empty() { "/" } else { path },
            query,
            authority,
        })
    }
}

/// Where the first byte of a kind stands, which is one of ASCII.
fn find(text: &str, is: impl Fn(u8) -> bool) -> Option<usize> {
    text.bytes().position(is)
}

/// What stands behind a scheme, whichever it is (RFC 3986, section 3.1): it is the listener's that counts.
fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(byte);
    good.then_some(rest)
}

/// The host that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host<'b> {
    /// As the client wrote it, with its port.
    pub(crate) text: &'b str,
    /// For routing: lower case, without port or a dot at the end.
    pub(crate) name: Cow<'b, str>,
}

/// Why a request's host is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHost;

impl<'b> Host<'b> {
    /// Reads a Host field or the authority of a target: no user information, no empty labels, nothing that a pod could read as
    /// something else.
    pub(crate) fn of(text: &'b [u8]) -> Result<Self, BadHost> {
        let plain = is_plain_name(text);
        let text = std::str::from_utf8(text).map_err(|_| BadHost)?;
        if plain {
            let name = Cow::Borrowed(text);
            return Ok(Self { text, name });
        }
        let (host, port) = split_port(text).ok_or(BadHost)?;
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err(BadHost);
        }
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match literal {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        if !good {
            return Err(BadHost);
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        Ok(Self { text, name })
    }
}

/// Whether a host is a name in lower case, as nearly all are: then that is all there is to know.
fn is_plain_name(host: &[u8]) -> bool {
    let mut before = b'.';
    let good = host.iter().all(|byte| {
        let dot = *byte == b'.';
        let good = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') || dot && before != b'.';
        before = *byte;
        good
    });
    good && before != b'.'
}

/// Host and port, which is empty where there is none.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('[') {
        find(text, |byte| byte == b']')? + 1
    } else {
        find(text, |byte| byte == b':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => Some((host, port)),
        None if rest.is_empty() => Some((host, "")),
        _ => None,
    }
}

fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let mut before = b'.';
    let good = host.bytes().all(|b| {
        let good = byte(b) || b == b'.' && before != b'.';
        before = b;
        good
    });
    good && before != b'.'
}
