//! What a client gets, read by the letter.

use super::pod::{FENCE_FIELD, escaped};

/// Fields that say nothing of what is tried.
const USUAL: [&str; 7] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
];

/// One answer, interim ones too.
#[derive(Debug)]
pub(super) struct Answer {
    /// `headless` where it is none of HTTP/1.
    pub(super) status: String,
    /// That the connection ends after it.
    pub(super) says_close: bool,
    pub(super) state: State,
    /// Body, fields and trailers.
    pub(super) content: String,
    /// Says what Headgate's own answers say (`docs/l7.md`): who answers, why, and the request's ID.
    pub(super) is_headgates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Whole,
    /// More must come.
    Begun,
    /// Its framing is broken.
    Garbage,
}

/// The answers in these bytes, which may go on where the connection is `open`; to `head` there are no bodies.
pub(super) fn answers(mut bytes: &[u8], open: bool, head: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let (answer, rest) = answer(bytes, open, head);
        if answer.state != State::Whole {
            answers.push(answer);
            break;
        }
        answers.push(answer);
        bytes = rest;
    }
    answers
}

fn answer(bytes: &[u8], open: bool, to_head: bool) -> (Answer, &[u8]) {
    let of = |status: &str, state| Answer {
        status: status.to_owned(),
        says_close: true,
        state,
        content: String::new(),
        is_headgates: false,
    };
    if !bytes.starts_with(b"HTTP/1.") {
        return (of("headless", State::Garbage), bytes);
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return (of("half", State::Begun), bytes);
    };
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.trim_ascii_end());
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let status = first.split(' ').nth(1).unwrap_or("?").to_owned();
    let fields: Vec<(String, &[u8])> = lines.map(field).collect();
    let value = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1);
    let empty = to_head
        || status.starts_with('1')
        || ["204", "304"].contains(&status.as_str())
        // An answer to HEAD beside other requests.
        || rest.starts_with(b"HTTP/1.");
    let length = value("content-length").and_then(|l| std::str::from_utf8(l).ok()?.parse().ok());
    let before = rest;
    let (state, body, rest) = if empty {
        (State::Whole, String::new(), rest)
    } else if value("transfer-encoding").is_some() {
        chunked(rest)
    } else if let Some(length) = length {
        match rest.split_at_checked(length) {
            Some((body, rest)) => (State::Whole, quoted("", body), rest),
            None => (State::Begun, String::new(), rest),
        }
    } else if open {
        (State::Begun, String::new(), rest)
    } else {
        (State::Whole, quoted("until close ", rest), &rest[rest.len()..])
    };
    let is_headgates = is_headgates(&status, value, &before[..before.len() - rest.len()]);
    let told = fields
        .iter()
        .filter(|field| !USUAL.contains(&field.0.as_str()) && field.0 != FENCE_FIELD);
    let told = told.map(|(name, value)| format!(" {name}={}", escaped(value)));
    let answer = Answer {
        status,
        says_close: value("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close")),
        state,
        content: format!("{body}{}", told.collect::<String>())
            .trim_start()
            .to_owned(),
        is_headgates,
    };
    (answer, rest)
}

/// A line with the status and the reason, a line with the ID; no text to HEAD.
fn is_headgates<'f>(status: &str, value: impl Fn(&str) -> Option<&'f [u8]>, text: &[u8]) -> bool {
    let id = String::from_utf8_lossy(value("x-request-id").unwrap_or_default());
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let tells = match lines.as_slice() {
        [] => true,
        [why, whose] => why.starts_with(&format!("{status} ")) && *whose == format!("request {id}"),
        _ => false,
    };
    let plain = value("content-type").is_some_and(|kind| kind.starts_with(b"text/plain"));
    tells && plain && !id.is_empty() && value("server") == Some(b"headgate") && value("date").is_some()
}

fn field(line: &[u8]) -> (String, &[u8]) {
    let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
    let name = escaped(&line[..colon]).to_ascii_lowercase();
    (name, line.get(colon + 1..).unwrap_or_default().trim_ascii())
}

fn quoted(how: &str, body: &[u8]) -> String {
    format!("{how}\"{}\"", escaped(body))
}

/// The body and trailers at the start of these bytes, and what follows.
fn chunked(mut bytes: &[u8]) -> (State, String, &[u8]) {
    let mut body = Vec::new();
    loop {
        let Some((line, rest)) = line(bytes) else {
            return (State::Begun, String::new(), bytes);
        };
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size else {
            return (State::Garbage, String::new(), bytes);
        };
        if size == 0 {
            let (state, trailers, rest) = trailers(rest);
            return (state, quoted("chunked ", &body) + &trailers, rest);
        }
        let Some((data, rest)) = rest.split_at_checked(size + 2) else {
            return (State::Begun, String::new(), bytes);
        };
        let Some(data) = data.strip_suffix(b"\r\n") else {
            return (State::Garbage, String::new(), bytes);
        };
        body.extend(data);
        bytes = rest;
    }
}

fn trailers(mut bytes: &[u8]) -> (State, String, &[u8]) {
    let mut trailers = String::new();
    while let Some((line, rest)) = line(bytes) {
        bytes = rest;
        if line.is_empty() {
            return (State::Whole, trailers, bytes);
        }
        trailers += &format!(" trailer {}", escaped(line).to_ascii_lowercase());
    }
    (State::Begun, String::new(), bytes)
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}
