//! Many connections, and nothing left of them.

use std::time::Duration;

use headgate_lab::Shop;

use crate::support::Bed;

/// wrk's report on 200 connections for 10 seconds.
fn wrk(bed: &Bed, path: &str) -> String {
    let url = format!("http://{}{path}", Shop::INGRESS.0);
    let arguments = [
        "--connections",
        "200",
        "--threads",
        "2",
        "--duration",
        "10s",
        "-H",
        "Host: shop.example.com",
        &url,
    ];
    let finished = bed
        .lab
        .clients
        .run("wrk", &arguments, Duration::from_secs(30))
        .unwrap();
    assert!(finished.success(), "{finished:?}");
    finished.stdout
}

fn assert_no_errors(report: &str) {
    assert!(
        !report.contains("Socket errors") && !report.contains("Non-2xx"),
        "{report}"
    );
    let requests = report
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<u64>().ok());
    assert!(requests.is_some_and(|requests| requests > 1000), "{report}");
}

#[test]
fn two_hundred_connections_without_an_error_and_nothing_leaks() {
    let Some(bed) = Bed::make() else { return };
    assert_no_errors(&wrk(&bed, "/"));
    bed.wait_until_quiet();
}
