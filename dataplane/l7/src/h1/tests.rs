//! Heads and bodies, as bytes.

mod rows;

use proptest::prelude::*;

use super::fuzz::fuzz;

/// What requests, responses and chunks are made of, and what they should not be made of.
const PARTS: [&str; 62] = [
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "HEAD http://web.example/x HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "Host: web.example\r\n",
    "Host: web.example\r\n",
    "Host: web.example\r\n\r\n",
    "Host: [::1]:80\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 9223372036854775807\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked\r\n\r\n",
    "Connection: close, x-a, content-length\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Upgrade: h2c\r\n",
    "TE: trailers\r\n",
    "Expect: 100-continue\r\n",
    "X-A: b\r\n",
    "x_a: b\r\n",
    "X-A:\t b \r\n",
    "X-Request-ID: a-b\r\n",
    "Date: now\r\n",
    "X-A : b\r\n",
    " folded\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    "\u{80}",
    " ",
    "\t",
    ":",
    ";x=y",
    "0\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5\r\nhello\r\n",
    "5 ;x=\"y\"\r\nhello\r\n",
    "1",
    "a",
    "F",
    "00",
    "hello",
    "hello\r\n",
    "7fffffffffffffff\r\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "X-T: u\r\n",
    "Content-Length: 6\r\n\r\n",
    "Host: a\r\nHost: b\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_means_the_same_however_it_is_cut_and_written(
        kind in 0..4_u8,
        cuts in any::<u8>(),
        parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 0..14),
    ) {
        fuzz(&[&[kind, cuts][..], parts.concat().as_bytes()].concat());
    }

    #[test]
    fn any_bytes_mean_the_same(data in prop::collection::vec(any::<u8>(), 0..100)) {
        fuzz(&data);
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_mean_the_same() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/http");
    let mut count = 0;
    for seed in std::fs::read_dir(seeds).unwrap() {
        fuzz(&std::fs::read(seed.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5, "there are {count} seeds");
}
