//! Requests, by section of RFC 9113.

use super::{BadRequest, RequestSection, section, told};
use crate::h1::request::{Expectation, RequestHead};
use crate::h1::write::{self, Gained};
use crate::h1::{Framing, MAX_HEAD, body::BodyWriter};
use crate::headers::Client;

const GET: &str = ":method: GET\n:scheme: https\n:authority: web.example\n:path: /a?b";

/// What comes to `GET` with more fields behind it, or with other ones.
fn fate(lines: &str) -> String {
    match section(lines).finish(true, || [1, 2]) {
        Ok(request) => format!("good: {}", request.head.method),
        Err(bad) => told(bad),
    }
}

const NO_NAME: &str = "malformed: the name of a field is none";
const CONTROL: &str = "malformed: there is a control character in a value";
const BLANKS: &str = "malformed: there are blanks around a value";
const CONNECTION: &str = "malformed: a field is about a connection";

const FIELDS: &[(&str, &str, &str)] = &[
    // Names are in lower case, and tokens.
    ("8.2", "X-A: b", NO_NAME),
    ("8.2.1", "x a: b", NO_NAME),
    ("8.2.1", "x(a: b", NO_NAME),
    ("8.2.1", "x\u{e4}: b", NO_NAME),
    ("8.2.1", "x\x7f: b", NO_NAME),
    ("8.2.1", "x\r: b", NO_NAME),
    ("8.2.1", "x-a: b\0c", CONTROL),
    ("8.2.1", "x-a: b\rc", CONTROL),
    ("10.3", "x-a: b\x1fc", CONTROL),
    ("10.3", "x-a: b\x7fc", CONTROL),
    ("8.2.1", "x-a: b\tc", "good: GET"),
    ("8.2.1", "x-a: b\u{fc}", "good: GET"),
    ("8.2.1", "x-a: ", "good: GET"),
    ("8.2.1", "x-a:  b", BLANKS),
    ("8.2.1", "x-a: b ", BLANKS),
    ("8.2.1", "x-a: b\t", BLANKS),
    ("8.2.1", "x-a: \t", BLANKS),
    ("8.2.2", "connection: close", CONNECTION),
    ("8.2.2", "proxy-connection: close", CONNECTION),
    ("8.2.2", "keep-alive: 5", CONNECTION),
    ("8.2.2", "transfer-encoding: chunked", CONNECTION),
    ("8.2.2", "upgrade: websocket", CONNECTION),
    ("8.2.2", "te: trailers", "good: GET"),
    (
        "8.2.2",
        "te: trailers, deflate",
        "malformed: TE is not 'trailers'",
    ),
    ("8.2.2", "te: gzip", "malformed: TE is not 'trailers'"),
    (
        "8.3",
        "x-a: b\n:path: /c",
        "malformed: a pseudo-header field stands behind others",
    ),
    (
        "8.3",
        ":path: /c",
        "malformed: there are two pseudo-header fields of one name",
    ),
    (
        "8.3",
        ":status: 200",
        "malformed: there is an unknown pseudo-header field",
    ),
    (
        "8.3",
        ":x: y",
        "malformed: there is an unknown pseudo-header field",
    ),
    ("8.3.1", "host: web.example", "good: GET"),
    ("8.3.1", "host: Web.Example", "good: GET"),
    (
        "8.3.1",
        "host: other.example",
        "400: Host is not the authority of the request",
    ),
    (
        "8.3.1",
        "host: web.example:443",
        "400: Host is not the authority of the request",
    ),
    ("8.1.1", "content-length: 0", "good: GET"),
    (
        "8.1.1",
        "content-length: 5",
        "malformed: Content-Length is more than what follows",
    ),
    ("", "content-length: +5", "400: Content-Length is not a number"),
    (
        "",
        "content-length: 0\ncontent-length: 0",
        "400: there is more than one Content-Length header",
    ),
    (
        "RFC 8441",
        ":protocol: websocket",
        "malformed: there is a protocol without CONNECT",
    ),
];

#[test]
fn what_is_malformed_is_told_from_what_is_refused() {
    for &(section, more, wanted) in FIELDS {
        let lines = if more.starts_with(':') {
            format!("{GET}\n{more}\nx-b: c")
        } else {
            format!("{GET}\n{more}")
        };
        assert_eq!(fate(&lines), wanted, "{section}: {more:?}");
    }
}

const NO_METHOD: &str = "malformed: the method is none";
const NO_SCHEME: &str = "malformed: the scheme is none";
const NO_PATH: &str = "malformed: the path is none";
const CONNECT: &str = "malformed: CONNECT names more or less than an authority";
const PROXY: &str = "405: this is no forward proxy";

