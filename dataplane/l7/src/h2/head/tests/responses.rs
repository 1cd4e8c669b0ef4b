//! Responses of pods, trailers, and what is written.

use super::pairs;
use crate::h1::body::BadFraming;
use crate::h1::response::{self, BadResponse, ResponseHead};
use crate::h1::write::Gained;
use crate::h1::{Fields, Framing, body::BodyWriter, request};
use crate::h2::head::{ResponseSection, TrailerSection, write};
use crate::h2::hpack::Decoder;
use crate::headers::Client;

fn section(lines: &str) -> ResponseSection {
    let mut section = ResponseSection::default();
    for (name, value) in pairs(lines) {
        section.take(name, value);
    }
    section
}

/// What a block says, in lines.
fn read(block: &[u8]) -> String {
    let (mut lines, mut decoder) = (Vec::new(), Decoder::new(0));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let read = decoder.decode(block, |name, value| {
        lines.push(format!("{}: {}", text(name), text(value)));
    });
    assert_eq!(read, Ok(()));
    lines.join("\n")
}

const RESPONSES: &[(&str, bool, Result<Framing, &str>)] = &[
    (":status: 200\nx-a: b", true, Ok(Framing::Empty)),
    (":status: 200", false, Ok(Framing::UntilClose)),
    (":status: 200\ncontent-length: 5", false, Ok(Framing::Length(5))),
    (":status: 204", true, Ok(Framing::Empty)),
    (":status: 103\nlink: </a>", false, Ok(Framing::Empty)),
    (
        ":status: 200\ncontent-length: 5",
        true,
        Err("its Content-Length is more than what follows"),
    ),
    (":status: 304\ncontent-length: 5", true, Ok(Framing::Empty)),
    (":status: 103", true, Err("it is none of a stream's")),
    (":status: 101", false, Err("it is none of a stream's")),
    ("x-a: b", false, Err("it has no status")),
    (
        "x-a: b\n:status: 200",
        false,
        Err("its pseudo-header fields are not its status alone"),
    ),
    (
        ":status: 200\n:status: 200",
        false,
        Err("its pseudo-header fields are not its status alone"),
    ),
    (
        ":method: GET",
        false,
        Err("its pseudo-header fields are not its status alone"),
    ),
    (":status: 20", false, Err("its status is none")),
    (":status: 099", false, Err("its status is none")),
    (":status: 2000", false, Err("its status is none")),
    (
        ":status: 200\nconnection: close",
        false,
        Err("a field is about a connection"),
    ),
    (":status: 200\nX-A: b", false, Err("the name of a field is none")),
    (
        ":status: 200\nx-a: b\0",
        false,
        Err("there is a control character in a value"),
    ),
    (
        ":status: 200\ncontent-length: x",
        false,
        Err("its Content-Length is not a number"),
    ),
];

#[test]
fn a_response_has_a_status_and_fields_of_its_own() {
    for &(lines, ended, wanted) in RESPONSES {
        let mut section = section(lines);
        let head = section.finish(false, ended, true);
        assert_eq!(
            head.as_ref().map(|head| head.framing),
            wanted.map_err(BadResponse).as_ref().copied(),
            "{lines}"
        );
        assert!(head.is_err() || head.is_ok_and(|head| head.keep));
    }
    let mut to_head = section(":status: 200\ncontent-length: 5");
    assert_eq!(to_head.finish(true, true, true).unwrap().framing, Framing::Empty);
}

#[test]
fn a_response_that_ends_with_its_head_says_so_to_a_client_of_http_1_1() {
    for (lines, to_head, length) in [
        (":status: 200", false, Some(&b"0"[..])),
        (":status: 200\ncontent-length: 0", false, Some(b"0")),
        (":status: 200", true, None),
        (":status: 204", false, None),
        (":status: 304", false, None),
    ] {
        let mut section = section(lines);
        let head = section.finish(to_head, true, true).unwrap();
        let lengths: Vec<_> = head
            .headers
            .iter()
            .filter(|(name, _)| *name == b"content-length")
            .collect();
        let wanted: Vec<_> = length
            .map(|length| (&b"content-length"[..], length))
            .into_iter()
            .collect();
        assert_eq!((head.framing, lengths), (Framing::Empty, wanted), "{lines}");
    }
    // A client of HTTP/2 sees that the stream ends.
    let mut told = section(":status: 200\ngrpc-status: 5");
    let head = told.finish(false, true, false).unwrap();
    assert_eq!(
        (head.framing, head.headers.iter().count()),
        (Framing::UntilClose, 1)
    );
}

