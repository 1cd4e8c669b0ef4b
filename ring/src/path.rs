//! Paths in the form in which [`PathMatch`](crate::message::PathMatch)es are compared: the one plane looks for two rules that
//! are the same, the other for the rule of a request.

use std::borrow::Cow;

/// A path that no rule can be asked about: a bad escape, an escaped NUL, dots that climb above the root, or dots that
/// only some servers take for such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPath;

/// The path of a request in the form that rules are compared with.
///
/// Escapes are decoded, dot segments resolved (RFC 3986 section 6.2.2) and runs of slashes merged, as nginx does before
/// it matches a location; `%2F` counts as a slash. A pod that normalises what it gets therefore never sees a path that
/// its rules did not cover: `/public/../admin` and `/public/%2e%2e/admin` are routed as `/admin`. The pod itself gets
/// the path as the client sent it.
///
/// Servlet containers cut `;…` off an element before they look for dots, and some servers take a backslash for a slash:
/// to them `/public/..;/admin` and `/public/..\admin` are `/admin`, to all others they are not. No rule can be right for
/// both, so elements with such dots are bad.
///
/// # Errors
/// As [`BadPath`] says.
pub fn normal(path: &str) -> Result<Cow<'_, str>, BadPath> {
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = unescape(path);
    if !decoded.sound {
        return Err(BadPath);
    }
    let normal = resolve(&decoded.bytes)?;
    // Bytes that are not UTF-8 can match no rule, but a Prefix above them may.
    Ok(Cow::Owned(String::from_utf8(normal).unwrap_or_else(|e| {
        String::from_utf8_lossy(e.as_bytes()).into_owned()
    })))
}

/// Whether a path is in its normal form and hides nothing. Asked for each request, hence in one pass.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let plain = byte != b'%'
            && !(byte == b'/' && before == b'/')
            && !(byte == b'.' && matches!(before, b'/' | b'\\'));
        before = byte;
        plain
    })
}

/// The path of a rule in the same form: `/p%C3%A9` and `/pé` are one. What cannot be in a normal path (a percent sign
/// that is no escape) stands for itself; a path that has no normal form stays as it is, and matches nothing.
#[must_use]
pub fn of_rule(path: &str) -> Cow<'_, str> {
    if matches!(normal(path), Ok(Cow::Borrowed(_))) {
        return Cow::Borrowed(path);
    }
    let normal = resolve(&unescape(path).bytes).ok();
    let text = normal.and_then(|normal| String::from_utf8(normal).ok());
    text.map_or(Cow::Borrowed(path), Cow::Owned)
}

fn resolve(decoded: &[u8]) -> Result<Vec<u8>, BadPath> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut elements = decoded.split(|b| *b == b'/').skip(1).peekable();
    let mut directory = false;
    while let Some(element) = elements.next() {
        directory = matches!(element, b"" | b"." | b"..") && elements.peek().is_none();
        match element {
            b"" | b"." => {}
            b".." => {
                kept.pop().ok_or(BadPath)?;
            }
            name if hides_dots(name) => return Err(BadPath),
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
    Ok(normal)
}

/// Whether an element that is no dot segment is one, or holds one, for servers that cut parameters off or take
/// backslashes for slashes.
fn hides_dots(element: &[u8]) -> bool {
    let without_parameters = |part: &[u8]| {
        let end = part.iter().position(|b| *b == b';').unwrap_or(part.len());
        matches!(&part[..end], b"." | b"..")
    };
    element.split(|b| *b == b'\\').any(without_parameters)
}

/// A text without its escapes.
#[derive(Debug)]
pub struct Unescaped {
    /// UTF-8 or not.
    pub bytes: Vec<u8>,
    /// Whether every percent sign began an escape of another byte than NUL; all others stand for themselves in `bytes`.
    pub sound: bool,
}

/// Decodes the escapes of a text (RFC 3986, section 2.1).
#[must_use]
pub fn unescape(text: &str) -> Unescaped {
    let bytes = text.as_bytes();
    let mut unescaped = Unescaped {
        bytes: Vec::with_capacity(bytes.len()),
        sound: true,
    };
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| escape(bytes.get(at + 1..at + 3)));
        at += 1;
        match escaped {
            Some(Some(byte)) => {
                unescaped.bytes.push(byte);
                at += 2;
            }
            Some(None) => {
                unescaped.bytes.push(b'%');
                unescaped.sound = false;
            }
            None => unescaped.bytes.push(*byte),
        }
    }
    unescaped
}

/// The byte of two hexadecimal digits, unless it is NUL.
fn escape(digits: Option<&[u8]>) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let [high, low] = digits? else { return None };
    Some(digit(*high)? << 4 | digit(*low)?).filter(|byte| *byte != 0)
}