const PSEUDO: &[(&str, &str, &str, &str, &str)] = &[
    ("GET", "https", "web.example", "/", "good: GET"),
    ("GET", "http", "web.example:8080", "/", "good: GET"),
    ("M-SEARCH", "gopher+x", "web.example", "/", "good: M-SEARCH"),
    ("OPTIONS", "https", "web.example", "*", "good: OPTIONS"),
    ("GET", "https", "web.example", "*", NO_PATH),
    ("GET", "https", "web.example", "", NO_PATH),
    ("GET", "https", "web.example", "a", NO_PATH),
    ("GET", "https", "web.example", "http://web.example/", NO_PATH),
    ("GET", "https", "web.example", "/a b", NO_PATH),
    (
        "GET",
        "https",
        "web.example",
        "/a HTTP/1.1\rx: y",
        "malformed: there is a control character in a value",
    ),
    (
        "GET",
        "https",
        "web.example",
        "/a#b",
        "400: the request target has a fragment",
    ),
    ("GET", "https", "web.example", "/\u{e9}", "good: GET"),
    ("", "https", "web.example", "/", NO_METHOD),
    ("GET /x", "https", "web.example", "/", NO_METHOD),
    ("GET", "", "web.example", "/", NO_SCHEME),
    ("GET", "1http", "web.example", "/", NO_SCHEME),
    ("GET", "ht tp", "web.example", "/", NO_SCHEME),
    (
        "GET",
        "https",
        "user@web.example",
        "/",
        "400: the authority names a user",
    ),
    ("-", "https", "web.example", "/", NO_METHOD),
    ("GET", "-", "web.example", "/", NO_SCHEME),
    ("GET", "https", "-", "/", "400: the Host header is missing"),
    ("GET", "https", "web.example", "-", NO_PATH),
    // 8.5.
    ("CONNECT", "-", "web.example:443", "-", PROXY),
    ("CONNECT", "https", "web.example:443", "-", CONNECT),
    ("CONNECT", "-", "web.example:443", "/", CONNECT),
    ("CONNECT", "-", "-", "-", CONNECT),
];

#[test]
fn pseudo_header_fields_are_there_once_and_make_sense() {
    for &(method, scheme, authority, path, wanted) in PSEUDO {
        let all = [
            (":method", method),
            (":scheme", scheme),
            (":authority", authority),
            (":path", path),
        ];
        let lines = all.into_iter().filter(|(_, value)| *value != "-");
        let lines: Vec<_> = lines.map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(fate(&lines.join("\n")), wanted, "{lines:?}");
    }
    assert_eq!(
        fate(":method: GET\n:scheme: http\n:path: /\nhost: web.example"),
        "good: GET"
    );
    assert_eq!(
        fate(":method: GET\n:scheme: http\n:path: /\nhost: a\nhost: b"),
        "400: there is more than one Host header"
    );
    let bytes = |path: &[u8]| {
        let mut section = RequestSection::default();
        for (name, value) in [
            (":method", &b"GET"[..]),
            (":scheme", b"http"),
            (":authority", b"a"),
            (":path", path),
        ] {
            section.take(name.as_bytes(), value);
        }
        section.finish(true, || [0, 0]).map(|_| ()).map_err(told)
    };
    assert_eq!(
        bytes(b"/\xff"),
        Err("malformed: a pseudo-header field is no text".to_owned())
    );
    assert_eq!(
        bytes(b"/\x7f"),
        Err("malformed: there is a control character in a value".to_owned())
    );
}

/// As the pod gets it from us.
fn for_pod(head: &RequestHead<'_, '_>, body: BodyWriter) -> String {
    let addresses = ["192.0.2.1:5000", "198.51.100.1:443"].map(|text| text.parse().unwrap());
    let client = Client::new(addresses[0], addresses[1], true);
    let host = head.host.unwrap();
    let gained = Gained {
        client: &client,
        host,
        id: b"id",
        body,
    };
    let mut text = Vec::new();
    write::request(head, &gained, &mut text);
    String::from_utf8(text).unwrap()
}

const GAINED: &str = "x-forwarded-for: 192.0.2.1\r\nx-real-ip: 192.0.2.1\r\nx-forwarded-host: web.example\r\n\
    x-forwarded-port: 443\r\nx-forwarded-proto: https\r\nx-request-id: id\r\n";

