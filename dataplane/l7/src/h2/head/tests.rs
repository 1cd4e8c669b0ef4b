//! Sections, as fields.

mod any;
mod requests;
mod responses;
mod same;

use super::{BadRequest, MalformedMessage, RequestSection};
use crate::h1::RefusedRequest;

/// Fields in lines, with `name: value`; the name ends at the first colon that is not its own first byte.
fn pairs(lines: &str) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.lines().map(|line| {
        let colon = 1 + line[1..].find(':').unwrap();
        (
            &line.as_bytes()[..colon],
            line[colon + 1..].strip_prefix(' ').unwrap_or("").as_bytes(),
        )
    })
}

fn section(lines: &str) -> RequestSection {
    let mut section = RequestSection::default();
    for (name, value) in pairs(lines) {
        section.take(name, value);
    }
    section
}

/// What a test wants: a reason to reset the stream, or a status.
fn told(bad: BadRequest) -> String {
    match bad {
        BadRequest::Malformed(MalformedMessage(reason)) => format!("malformed: {reason}"),
        BadRequest::Refused(RefusedRequest { status, reason }) => format!("{}: {reason}", status.as_u16()),
    }
}