#[test]
fn a_response_is_bounded() {
    let mut large = ResponseSection::default();
    large.take(b":status", b"200");
    for _ in 0..100 {
        large.take(b"x", b"y");
    }
    assert!(large.finish(false, true, true).is_ok());
    large.take(b"x", b"y");
    assert_eq!(
        large.finish(false, true, true).unwrap_err(),
        BadResponse("it has more than 100 header fields")
    );
    large.clear();
    large.take(b"x", &[b'y'; 32 << 10]);
    assert_eq!(
        large.finish(false, true, true).unwrap_err(),
        BadResponse("its head has more than 32 KiB")
    );
}

/// A response of HTTP/1.1.
fn with_response(text: &str, look: impl FnOnce(&ResponseHead<'_, '_>)) {
    let mut fields = Fields::new();
    let parsed = response::parse(text.as_bytes(), &mut fields, false).unwrap();
    look(&parsed.unwrap().0);
}

#[test]
fn responses_are_written_without_what_concerns_a_connection() {
    let text = "HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: keep-alive, X-Gone\r\nKeep-Alive: timeout=5\r\nX-Gone: 1\r\n\
                TE: x\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\nSet-Cookie: a=b\r\nSet-Cookie:  c=d \r\nX-Empty:\r\n\r\n";
    with_response(text, |head| {
        let mut block = Vec::new();
        write::response(head, b"now", &mut block);
        let wanted = ":status: 200\nserver: nginx\nset-cookie: a=b\nset-cookie: c=d\nx-empty: \ndate: now";
        assert_eq!(read(&block), wanted);
    });
    with_response(
        "HTTP/1.1 404 Gone\r\nDate: then\r\nContent-Length: 5\r\n\r\n",
        |head| {
            let mut block = Vec::new();
            write::response(head, b"now", &mut block);
            assert_eq!(read(&block), ":status: 404\ndate: then\ncontent-length: 5");
        },
    );
    with_response("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", |head| {
        let mut block = Vec::new();
        write::interim(head, &mut block);
        assert_eq!(read(&block), ":status: 103\nlink: </a>");
    });
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: x=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    with_response(switch, |head| {
        let mut block = Vec::new();
        write::tunnel(head, &mut block);
        assert_eq!(read(&block), ":status: 200\nsec-websocket-protocol: chat");
    });
}

#[test]
fn a_request_to_a_pod_says_what_that_of_http_1_1_says() {
    let text = b"POST /a?b HTTP/1.1\r\nHost: web.example\r\nX-Forwarded-For: 6.6.6.6\r\nAccept: */*\r\nTE: trailers\r\n\
                 Connection: close\r\nAuthorization: Basic eA==\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut fields = Fields::new();
    let (head, _) = request::parse(text, &mut fields).unwrap().unwrap();
    let addresses = ["[2001:db8::1]:5000", "198.51.100.1:80"].map(|text| text.parse().unwrap());
    let client = Client::new(addresses[0], addresses[1], false);
    let gained = Gained {
        client: &client,
        host: b"web.example",
        id: b"id",
        body: BodyWriter::Raw,
    };
    let mut block = Vec::new();
    write::request(&head, &gained, &mut block);
    assert_eq!(
        read(&block),
        ":method: POST\n:scheme: http\n:authority: web.example\n:path: /a?b\naccept: */*\nauthorization: Basic eA==\n\
         x-forwarded-for: 2001:db8::1\nx-real-ip: 2001:db8::1\nx-forwarded-host: web.example\nx-forwarded-port: 80\n\
         x-forwarded-proto: http\nx-request-id: id\nte: trailers"
    );
}

#[test]
fn trailers_pass_on_but_for_those_that_may_not() {
    let mut trailers = TrailerSection::default();
    for (name, value) in pairs("grpc-status: 0\ncontent-length: 5\ngrpc-message: a: b\nhost: x\nx-empty: ") {
        trailers.take(name, value);
    }
    let lines = trailers.finish().unwrap();
    assert_eq!(lines, b"grpc-status: 0\r\ngrpc-message: a: b\r\nx-empty: \r\n");
    let mut block = Vec::new();
    write::trailers(lines, &mut block);
    assert_eq!(read(&block), "grpc-status: 0\ngrpc-message: a: b\nx-empty: ");
    // As those behind chunks come.
    block.clear();
    write::trailers(b"X-Sum: 1\r\nx-other:  2 \r\n", &mut block);
    assert_eq!(read(&block), "x-sum: 1\nx-other: 2");
    for (lines, why) in [
        (":status: 200", "the name of a field is none"),
        ("X-A: b", "the name of a field is none"),
        ("x-a: b\rc", "there is a control character in a value"),
        ("connection: close", "a field is about a connection"),
    ] {
        trailers.clear();
        for (name, value) in pairs(lines) {
            trailers.take(name, value);
        }
        assert_eq!(trailers.finish(), Err(BadFraming(why)));
    }
    trailers.clear();
    for _ in 0..300 {
        trailers.take(b"x", b"y");
    }
    assert_eq!(trailers.finish(), Err(BadFraming("the trailers are too long")));
}