#[test]
fn a_head_is_what_the_same_request_of_http_1_1_has() {
    let lines = format!(
        "{GET}\nx-forwarded-for: 6.6.6.6\ncookie: a=b\naccept: */*\ncookie: c=d\nx_a: b\nte: trailers\nx-request-id: my-id\n\
         cookie: e=f\ncookie: \nexpect: 100-continue\ncontent-length: 5"
    );
    let mut section = section(&lines);
    let request = section.finish(false, || [0, 0]).unwrap();
    let head = &request.head;
    assert!(!request.tunnel && head.http11 && head.keep && head.trailers && head.upgrade.is_none());
    assert_eq!(
        (head.method, head.target.path, head.target.query),
        ("GET", "/a", Some("b"))
    );
    assert_eq!(
        (head.host, head.id),
        (Some(&b"web.example"[..]), Some(&b"my-id"[..]))
    );
    assert_eq!(
        (head.framing, head.expects),
        (Framing::Length(5), Expectation::Continue)
    );
    assert_eq!(
        for_pod(head, BodyWriter::Raw),
        format!(
            "GET /a?b HTTP/1.1\r\nhost: web.example\r\naccept: */*\r\ncontent-length: 5\r\ncookie: a=b; c=d; e=f\r\n\
             {GAINED}te: trailers\r\n\r\n"
        )
    );
}

#[test]
fn what_follows_is_known_from_the_end_of_the_stream() {
    for (more, ended, framing) in [
        ("x-a: b", true, Framing::Empty),
        ("x-a: b", false, Framing::UntilClose),
        ("content-length: 0", true, Framing::Empty),
        ("content-length: 0", false, Framing::Empty),
        ("content-length: 7", false, Framing::Length(7)),
    ] {
        let mut section = section(&format!("{GET}\n{more}"));
        let request = section.finish(ended, || [0, 0]).unwrap();
        assert_eq!(request.head.framing, framing, "{more}, {ended}");
    }
}

#[test]
fn a_tunnel_asks_the_pod_as_http_1_1_does() {
    let connect = ":method: CONNECT\n:protocol: websocket\n:scheme: https\n:path: /chat\n:authority: web.example\n\
                   sec-websocket-version: 13\nsec-websocket-key: mine";
    let mut good = section(connect);
    let request = good
        .finish(false, || [0x7468_6520_7361_6d70, 0x6c65_206e_6f6e_6365])
        .unwrap();
    assert!(request.tunnel);
    assert_eq!(request.head.framing, Framing::Empty);
    assert_eq!(
        for_pod(&request.head, BodyWriter::Raw),
        format!(
            "GET /chat HTTP/1.1\r\nhost: web.example\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{GAINED}connection: upgrade\r\nupgrade: websocket\r\n\r\n"
        )
    );
    for (from, to, wanted) in [
        (
            "websocket\n",
            "connect-udp\n",
            "501: the only protocol of a tunnel that is understood is 'websocket'",
        ),
        (":path: /chat\n", "", "malformed: the path is none"),
        (":scheme: https\n", "", "malformed: the scheme is none"),
        (":authority: web.example\n", "", "400: the Host header is missing"),
        (
            "sec-websocket-version: 13",
            "content-length: 5",
            "malformed: Content-Length is more than what follows",
        ),
    ] {
        assert_eq!(fate(&connect.replacen(from, to, 1)), wanted);
    }
}

#[test]
fn what_is_too_large_is_answered_and_costs_no_more_than_what_is_not() {
    let mut large = RequestSection::default();
    for (name, value) in super::pairs(GET) {
        large.take(name, value);
    }
    let value = vec![b'a'; 4_000];
    for _ in 0..10_000 {
        large.take(b"x-a", &value);
    }
    assert!(large.memory() <= 2 * MAX_HEAD + 8_192, "{} bytes", large.memory());
    let refused = |section: &mut RequestSection| section.finish(true, || [0, 0]).map(|_| ()).map_err(told);
    assert_eq!(
        refused(&mut large),
        Err("431: the head of the request has more than 32 KiB".to_owned())
    );
    large.clear();
    for (name, value) in super::pairs(GET) {
        large.take(name, value);
    }
    assert_eq!(refused(&mut large), Ok(()));
    for _ in 0..101 {
        large.take(b"x", b"");
    }
    assert_eq!(
        refused(&mut large),
        Err("431: there are more than 100 header fields".to_owned())
    );
    large.clear();
    large.take(b":method", b"HEAD");
    large.take(b":path", &[b'/'; MAX_HEAD]);
    assert_eq!(
        refused(&mut large),
        Err("414: the request target has more than 32 KiB".to_owned())
    );
    assert!(large.is_to_head());
    // Each crumb counts as a field of RFC 9113, section 6.5.2, and all of them as one of ours.
    large.clear();
    for (name, value) in super::pairs(GET) {
        large.take(name, value);
    }
    for _ in 0..800 {
        large.take(b"cookie", b"");
    }
    assert_eq!(refused(&mut large), Ok(()));
    for _ in 0..100 {
        large.take(b"cookie", b"a=b");
    }
    assert!(matches!(
        large.finish(true, || [0, 0]),
        Err(BadRequest::Refused(_))
    ));
}
