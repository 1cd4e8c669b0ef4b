//! One request by either version is one request.

use proptest::prelude::*;

use crate::h1::request::{self, RequestHead};
use crate::h1::{Fields, Framing};
use crate::h2::head::RequestSection;

/// Fields that both versions may have, in any order.
const FIELDS: [(&str, &str); 26] = [
    ("accept", "*/*"),
    ("accept", "text/html"),
    ("cookie", "a=b"),
    ("content-length", "0"),
    ("content-length", "5"),
    ("content-length", "5,5"),
    ("content-length", "18446744073709551616"),
    ("content-type", "text/plain; charset=\"utf-8\""),
    ("expect", "100-continue"),
    ("expect", "200-ok"),
    ("x-request-id", "my-id"),
    ("x-request-id", "my id"),
    ("x-forwarded-for", "6.6.6.6"),
    ("x-real-ip", "6.6.6.6"),
    ("x_real_ip", "6.6.6.6"),
    ("forwarded", "for=6.6.6.6"),
    ("te", "trailers"),
    ("te", "Trailers"),
    ("host", "other.example"),
    ("host", "web.example"),
    ("proxy", "evil"),
    ("http2-settings", "x"),
    ("x-tab", "a\tb"),
    ("x-empty", ""),
    ("x-latin", "\u{e9}"),
    ("x-a", "b"),
];

const AUTHORITIES: [&str; 6] = [
    "web.example",
    "Web.Example:8080",
    "[::1]:80",
    "a..b",
    "",
    "web.example.",
];
const PATHS: [&str; 7] = ["/", "/a?b", "/a?b?c", "/a#b", "/%2e%2e/", "/caf\u{e9}", "//x"];

/// What a head says, whichever way it came.
fn told(head: &RequestHead<'_, '_>) -> String {
    let passed = head
        .headers
        .iter()
        .enumerate()
        .filter(|(place, _)| !head.left.has(*place));
    let passed: Vec<_> = passed.map(|(_, field)| field).collect();
    let line = (
        head.method,
        head.target.path,
        head.target.query,
        head.host,
        head.http11,
    );
    let said = (
        head.framing,
        head.keep,
        head.upgrade,
        head.expects,
        head.trailers,
        head.id,
    );
    format!("{line:?} {said:?} {passed:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn one_request_by_either_version_is_the_same_for_a_pod(
        method in prop::sample::select(&["GET", "POST", "HEAD", "OPTIONS", "X!"][..]),
        authority in prop::sample::select(&AUTHORITIES[..]),
        path in prop::sample::select(&PATHS[..]),
        fields in prop::collection::vec(prop::sample::select(&FIELDS[..]), 0..10),
    ) {
        let mut section = RequestSection::default();
        let pseudo = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)];
        // A cookie stands behind the others; there is one of it in HTTP/1.1.
        let cookie = |field: &(&str, &str)| field.0 == "cookie";
        let host = |field: &(&str, &str)| field.0 == "host";
        let has_cookie = fields.iter().any(cookie);
        let others = fields.into_iter().filter(|field| !cookie(field));
        let others: Vec<_> = others.chain(has_cookie.then_some(("cookie", "a=b"))).collect();
        for (name, value) in pseudo.into_iter().chain(others.iter().copied()) {
            section.take(name.as_bytes(), value.as_bytes());
        }
        let ended = others.iter().all(|field| field.0 != "content-length");
        let two = section.finish(ended, || [0, 0]).map(|request| told(&request.head));

        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n");
        for (name, value) in others.iter().filter(|field| !host(field)) {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut room = Fields::new();
        let one = request::parse(text.as_bytes(), &mut room).map(|parsed| told(&parsed.unwrap().0));

        let differs = others.iter().filter(|field| host(field)).any(|field| !field.1.eq_ignore_ascii_case(authority));
        if differs {
            prop_assert!(two.is_err());
        } else {
            prop_assert_eq!(two.map_err(super::told), one.map_err(|refused| super::told(refused.into())));
        }
    }
}

#[test]
fn a_body_of_no_known_length_is_one_of_chunks_to_a_pod() {
    let mut section = super::section(":method: POST\n:scheme: http\n:authority: web.example\n:path: /");
    let two = section.finish(false, || [0, 0]).unwrap();
    assert_eq!(two.head.framing, Framing::UntilClose);
}
