//! Sections of any fields.

use proptest::prelude::*;

use crate::h2::head::fuzz::fuzz;

/// What sections are made of, and what they should not be made of.
const FIELDS: [(&str, &str); 48] = [
    (":method", "GET"),
    (":method", "POST"),
    (":method", "HEAD"),
    (":method", "CONNECT"),
    (":method", "OPTIONS"),
    (":method", "G T"),
    (":scheme", "https"),
    (":scheme", "http"),
    (":scheme", ":"),
    (":authority", "web.example"),
    (":authority", "web.example"),
    (":authority", "user@web.example"),
    (":authority", ""),
    (":path", "/"),
    (":path", "/a?b=c"),
    (":path", "*"),
    (":path", "/a b"),
    (":path", "/\"<>\\^`{|}[]"),
    (":path", "/a#b"),
    (":protocol", "websocket"),
    (":protocol", "other"),
    (":status", "200"),
    (":status", "204"),
    (":status", "103"),
    (":status", "101"),
    (":status", "20"),
    (":x", "y"),
    ("host", "web.example"),
    ("host", "other.example"),
    ("cookie", "a=b"),
    ("cookie", "c=d"),
    ("content-length", "5"),
    ("content-length", "0"),
    ("content-length", "+5"),
    ("te", "trailers"),
    ("te", "gzip"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("expect", "100-continue"),
    ("x-request-id", "my-id"),
    ("x_a", "b"),
    ("x-a", "\u{e9}\tb"),
    ("x-a", " b"),
    ("x-a", "b\0"),
    ("X-A", "b"),
    ("", "b"),
    ("date", "then"),
    ("grpc-status", "0"),
];

/// A block of plain strings.
fn block<'f>(fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x00);
        for text in [name, value] {
            let text = &text[..text.len().min(126)];
            block.push(text.len() as u8);
            block.extend_from_slice(text);
        }
    }
    block
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, ..ProptestConfig::default() })]

    #[test]
    fn sections_of_known_fields_mean_the_same(
        kind in 0..16_u8,
        first in 0..4_usize,
        fields in prop::collection::vec(prop::sample::select(&FIELDS[..]), 0..7),
    ) {
        // Most begin as what they are.
        let begin: &[_] = match kind % 3 {
            0 => &[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "web.example")],
            1 => &[(":status", "200")],
            _ => &[],
        };
        let all = begin.iter().skip(first.saturating_sub(2)).chain(&fields);
        let block = block(all.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        fuzz(&[&[kind][..], &block].concat());
    }

    #[test]
    fn sections_of_any_bytes_mean_the_same(
        kind in 0..16_u8,
        fields in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..4), prop::collection::vec(any::<u8>(), 0..6)), 0..4),
    ) {
        let begin: [(&[u8], &[u8]); 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"host", b"a")];
        let begin = begin.into_iter().take(if kind % 3 == 0 { 4 } else { 0 });
        let block = block(begin.chain(fields.iter().map(|(name, value)| (&name[..], &value[..]))));
        fuzz(&[&[kind][..], &block].concat());
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_mean_the_same() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/http2_head");
    let mut count = 0;
    for seed in std::fs::read_dir(seeds).unwrap() {
        fuzz(&std::fs::read(seed.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5, "there are {count} seeds");
}
