//! HTTP/2 with clients that Headgate did not write: curl and h2load, over TLS and with prior knowledge.

use std::time::Duration;

use headgate_lab::Shop;
use headgate_lab::pod::Pattern;

use crate::support::Bed;

#[test]
fn curl_gets_pages_and_bodies_by_alpn_and_by_prior_knowledge() {
    for bed in Bed::on_each() {
        for (arguments, scheme) in [
            (&["--http2"][..], "https"),
            (&["--http2-prior-knowledge"], "http"),
        ] {
            let version = bed
                .curl()
                .args(arguments)
                .args(&["--output", "/dev/null", "--write-out", "HTTP %{http_version}"])
                .args(&[&format!("{scheme}://shop.example.com/")])
                .run()
                .unwrap();
            assert_eq!(version.stdout, "HTTP 2", "{version:?}");
            let length = 20_000_000;
            let url = format!("{scheme}://shop.example.com/bytes/{length}?seed=3");
            let got = bed.curl().args(arguments).sha256(&url).unwrap();
            assert_eq!(got, Pattern::new(length, 3).sha256(), "{scheme}");
        }
    }
}

/// What h2load says of its requests, each of which must have been answered with 200.
fn h2load(bed: &Bed, url: &str, streams: &str) {
    let address = format!(
        "--connect-to={}:{}",
        Shop::INGRESS.0,
        if url.starts_with("https") { 443 } else { 80 }
    );
    let arguments = ["-n", "5000", "-c", "20", "-m", streams, &address, url];
    let finished = bed
        .lab
        .clients
        .run("h2load", &arguments, Duration::from_secs(60))
        .unwrap();
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(
        said.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{said}"
    );
    assert!(said.contains("status codes: 5000 2xx"), "{said}");
}

#[test]
fn h2load_has_all_its_requests_answered() {
    for bed in Bed::on_each() {
        for url in ["http://shop.example.com/", "https://shop.example.com/"] {
            for streams in ["1", "50"] {
                h2load(&bed, url, streams);
            }
        }
    }
}
