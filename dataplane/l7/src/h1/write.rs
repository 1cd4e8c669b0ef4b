//! Heads for the next hop.

use std::io::Write as _;

use httparse::Header;

use super::body::BodyWriter;
use super::fields::Marks;
use super::request::RequestHead;
use super::response::ResponseHead;
use crate::headers::Client;

/// What a request gains on its way to a pod: the names of ingress-nginx, and what the client's connection says.
pub(crate) struct Gained<'a> {
    pub(crate) client: &'a Client,
    /// Host, as the client wrote it.
    pub(crate) host: &'a [u8],
    pub(crate) id: &'a [u8],
    /// Whether the body goes in chunks.
    pub(crate) body: BodyWriter,
}

/// Writes the head of a request to a pod.
pub(crate) fn request(head: &RequestHead<'_, '_>, gained: &Gained<'_>, to: &mut Vec<u8>) {
    put(to, &[head.method.as_bytes(), b" ", head.target.path.as_bytes()]);
    if let Some(query) = head.target.query {
        put(to, &[b"?", query.as_bytes()]);
    }
    put(to, &[b" HTTP/1.1\r\nhost: ", gained.host, b"\r\n"]);
    fields(head.headers, head.left, to);
    let Client { ip, port, tls, .. } = gained.client;
    put(
        to,
        &[
            b"x-forwarded-for: ",
            ip.as_bytes(),
            b"\r\nx-real-ip: ",
            ip.as_bytes(),
        ],
    );
    put(to, &[b"\r\nx-forwarded-host: ", gained.host]);
    put(to, &[b"\r\nx-forwarded-port: ", port.as_bytes()]);
    let proto: &[u8] = if *tls { b"https" } else { b"http" };
    put(to, &[b"\r\nx-forwarded-proto: ", proto]);
    put(to, &[b"\r\nx-request-id: ", gained.id, b"\r\n"]);
    // RFC 9110, section 10.1.4: a client that takes trailers says so to each next hop.
    if head.trailers {
        put(to, &[b"te: trailers\r\n"]);
    }
    if let Some(protocol) = head.upgrade {
        put(to, &[b"connection: upgrade\r\nupgrade: ", protocol, b"\r\n"]);
    }
    if gained.body == BodyWriter::Chunked {
        put(to, &[b"transfer-encoding: chunked\r\n"]);
    }
    put(to, &[b"\r\n"]);
}

/// What a client is told of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It stays open, which goes without saying.
    Silent,
    /// It stays open, which HTTP/1.0 has to be told.
    KeepAlive,
    Close,
}

/// Writes the head of a pod's response to a client.
pub(crate) fn response(
    head: &ResponseHead<'_, '_>,
    persistence: Persistence,
    body: BodyWriter,
    date: &[u8],
    to: &mut Vec<u8>,
) {
    status_line(head.status, head.reason, to);
    fields(head.headers, head.left, to);
    // RFC 9110, section 6.6.1.
    if !head.dated && head.status >= 200 {
        put(to, &[b"date: ", date, b"\r\n"]);
    }
    persist(persistence, to);
    if body == BodyWriter::Chunked {
        put(to, &[b"transfer-encoding: chunked\r\n"]);
    }
    put(to, &[b"\r\n"]);
}

/// Writes a response before the response, such as 103.
pub(crate) fn interim(head: &ResponseHead<'_, '_>, to: &mut Vec<u8>) {
    status_line(head.status, head.reason, to);
    fields(head.headers, head.left, to);
    put(to, &[b"\r\n"]);
}

/// Writes the head of 101: from its end on the connection is something else.
pub(crate) fn switch(head: &ResponseHead<'_, '_>, to: &mut Vec<u8>) {
    status_line(head.status, head.reason, to);
    fields(head.headers, head.left, to);
    put(to, &[b"connection: upgrade\r\n"]);
    if let Some(protocol) = head.upgrade {
        put(to, &[b"upgrade: ", protocol, b"\r\n"]);
    }
    put(to, &[b"\r\n"]);
}

pub(crate) fn status_line(status: u16, reason: &str, to: &mut Vec<u8>) {
    // Into memory, which takes everything.
    let _ = write!(to, "HTTP/1.1 {status} {reason}\r\n");
}

pub(crate) fn persist(persistence: Persistence, to: &mut Vec<u8>) {
    match persistence {
        Persistence::Silent => {}
        Persistence::KeepAlive => put(to, &[b"connection: keep-alive\r\n"]),
        Persistence::Close => put(to, &[b"connection: close\r\n"]),
    }
}

/// Writes the fields that go on; whatever they were separated by, in the plain form.
fn fields(headers: &[Header<'_>], left: Marks, to: &mut Vec<u8>) {
    for (place, header) in headers.iter().enumerate() {
        if !left.has(place) {
            put(to, &[header.name.as_bytes(), b": ", header.value, b"\r\n"]);
        }
    }
}

fn put(to: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        to.extend_from_slice(part);
    }
}
