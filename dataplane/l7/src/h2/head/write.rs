//! Heads and trailers as blocks. Each is added to what is there; who sends it cuts it into frames.

use crate::h1::Headers;
use crate::h1::request::RequestHead;
use crate::h1::response::ResponseHead;
use crate::h1::write::{Gained, gained_fields};
use crate::h2::hpack::field;

/// Writes the head of a pod's response to a client. What is about a connection is among what is `left`.
pub(crate) fn response(head: &ResponseHead<'_, '_>, date: &[u8], to: &mut Vec<u8>) {
    interim(head, to);
    // RFC 9110, section 6.6.1.
    if !head.dated && head.status >= 200 {
        field(b"date", date, to);
    }
}

/// Writes a response before the response, such as 103.
pub(crate) fn interim(head: &ResponseHead<'_, '_>, to: &mut Vec<u8>) {
    status(head.status, to);
    for (_, (name, value)) in passed(head.headers, |place| head.left.has(place)) {
        field(name, value, to);
    }
}

/// Writes what the client of a tunnel is told in place of the pod's 101 (RFC 8441, section 5). The key that the pod has
/// accepted was not the client's.
pub(crate) fn tunnel(head: &ResponseHead<'_, '_>, to: &mut Vec<u8>) {
    status(200, to);
    for (_, (name, value)) in passed(head.headers, |place| head.left.has(place)) {
        if !name.eq_ignore_ascii_case(b"sec-websocket-accept") {
            field(name, value, to);
        }
    }
}

/// Writes the head of a request to a pod, which is not asked for a tunnel.
pub(crate) fn request(head: &RequestHead<'_, '_>, gained: &Gained<'_>, to: &mut Vec<u8>) {
    field(b":method", head.method.as_bytes(), to);
    // That of the connection to the pod.
    field(b":scheme", b"http", to);
    field(b":authority", gained.host, to);
    match head.target.query {
        None => field(b":path", head.target.path.as_bytes(), to),
        Some(query) => {
            let path = [head.target.path, "?", query].concat();
            field(b":path", path.as_bytes(), to);
        }
    }
    for (_, (name, value)) in passed(head.headers, |place| head.left.has(place)) {
        field(name, value, to);
    }
    gained_fields(gained, |start, value| {
        field(start.strip_suffix(b": ").unwrap_or(start), value, to);
    });
    if head.trailers {
        field(b"te", b"trailers", to);
    }
}

/// Writes trailers, which are lines.
pub(crate) fn trailers(lines: &[u8], to: &mut Vec<u8>) {
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            field(&line[..colon], line[colon + 1..].trim_ascii(), to);
        }
    }
}

/// Writes the status of an answer, which has three digits.
pub(crate) fn status(status: u16, to: &mut Vec<u8>) {
    let digit = |unit: u16| b'0' + (status / unit % 10) as u8;
    field(b":status", &[digit(100), digit(10), digit(1)], to);
}

/// The fields that go on, with their places.
fn passed<'b>(
    headers: Headers<'_, 'b>,
    left: impl Fn(usize) -> bool,
) -> impl Iterator<Item = (usize, (&'b [u8], &'b [u8]))> {
    headers.iter().enumerate().filter(move |(place, _)| !left(*place))
}
