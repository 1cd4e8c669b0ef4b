//! Heads for the next hop.

use std::io::Write;
use std::net::IpAddr;

use super::body::BodyWriter;
use super::fields::{Headers, Marks};
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
    to.extend_from_slice(head.method.as_bytes());
    to.push(b' ');
    to.extend_from_slice(head.target.path.as_bytes());
    if let Some(query) = head.target.query {
        to.push(b'?');
        to.extend_from_slice(query.as_bytes());
    }
    to.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    to.extend_from_slice(gained.host);
    to.extend_from_slice(b"\r\n");
    fields(head.headers, head.left, to);
    gain(gained, to);
    // RFC 9110, section 10.1.4: a client that takes trailers says so to each next hop.
    if head.trailers {
        to.extend_from_slice(b"te: trailers\r\n");
    }
    if head.upgrade.is_some() {
        upgrade(head.upgrade, to);
    }
    if gained.body == BodyWriter::Chunked {
        to.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    to.extend_from_slice(b"\r\n");
}

fn gain(gained: &Gained<'_>, to: &mut Vec<u8>) {
    gained_fields(gained, |start, value| {
        to.extend_from_slice(start);
        to.extend_from_slice(value);
        to.extend_from_slice(b"\r\n");
    });
}

/// Gives the fields that a request gains: each as the start of its line, which is a literal since most of a small request's
/// bytes are these, and its value.
#[inline]
pub(crate) fn gained_fields(gained: &Gained<'_>, mut field: impl FnMut(&'static [u8], &[u8])) {
    let client = gained.client;
    // The longest address has 39.
    let (mut address_room, mut port_room) = ([0; 40], [0; 5]);
    let address = written(&mut address_room, |to| address(client.ip(), to));
    let port = written(&mut port_room, |to| decimal(client.listener.port(), to));
    field(b"x-forwarded-for: ", address);
    field(b"x-real-ip: ", address);
    field(b"x-forwarded-host: ", gained.host);
    field(b"x-forwarded-port: ", port);
    field(
        b"x-forwarded-proto: ",
        if client.tls { b"https" } else { b"http" },
    );
    field(b"x-request-id: ", gained.id);
}

/// What `write` writes into some room.
fn written(room: &mut [u8], write: impl FnOnce(&mut &mut [u8])) -> &[u8] {
    let mut rest = &mut *room;
    write(&mut rest);
    let left = rest.len();
    &room[..room.len() - left]
}

/// Writes an address; of IPv4, which most clients have, without the machinery of formatting.
fn address(address: IpAddr, to: &mut impl Write) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    put(b".", to);
                }
                decimal(octet.into(), to);
            }
        }
        IpAddr::V6(address) => {
            // Into room for it.
            let _ = write!(to, "{address}");
        }
    }
}

fn decimal(mut number: u16, to: &mut impl Write) {
    let mut digits = [0; 5];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    put(&digits[first..], to);
}

/// Into room for it.
fn put(bytes: &[u8], to: &mut impl Write) {
    let _ = to.write_all(bytes);
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
        to.extend_from_slice(b"date: ");
        to.extend_from_slice(date);
        to.extend_from_slice(b"\r\n");
    }
    persist(persistence, to);
    if body == BodyWriter::Chunked {
        to.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    to.extend_from_slice(b"\r\n");
}

/// Writes a response before the response, such as 103.
pub(crate) fn interim(head: &ResponseHead<'_, '_>, to: &mut Vec<u8>) {
    status_line(head.status, head.reason, to);
    fields(head.headers, head.left, to);
    to.extend_from_slice(b"\r\n");
}

/// Writes the head of 101: from its end on the connection is something else.
pub(crate) fn switch(head: &ResponseHead<'_, '_>, to: &mut Vec<u8>) {
    status_line(head.status, head.reason, to);
    fields(head.headers, head.left, to);
    upgrade(head.upgrade, to);
    to.extend_from_slice(b"\r\n");
}

fn upgrade(protocol: Option<&[u8]>, to: &mut Vec<u8>) {
    to.extend_from_slice(b"connection: upgrade\r\n");
    if let Some(protocol) = protocol {
        to.extend_from_slice(b"upgrade: ");
        to.extend_from_slice(protocol);
        to.extend_from_slice(b"\r\n");
    }
}

/// `status` has three digits.
pub(crate) fn status_line(status: u16, reason: &str, to: &mut Vec<u8>) {
    let digit = |unit: u16| b'0' + (status / unit % 10) as u8;
    to.extend_from_slice(b"HTTP/1.1 ");
    to.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    to.extend_from_slice(reason.as_bytes());
    to.extend_from_slice(b"\r\n");
}

pub(crate) fn persist(persistence: Persistence, to: &mut Vec<u8>) {
    match persistence {
        Persistence::Silent => {}
        Persistence::KeepAlive => to.extend_from_slice(b"connection: keep-alive\r\n"),
        Persistence::Close => to.extend_from_slice(b"connection: close\r\n"),
    }
}

/// Writes the fields that go on, in the plain form. Those that came in it and stand side by side are copied at once.
fn fields(headers: Headers<'_, '_>, left: Marks, to: &mut Vec<u8>) {
    let Headers { bytes, fields } = headers;
    let mut run = 0..0;
    for (place, field) in fields.iter().enumerate() {
        if left.has(place) {
            continue;
        }
        match field.line() {
            Some(line) if line.start == run.end => run.end = line.end,
            Some(line) => to.extend_from_slice(&bytes[std::mem::replace(&mut run, line)]),
            None => {
                to.extend_from_slice(&bytes[std::mem::take(&mut run)]);
                for part in [field.name(bytes), b": ", field.value(bytes), b"\r\n"] {
                    to.extend_from_slice(part);
                }
            }
        }
    }
    to.extend_from_slice(&bytes[run]);
}

#[cfg(test)]
mod tests {
    use super::{address, decimal};

    #[test]
    fn numbers_and_addresses_are_what_formatting_writes() {
        for number in (0..=u16::MAX).step_by(7).chain([9, 10, 99, 100, u16::MAX]) {
            let mut text = Vec::new();
            decimal(number, &mut text);
            assert_eq!(text, number.to_string().as_bytes());
        }
        for text in [
            "0.0.0.0",
            "192.0.2.255",
            "10.1.20.100",
            "::",
            "2001:db8::1",
            "::ffff:192.0.2.1",
        ] {
            let mut written = Vec::new();
            address(text.parse().unwrap(), &mut written);
            assert_eq!(written, text.as_bytes());
        }
    }
}
